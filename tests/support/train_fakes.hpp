// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/sampling/concepts.hpp"

// The smallest things that satisfy the trainer's contracts: a task, a model, a loss and two samplers.

namespace tessera::test {

/// y = (A x) W, one layer per weight, ReLU between: enough to learn a planted partition. The aggregation is
/// the plain weighted sum of the prepared adjacency, in entry order.
template <Real T>
struct TinyOp {
  static constexpr std::string_view kName = "tiny";
  bool reads_output() const noexcept { return true; }
  Var x, w;
  Adjacency adjacency;
  Tensor<T> mixed;  // A x
  bool relu = false;

  std::array<Var, 2> inputs() const noexcept { return {x, w}; }
  std::array<Var, 1> reads() const noexcept { return {w}; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> y = tape.value(self);
    MatrixView<T> g = tape.grad(self);
    if (relu) {
      for (std::size_t i = 0; i < g.rows(); ++i) {
        for (std::size_t j = 0; j < g.cols(); ++j) g(i, j) = y(i, j) > T{0} ? g(i, j) : T{0};
      }
    }
    const MatrixView<T> dw = tape.grad(w);
    for (std::size_t k = 0; k < dw.rows(); ++k) {
      for (std::size_t j = 0; j < dw.cols(); ++j) {
        T sum = 0;
        for (std::size_t i = 0; i < g.rows(); ++i) sum += mixed(i, k) * g(i, j);
        dw(k, j) += sum;
      }
    }
    if (!tape.needs_grad(x)) return;
    Tensor<T> dx = Tensor<T>::zeros(adjacency.num_src(), dw.rows());
    const MatrixView<const T> weight = tape.value(w);
    for (std::size_t i = 0; i < g.rows(); ++i) {
      const auto row = adjacency.forward.neighbors(i);
      for (std::size_t e = 0; e < row.size(); ++e) {
        const T a = adjacency.forward.weighted() ? static_cast<T>(adjacency.forward.weights(i)[e]) : T{1};
        for (std::size_t k = 0; k < dw.rows(); ++k) {
          for (std::size_t j = 0; j < dw.cols(); ++j) dx(row[e], k) += a * g(i, j) * weight(k, j);
        }
      }
    }
    tape.add_grad(x, std::move(dx));
  }
};

template <Real T>
class TinyNet {
 public:
  using Scalar = T;

  TinyNet(std::size_t in, std::size_t hidden, std::size_t out, std::uint64_t seed = 0) : in_(in), out_(out) {
    weight_[0] = block_.add("layers.0.weight", in, hidden);
    weight_[1] = block_.add("layers.1.weight", hidden, out);
    reset_parameters(seed);
  }

  ParameterBlock<T>& parameters() noexcept { return block_; }
  const ParameterBlock<T>& parameters() const noexcept { return block_; }
  AggregationSpec aggregation() const noexcept { return {Normalization::row, true, 0.0f}; }
  std::size_t num_layers() const noexcept { return 2; }
  std::size_t in_features() const noexcept { return in_; }
  std::size_t out_features() const noexcept { return out_; }

  void reset_parameters(std::uint64_t seed) {
    CounterRng rng(make_key(seed, 0, Purpose::init), 0, 0);
    for (const Parameter p : weight_) {
      const MatrixView<T> w = block_.value(p);
      for (std::size_t i = 0; i < w.rows(); ++i) {
        for (T& value : w.row(i))
          value = static_cast<T>(rng.normal() / std::sqrt(static_cast<double>(w.rows())));
      }
    }
  }

  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& adjacency, Var x, Pass pass) const {
    const Var w = ctx.parameter(block_[weight_[l]]);
    const MatrixView<const T> in = ctx.value(x);
    const MatrixView<const T> weight = ctx.value(w);
    Tensor<T> mixed = Tensor<T>::zeros(adjacency.num_dst(), in.cols());
    Tensor<T> y(adjacency.num_dst(), weight.cols());
    parallel_for(adjacency.num_dst(), 16, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const auto row = adjacency.forward.neighbors(i);
        for (std::size_t e = 0; e < row.size(); ++e) {
          const T a = adjacency.forward.weighted() ? static_cast<T>(adjacency.forward.weights(i)[e]) : T{1};
          for (std::size_t k = 0; k < in.cols(); ++k) mixed(i, k) += a * in(row[e], k);
        }
        // A noise of the training pass that depends on its key alone, in the place of dropout.
        const T noise =
            pass.training ? static_cast<T>(1 + 0.01 * CounterRng(pass.dropout_key, 0, i).uniform()) : T{1};
        for (std::size_t k = 0; k < in.cols(); ++k) mixed(i, k) *= noise;
        for (std::size_t j = 0; j < y.cols(); ++j) {
          T sum = 0;
          for (std::size_t k = 0; k < in.cols(); ++k) sum += mixed(i, k) * weight(k, j);
          y(i, j) = l == 0 ? std::max(sum, T{0}) : sum;
        }
      }
    });
    return ctx.record(std::move(y), TinyOp<T>{x, w, adjacency, std::move(mixed), l == 0});
  }

  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack adjacencies, Var x, Pass pass) const {
    for (std::size_t l = 0; l < 2; ++l) x = layer(ctx, l, adjacencies[l], x, pass);
    return x;
  }

 private:
  std::size_t in_, out_;
  ParameterBlock<T> block_;
  Parameter weight_[2];
};

