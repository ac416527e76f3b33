// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"

namespace tessera {

/// How good a partition of a symmetric graph is. Self loops count nowhere.
struct PartitionMetrics {
  std::int64_t cut = 0;                   ///< undirected edges between parts
  double cut_fraction = 0;                ///< cut / undirected edges
  double imbalance = 0;                   ///< heaviest part / average part, in nodes
  std::int64_t communication_volume = 0;  ///< sum over nodes of the other parts among their neighbours
  double halo_fraction = 0;               ///< communication volume / N: how much of a part its halo adds
  double embedding_utilisation = 0;       ///< share of the edges that lie inside parts
  std::size_t boundary_nodes = 0;         ///< nodes with a neighbour in another part
  double mean_halo_ratio = 0;             ///< nodes outside a part next to it / nodes in it, mean over parts
  double max_halo_ratio = 0;              ///< of the worst part
  std::size_t empty_parts = 0;
};

namespace detail {

struct EdgeCounts {
  std::int64_t cut = 0, edges = 0, volume = 0, boundary = 0;
  EdgeCounts operator+(const EdgeCounts& o) const noexcept {
    return {cut + o.cut, edges + o.edges, volume + o.volume, boundary + o.boundary};
  }
};

inline void check_parts(std::size_t nodes, std::span<const PartId> part, std::size_t num_parts,
                        const char* operation) {
  if (part.size() != nodes) {
    throw ShapeError(message(operation, ": part has ", part.size(), " values, want ", nodes));
  }
  const std::size_t outside =
      parallel_sum<std::size_t>(nodes, 1 << 15, [&](std::size_t begin, std::size_t end) {
        return static_cast<std::size_t>(std::count_if(part.begin() + static_cast<std::ptrdiff_t>(begin),
                                                      part.begin() + static_cast<std::ptrdiff_t>(end),
                                                      [&](PartId p) { return index(p) >= num_parts; }));
      });
  if (outside > 0) {
    throw IndexError(message(operation, ": part has ", outside, " values of ", num_parts, " or more"));
  }
}

}  // namespace detail

/// Measures a partition.
///
/// Cost     O(E log degree), parallel
/// Errors   ShapeError if part.size() != graph.num_rows; IndexError for a part >= num_parts
/// Threads  result independent of T
PartitionMetrics partition_metrics(CsrView<> graph, std::span<const PartId> part, std::size_t num_parts);

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
TESSERA_DEFINE PartitionMetrics partition_metrics(CsrView<> graph, std::span<const PartId> part,
                                                  std::size_t num_parts) {
  const std::size_t n = graph.num_rows;
  detail::check_parts(n, part, num_parts, "partition_metrics");
  Array<std::int64_t> halo(num_parts, std::int64_t{0});
  const auto counts = parallel_sum<detail::EdgeCounts>(n, 512, [&](std::size_t begin, std::size_t end) {
    detail::EdgeCounts sum;
    Array<PartId> seen;
    for (std::size_t v = begin; v < end; ++v) {
      seen.clear();
      for (const NodeId u : graph.neighbors(v)) {
        if (u == v) continue;
        ++sum.edges;
        if (part[u] == part[v]) continue;
        ++sum.cut;
        seen.push_back(part[u]);
      }
      if (seen.empty()) continue;
      ++sum.boundary;
      std::sort(seen.begin(), seen.end());
      seen.resize(static_cast<std::size_t>(std::unique(seen.begin(), seen.end()) - seen.begin()));
      sum.volume += static_cast<std::int64_t>(seen.size());
      for (const PartId p : seen) {
        std::atomic_ref<std::int64_t>(halo[index(p)]).fetch_add(1, std::memory_order_relaxed);
      }
    }
    return sum;
  });
  Array<std::int64_t> size(num_parts, std::int64_t{0});
  for (const PartId p : part) ++size[index(p)];
  PartitionMetrics out;
  out.cut = counts.cut / 2;
  out.communication_volume = counts.volume;
  out.boundary_nodes = static_cast<std::size_t>(counts.boundary);
  for (std::size_t p = 0; p < num_parts; ++p) {
    if (size[p] == 0) continue;
    const double ratio = static_cast<double>(halo[p]) / static_cast<double>(size[p]);
    out.mean_halo_ratio += ratio;
    out.max_halo_ratio = std::max(out.max_halo_ratio, ratio);
  }
  out.empty_parts = static_cast<std::size_t>(std::count(size.begin(), size.end(), 0));
  const std::size_t filled = num_parts - out.empty_parts;
  if (filled > 0) out.mean_halo_ratio /= static_cast<double>(filled);
  if (counts.edges > 0) {
    out.cut_fraction = static_cast<double>(counts.cut) / static_cast<double>(counts.edges);
    out.embedding_utilisation = 1 - out.cut_fraction;
  }
  if (n > 0) {
    out.imbalance = static_cast<double>(*std::max_element(size.begin(), size.end())) *
                    static_cast<double>(num_parts) / static_cast<double>(n);
    out.halo_fraction = static_cast<double>(counts.volume) / static_cast<double>(n);
  }
  return out;
}
#endif

/// Undirected edges between parts, each once; self loops never count.
///
/// Errors   as partition_metrics, except that parts may be any number
inline std::int64_t edge_cut(CsrView<> graph, std::span<const PartId> part) {
  if (part.size() != graph.num_rows) {
    throw ShapeError(message("edge_cut: part has ", part.size(), " values, want ", graph.num_rows));
  }
  const auto twice =
      parallel_sum<std::int64_t>(graph.num_rows, 1024, [&](std::size_t begin, std::size_t end) {
        std::int64_t sum = 0;
        for (std::size_t v = begin; v < end; ++v) {
          for (const NodeId u : graph.neighbors(v)) sum += part[u] != part[v] ? 1 : 0;
        }
        return sum;
      });
  return twice / 2;
}

/// How mixed the labels inside each part are: the entropy of the classes of its labelled nodes.
///
/// Shapes   part [N], label [N] in [0, C) or kUnlabelled -> [num_parts]; 0 for a part without labels
/// Units    nats; ln C is an even mix, 0 a single class
/// Errors   ShapeError if part and label differ in length; IndexError for a part >= num_parts
inline Array<double> part_label_entropy(std::span<const PartId> part, std::size_t num_parts,
                                        std::span<const std::int32_t> label) {
  detail::check_parts(label.size(), part, num_parts, "part_label_entropy");
  Array<std::uint64_t> pair;  // (part, label) of every labelled node
  for (std::size_t v = 0; v < label.size(); ++v) {
    if (label[v] < 0) continue;
    pair.push_back((std::uint64_t{index(part[v])} << 32) | static_cast<std::uint32_t>(label[v]));
  }
  parallel_sort(pair.begin(), pair.end());
  // n_b H_b = n_b ln n_b - sum over classes n_bc ln n_bc.
  const auto n_log_n = [](std::size_t n) {
    return static_cast<double>(n) * std::log(static_cast<double>(n));
  };
  Array<double> out(num_parts, 0.0);
  double classes = 0;
  std::size_t part_begin = 0, class_begin = 0;
  for (std::size_t i = 1; i <= pair.size(); ++i) {
    const bool last = i == pair.size();
    if (last || pair[i] != pair[i - 1]) {
      classes += n_log_n(i - class_begin);
      class_begin = i;
    }
    if (last || pair[i] >> 32 != pair[i - 1] >> 32) {
      const std::size_t nodes = i - part_begin;
      out[pair[i - 1] >> 32] = (n_log_n(nodes) - classes) / static_cast<double>(nodes);
      classes = 0;
      part_begin = i;
    }
  }
  return out;
}

/// part_label_entropy averaged over labelled nodes: the column H of the Cluster-GCN paper.
///
/// Errors   as part_label_entropy
inline double label_entropy(std::span<const PartId> part, std::size_t num_parts,
                            std::span<const std::int32_t> label) {
  const Array<double> entropy = part_label_entropy(part, num_parts, label);
  double sum = 0;
  std::size_t labelled = 0;
  for (std::size_t v = 0; v < label.size(); ++v) {
    if (label[v] < 0) continue;
    sum += entropy[index(part[v])];
    ++labelled;
  }
  return labelled == 0 ? 0 : sum / static_cast<double>(labelled);
}

}  // namespace tessera
