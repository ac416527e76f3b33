// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/detail/keep_best.hpp"
#include "tessera/distill/logit.hpp"
#include "tessera/distill/task_loss.hpp"
#include "tessera/distill/teacher_outputs.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/optim/adam.hpp"

namespace tessera {

struct GlnnOptions {
  double lambda = 0;  ///< share of the labels' loss; the published default has none
  double lr = 0.01;
  double weight_decay = 0;
  std::size_t batch_size = 512;
  std::uint64_t epochs = 200;
  std::uint64_t patience = 50;
  std::uint64_t seed = 0;
};

namespace detail {

/// Rows without neighbours as an adjacency.
class NoEdges {
 public:
  Adjacency of(std::size_t rows) {
    if (row_ptr_.size() < rows + 1) row_ptr_.assign(rows + 1, EdgeId{0});
    Adjacency out;
    out.forward = {rows, rows, row_ptr_.span().first(rows + 1), {}, {}};
    out.transpose = out.forward;
    return out;
  }

 private:
  Array<EdgeId> row_ptr_;
};

/// Logits of some rows of the features, by a model that looks at no neighbours.
template <Model M>
Tensor<float> row_logits(const M& model, MatrixView<const float> features, std::span<const NodeId> rows) {
  Tensor<float> x(rows.size(), features.cols());
  gather_rows(features, rows, x.view());
  NoEdges none;
  const Adjacency each = none.of(rows.size());
  NoTape<float> ctx;
  const Var z =
      model.forward(ctx, AdjacencyStack(std::span(&each, 1)), ctx.input(std::as_const(x).view()), Pass{});
  return Tensor<float>::copy_of(ctx.value(z));
}

/// The share of rows whose largest logit is that of their class.
inline double row_accuracy(MatrixView<const float> logits, std::span<const std::int32_t> classes,
                           std::span<const NodeId> rows) {
  std::size_t right = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto row = logits.row(i);
    right += std::max_element(row.begin(), row.end()) - row.begin() == classes[rows[i]] ? 1u : 0u;
  }
  return rows.empty() ? 0 : static_cast<double>(right) / static_cast<double>(rows.size());
}

}  // namespace detail

/// How right a model that looks at no neighbours is on some nodes.
template <Model M>
double accuracy_on_rows(const M& model, MatrixView<const float> features,
                        std::span<const std::int32_t> classes, std::span<const NodeId> rows) {
  return detail::row_accuracy(detail::row_logits(model, features, rows).view(), classes, rows);
}

