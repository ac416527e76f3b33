// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/detail/row_ranges.hpp"

namespace tessera {

namespace detail {

inline void atomic_min(std::atomic<std::size_t>& least, std::size_t value) noexcept {
  std::size_t seen = least.load();
  while (value < seen && !least.compare_exchange_weak(seen, value)) {
  }
}

}  // namespace detail

/// Finds the place of a node in the current list of nodes with one look-up: no hashing, nothing cleared
/// between lists.
///
/// Cost     4 bytes per node of the graph; `assign` O(n / T), and O(N / T) once in 2^32 listed nodes
/// Threads  `assign` is one caller's; `operator[]` may be called concurrently after it
class NodePlaces {
 public:
  /// Makes `nodes` the current list.
  ///
  /// Errors   IndexError, before anything changes, unless nodes ascend strictly and lie below num_nodes
  void assign(std::size_t num_nodes, std::span<const NodeId> nodes) {
    check(num_nodes, nodes);
    // Places are stored as base + place with a base above all older ones: what an older list left behind
    // reads as a place beyond the end.
    const bool wraps = std::numeric_limits<NodeId>::max() - base_ < count_ + nodes.size();
    if (stored_.size() != num_nodes || wraps) {
      stored_.resize(num_nodes);
      parallel_for(num_nodes, kGrain, [&](std::size_t begin, std::size_t end) {
        std::fill(stored_.begin() + begin, stored_.begin() + end, NodeId{0});
      });
      base_ = 1;
    } else {
      base_ += count_;
    }
    count_ = static_cast<NodeId>(nodes.size());
    parallel_for(nodes.size(), kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t k = begin; k < end; ++k) stored_[nodes[k]] = base_ + static_cast<NodeId>(k);
    });
  }

  /// The place of `node`; a number of size() or more if it is not listed.
  NodeId operator[](NodeId node) const noexcept { return stored_[node] - base_; }
  NodeId size() const noexcept { return count_; }
  bool contains(NodeId node) const noexcept { return (*this)[node] < count_; }

 private:
  static constexpr std::size_t kGrain = 1 << 14;

  static void check(std::size_t num_nodes, std::span<const NodeId> nodes) {
    // An atomic minimum is the same for any number of threads, and needs no memory of its own.
    std::atomic<std::size_t> first_bad{nodes.size()};
    parallel_for(nodes.size(), kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t k = begin; k < end; ++k) {
        if (nodes[k] < num_nodes && (k == 0 || nodes[k - 1] < nodes[k])) continue;
        detail::atomic_min(first_bad, k);
        return;
      }
    });
    const std::size_t bad = first_bad.load();
    if (bad == nodes.size()) return;
    if (nodes[bad] >= num_nodes) {
      throw IndexError(
          message("induced_subgraph: nodes[", bad, "] is ", nodes[bad], ", want less than ", num_nodes));
    }
    throw IndexError(message("induced_subgraph: nodes[", bad, "] is ", nodes[bad], " after ", nodes[bad - 1],
                             ", want strictly ascending ids"));
  }

  Array<NodeId> stored_;
  NodeId base_ = 1;
  NodeId count_ = 0;
};

/// The entries between the nodes of a list, found and kept in the order of the parent graph: the first half
/// of inducing a subgraph, shared by `induced_subgraph` and by samplers that normalise while they copy.
///
/// Row i holds `count[i]` entries, those at [offset[i], offset[i] + count[i]) of `place` (local column) and
/// `step` (distance from the begin of the row in the parent).
/// Cost     work O(sum of the parent's degrees / T), scratch 8 bytes for each of those entries
class InducedEntries {
 public:
  Array<std::uint64_t> offset;
  Array<NodeId> count;
  Array<NodeId> place;
  Array<std::uint32_t> step;

  /// Makes room for lists of at most `nodes` nodes whose degrees in the parent sum to at most `entries`.
  void reserve(std::size_t nodes, std::size_t entries) {
    offset.reserve(nodes + 1);
    count.reserve(nodes);
    place.reserve(entries);
    step.reserve(entries);
  }