template <Real T>
struct TinyLossOp {
  static constexpr std::string_view kName = "tiny_loss";
  bool reads_output() const noexcept { return false; }
  Var z;
  Tensor<T> gradient;

  std::array<Var, 1> inputs() const noexcept { return {z}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  void vjp(Tape<T>& tape, Var self) const {
    const T g = tape.grad(self)(0, 0);
    Tensor<T> dz(gradient.rows(), gradient.cols());
    for (std::size_t i = 0; i < dz.rows(); ++i) {
      for (std::size_t j = 0; j < dz.cols(); ++j) dz(i, j) = g * gradient(i, j);
    }
    tape.add_grad(z, std::move(dz));
  }
};

/// Softmax cross entropy or, for indicators, sigmoid cross entropy; the weighted mean, one row after another.
struct TinyLoss {
  template <class Ctx>
  Var operator()(Ctx& ctx, Var logits, const Targets& targets) const {
    using T = typename Ctx::Scalar;
    const MatrixView<const T> z = ctx.value(logits);
    Tensor<T> gradient = Tensor<T>::zeros(z.rows(), z.cols());
    double sum = 0, count = 0;
    for (std::size_t i = 0; i < z.rows(); ++i) {
      const double weight = targets.weights.empty() ? 1.0 : static_cast<double>(targets.weights[i]);
      if (targets.classes.empty()) {
        for (std::size_t j = 0; j < z.cols(); ++j) {
          const auto x = static_cast<double>(z(i, j));
          const auto y = static_cast<double>(targets.indicators(i, j));
          sum += weight * (std::max(x, 0.0) - x * y + std::log1p(std::exp(-std::abs(x))));
          count += weight;
          gradient(i, j) = static_cast<T>(weight * (1 / (1 + std::exp(-x)) - y));
        }
        continue;
      }
      if (targets.classes[i] < 0) continue;
      const double top = static_cast<double>(*std::max_element(z.row(i).begin(), z.row(i).end()));
      double total = 0;
      for (const T x : z.row(i)) total += std::exp(static_cast<double>(x) - top);
      const auto label = static_cast<std::size_t>(targets.classes[i]);
      sum += weight * (std::log(total) + top - static_cast<double>(z(i, label)));
      count += weight;
      for (std::size_t j = 0; j < z.cols(); ++j) {
        const double p = std::exp(static_cast<double>(z(i, j)) - top) / total;
        gradient(i, j) = static_cast<T>(weight * (p - (j == label ? 1 : 0)));
      }
    }
    Tensor<T> value = Tensor<T>::filled(1, 1, static_cast<T>(count > 0 ? sum / count : 0));
    if (count > 0) {
      for (std::size_t i = 0; i < z.rows(); ++i) {
        for (T& g : gradient.row(i)) g = static_cast<T>(static_cast<double>(g) / count);
      }
    }
    return ctx.record(std::move(value), TinyLossOp<T>{logits, std::move(gradient)});
  }
};

/// Cuts the nodes into ranges of `size`, one per batch, in an order shuffled by (seed, epoch); keeps the
/// entries inside and weights rows as the spec asks.
struct RangeSampler {
  std::size_t size = 16;

  struct Workspace {
    Array<NodeId> order;
  };

