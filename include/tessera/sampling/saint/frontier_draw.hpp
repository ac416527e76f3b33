// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/sampling/saint/concepts.hpp"

namespace tessera {

struct SaintFrontierOptions {
  std::size_t nodes = 8000;        ///< n: drawn in all, the roots among them
  std::size_t roots = 2500;        ///< r: the size of the frontier; drawn uniformly, with replacement
  std::size_t degree_clip = 3000;  ///< a node of the frontier moves in proportion to its degree, up to this
};

namespace detail {

/// Whole-numbered weights that can be changed, and drawn from in proportion: a Fenwick tree.
class FenwickWeights {
 public:
  /// `count` weights of 0.
  void assign(std::size_t count) {
    tree_.assign(count + 1, 0);
    total_ = 0;
    top_ = count == 0 ? 0 : std::bit_floor(count);
  }
  void add(std::size_t i, std::uint64_t amount) {  // modulo 2^64, so it subtracts as well
    total_ += amount;
    for (std::size_t k = i + 1; k < tree_.size(); k += k & (~k + 1)) tree_[k] += amount;
  }
  std::uint64_t total() const noexcept { return total_; }
  /// The position whose share of [0, total()) holds `at`.
  std::size_t find(std::uint64_t at) const noexcept {
    std::size_t position = 0;
    for (std::size_t step = top_; step > 0; step /= 2) {
      if (position + step < tree_.size() && tree_[position + step] <= at) {
        position += step;
        at -= tree_[position];
      }
    }
    return position;
  }

 private:
  Array<std::uint64_t> tree_;
  std::uint64_t total_ = 0;
  std::size_t top_ = 0;
};

}  // namespace detail

/// GraphSAINT's multi-dimensional random walk: a frontier of r roots; n - r times, one of its nodes, chosen in
/// proportion to its degree, steps to a uniform neighbour. The roots and every node stepped to are drawn.
///
/// Roots are targets with neighbours. Where a directed graph leaves no node of the frontier a neighbour, fewer
/// nodes are drawn.
/// Cost     O(n log r), one after the other; 4 bytes per target
/// Errors   ConfigError for no roots, more roots than nodes, a clip of 0, or no target with a neighbour
/// Source   Zeng et al., GraphSAINT, ICLR 2020, algorithm 3 (after Ribeiro & Towsley 2010); differs, as the
///          authors' code does: nodes stepped to are drawn, not those left, and degrees are clipped
class SaintFrontierDraw {
 public:
  using Options = SaintFrontierOptions;
  struct Workspace {
    detail::FenwickWeights weights;
    Array<NodeId> frontier;
  };

  SaintFrontierDraw(const SampleSource& source, const Options& options) : options_(options) {
    detail::check_positive("SaintFrontierDraw", "roots", options.roots);
    detail::check_positive("SaintFrontierDraw", "degree_clip", options.degree_clip);
    detail::check_targets("SaintFrontierDraw", source);
    if (options.roots > options.nodes) {
      throw ConfigError(
          message("SaintFrontierDraw: roots is ", options.roots, ", want at most nodes, ", options.nodes));
    }
    for (const NodeId v : source.targets) {
      if (source.graph.degree(v) > 0) start_.push_back(v);
    }
    if (start_.empty()) {
      throw ConfigError("SaintFrontierDraw: no target has a neighbour, want one to start from");
    }
  }

  std::size_t budget() const noexcept { return options_.nodes; }
  const Options& options() const noexcept { return options_; }
  /// Shows what determines the draws to f(number), for a cache to tell them apart.
  template <class F>
  void visit_options(F&& f) const {
    f(std::uint64_t{4});  // the kind of sampler
    f(static_cast<std::uint64_t>(options_.nodes));
    f(static_cast<std::uint64_t>(options_.roots));
    f(static_cast<std::uint64_t>(options_.degree_clip));
  }

  void draw(const SampleSource& source, BatchKey key, Workspace& workspace, Array<NodeId>& drawn) const {
    const CsrView<> graph = source.graph;
    const RngKey rng_key = make_key(key.seed, key.epoch, Purpose::walk);
    const auto batch = static_cast<std::uint32_t>(key.batch);
    const auto weight = [&](NodeId v) { return std::min(graph.degree(v), options_.degree_clip); };
    Array<NodeId>& frontier = workspace.frontier;
    frontier.resize(options_.roots);
    workspace.weights.assign(options_.roots);
    drawn.clear();
    drawn.resize(options_.nodes);
    for (std::size_t i = 0; i < options_.roots; ++i) {
      CounterRng rng(rng_key, batch, i);
      drawn[i] = frontier[i] = start_[rng.below(start_.size())];
      workspace.weights.add(i, weight(frontier[i]));
    }
    for (std::size_t i = options_.roots; i < options_.nodes; ++i) {
      if (workspace.weights.total() == 0) {
        drawn.resize(i);
        return;
      }
      CounterRng rng(rng_key, batch, i);
      const std::size_t at = workspace.weights.find(rng.below(workspace.weights.total()));
      const NodeId from = frontier[at];
      drawn[i] = frontier[at] = graph.col[graph.begin(from) + rng.below(graph.degree(from))];
      workspace.weights.add(at, weight(frontier[at]) - weight(from));
    }
  }

 private:
  Options options_;
  Array<NodeId> start_;
};

}  // namespace tessera