  /// Shapes   graph [N, N], nodes [n] strictly ascending
  /// Errors   IndexError for nodes out of order or range
  void find(CsrView<> graph, std::span<const NodeId> nodes) {
    places_.assign(graph.num_rows, nodes);
    const std::size_t n = nodes.size();
    offset.resize(n + 1);
    count.resize(n);
    parallel_for(n, kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) offset[i] = graph.degree(nodes[i]);
    });
    offset[n] = 0;
    const std::size_t total = parallel_exclusive_scan(offset.span());
    place.clear();  // so that growing moves nothing
    step.clear();
    place.resize(total);
    step.resize(total);
    detail::parallel_rows(offset, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) count[i] = filter_row(graph.neighbors(nodes[i]), offset[i]);
    });
  }

 private:
  static constexpr std::size_t kGrain = 1 << 14;

  NodeId filter_row(std::span<const NodeId> row, std::size_t at) noexcept {
    const NodeId listed = places_.size();
    NodeId* const to = place.data() + at;
    std::uint32_t* const from = step.data() + at;
    NodeId kept = 0;
    for (std::size_t k = 0; k < row.size(); ++k) {
      // Written whether kept or not, so that the loop has no branch to guess wrong.
      const NodeId local = places_[row[k]];
      to[kept] = local;
      from[kept] = static_cast<std::uint32_t>(k);
      kept += local < listed ? 1u : 0u;
    }
    return kept;
  }

  NodePlaces places_;
};

/// Scratch of `induced_subgraph`, reusable.
struct InducedWorkspace {
  InducedEntries entries;
};

/// The links between some nodes of a graph, renumbered by their place in the list.
struct Subgraph {
  Array<EdgeId> row_ptr;
  Array<NodeId> col;
  Array<float> weight;
  Array<EdgeId> edge_id;  ///< position of each entry in the parent graph

  std::size_t num_nodes() const noexcept { return row_ptr.size() - 1; }
  CsrView<> view() const noexcept { return {num_nodes(), num_nodes(), row_ptr, col, weight}; }
};

/// Restricts a graph to rows and columns in `nodes`.
///
/// Shapes   graph [N, N] with E stored, nodes [n] strictly ascending -> out [n, n]; rows stay ascending
/// Cost     work O(sum of the nodes' degrees in `graph` / T); allocates nothing once the arrays are large
///          enough
/// Errors   IndexError if nodes do not ascend strictly or lie outside the graph; nothing is thrown once out
///          is touched
/// Threads  parallel, one workspace per caller; the result does not depend on T
inline void induced_subgraph(CsrView<> graph, std::span<const NodeId> nodes, InducedWorkspace& workspace,
                             Subgraph& out) {
  InducedEntries& entries = workspace.entries;
  entries.find(graph, nodes);
  const std::size_t n = nodes.size();
  out.row_ptr.resize(n + 1);
  std::copy(entries.count.begin(), entries.count.end(), out.row_ptr.begin());
  out.row_ptr[n] = 0;
  const std::size_t stored = parallel_exclusive_scan(out.row_ptr.span());
  out.col.resize(stored);
  out.edge_id.resize(stored);
  out.weight.resize(graph.weighted() ? stored : 0);
  detail::parallel_rows(out.row_ptr, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t from = entries.offset[i];
      const std::size_t to = out.row_ptr[i];
      const EdgeId first = graph.begin(nodes[i]);
      for (std::size_t k = 0; k < entries.count[i]; ++k) {
        out.col[to + k] = entries.place[from + k];
        out.edge_id[to + k] = first + entries.step[from + k];
      }
      if (!graph.weighted()) continue;
      for (std::size_t e = to; e < out.row_ptr[i + 1]; ++e) out.weight[e] = graph.weight[out.edge_id[e]];
    }
  });
}

}  // namespace tessera
