// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/sampling/listed_entries.hpp"
#include "tessera/sampling/node_set.hpp"
#include "tessera/sampling/saint/concepts.hpp"
#include "tessera/sampling/saint/normalization.hpp"

namespace tessera {

namespace detail {

/// Occurrences of nodes and entries, added to by several threads at once: integers, so the order is free.
class InclusionCounts {
 public:
  explicit InclusionCounts(CsrView<> graph) : graph_(graph), node_(graph.num_rows, 0u) {
    edge_.resize(graph.num_edges());
    parallel_for(edge_.size(), 1 << 16, [&](std::size_t begin, std::size_t end) {
      std::fill(edge_.begin() + begin, edge_.begin() + end, 0u);
    });
  }

  /// One subgraph: its nodes, ascending and in `set`, and the entries among them.
  void add(std::span<const NodeId> nodes, const NodeSet& set, Array<std::uint64_t>& marks) {
    const Isa isa = tessera::active_isa();
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      prefetch_row(graph_, nodes, i);
      bump(node_[nodes[i]]);
      const std::span<const NodeId> row = graph_.neighbors(nodes[i]);
      marks.resize(mark_words(row.size()));
      if (mark_listed(isa, set, nodes, row, marks.data()) == 0) continue;
      const EdgeId first = graph_.begin(nodes[i]);
      for_marks(marks, [&](std::size_t k) { bump(edge_[first + k]); });
    }
  }

  void move_to(SaintNormalization& out) {
    convert(node_, out.node);
    convert(edge_, out.edge);
  }

 private:
  static void bump(std::uint32_t& counter) noexcept {
    std::atomic_ref<std::uint32_t>(counter).fetch_add(1, std::memory_order_relaxed);
  }
  static void convert(const Array<std::uint32_t>& from, Array<float>& to) {
    to.resize(from.size());
    parallel_for(from.size(), 1 << 16, [&](std::size_t e, std::size_t end) {
      for (; e < end; ++e) to[e] = static_cast<float>(from[e]);
    });
  }

  CsrView<> graph_;
  Array<std::uint32_t> node_;
  Array<std::uint32_t> edge_;
};

/// Scratch of whoever draws subgraphs one after the other.
template <SubgraphDraw D>
struct CountingLane {
  typename D::Workspace draws;
  Array<NodeId> drawn;
  Array<NodeId> nodes;
  NodeSet set;
  Array<std::uint64_t> marks;
};

}  // namespace detail

/// Draws subgraphs as training would, and counts in how many each node and entry is.
///
/// Subgraphs are counted as they come, several at a time; none is kept. More are drawn until their nodes sum
/// to more than `coverage` times the nodes that can occur (those with neighbours, and the targets).
/// Cost     the drawing of coverage * N / n subgraphs of n nodes, work O(coverage N mean degree of a drawn
///          node / T); 8 bytes per entry while counting, 4 in the end
/// Errors   ConfigError for wrong options or without targets, IndexError if one is no node; otherwise as the draws
/// Threads  parallel over subgraphs; integer sums, so the result does not depend on T
/// Source   the authors' minibatch.py, norm_aggr.pyx; differs: the subgraphs counted are not trained on again
template <SubgraphDraw D>
SaintNormalization count_inclusions(const SampleSource& source, const D& draws,
                                    const SaintNormalizationOptions& options) {
  validate(options);
  detail::check_targets("count_inclusions", source);
  const CsrView<> graph = source.graph;
  std::size_t population = 0;
  for (std::size_t v = 0; v < graph.num_rows; ++v) population += graph.degree(v) > 0 ? 1u : 0u;
  for (const NodeId v : source.targets) population += graph.degree(v) > 0 ? 0u : 1u;
  const double wanted = options.coverage * static_cast<double>(population);

  detail::InclusionCounts counts(graph);
  const std::size_t lanes = std::min(options.round, max_threads());
  const auto lane = std::make_unique<detail::CountingLane<D>[]>(lanes);
  std::atomic<std::uint64_t> next{0};
  std::atomic<std::uint64_t> nodes_drawn{0};
  std::uint64_t end = 0;
  do {
    end += options.round;
    parallel_blocks(lanes, [&](std::size_t l) {
      detail::CountingLane<D>& mine = lane[l];
      for (std::uint64_t s = next.fetch_add(1); s < end; s = next.fetch_add(1)) {
        draws.draw(source, {options.seed, kPresampleEpoch, s}, mine.draws, mine.drawn);
        mine.set.collect(graph.num_rows, mine.drawn, mine.nodes);
        counts.add(mine.nodes, mine.set, mine.marks);
        nodes_drawn += mine.nodes.size();
      }
    });
    next = end;  // each lane took one number too many
  } while (!(static_cast<double>(nodes_drawn.load()) > wanted));

  SaintNormalization out;
  counts.move_to(out);
  out.trials = static_cast<double>(end);
  out.subgraphs = end;
  out.clip = options.clip;
  out.unseen = options.unseen;
  detail::count_unseen(source, out);
  return out;
}

}  // namespace tessera
