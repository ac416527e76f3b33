// SPDX-License-Identifier: MIT
#pragma once

namespace tessera {

/// What a network does to the rows between a convolution and its activation.
///
/// graph, pair, pair_individual and mean take their statistics from the rows given, in evaluation too: evaluate them
/// by `forward` over the whole graph, not in pieces.
enum class NormKind {
  none,
  layer,            ///< LayerNorm: each row over its features
  batch,            ///< BatchNorm: each column over the batch; running averages outside training
  graph,            ///< GraphNorm: each column over the rows given, less a learned share of its mean
  pair,             ///< PairNorm
  pair_individual,  ///< PairNorm-SI
  mean              ///< subtract_mean
};

/// Whether a kind needs all rows of a graph at once to mean what it says.
constexpr bool norm_spans_rows(NormKind kind) noexcept { return kind >= NormKind::graph; }

}  // namespace tessera
