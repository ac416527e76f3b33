// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/train/concepts.hpp"

namespace tessera {

/// Logits of all rows of data whose features are gathered, some thousand rows at a time.
///
/// Shapes   graph [N, N] without entries -> [N, C]
/// Cost     one pass over the features; memory of the logits and of 8192 rows
/// Errors   ConfigError if the graph has entries: a model that looks at neighbours needs them all at hand
/// Threads  result independent of T
template <Model M, GatheredFeatures D>
Tensor<typename M::Scalar> infer_rows(const M& model, CsrView<> graph, const D& data) {
  using T = typename M::Scalar;
  static_assert(std::same_as<T, float>, "gathered features are float");
  constexpr std::size_t kRows = 8192;
  if (graph.num_edges() != 0) {
    throw ConfigError(message("infer_rows: the graph has ", graph.num_edges(),
                              " entries, want none where features are gathered"));
  }
  const std::size_t n = graph.num_rows;
  Tensor<T> out(n, model.out_features());
  Tensor<float> x;
  Array<NodeId> ids;
  const Array<EdgeId> row_ptr(kRows + 1, EdgeId{0});
  NoTape<T> ctx;
  for (std::size_t first = 0; first < n; first += kRows) {
    const std::size_t count = std::min(kRows, n - first);
    ids.resize(count);
    for (std::size_t i = 0; i < count; ++i) ids[i] = static_cast<NodeId>(first + i);
    x.resize(count, model.in_features());
    data.gather_features(ids, x.view());
    Adjacency rows;
    rows.forward = {count, count, row_ptr.span().first(count + 1), {}, {}};
    rows.transpose = rows.forward;
    const Var y =
        model.forward(ctx, AdjacencyStack(std::span(&rows, 1)), ctx.input(std::as_const(x).view()), Pass{});
    const MatrixView<const T> value = ctx.value(y);
    parallel_for(count, 1024, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        std::copy(value.row(i).begin(), value.row(i).end(), out.row(first + i).begin());
      }
    });
    ctx.rewind();
  }
  return out;
}

}  // namespace tessera
