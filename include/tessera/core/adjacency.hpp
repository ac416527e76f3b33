// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"

namespace tessera {

/// How the entries of an adjacency become aggregation coefficients. Degrees are counted inside the matrix at
/// hand.
enum class Normalization {
  none,  ///< entries keep their weight, 1 in an unweighted graph (GraphSAGE divides by the number of entries itself)
  symmetric,  ///< 1 / sqrt(d_i d_j), Kipf & Welling 2017
  row         ///< 1 / d_i, Chiang et al. 2019, eq. (10)
};

/// What a layer wants the adjacency to be before it aggregates; samplers and evaluation prepare it.
struct AggregationSpec {
  Normalization normalization = Normalization::symmetric;
  bool self_loops =
      true;  ///< insert a diagonal entry of weight 1 where there is none, before degrees are taken
  float diag_lambda =
      0.0f;  ///< adds lambda * diagonal after normalising (Cluster-GCN eq. 11); needs self_loops

  friend constexpr bool operator==(const AggregationSpec&, const AggregationSpec&) = default;
};

/// A prepared adjacency as layers see it: the matrix, and its transpose for backward.
///
/// Shapes   forward [N_dst, N_src], transpose [N_src, N_dst]; X_dst is the first N_dst rows of X_src
/// `transpose_edge[e]` is the position in `forward` of entry e of `transpose`; it may be empty where no layer
/// needs it.
/// `edge_features` [R, D] are the numbers the data keep of links, no rows where there are none: entry e of `forward`
/// has row edge_id[e], row e where `edge_id` is empty, and zeros for kNoEdge.
struct Adjacency {
  CsrView<> forward;
  CsrView<> transpose;
  std::span<const EdgeId> transpose_edge;
  MatrixView<const float> edge_features{};
  std::span<const EdgeId> edge_id{};
  /// The nodes of the last rows of X_src, where layers after the first take those from a history; else empty.
  std::span<const NodeId> pulled{};

  std::size_t num_dst() const noexcept { return forward.num_rows; }
  std::size_t num_src() const noexcept { return forward.num_cols; }
};

/// What a history wants to know of a batch.
///
/// Shapes   node_id [n]: of the rows of layer 0's input; with B destinations and H = n - B pulled rows, halo
///          [H, H + B]: the rows of the pulled nodes, which come first among its sources, then the batch's;
///          halo_share [H]: how much of each pulled node's row the halo holds
struct HistoryRows {
  std::span<const NodeId> node_id{};
  const Adjacency* halo = nullptr;  ///< null where nothing is computed of the halo
  std::span<const float> halo_share{};
};

/// The adjacencies of one pass, layer 0 first. A stack of one serves every layer (full graph, subgraph
/// samplers). A read-out, where there is one, lists for every target the nodes it is read from.
class AdjacencyStack {
 public:
  AdjacencyStack() = default;
  explicit AdjacencyStack(std::span<const Adjacency> levels, const Adjacency* readout = nullptr,
                          const HistoryRows& rows = {}) noexcept
      : levels_(levels), readout_(readout), rows_(rows) {}

  /// What layer `layer` aggregates over.
  ///
  /// Errors   IndexError if there is no adjacency, or several and none for this layer (a sampler of fewer layers)
  const Adjacency& operator[](std::size_t layer) const {
    if (levels_.size() == 1) return levels_[0];
    if (layer >= levels_.size()) {
      throw IndexError(message("AdjacencyStack: layer is ", layer, ", but the batch brings ", levels_.size(),
                               " blocks, want one for all layers or one for each"));
    }
    return levels_[layer];
  }
  std::size_t size() const noexcept { return levels_.size(); }
  /// [targets, N] after the last layer: whole graphs from their nodes; null in node tasks.
  const Adjacency* readout() const noexcept { return readout_; }
  /// Which nodes the rows are; empty where nobody said.
  const HistoryRows& rows() const noexcept { return rows_; }

 private:
  std::span<const Adjacency> levels_;
  const Adjacency* readout_ = nullptr;
  HistoryRows rows_;
};

}  // namespace tessera
