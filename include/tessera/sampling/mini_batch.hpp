// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"

namespace tessera {

/// One bipartite level of a batch: who aggregates from whom, ready for a layer and for its backward.
///
/// Shapes   row_ptr [N_dst + 1], col [E], weight [E] or empty, edge_id [E]; destinations are the first N_dst
/// sources A symmetric block is its own transpose and leaves the `transpose_*` arrays empty.
struct Block {
  std::size_t num_dst = 0;
  std::size_t num_src = 0;
  Array<EdgeId> row_ptr;
  Array<NodeId> col;
  Array<float> weight;
  Array<EdgeId> edge_id;  ///< position of each entry in the parent graph; kNoEdge for inserted self loops
  bool symmetric = false;
  Array<EdgeId> transpose_row_ptr;
  Array<NodeId> transpose_col;
  Array<float> transpose_weight;
  Array<EdgeId> transpose_edge;
  Array<NodeId>
      pulled;  ///< nodes of the last sources, where layers after the first take those from a history

  Adjacency adjacency() const noexcept {
    const CsrView<> forward{num_dst, num_src, row_ptr, col, weight};
    if (symmetric) return {.forward = forward, .transpose = forward, .transpose_edge = {}, .pulled = pulled};
    return {.forward = forward,
            .transpose = {num_src, num_dst, transpose_row_ptr, transpose_col, transpose_weight},
            .transpose_edge = transpose_edge,
            .pulled = pulled};
  }
};

/// The one currency between samplers and models. Its arrays keep their blocks from batch to batch.
///
/// Shapes   node_id [n]: the global id of each local row of layer 0's input; the first num_targets rows are
/// the output
///          nodes in the order asked for (whole-subgraph samplers: every node, ascending, num_targets = n)
///          loss_weight [num_targets]: the sum of weight times loss stands for the mean loss over all
///          targets; or empty for the mean over the labelled targets of the batch
struct MiniBatch {
  std::vector<Block> blocks;  ///< blocks[l] serves layer l; a single block serves every layer
  Array<NodeId> node_id;
  std::size_t num_targets = 0;
  Array<float> loss_weight;
  std::size_t halo_begin =
      0;  ///< rows [halo_begin, n) take their deeper values from a history; n without one
  Block
      halo;  ///< [H, H + B]: rows of the pulled nodes themselves, sources pulled nodes first; their outputs are
             ///< targets behind the batch's own. No rows where nothing is computed of the halo
  Array<float> halo_share;    ///< [H]: how much of each pulled node's row `halo` holds
  bool halo_targets = false;  ///< the rows of `halo` are targets too
  Block readout;              ///< [num_targets, n]: the nodes each target is read from; no rows in node tasks
  Array<NodeId> target_id;    ///< [num_targets]: which graph each target is; empty where targets are nodes

  std::size_t num_nodes() const noexcept { return node_id.size(); }
  /// Empties what only some samplers fill: loss weights, and all that belongs to histories and to whole graphs. Blocks
  /// of memory are kept.
  void clear_optional() noexcept {
    loss_weight.clear();
    halo.num_dst = 0;
    halo_share.clear();
    halo_targets = false;
    readout.num_dst = 0;
    target_id.clear();
    for (Block& block : blocks) block.pulled.clear();
  }
};

}  // namespace tessera
