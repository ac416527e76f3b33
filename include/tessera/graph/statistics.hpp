// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/graph/degree.hpp"

namespace tessera {

/// How degrees are spread, in more detail than DegreeSummary: what tells one law from another.
///
/// Units    percentile[k] is the degree that kPercents[k] percent of the nodes do not exceed
struct DegreeStatistics {
  static constexpr std::array<double, 9> kPercents = {1, 5, 10, 25, 50, 75, 90, 99, 99.9};
  static constexpr std::array<double, 3> kTails = {90, 95, 99};

  std::array<std::size_t, 9> percentile{};
  std::array<double, 3> hill{};  ///< density exponent above percentile kTails[k]; 0 where nothing lies above
  std::size_t isolated = 0;
  std::size_t max = 0;
  double mean = 0;
  std::vector<std::size_t> count;  ///< nodes per degree, up to max
};

/// Shapes   a [N, M], over its rows
/// Cost     O(N + max_degree)
/// Threads  result independent of T
/// Source   Hill, A simple general approach to inference about the tail of a distribution, 1975: exponent
///          1 + k / sum log(d_i / d_min) over the k degrees above the threshold
inline DegreeStatistics degree_statistics(CsrView<> a) {
  DegreeStatistics out;
  if (a.num_rows == 0) return out;
  const Array<NodeId> degree = degrees(a);
  out.max = *std::max_element(degree.begin(), degree.end());
  out.count.assign(out.max + 1, 0);
  for (const NodeId d : degree) ++out.count[d];
  out.isolated = out.count[0];
  out.mean = static_cast<double>(a.num_edges()) / static_cast<double>(a.num_rows);
  const auto at = [&](double percent) {
    const double rank = percent / 100 * static_cast<double>(a.num_rows - 1);
    std::size_t seen = 0;
    for (std::size_t d = 0; d <= out.max; ++d) {
      seen += out.count[d];
      if (static_cast<double>(seen) > rank) return d;
    }
    return out.max;
  };
  for (std::size_t k = 0; k < out.percentile.size(); ++k)
    out.percentile[k] = at(DegreeStatistics::kPercents[k]);
  for (std::size_t k = 0; k < out.hill.size(); ++k) {
    const std::size_t least = std::max<std::size_t>(1, at(DegreeStatistics::kTails[k]));
    double logs = 0;
    double above = 0;
    for (std::size_t d = least + 1; d <= out.max; ++d) {
      logs +=
          static_cast<double>(out.count[d]) * std::log(static_cast<double>(d) / static_cast<double>(least));
      above += static_cast<double>(out.count[d]);
    }
    out.hill[k] = logs > 0 ? 1 + above / logs : 0;
  }
  return out;
}

/// Sizes of the weakly connected components, largest first.
///
/// Shapes   a [N, N] -> at most N sizes that sum to N
/// Cost     O((N + E) alpha(N)), 8 bytes per node
inline std::vector<std::size_t> component_sizes(CsrView<> a) {
  Array<NodeId> parent(a.num_rows);
  for (std::size_t i = 0; i < a.num_rows; ++i) parent[i] = static_cast<NodeId>(i);
  const auto root = [&](NodeId v) {
    while (parent[v] != v) v = parent[v] = parent[parent[v]];
    return v;
  };
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (const NodeId j : a.neighbors(i)) {
      const NodeId x = root(static_cast<NodeId>(i));
      const NodeId y = root(j);
      if (x != y) parent[std::max(x, y)] = std::min(x, y);
    }
  }
  Array<NodeId> size(a.num_rows, NodeId{0});
  for (std::size_t i = 0; i < a.num_rows; ++i) ++size[root(static_cast<NodeId>(i))];
  std::vector<std::size_t> out;
  for (const NodeId s : size) {
    if (s != 0) out.push_back(s);
  }
  std::sort(out.rbegin(), out.rend());
  return out;
}

/// Mean, variance and density of a feature matrix, over all its values.
struct FeatureStatistics {
  double mean = 0;
  double variance = 0;
  double density = 0;  ///< share of values that are not 0
  float min = 0;
  float max = 0;
};

/// Cost     O(N F)
/// Threads  parallel; the result does not depend on T
inline FeatureStatistics feature_statistics(MatrixView<const float> x) {
  struct Sums {
    double sum = 0;
    double squares = 0;
    double nonzero = 0;
    float min = 0;
    float max = 0;
    bool any = false;
  };
  if (x.empty()) return {};
  const Sums all = parallel_reduce(
      x.rows(), 512, Sums{},
      [&](std::size_t i, std::size_t end) {
        Sums s;
        for (; i < end; ++i) {
          for (const float v : x.row(i)) {
            const double wide = static_cast<double>(v);
            s.sum += wide;
            s.squares += wide * wide;
            s.nonzero += v != 0 ? 1 : 0;
            s.min = s.any ? std::min(s.min, v) : v;
            s.max = s.any ? std::max(s.max, v) : v;
            s.any = true;
          }
        }
        return s;
      },
      [](const Sums& p, const Sums& q) {
        if (!p.any) return q;
        if (!q.any) return p;
        return Sums{p.sum + q.sum,          p.squares + q.squares,  p.nonzero + q.nonzero,
                    std::min(p.min, q.min), std::max(p.max, q.max), true};
      });
  const auto count = static_cast<double>(x.size());
  const double mean = all.sum / count;
  return {mean, std::max(0.0, all.squares / count - mean * mean), all.nonzero / count, all.min, all.max};
}

/// Nodes per class; with multi-label targets, nodes that have the label.
///
/// Shapes   -> [C]
inline std::vector<std::size_t> class_counts(const DatasetView& data) {
  std::vector<std::size_t> out(data.labels.num_classes, 0);
  for (const std::int32_t y : data.labels.classes) {
    if (y >= 0 && static_cast<std::size_t>(y) < out.size()) ++out[static_cast<std::size_t>(y)];
  }
  for (std::size_t i = 0; i < data.labels.indicators.rows(); ++i) {
    const std::span<const float> row = data.labels.indicators.row(i);
    for (std::size_t k = 0; k < row.size() && k < out.size(); ++k) out[k] += row[k] > 0 ? 1u : 0u;
  }
  return out;
}

/// Entries on the diagonal, and entries that repeat the one before them.
struct OddEntries {
  std::size_t loops = 0;
  std::size_t duplicates = 0;
};

/// Shapes   a [N, N] with ascending rows
/// Threads  parallel; the result does not depend on T
inline OddEntries odd_entries(CsrView<> a) {
  return parallel_reduce(
      a.num_rows, 1024, OddEntries{},
      [&](std::size_t i, std::size_t end) {
        OddEntries part;
        for (; i < end; ++i) {
          const std::span<const NodeId> row = a.neighbors(i);
          for (std::size_t k = 0; k < row.size(); ++k) {
            part.loops += row[k] == i ? 1u : 0u;
            part.duplicates += k > 0 && row[k] == row[k - 1] ? 1u : 0u;
          }
        }
        return part;
      },
      [](OddEntries x, OddEntries y) {
        return OddEntries{x.loops + y.loops, x.duplicates + y.duplicates};
      });
}

}  // namespace tessera
