// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/csr_graph.hpp"

namespace tessera {

/// The number of triangles through every edge: weight (i, j) = A_ij (A^2)_ij for binary A without loops.
///
/// Weights of `a` are ignored and its loops left out; an edge on no triangle is no entry of the result.
/// Shapes   a [N, N] with ascending rows, equal to its transpose -> [N, N]; all weights together are six times
///          the number of triangles
/// Cost     work O(sum over edges of the smaller out-degree in degree order) = O(E^1.5); extra memory 16 bytes
///          per entry beside the result
/// Errors   ShapeError if a is not square; ConfigError if an edge lacks its mirror
/// Threads  parallel; the result does not depend on T
/// Source   edges oriented from lower to higher (degree, id), out-lists intersected: Chiba & Nishizeki,
///          Arboricity and subgraph listing, 1985; differs: counts go to edges, by integer atomics
inline CsrGraph triangle_counts(CsrView<> a) {
  if (a.num_rows != a.num_cols) {
    throw ShapeError(message("triangle_counts: a is [", a.num_rows, ", ", a.num_cols, "], want it square"));
  }
  constexpr std::size_t kGrain = 256;
  const std::size_t n = a.num_rows;
  const auto above = [&](NodeId i, NodeId j) {  // j ranks above i
    const std::size_t di = a.degree(i);
    const std::size_t dj = a.degree(j);
    return di < dj || (di == dj && i < j);
  };
  // The oriented half: entry positions are kept, so that counts lie at the entries of `a`.
  Array<EdgeId> out_ptr(n + 1, EdgeId{0});
  parallel_for(n, kGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      for (const NodeId j : a.neighbors(i)) {
        if (j != i && above(static_cast<NodeId>(i), j)) ++out_ptr[i];
      }
    }
  });
  const EdgeId half = parallel_exclusive_scan(out_ptr.span());
  Array<NodeId> out(half);
  Array<EdgeId> position(half);
  parallel_for(n, kGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::size_t at = out_ptr[i];
      for (auto e = a.begin(i); e < a.end(i); ++e) {
        const NodeId j = a.col[e];
        if (j == i || !above(static_cast<NodeId>(i), j)) continue;
        out[at] = j;
        position[at++] = e;
      }
    }
  });
  Array<std::uint32_t> count(a.num_edges(), 0u);
  const auto add = [&](EdgeId e) {  // integers: any order gives the same sum
    std::atomic_ref<std::uint32_t>(count[e]).fetch_add(1, std::memory_order_relaxed);
  };
  parallel_for(n, 64, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t p = out_ptr[i]; p < out_ptr[i + 1]; ++p) {
        const NodeId j = out[p];
        std::size_t u = out_ptr[i];
        std::size_t v = out_ptr[j];
        while (u < out_ptr[i + 1] && v < out_ptr[j + 1]) {
          if (out[u] == out[v]) {
            add(position[p]);
            add(position[u++]);
            add(position[v++]);
          } else if (out[u] < out[v]) {
            ++u;
          } else {
            ++v;
          }
        }
      }
    }
  });
  // Each edge was counted at one of its two entries; the other takes the number over.
  std::atomic<bool> mirrored{true};
  const auto total = [&](std::size_t i, EdgeId e) -> std::uint32_t {
    const NodeId j = a.col[e];
    if (j == i) return 0;
    if (above(static_cast<NodeId>(i), j)) return count[e];
    const std::span<const NodeId> row = a.neighbors(j);
    const auto found = std::lower_bound(row.begin(), row.end(), static_cast<NodeId>(i));
    if (found == row.end() || *found != i) {
      mirrored.store(false, std::memory_order_relaxed);
      return 0;
    }
    return count[a.begin(j) + static_cast<EdgeId>(found - row.begin())];
  };
  CsrGraph result;
  result.num_cols = n;
  result.row_ptr.assign(n + 1, EdgeId{0});
  parallel_for(n, kGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      for (auto e = a.begin(i); e < a.end(i); ++e) result.row_ptr[i] += total(i, e) > 0 ? 1u : 0u;
    }
  });
  if (!mirrored) throw ConfigError("triangle_counts: an edge lacks its mirror, want a symmetric graph");
  const EdgeId kept = parallel_exclusive_scan(result.row_ptr.span());
  result.col.resize(kept);
  result.weight.resize(kept);
  parallel_for(n, kGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::size_t at = result.row_ptr[i];
      for (auto e = a.begin(i); e < a.end(i); ++e) {
        const std::uint32_t number = total(i, e);
        if (number == 0) continue;
        result.col[at] = a.col[e];
        result.weight[at++] = static_cast<float>(number);
      }
    }
  });
  return result;
}

}  // namespace tessera
