// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/detail/row_ranges.hpp"

namespace tessera {

/// How the numbers of entries per row are spread.
struct DegreeSummary {
  std::size_t isolated = 0;  ///< rows without entries
  std::size_t min = 0;
  std::size_t median = 0;
  std::size_t p90 = 0;
  std::size_t p99 = 0;
  std::size_t max = 0;
  double mean = 0;
};

/// Shapes   a [N, M] -> [N], entries per row
/// Threads  parallel
inline Array<NodeId> degrees(CsrView<> a) {
  Array<NodeId> out(a.num_rows);
  parallel_for(a.num_rows, 1 << 14, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) out[i] = static_cast<NodeId>(a.degree(i));
  });
  return out;
}

/// Sums the degrees of a graph up; all 0 for a graph without nodes.
///
/// Cost     work O(N log N)
/// Threads  parallel; the result does not depend on T
inline DegreeSummary summarize_degrees(CsrView<> a) {
  DegreeSummary summary;
  if (a.num_rows == 0) return summary;
  Array<NodeId> sorted = degrees(a);
  parallel_sort(sorted.begin(), sorted.end());
  const auto quantile = [&](std::size_t percent) {
    return static_cast<std::size_t>(sorted[(sorted.size() - 1) * percent / 100]);
  };
  summary.isolated =
      static_cast<std::size_t>(std::upper_bound(sorted.begin(), sorted.end(), NodeId{0}) - sorted.begin());
  summary.min = sorted[0];
  summary.median = quantile(50);
  summary.p90 = quantile(90);
  summary.p99 = quantile(99);
  summary.max = sorted[sorted.size() - 1];
  summary.mean = static_cast<double>(a.num_edges()) / static_cast<double>(a.num_rows);
  return summary;
}

/// The share of entries that join two nodes of one class, loops and unlabelled ends left out; 0 if none is
/// left.
///
/// Shapes   a [N, N], classes [N]
/// Errors   ShapeError if classes has another length
/// Threads  parallel; the result does not depend on T
inline double edge_homophily(CsrView<> a, std::span<const std::int32_t> classes) {
  if (classes.size() != a.num_rows || a.num_cols != a.num_rows) {
    throw ShapeError(message("edge_homophily: classes has ", classes.size(), " entries and a is [",
                             a.num_rows, ", ", a.num_cols, "], want one class per row of a square matrix"));
  }
  struct Count {
    std::uint64_t same = 0;
    std::uint64_t all = 0;
  };
  const auto count = [&](std::size_t begin, std::size_t end) {
    Count c;
    for (std::size_t i = begin; i < end; ++i) {
      if (classes[i] == kUnlabelled) continue;
      for (const NodeId j : a.neighbors(i)) {
        if (j == i || classes[j] == kUnlabelled) continue;
        ++c.all;
        c.same += classes[i] == classes[j] ? 1u : 0u;
      }
    }
    return c;
  };
  const Count total = parallel_reduce(a.num_rows, 1024, Count{}, count, [](Count x, Count y) {
    return Count{x.same + y.same, x.all + y.all};
  });
  return total.all == 0 ? 0.0 : static_cast<double>(total.same) / static_cast<double>(total.all);
}

}  // namespace tessera
