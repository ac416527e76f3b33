// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/concepts.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera::detail {

/// Whether row i of a batch counts as a training target.
inline bool counts(const Targets& targets, std::size_t i) noexcept {
  if (!targets.classes.empty()) return i < targets.classes.size() && targets.classes[i] >= 0;
  return i < targets.indicators.rows() && (targets.weights.empty() || targets.weights[i] > 0.0f);
}

/// The weight of every row in a soft term: the batch's loss weight, times the node's own where `node_weight` has one,
/// times 0 where `on` leaves the row out. Empty where all are 1.
inline Array<float> soft_weights(const Targets& targets, std::size_t rows, DistillOn on,
                                 std::span<const float> node_weight) {
  // Without loss weights of the sampler, weights of multi-label targets are the mask of the labelled rows.
  const bool sampled = !targets.weights.empty() && (targets.weight_total > 0 || !targets.classes.empty());
  if (on == DistillOn::all && !sampled && node_weight.empty()) return {};
  Array<float> out(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    float w = sampled ? targets.weights[i] : 1.0f;
    if (on == DistillOn::labelled && !counts(targets, i)) w = 0;
    if (!node_weight.empty()) w *= node_weight[targets.node_id.empty() ? i : targets.node_id[i]];
    out[i] = w;
  }
  return out;
}

/// The nodes of the first `rows` rows; empty where row i is node i.
inline std::span<const NodeId> nodes_of(const Targets& targets, std::size_t rows) {
  return targets.node_id.empty() ? targets.node_id : targets.node_id.first(rows);
}

/// Refuses teachers that do not know the rows of a batch.
inline void check_teacher(std::string_view who, const TeacherOutputs& teacher, const Targets& targets,
                          std::size_t rows) {
  if (targets.node_id.empty() ? teacher.num_nodes() < rows : targets.node_id.size() < rows) {
    throw ShapeError(message(who, ": the batch has ", rows, " rows, the teacher speaks of ",
                             teacher.num_nodes(), " nodes"));
  }
  for (const NodeId v : nodes_of(targets, rows)) {
    if (v >= teacher.num_nodes()) {
      throw IndexError(
          message(who, ": the batch holds node ", v, ", the teacher speaks of ", teacher.num_nodes()));
    }
  }
}

/// At most `most` of `count` rows without replacement, ascending; all of them where they are few enough.
inline Array<NodeId> sample_rows(std::span<const NodeId> from, std::size_t most, RngKey key,
                                 std::uint32_t purpose) {
  if (most == 0 || from.size() <= most) return Array<NodeId>::copy_of(from);
  Array<NodeId> pool = Array<NodeId>::copy_of(from);
  CounterRng rng(key, purpose, 0xD157'1111u);
  for (std::size_t i = 0; i < most; ++i) {
    std::swap(pool[i], pool[i + static_cast<std::size_t>(rng.below(pool.size() - i))]);
  }
  pool.resize(most);
  std::sort(pool.begin(), pool.end());
  return pool;
}

/// Rows of a step's hidden matrix that take part, ascending.
inline Array<NodeId> hidden_rows(const DistillStep& step, std::size_t rows, DistillOn on) {
  Array<NodeId> out;
  out.reserve(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    if (on == DistillOn::all || counts(step.targets, i)) out.push_back(static_cast<NodeId>(i));
  }
  return out;
}

/// Rows `rows` of the teacher's hidden matrix, by the nodes of the batch.
template <Real T>
Tensor<T> teacher_hidden(const DistillStep& step, std::span<const NodeId> rows) {
  Array<NodeId> ids(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ids[i] = step.targets.node_id.empty() ? rows[i] : step.targets.node_id[rows[i]];
  }
  Tensor<T> scratch;
  if (ids.empty()) return Tensor<T>(0, step.teacher.hidden_width());
  (void)step.teacher.hidden(std::span<const NodeId>(ids), ids.size(), scratch);
  return scratch;
}

template <Real T>
struct TakeRowsOp {
  static constexpr std::string_view kName = "take_rows";
  Var x;
  Array<NodeId> rows;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    const GradSlot<T> slot = tape.grad_slot(x);
    if (!slot.add) copy_or_zero(MatrixView<const T>(), slot.grad);
    scatter_add_rows(MatrixView<const T>(tape.grad(self)), rows.span(), slot.grad);
  }
  void jvp(Tape<T>& tape, Var self) const {
    gather_rows(tape.tangent(x), rows.span(), tape.make_tangent(self));
  }
};

/// y_i = x_{rows[i]}; x itself where rows are all of its rows.
template <class Ctx>
Var take_rows(Ctx& ctx, Var x, Array<NodeId> rows) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  if (rows.size() == value.rows()) return x;  // ascending without repeats
  Tensor<T> y(rows.size(), value.cols());
  gather_rows(value, rows.span(), y.view());
  return ctx.record(std::move(y), TakeRowsOp<T>{x, std::move(rows)});
}

template <Real T, std::size_t K>
struct ScalarSumOp {
  static constexpr std::string_view kName = "scalar_sum";
  std::array<Var, K> terms;

  std::array<Var, K> inputs() const noexcept { return terms; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    for (const Var v : terms) {
      if (tape.needs_grad(v)) tape.add_grad(v, MatrixView<const T>(tape.grad(self)));
    }
  }
  void jvp(Tape<T>& tape, Var self) const {
    T sum{0};
    for (const Var v : terms) sum += tape.has_tangent(v) ? tape.tangent(v)(0, 0) : T{0};
    tape.make_tangent(self)(0, 0) = sum;
  }
};

/// The sum of those [1, 1] values that are there.
template <class Ctx, std::size_t K>
Var scalar_sum(Ctx& ctx, std::array<Var, K> terms) {
  using T = typename Ctx::Scalar;
  double sum = 0;
  for (const Var v : terms) sum += v ? static_cast<double>(ctx.value(v)(0, 0)) : 0.0;
  return ctx.record(Tensor<T>::filled(1, 1, static_cast<T>(sum)), ScalarSumOp<T, K>{terms});
}

}  // namespace tessera::detail
