// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/partition/coarsen/coarsener.hpp"
#include "tessera/partition/coarsen/contract.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/rating_map.hpp"
#include "tessera/partition/initial/bisection.hpp"
#include "tessera/partition/initial/fm_bisection.hpp"
#include "tessera/partition/initial/growing.hpp"

namespace tessera::detail::multilevel {

/// Bisects one small graph with one thread: its own little multilevel scheme.
///
/// Coarsens to a few dozen nodes, tries several constructions there, each refined, keeps the best, and
/// refines on the way back.
/// Cost     O(attempts E log n), memory O(E)
/// Source   Gottesbueren et al., Deep multilevel graph partitioning, ESA 2021, section 4
class Bisector {
 public:
  struct Options {
    int attempts = 1;     ///< whole multilevel runs; the best is returned
    int repetitions = 4;  ///< of each construction on the coarsest graph
    std::uint64_t seed = 0;
  };

  void run(const LevelGraph& graph, const BisectionTargets& targets, const Options& options,
           Bisection& result) {
    for (int attempt = 0; attempt < options.attempts; ++attempt) {
      const std::uint64_t key = hash(options.seed, static_cast<std::uint64_t>(attempt));
      Bisection& state = attempt == 0 ? result : attempt_;
      once(graph, targets, options, key, state);
      if (attempt > 0 && state.rank(targets) < result.rank(targets)) std::swap(result, attempt_);
    }
  }

 private:
  static constexpr std::size_t kCoarsest = 40;

  void once(const LevelGraph& graph, const BisectionTargets& targets, const Options& options,
            std::uint64_t key, Bisection& state) {
    Hierarchy levels;  // of the graphs below `graph`
    const LevelGraph* bottom = &graph;
    while (bottom->num_nodes > kCoarsest) {
      const Weight lightest = std::min(targets.target[0], targets.target[1]);
      const Weight max_weight = std::max(bottom->max_node_weight, lightest / 12);
      cluster(*bottom, max_weight, hash(key, 1, levels.graph.size()));
      Array<NodeId> coarse;
      const std::size_t nodes = number_clusters(cluster_, coarse);
      if (20 * nodes > 19 * bottom->num_nodes) break;
      levels.graph.push_back(contract(*bottom, coarse, nodes));
      levels.coarse.push_back(std::move(coarse));
      bottom = &levels.graph.back();
    }
    construct(*bottom, targets, options, key, state);
    while (!levels.graph.empty()) {
      const Array<NodeId>& coarse = levels.coarse.back();
      trial_.side.resize(coarse.size());
      for (std::size_t v = 0; v < coarse.size(); ++v) trial_.side[v] = state.side[coarse[v]];
      std::swap(trial_.side, state.side);
      levels.graph.pop_back();
      levels.coarse.pop_back();
      refine_.run(levels.graph.empty() ? graph : levels.graph.back(), targets, {}, state);
    }
  }

  // The best of several constructions, each refined.
  void construct(const LevelGraph& graph, const BisectionTargets& targets, const Options& options,
                 std::uint64_t key, Bisection& state) {
    const RngKey rng_key{static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
    bool first = true;
    std::uint64_t trial = 0;
    for (const Growth growth : {Growth::greedy, Growth::breadth_first, Growth::random}) {
      for (int i = 0; i < options.repetitions; ++i, ++trial) {
        growing_.run(graph, targets, growth, CounterRng(rng_key, 0, trial), trial_);
        refine_.run(graph, targets, {}, trial_);
        if (first || trial_.rank(targets) < state.rank(targets)) std::swap(trial_, state);
        first = false;
      }
    }
  }

  // Label propagation, one node after the other.
  void cluster(const LevelGraph& graph, Weight max_weight, std::uint64_t key) {
    const std::size_t n = graph.num_nodes;
    cluster_.resize(n);
    cluster_weight_.resize(n);
    order_.resize(n);
    for (std::size_t v = 0; v < n; ++v) {
      cluster_[v] = order_[v] = static_cast<NodeId>(v);
      cluster_weight_[v] = graph.weight_of(v);
    }
    shuffle(order_.span(),
            CounterRng({static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)}, 1, 0));
    std::size_t clusters = n;
    for (int round = 0; round < 2; ++round) {
      for (const NodeId v : order_) join_best(graph, v, max_weight, key + v);
    }
    for (const Weight weight : cluster_weight_) clusters -= weight == 0 ? 1u : 0u;
    if (2 * clusters > n) match_two_hop(graph, max_weight, cluster_, cluster_weight_);
  }

  void join_best(const LevelGraph& graph, NodeId v, Weight max_weight, std::uint64_t key) {
    rating_.clear();
    graph.for_neighbors(v, [&](NodeId u, Weight w) { rating_.add(cluster_[u], w); });
    const NodeId own = cluster_[v];
    const Weight weight = graph.weight_of(v);
    NodeId best = own;
    Weight best_rating = 0;
    std::uint32_t best_tie = 0;
    for (const RatingMap::Entry& entry : rating_.entries()) {
      if (entry.weight < best_rating) continue;
      if (entry.key != own && cluster_weight_[entry.key] + weight > max_weight) continue;
      const std::uint32_t tie = tie_break(key, entry.key);
      if (entry.weight > best_rating || tie > best_tie) {
        best = entry.key;
        best_rating = entry.weight;
        best_tie = tie;
      }
    }
    cluster_weight_[own] -= weight;
    cluster_weight_[best] += weight;
    cluster_[v] = best;
  }

  FmBisection refine_;
  RegionGrowing growing_;
  Bisection trial_;
  Bisection attempt_;
  RatingMap rating_;
  Array<NodeId> cluster_;
  Array<Weight> cluster_weight_;
  Array<NodeId> order_;
};

}  // namespace tessera::detail::multilevel
