// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <span>

#include "tessera/core/ids.hpp"

namespace tessera {

/// What stands in for nodes and entries that no counted subgraph held.
enum class SaintUnseen {
  once,    ///< a node counts as seen once, an entry as seen once in one subgraph more than its row's node
  authors  ///< a node as seen 0.1 times; an entry gets the clip if its row's node was seen, else 0.1
};

/// The aggregator normalisation of GraphSAINT as batches apply it: the coefficient of entry u -> v is divided
/// by the probability that u is there when v is.
///
/// Shapes   node [N], edge [E]: how often each was in a subgraph, as counts or as probabilities; empty where
///          nothing is corrected
/// Source   Zeng et al., GraphSAINT, ICLR 2020, section 3.2, alpha_uv = p_uv / p_v; constants of the authors'
///          norm_aggr.pyx
struct SaintCorrection {
  std::span<const float> node{};
  std::span<const float> edge{};
  double clip = 1e4;  ///< largest factor
  SaintUnseen unseen = SaintUnseen::once;

  bool active() const noexcept { return !edge.empty(); }
  /// 1 / alpha of entry e, whose row's node was seen `row` times.
  double operator()(double row, EdgeId e) const noexcept {
    const auto together = static_cast<double>(edge[e]);
    if (together > 0) return std::min(row / together, clip);
    if (unseen == SaintUnseen::once) return std::min(row + 1, clip);
    return row > 0 ? clip : 0.1;
  }
};

}  // namespace tessera