  std::size_t num_batches(const SampleSource& source) const noexcept {
    return (source.graph.num_rows + size - 1) / size;
  }
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    const std::size_t count = num_batches(source);
    workspace.order.resize(count);
    for (std::size_t b = 0; b < count; ++b) workspace.order[b] = static_cast<NodeId>(b);
    shuffle(workspace.order.span(), CounterRng(make_key(key.seed, key.epoch, Purpose::shuffle), 0, 0));
    const std::size_t first = workspace.order[static_cast<std::size_t>(key.batch)] * size;
    const std::size_t last = std::min(first + size, source.graph.num_rows);
    const std::size_t n = last - first;
    batch.node_id.resize(n);
    batch.blocks.resize(1);
    Block& block = batch.blocks[0];
    block.num_dst = block.num_src = n;
    block.row_ptr.clear();
    block.col.clear();
    block.weight.clear();
    block.edge_id.clear();
    block.row_ptr.push_back(0);
    for (std::size_t i = 0; i < n; ++i) {
      batch.node_id[i] = static_cast<NodeId>(first + i);
      bool loop = !spec.self_loops;
      const auto add = [&](std::size_t j) { block.col.push_back(static_cast<NodeId>(j - first)); };
      for (const NodeId j : source.graph.neighbors(first + i)) {
        if (!loop && j >= first + i) {
          if (j != first + i) add(first + i);
          loop = true;
        }
        if (j >= first && j < last) add(j);
      }
      if (!loop) add(first + i);
      const EdgeId begin = block.row_ptr[i];
      const EdgeId end = block.col.size();
      for (EdgeId e = begin; e < end; ++e) block.weight.push_back(1.0f / static_cast<float>(end - begin));
      block.row_ptr.push_back(end);
    }
    batch.num_targets = n;
    batch.halo_begin = n;
    batch.loss_weight.clear();
  }
};

/// Everything at once, every time.
struct WholeSampler {
  static constexpr bool same_every_epoch() noexcept { return true; }
  using Workspace = RangeSampler::Workspace;

  std::size_t num_batches(const SampleSource& source) const noexcept {
    return source.graph.num_rows > 0 ? 1 : 0;
  }
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    RangeSampler{source.graph.num_rows}.sample(source, spec, key, workspace, batch);
  }
};

struct PlantedOptions {
  std::size_t nodes = 96;
  std::size_t classes = 3;
  std::size_t features = 8;
  bool multilabel = false;
  std::uint64_t seed = 1;
};

/// Node i belongs to class i % C and links to four others, mostly of its class; features are its class plus
/// noise. Of every eight nodes, four train, two validate, two test.
inline Dataset planted(const PlantedOptions& o = {}) {
  Dataset data;
  data.name = "planted";
  data.graph.row_ptr.clear();
  data.graph.row_ptr.push_back(0);
  data.graph.num_cols = o.nodes;
  data.graph.symmetric = false;
  data.features.resize(o.nodes, o.features);
  data.labels.num_classes = o.classes;
  if (o.multilabel) {
    data.labels.indicators = Tensor<float>::zeros(o.nodes, o.classes);
  } else {
    data.labels.classes.resize(o.nodes);
  }
  data.roles.resize(o.nodes);
  for (std::size_t i = 0; i < o.nodes; ++i) {
    CounterRng rng(make_key(o.seed, 0, Purpose::generate), 0, i);
    const std::size_t label = i % o.classes;
    Array<NodeId> row;
    for (int k = 0; k < 4; ++k) {
      const bool same = rng.uniform() < 0.9;
      std::size_t j = static_cast<std::size_t>(rng.below(o.nodes));
      if (same) j = std::min(j - j % o.classes + label, o.nodes - 1);
      if (j != i) row.push_back(static_cast<NodeId>(j));
    }
    std::sort(row.begin(), row.end());
    row.resize(static_cast<std::size_t>(std::unique(row.begin(), row.end()) - row.begin()));
    for (const NodeId j : row) data.graph.col.push_back(j);
    data.graph.row_ptr.push_back(data.graph.col.size());
    for (std::size_t f = 0; f < o.features; ++f) {
      data.features(i, f) = static_cast<float>((f % o.classes == label ? 1.0 : 0.0) + 0.7 * rng.normal());
    }
    if (o.multilabel) {
      data.labels.indicators(i, label) = 1;
      if (i % 2 == 0) data.labels.indicators(i, (label + 1) % o.classes) = 1;
    } else {
      data.labels.classes[i] = static_cast<std::int32_t>(label);
    }
    constexpr Role kRoles[8] = {Role::train, Role::val,  Role::train, Role::test,
                                Role::train, Role::test, Role::train, Role::val};
    data.roles[i] = kRoles[(i / o.classes) % 8];
  }
  return data;
}

}  // namespace tessera::test
