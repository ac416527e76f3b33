// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/sampling/saint/concepts.hpp"

namespace tessera {

struct SaintWalkOptions {
  std::size_t roots = 3000;  ///< r: drawn uniformly from the targets, with replacement
  std::size_t length = 2;    ///< h: steps of each walk; 0 keeps the roots alone
};

/// GraphSAINT's random-walk sampler: r walks of h steps, each to a uniform neighbour. A walk at a node without
/// neighbours stays there. The roots and all nodes on the way are drawn.
///
/// Cost     O(r h), walks in groups so that their cache misses overlap; no table
/// Errors   ConfigError for no roots, no target or more than 2^32 drawn nodes
/// Source   Zeng et al., GraphSAINT, ICLR 2020, algorithm 2; as published
class SaintWalkDraw {
 public:
  using Options = SaintWalkOptions;
  struct Workspace {};

  SaintWalkDraw(const SampleSource& source, const Options& options) : options_(options) {
    detail::check_positive("SaintWalkDraw", "roots", options.roots);
    detail::check_targets("SaintWalkDraw", source);
    if (options.length >= kNoNode / options.roots) {
      throw ConfigError(message("SaintWalkDraw: ", options.roots, " walks of length ", options.length,
                                " draw 2^32 nodes or more"));
    }
  }

  std::size_t budget() const noexcept { return options_.roots * std::max<std::size_t>(1, options_.length); }
  const Options& options() const noexcept { return options_; }
  /// Shows what determines the draws to f(number), for a cache to tell them apart.
  template <class F>
  void visit_options(F&& f) const {
    f(std::uint64_t{3});  // the kind of sampler
    f(static_cast<std::uint64_t>(options_.roots));
    f(static_cast<std::uint64_t>(options_.length));
  }

  void draw(const SampleSource& source, BatchKey key, Workspace&, Array<NodeId>& drawn) const {
    const std::size_t width = options_.length + 1;
    drawn.clear();
    drawn.resize(options_.roots * width);
    const RngKey rng_key = make_key(key.seed, key.epoch, Purpose::walk);
    parallel_for(options_.roots, 8 * kGroup, [&](std::size_t begin, std::size_t end) {
      for (std::size_t first = begin; first < end; first += kGroup) {
        const std::size_t count = std::min(kGroup, end - first);
        walk(source, rng_key, static_cast<std::uint32_t>(key.batch), first, count,
             drawn.data() + first * width);
      }
    });
  }

 private:
  static constexpr std::size_t kGroup = 32;  // walks that advance together

  /// Walks first, first + 1, ...; `path` gets `length + 1` nodes for each.
  void walk(const SampleSource& source, RngKey key, std::uint32_t batch, std::size_t first, std::size_t count,
            NodeId* path) const {
    const CsrView<> graph = source.graph;
    const std::size_t width = options_.length + 1;
    std::array<CounterRng, kGroup> rng = make_streams(key, batch, first);
    std::array<EdgeId, kGroup> entry{};
    for (std::size_t w = 0; w < count; ++w) {
      path[w * width] = source.targets[rng[w].below(source.targets.size())];
      __builtin_prefetch(&graph.row_ptr[path[w * width]]);
    }
    for (std::size_t step = 0; step + 1 < width; ++step) {
      for (std::size_t w = 0; w < count; ++w) {
        const NodeId at = path[w * width + step];
        entry[w] = graph.begin(at);
        if (graph.begin(at) == graph.end(at)) continue;
        entry[w] += rng[w].below(graph.degree(at));
        __builtin_prefetch(&graph.col[entry[w]]);
      }
      for (std::size_t w = 0; w < count; ++w) {
        const NodeId at = path[w * width + step];
        const NodeId next = graph.begin(at) == graph.end(at) ? at : graph.col[entry[w]];
        path[w * width + step + 1] = next;
        __builtin_prefetch(&graph.row_ptr[next]);
      }
    }
  }

  static std::array<CounterRng, kGroup> make_streams(RngKey key, std::uint32_t batch, std::size_t first) {
    return [&]<std::size_t... W>(std::index_sequence<W...>) {
      return std::array<CounterRng, kGroup>{CounterRng(key, batch, first + W)...};
    }
    (std::make_index_sequence<kGroup>{});
  }

  Options options_;
};

}  // namespace tessera
