// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/sampling/concepts.hpp"

namespace tessera {

/// How the nodes of one GraphSAINT subgraph are drawn. A model is made for one source: `D(source, options)`.
///
/// Semantics no compiler can check: `draw` is a pure function of (source, key) and the options for any number
/// of threads, writes nodes in any order, repeated or not, and needs no table beyond what the constructor
/// made; `budget` is what an epoch counts a subgraph as: it has ceil(targets / budget) of them.
template <class D>
concept SubgraphDraw = requires(const D& draws, const SampleSource& source, BatchKey key,
                                typename D::Workspace& workspace, Array<NodeId>& drawn,
                                const typename D::Options& options) {
  { D(source, options) } -> std::same_as<D>;
  { draws.budget() } -> std::convertible_to<std::size_t>;
  draws.draw(source, key, workspace, drawn);
  draws.visit_options([](std::uint64_t) {});
};

/// The epoch number that subgraphs counted before training are keyed by; no training reaches it.
inline constexpr std::uint64_t kPresampleEpoch = (std::uint64_t{1} << 56) - 1;

namespace detail {

/// Draws handled by one block of a parallel loop.
inline constexpr std::size_t kDrawGrain = 1024;

inline void check_targets(const char* who, const SampleSource& source) {
  if (source.targets.empty()) throw ConfigError(message(who, ": source.targets is empty, want a target"));
  if (source.targets.back() >= source.graph.num_rows) {
    throw IndexError(message(who, ": source.targets ends with ", source.targets.back(), ", want less than ",
                             source.graph.num_rows));
  }
}

}  // namespace detail

}  // namespace tessera
