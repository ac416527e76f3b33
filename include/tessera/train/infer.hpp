// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/graph/row_block.hpp"
#include "tessera/graph/sparse_features.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/nn/autograd/sparse_input.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/train/concepts.hpp"
#include "tessera/train/spill.hpp"

namespace tessera {

struct InferOptions {
  std::size_t memory_budget = 0;  ///< bytes of activations at any time; 0 = as many as it takes
  /// A folder for what the budget does not hold: layers then run whole, their matrices in mapped files without a name.
  /// Empty: layers run in blocks of rows, in memory. So they do in a HistoryModel, whose tables hold what a layer reads:
  /// it needs no folder.
  std::filesystem::path spill = {};
};

namespace detail {

/// Refuses entries that are not those of the features beside them.
inline void check_entries(std::string_view operation, const SparseFeatures* entries,
                          MatrixView<const float> features) {
  if (entries == nullptr) return;
  if (entries->rows() == features.rows() && entries->cols() == features.cols()) return;
  throw ShapeError(message(operation, ": entries is [", entries->rows(), ", ", entries->cols(),
                           "], want the extents of features, [", features.rows(), ", ", features.cols(),
                           "]"));
}

/// Copies rows, converting the elements.
template <class X, class T>
void copy_rows(MatrixView<const X> from, MatrixView<T> to) {
  parallel_for(from.rows(), 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) std::copy(from.row(i).begin(), from.row(i).end(), to.row(i).begin());
  });
}

/// Columns of the widest matrix among the parameters.
template <class M>
std::size_t widest_parameter(const M& model) {
  std::size_t width = 1;
  for (const ParameterInfo& p : model.parameters().parameters()) width = std::max(width, p.cols);
  return width;
}

/// What one layer over all rows takes beside its parameters.
///
/// Units    bytes
struct LayerMemory {
  std::size_t held = 0;   ///< input and output; the features are the caller's
  std::size_t whole = 0;  ///< with what lies between, where it does not run in blocks

  template <class T>
  static LayerMemory of(std::size_t rows, std::size_t in, std::size_t out, bool first) {
    const std::size_t input = first ? 0 : rows * in * sizeof(T);
    return {input + rows * out * sizeof(T), input + 3 * rows * std::max(in, out) * sizeof(T)};
  }
};

/// Refuses a budget before anything is computed.
template <Model M>
void check_budget(const M& model, std::size_t rows, std::size_t budget,
                  std::span<const std::size_t> strides) {
  using T = typename M::Scalar;
  std::size_t in = model.in_features();
  for (std::size_t l = 0; l < strides.size(); in = strides[l++]) {
    const LayerMemory memory = LayerMemory::of<T>(rows, in, strides[l], l == 0);
    if (memory.whole <= budget) continue;
    if (needs_all_rows(model)) {
      throw ConfigError(message("infer: memory_budget is ", budget, " bytes, layer ", l, " needs ",
                                memory.whole,
                                ": its norm is taken over all rows, so it cannot run in blocks of them"));
    }
    if (memory.held < budget) continue;
    throw ConfigError(message("infer: memory_budget is ", budget, " bytes, layer ", l, " needs more than ",
                              memory.held,
                              " for its input and output; raise it, or name a folder to spill to"));
  }
}

/// One layer over all rows, block by block inside `bytes` of scratch; its output is `out_width` wide.
template <Model M, class X>
Tensor<typename M::Scalar> infer_layer_in_blocks(const M& model, std::size_t layer, CsrView<> a,
                                                 MatrixView<const X> x, std::size_t out_width,
                                                 std::size_t bytes) {
  using T = typename M::Scalar;
  // Inputs are held as gathered and once more on their way through the layer, which may widen them: twice the
  // wider of both is a fair guess of the widest intermediate.
  const std::size_t width = std::max({x.cols(), out_width, std::size_t{1}});
  const std::size_t max_inputs = std::max<std::size_t>(1, bytes / (3 * width * sizeof(T)));
  RowBlock block(a.num_rows);
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
/// `entries`, where the caller has them, are the features by their entries; a model that accepts them reads these,
/// unless a budget is set.
/// Shapes   adjacency [N, N], features [N, F_in] -> [N, C]
/// Cost     the forward pass; in blocks, inputs that several blocks read are gathered and transformed by
///          each
/// Errors   ShapeError if the shapes do not fit; FormatError if the folder to spill to has no room, before anything is
///          computed where that can be told; ConfigError naming the bytes, before anything is computed, if without
///          a folder the budget is below what a layer's input and output take, or blocks of rows would change the
///          result (norms over all rows)
/// Threads  result independent of T
template <Model M>
Tensor<typename M::Scalar> infer(const M& model, const Adjacency& adjacency, MatrixView<const float> features,
                                 const InferOptions& options = {}, const SparseFeatures* entries = nullptr) {
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
  detail::check_entries("infer", entries, features);
  std::optional<SparseInput> sparse;
  if (entries != nullptr && options.memory_budget == 0 && accepts_sparse_input(model))
    sparse = SparseInput{entries->adjacency(), {}, n};
  const SparseInput* const first_input = sparse ? &*sparse : nullptr;
  // A model that keeps its layers' outputs passes over the graph itself.
  if constexpr (requires { model.infer_layers(adjacency, features, options.memory_budget, first_input); }) {
    if (auto logits = model.infer_layers(adjacency, features, options.memory_budget, first_input))
      return *std::move(logits);
  }
  if (options.memory_budget != 0 && !options.spill.empty()) {
    // Two inputs, a product and an output of the widest layer; products are as wide as some parameter.
    const Array<std::size_t> strides = detail::layer_strides(model);
    const std::size_t width = std::max({features.cols(), detail::widest_parameter(model),
                                        *std::max_element(strides.begin(), strides.end())});
    SpillScope spill(options.spill, options.memory_budget, 4 * n * width * sizeof(T));
    const Tensor<T> logits = infer(model, adjacency, features, {});
    spill.stop();
    return Tensor<T>::copy_of(logits.view());
  }
  Array<std::size_t> strides;
  if (options.memory_budget != 0) {
    strides = detail::layer_strides(model);
    detail::check_budget(model, n, options.memory_budget, strides.span());
  }
  Tensor<T> hidden;
  NoTape<T> ctx;
  std::size_t l = 0;
  if (sparse) {
    hidden = ctx.take(model.layer(ctx, l++, adjacency, ctx.input(*sparse), Pass{}));
    ctx.rewind();
  }
  for (; l < model.num_layers(); ++l) {
    const bool first = l == 0;
    if (options.memory_budget != 0) {
      const auto memory =
          detail::LayerMemory::of<T>(n, first ? features.cols() : hidden.stride(), strides[l], first);
      if (memory.whole > options.memory_budget) {
        const std::size_t scratch = options.memory_budget - memory.held;
        hidden =
            first ? detail::infer_layer_in_blocks(model, l, adjacency.forward, features, strides[l], scratch)
                  : detail::infer_layer_in_blocks(model, l, adjacency.forward, std::as_const(hidden).view(),
                                                  strides[l], scratch);
        continue;
      }
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
