// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/train/concepts.hpp"

namespace tessera {

struct InferOptions {
  std::size_t memory_budget = 0;  ///< bytes of activations at any time; 0 = as many as it takes
};

namespace detail {

/// A block of consecutive output rows with the input rows it reads, renumbered so that outputs come first.
///
/// Entries of a row keep their order, so a sum over them has the bits of the whole graph's.
class InferBlock {
 public:
  explicit InferBlock(std::size_t num_nodes) : local_(num_nodes, kNoNode) {}

  /// Grows from row `first` while the block's inputs number at most `max_inputs`; always takes one row.
  /// Returns the row after the last.
  std::size_t build(CsrView<> a, std::size_t first, std::size_t max_inputs) {
    row_ptr_.clear();
    col_.clear();
    weight_.clear();
    sources_.clear();
    // Outputs are numbered as they come and must precede the other inputs: count first, number afterwards.
    std::size_t last = first;
    std::size_t inputs = 0;
    for (; last < a.num_rows; ++last) {
      const std::size_t before = sources_.size();
      touch(static_cast<NodeId>(last));
      for (const NodeId j : a.neighbors(last)) touch(j);
      inputs = sources_.size();
      if (inputs > max_inputs && last > first) {
        for (std::size_t k = before; k < inputs; ++k) local_[sources_[k]] = kNoNode;
        sources_.resize(before);
        break;
      }
    }
    number(a, first, last);
    return last;
  }

  Adjacency adjacency() const noexcept {
    return {{row_ptr_.size() - 1, sources_.size(), row_ptr_, col_, weight_}, {}, {}};
  }
  /// Global ids of the block's input rows, outputs first.
  std::span<const NodeId> sources() const noexcept { return sources_; }

 private:
  void touch(NodeId node) {
    if (local_[node] != kNoNode) return;
    local_[node] = 0;
    sources_.push_back(node);
  }

  void number(CsrView<> a, std::size_t first, std::size_t last) {
    const auto is_output = [&](NodeId v) { return v >= first && v < last; };
    // Gathers read forward through memory when the other inputs ascend.
    const auto middle = std::partition(sources_.begin(), sources_.end(), is_output);
    std::sort(sources_.begin(), middle);
    parallel_sort(middle, sources_.end());
    for (std::size_t k = 0; k < sources_.size(); ++k) local_[sources_[k]] = static_cast<NodeId>(k);
    row_ptr_.push_back(0);
    for (std::size_t i = first; i < last; ++i) {
      for (const NodeId j : a.neighbors(i)) col_.push_back(local_[j]);
      for (const float w : a.weights(i)) weight_.push_back(w);
      row_ptr_.push_back(col_.size());
    }
    for (const NodeId v : sources_) local_[v] = kNoNode;
  }

  Array<NodeId> local_;  ///< position in sources_, kNoNode outside the block
  Array<NodeId> sources_;
  Array<EdgeId> row_ptr_;
  Array<NodeId> col_;
  Array<float> weight_;
};

/// Copies rows, converting the elements.
template <class X, class T>
void copy_rows(MatrixView<const X> from, MatrixView<T> to) {
  parallel_for(from.rows(), 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) std::copy(from.row(i).begin(), from.row(i).end(), to.row(i).begin());
  });
}

/// One layer over all rows, block by block inside `bytes` of scratch.
template <Model M, class X>
Tensor<typename M::Scalar> infer_layer_in_blocks(const M& model, std::size_t layer, CsrView<> a,
                                                 MatrixView<const X> x, std::size_t bytes) {
  using T = typename M::Scalar;
  // Inputs are held as gathered and once more on their way through the layer, which may widen them: twice the
  // wider of both is a fair guess of the widest intermediate.
  const std::size_t width = std::max({x.cols(), model.out_features(), std::size_t{1}});
  const std::size_t max_inputs = std::max<std::size_t>(1, bytes / (3 * width * sizeof(T)));
  InferBlock block(a.num_rows);
  Tensor<T> gathered;
  Tensor<T> out;
  NoTape<T> ctx;
  for (std::size_t first = 0; first < a.num_rows;) {
    const std::size_t last = block.build(a, first, max_inputs);
    gathered.resize(block.sources().size(), x.cols());
    gather_rows(x, block.sources(), gathered.view());
    const Var y = model.layer(ctx, layer, block.adjacency(), ctx.input(gathered.view()), Pass{});
    const MatrixView<const T> value = ctx.value(y);
    if (first == 0) out.resize(a.num_rows, value.cols());
    copy_rows(value, out.view().middle_rows(first, last - first));
    ctx.rewind();
    first = last;
  }
  return out;
}

}  // namespace detail