/// GLNN: a perceptron learns what a graph network says, and answers without the graph.
///
/// Every epoch passes over the labelled training nodes with lambda times the labels' loss, then over `observed` with
/// 1 - lambda times KL(teacher || student), T = 1; each pass takes its own steps of Adam, in batches of batch_size in a
/// new order, the remainder left out. A pass of weight 0 is skipped. The best validation accuracy is kept, the later of
/// equals. Rows outside `observed` and the validation nodes are not read before the end.
/// Shapes   features [N, F], classes and roles [N], observed: nodes with soft labels
/// Errors   ConfigError for lambda outside [0, 1] or a batch size of 0; those of Logit
/// Threads  result independent of T
/// Source   Zhang et al., Graph-less neural networks, ICLR 2022; snap-research/graphless-neural-networks. Differs: the
///          code still takes steps of weight decay alone where lambda is 0
template <Model M>
DistillReport fit_glnn(M& student, MatrixView<const float> features, std::span<const std::int32_t> classes,
                       std::span<const Role> roles, const TeacherOutputs& teacher,
                       std::span<const NodeId> observed, const GlnnOptions& options = {}) {
  static_assert(std::is_same_v<typename M::Scalar, float>, "fit_glnn trains in float");
  if (!(options.lambda >= 0 && options.lambda <= 1))
    throw ConfigError(message("fit_glnn: lambda is ", options.lambda, ", want a number from 0 to 1"));
  if (options.batch_size == 0) throw ConfigError("fit_glnn: batch_size is 0, want at least 1");
  const auto start = std::chrono::steady_clock::now();
  const detail::ScoredRows rows(roles, classes);
  std::vector<NodeId> labelled;
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (roles[i] == Role::train && classes[i] >= 0) labelled.push_back(static_cast<NodeId>(i));
  }
  const Adam adam{.lr = options.lr, .weight_decay = options.weight_decay};
  ParameterBlock<float>& block = student.parameters();
  auto state = adam.start(std::as_const(block));
  detail::KeepBest<float> best(options.patience);
  detail::NoEdges none;
  Tape<float> tape;
  Tensor<float> x;
  std::vector<std::int32_t> y;
  std::uint64_t step = 0;

  const auto pass_over = [&](std::span<const NodeId> nodes, std::uint64_t epoch, bool hard) {
    std::vector<NodeId> order(nodes.begin(), nodes.end());
    shuffle(std::span<NodeId>(order),
            CounterRng(make_key(options.seed, 2 * epoch + (hard ? 1 : 0), Purpose::shuffle), 0, 0));
    const std::size_t size = std::min(options.batch_size, order.size());
    const std::size_t batches =
        order.empty() ? 0 : std::max<std::size_t>(1, order.size() / options.batch_size);
    for (std::size_t b = 0; b < batches; ++b) {
      const std::span<const NodeId> ids = std::span<const NodeId>(order).subspan(b * size, size);
      x.resize(size, features.cols());
      gather_rows(features, ids, x.view());
      y.assign(size, -1);
      for (std::size_t i = 0; i < size && hard; ++i) y[i] = classes[ids[i]];
      tape.rewind();
      block.zero_grads();
      const Adjacency each = none.of(size);
      const Pass pass{.training = true, .dropout_key = make_key(options.seed, step++, Purpose::dropout)};
      const Var z = std::as_const(student).forward(tape, AdjacencyStack(std::span(&each, 1)),
                                                   tape.input(std::as_const(x).view()), pass);
      const Targets targets{.classes = y, .node_id = ids};
      const DistillStep at{z, targets, teacher};
      const Var loss =
          hard ? TaskLoss{.weight = options.lambda}(tape, at) : Logit::glnn(options.lambda)(tape, at);
      if (!std::isfinite(tape.value(loss)(0, 0)))
        throw Error(message("fit_glnn: the loss of epoch ", epoch, " is not finite; lower lr"));
      tape.backward(loss);
      adam.step(state, block, 1.0);
    }
  };

  for (std::uint64_t epoch = 0; epoch < options.epochs; ++epoch) {
    if (options.lambda > 0) pass_over(labelled, epoch, true);
    if (options.lambda < 1) pass_over(observed, epoch, false);
    const double val = accuracy_on_rows(student, features, classes, rows.val.span());
    if (best.judge(epoch, val, 0, block)) break;
  }
  block.zero_grads();
  tape.rewind();
  DistillReport report = best.finish(block);
  report.test_accuracy = accuracy_on_rows(student, features, classes, rows.test.span());
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

/// The production protocol: a share of the test nodes is hidden, with all their edges, while anything is trained.
///
/// Shapes   hidden and observed: nodes, ascending, that partition [0, N)
struct ProductionSplit {
  std::vector<NodeId> observed;
  std::vector<NodeId> hidden;
};

/// Hides the first int(share n) of a permutation of the n test nodes.
inline ProductionSplit production_split(std::span<const Role> roles, double share, std::uint64_t seed) {
  if (!(share >= 0 && share <= 1))
    throw ConfigError(message("production_split: share is ", share, ", want a number from 0 to 1"));
  std::vector<NodeId> test;
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (roles[i] == Role::test) test.push_back(static_cast<NodeId>(i));
  }
  shuffle(std::span<NodeId>(test), CounterRng(make_key(seed, 0, Purpose::split), 0, 0));
  const auto count = static_cast<std::size_t>(share * static_cast<double>(test.size()));
  std::vector<bool> away(roles.size(), false);
  for (std::size_t i = 0; i < count; ++i) away[test[i]] = true;
  ProductionSplit out;
  for (std::size_t i = 0; i < roles.size(); ++i)
    (away[i] ? out.hidden : out.observed).push_back(static_cast<NodeId>(i));
  return out;
}

}  // namespace tessera
