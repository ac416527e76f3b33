// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/initial/bisection.hpp"
#include "tessera/partition/initial/fm_bisection.hpp"
#include "tessera/partition/initial/growing.hpp"
#include "tessera/partition/initial/serial_coarsener.hpp"

namespace tessera::detail::multilevel {

/// Bisects one small graph with one thread: its own little multilevel scheme.
///
/// Coarsens to a few hundred nodes once, then several times from there to a few dozen; tries several
/// constructions on each of these, each refined; refines on the way back and keeps the best.
/// Cost     O((attempts + c trials) E log n) with c the share of edges left on a few hundred nodes; memory O(E)
/// Source   Gottesbueren et al., Deep multilevel graph partitioning, ESA 2021, section 4; differs: attempts share
///          the finer levels
class Bisector {
 public:
  struct Options {
    int attempts = 1;     ///< whole multilevel runs; the best is returned
    int trials = 4;       ///< runs of the coarser levels inside each
    int repetitions = 4;  ///< of each construction on the coarsest graph
    std::uint64_t seed = 0;
  };

  void run(const LevelGraph& graph, const BisectionTargets& targets, const Options& options,
           Bisection& result) {
    for (int attempt = 0; attempt < options.attempts; ++attempt) {
      Bisection& state = attempt == 0 ? result : attempt_;
      const std::uint64_t key = hash(options.seed, static_cast<std::uint64_t>(attempt));
      const std::size_t shared = coarsen(graph, targets, kShared, key);
      const LevelGraph& middle = shared == 0 ? graph : level_[shared - 1].graph;
      for (int trial = 0; trial < options.trials; ++trial) {
        Bisection& inner = trial == 0 ? state : middle_;
        once(middle, targets, options, hash(key, 1, static_cast<std::uint64_t>(trial)), inner);
        if (trial > 0 && inner.rank(targets) < state.rank(targets)) std::swap(state, middle_);
      }
      uncoarsen(graph, targets, 0, state);
      if (attempt > 0 && state.rank(targets) < result.rank(targets)) std::swap(result, attempt_);
    }
  }

 private:
  static constexpr std::size_t kCoarsest = 40;
  static constexpr std::size_t kShared = 400;

  struct Level {
    LevelGraph graph;
    Array<NodeId> coarse;  // where the nodes of the next finer graph lie
  };

  // Adds levels below `graph` until it has at most `nodes` nodes; returns how many levels there are then.
  std::size_t coarsen(const LevelGraph& graph, const BisectionTargets& targets, std::size_t nodes,
                      std::uint64_t key) {
    const Weight lightest = std::min(targets.target[0], targets.target[1]);
    const LevelGraph* bottom = &graph;
    while (bottom->num_nodes > nodes) {
      const Weight max_weight = std::max(bottom->max_node_weight, lightest / 12);
      Level next;
      if (!coarsener_.run(*bottom, max_weight, hash(key, 2, level_.size()), next.coarse, next.graph)) break;
      level_.push_back(std::move(next));
      bottom = &level_.back().graph;
    }
    return level_.size();
  }

  // Takes levels away until `keep` are left, refining on each; `finest` lies above the first.
  void uncoarsen(const LevelGraph& finest, const BisectionTargets& targets, std::size_t keep,
                 Bisection& state) {
    while (level_.size() > keep) {
      const Array<NodeId>& coarse = level_.back().coarse;
      projected_.resize(coarse.size());
      for (std::size_t v = 0; v < coarse.size(); ++v) projected_[v] = state.side[coarse[v]];
      std::swap(projected_, state.side);
      level_.pop_back();
      refine_.run(level_.empty() ? finest : level_.back().graph, targets, {}, state);
    }
  }

  void once(const LevelGraph& graph, const BisectionTargets& targets, const Options& options,
            std::uint64_t key, Bisection& state) {
    const std::size_t above = level_.size();
    coarsen(graph, targets, kCoarsest, key);
    construct(level_.empty() ? graph : level_.back().graph, targets, options, key, state);
    uncoarsen(graph, targets, above, state);
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

  SerialCoarsener coarsener_;
  FmBisection refine_;
  RegionGrowing growing_;
  std::deque<Level> level_;  // below the graph, finest first
  Bisection trial_, middle_, attempt_;
  Array<std::uint8_t> projected_;
};

}  // namespace tessera::detail::multilevel
