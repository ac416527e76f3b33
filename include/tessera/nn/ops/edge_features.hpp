// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/constant.hpp"

namespace tessera {

namespace detail {

/// Where the entries of a.transpose lie in a.forward: what the adjacency brings, or found by their columns. Both
/// matrices list columns in ascending order, so the k-th of equal entries of a transposed row is the k-th forwards.
class EntryPositions {
 public:
  explicit EntryPositions(const Adjacency& a) : given_(a.transpose_edge) {
    if (given_.size() == a.transpose.num_edges()) return;
    found_.resize(a.transpose.num_edges());
    parallel_for(a.transpose.num_rows, 256, [&](std::size_t begin, std::size_t end) {
      for (std::size_t j = begin; j < end; ++j) {
        const std::span<const NodeId> targets = a.transpose.neighbors(j);
        for (std::size_t k = 0, repeated = 0; k < targets.size(); ++k) {
          repeated = k > 0 && targets[k - 1] == targets[k] ? repeated + 1 : 0;
          const std::span<const NodeId> row = a.forward.neighbors(targets[k]);
          const auto first = std::lower_bound(row.begin(), row.end(), static_cast<NodeId>(j));
          found_[a.transpose.begin(j) + k] = a.forward.begin(targets[k]) +
                                             static_cast<EdgeId>(first - row.begin()) +
                                             static_cast<EdgeId>(repeated);
        }
      }
    });
  }

  std::span<const EdgeId> span() const noexcept { return found_.empty() ? given_ : found_.span(); }

 private:
  std::span<const EdgeId> given_;
  Array<EdgeId> found_;
};

}  // namespace detail

/// The features of the entries of an adjacency as a constant of this pass, in the order of a.forward; zeros for loops
/// the data do not have.
///
/// Shapes   a [N_dst, N_src] with E entries -> [E, D]
/// Cost     copies E D numbers, nothing where they lie in order already
/// Errors   ConfigError naming `operation` if the adjacency has none or not `columns` of them; IndexError if an entry
///          belongs to no row
template <class Ctx>
Var edge_features(Ctx& ctx, const Adjacency& a, std::size_t columns, std::string_view operation) {
  using T = typename Ctx::Scalar;
  const MatrixView<const float> rows = a.edge_features;
  const std::size_t entries = a.forward.num_edges();
  if (rows.cols() != columns || (rows.rows() == 0 && entries > 0)) {
    throw ConfigError(message(operation, ": the data have ", rows.cols(), " edge features, want ", columns));
  }
  const bool in_order = a.edge_id.empty();
  if ((in_order && rows.rows() != entries) || (!in_order && a.edge_id.size() != entries)) {
    throw ShapeError(message(operation, ": edge features and ids cover ",
                             in_order ? rows.rows() : a.edge_id.size(), " entries, want ", entries));
  }
  if constexpr (std::is_same_v<T, float>) {
    if (in_order) return ctx.input(rows);
  }
  Tensor<T> out(entries, columns);
  const bool outside =
      parallel_sum<std::size_t>(entries, 1024, [&](std::size_t begin, std::size_t end) {
        std::size_t wrong = 0;
        for (std::size_t e = begin; e < end; ++e) {
          const auto to = out.view().row(e);
          const EdgeId id = in_order ? static_cast<EdgeId>(e) : a.edge_id[e];
          if (id != kNoEdge && id >= rows.rows()) {
            ++wrong;
          } else if (id == kNoEdge) {
            std::fill(to.begin(), to.end(), T{0});
          } else {
            const auto from = rows.row(id);
            std::transform(from.begin(), from.end(), to.begin(), [](float v) { return static_cast<T>(v); });
          }
        }
        return wrong;
      }) > 0;
  if (outside)
    throw IndexError(message(operation, ": an entry's id is not below the ", rows.rows(), " rows"));
  return constant(ctx, std::move(out));
}

}  // namespace tessera