/// Logits of every node, layer by layer over a prepared adjacency: no sampling, no tape, two layers'
/// activations in memory.
///
/// With a budget, layers that would exceed it run in blocks of rows, and the bits stay the same as without
/// one.
/// Shapes   adjacency [N, N], features [N, F_in] -> [N, C]
/// Cost     the forward pass; in blocks, inputs that several blocks read are gathered and transformed by
///          each
/// Errors   ShapeError if the shapes do not fit; ConfigError if the budget is below what two layers'
///          activations take
/// Threads  result independent of T
template <Model M>
Tensor<typename M::Scalar> infer(const M& model, const Adjacency& adjacency, MatrixView<const float> features,
                                 const InferOptions& options = {}) {
  using T = typename M::Scalar;
  const std::size_t n = adjacency.num_dst();
  if (adjacency.num_src() != n || features.rows() != n) {
    throw ShapeError(message("infer: adjacency is [", n, ", ", adjacency.num_src(), "], features has ",
                             features.rows(), " rows, want a square matrix over the rows"));
  }
  if (features.cols() != model.in_features()) {
    throw ShapeError(
        message("infer: features has ", features.cols(), " columns, the model wants ", model.in_features()));
  }
  Tensor<T> hidden;
  NoTape<T> ctx;
  for (std::size_t l = 0; l < model.num_layers(); ++l) {
    const bool first = l == 0;
    const std::size_t in_bytes = first ? 0 : n * hidden.stride() * sizeof(T);
    const std::size_t width = std::max(first ? features.cols() : hidden.cols(), model.out_features());
    const std::size_t whole = in_bytes + 3 * n * width * sizeof(T);
    if (options.memory_budget != 0 && whole > options.memory_budget) {
      // The output stays whole: [N, F_out], with F_out unknown here; the input's width is the guess.
      const std::size_t held = in_bytes + n * width * sizeof(T);
      if (held >= options.memory_budget) {
        throw ConfigError(message("infer: memory_budget is ", options.memory_budget, " bytes, layer ", l,
                                  " needs more than ", held, " for its input and output"));
      }
      const std::size_t scratch = options.memory_budget - held;
      hidden = first ? detail::infer_layer_in_blocks(model, l, adjacency.forward, features, scratch)
                     : detail::infer_layer_in_blocks(model, l, adjacency.forward,
                                                     std::as_const(hidden).view(), scratch);
      continue;
    }
    if (first && !std::is_same_v<T, float>) {
      hidden.resize(n, features.cols());
      detail::copy_rows(features, hidden.view());
    }
    Var x;
    if constexpr (std::is_same_v<T, float>) {
      x = ctx.input(first ? features : std::as_const(hidden).view());
    } else {
      x = ctx.input(std::as_const(hidden).view());
    }
    Tensor<T> next = ctx.take(model.layer(ctx, l, adjacency, x, Pass{}));
    ctx.rewind();
    hidden = std::move(next);
  }
  return hidden;
}

/// Logits of every node of a data set, on its whole graph.
///
/// Shapes   -> [N, C]
/// Errors   as the other overload
template <Model M, NodeData D>
Tensor<typename M::Scalar> infer(const M& model, const D& data, const InferOptions& options = {}) {
  const PreparedAdjacency prepared =
      prepare_adjacency(data.graph.view(), data.graph.symmetric, model.aggregation());
  return infer(model, prepared.adjacency(), MatrixView<const float>(data.features), options);
}

}  // namespace tessera
