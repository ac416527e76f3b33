// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/sampling/saint/concepts.hpp"

namespace tessera {

struct SaintEdgeOptions {
  std::size_t edges = 4000;  ///< m: draws, with replacement; each brings both ends
};

/// GraphSAINT's edge sampler: m undirected edges with replacement, edge {u, v} in proportion to
/// 1 / deg u + 1 / deg v.
///
/// A node drawn uniformly from those with neighbours, then one of its neighbours drawn uniformly, has exactly
/// this distribution: no table over the edges is needed. A loop at v counts 1 / deg v. In a directed graph an
/// entry u -> v counts 1 / deg v. Weights of entries are ignored.
/// Cost     a draw O(1); 4 bytes per node
/// Errors   ConfigError for no draws or a graph without entries
/// Source   Zeng et al., GraphSAINT, ICLR 2020, theorem 3.2 without the data-dependent part
class SaintEdgeDraw {
 public:
  using Options = SaintEdgeOptions;
  struct Workspace {};

  SaintEdgeDraw(const SampleSource& source, const Options& options) : options_(options) {
    detail::check_positive("SaintEdgeDraw", "edges", options.edges);
    for (std::size_t v = 0; v < source.graph.num_rows; ++v) {
      if (source.graph.degree(v) > 0) start_.push_back(static_cast<NodeId>(v));
    }
    if (start_.empty()) throw ConfigError("SaintEdgeDraw: source.graph has no entries, want an edge to draw");
  }

  std::size_t budget() const noexcept { return 2 * options_.edges; }
  const Options& options() const noexcept { return options_; }
  /// Shows what determines the draws to f(number), for a cache to tell them apart.
  template <class F>
  void visit_options(F&& f) const {
    f(std::uint64_t{2});  // the kind of sampler
    f(static_cast<std::uint64_t>(options_.edges));
  }
  /// Nodes with a neighbour, N_+: the total of the edges' weights.
  std::size_t num_starts() const noexcept { return start_.size(); }

  void draw(const SampleSource& source, BatchKey key, Workspace&, Array<NodeId>& drawn) const {
    drawn.clear();
    drawn.resize(2 * options_.edges);
    const RngKey rng_key = make_key(key.seed, key.epoch, Purpose::pick);
    parallel_for(options_.edges, detail::kDrawGrain, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        CounterRng rng(rng_key, static_cast<std::uint32_t>(key.batch), i);
        const NodeId v = start_[rng.below(start_.size())];
        drawn[2 * i] = v;
        drawn[2 * i + 1] = source.graph.col[source.graph.begin(v) + rng.below(source.graph.degree(v))];
      }
    });
  }

 private:
  Options options_;
  Array<NodeId> start_;
};

}  // namespace tessera
