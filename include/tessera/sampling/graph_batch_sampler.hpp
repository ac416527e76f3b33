// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/induced_block.hpp"
#include "tessera/sampling/mini_batch.hpp"
#include "tessera/sampling/neighbor_targets.hpp"

namespace tessera {

/// Batches of whole graphs for tasks about graphs: the nodes of a few graphs side by side, no link between graphs,
/// and a read-out that lists each graph's nodes.
///
///     GraphBatchSampler sampler(view.node_ptr, {.batch_size = 32});
///
/// The source's targets are graphs; every one of them is in exactly one batch per epoch.
/// Shapes   node_ptr [G + 1]; a batch is one block over its nodes, graph after graph, a read-out
///          [graphs, nodes], and the graphs' ids as target_id
/// Cost     sample: work O(targets + nodes and entries of the batch); holds 8 bytes per graph; steady state
///          allocates nothing
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
class GraphBatchSampler {
 public:
  struct Workspace {
    InducedBlockWorkspace block;
    TargetOrder order;
  };

  /// Errors   ConfigError if batch_size is 0 or node_ptr is empty or descends
  explicit GraphBatchSampler(std::span<const std::size_t> node_ptr,
                             const TargetBatches& batches = {.batch_size = 32})
      : node_ptr_(Array<std::size_t>::copy_of(node_ptr)), batches_(batches) {
    check_batch_size(batches.batch_size, "GraphBatchSampler");
    if (node_ptr.empty() || node_ptr[0] != 0 || !std::is_sorted(node_ptr.begin(), node_ptr.end())) {
      throw ConfigError("GraphBatchSampler: node_ptr is empty or descends, want 0 = p[0] <= ... <= p[G] = N");
    }
  }

  std::size_t num_graphs() const noexcept { return node_ptr_.size() - 1; }
  std::size_t num_batches(const SampleSource& source) const noexcept {
    return batches_.count(source.targets.size());
  }

  /// Errors   ShapeError if the source has another number of nodes than node_ptr; IndexError if key.batch is
  ///          num_batches() or more, or a target is no graph; otherwise as induced_block
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    if (source.graph.num_rows != node_ptr_[num_graphs()]) {
      throw ShapeError(message("GraphBatchSampler::sample: source.graph has ", source.graph.num_rows,
                               " nodes, want ", node_ptr_[num_graphs()], " as node_ptr ends with"));
    }
    batch.clear_optional();
    choose_graphs(source, key, workspace, batch);
    join_graphs(batch);
    batch.blocks.resize(1);
    induced_block(source.graph, source.symmetric, batch.node_id, spec, workspace.block, batch.blocks[0]);
    batch.num_targets = batch.target_id.size();
    batch.halo_begin = batch.node_id.size();
  }

 private:
  // Ascending within the batch, so that nodes ascend too.
  void choose_graphs(const SampleSource& source, BatchKey key, Workspace& workspace, MiniBatch& batch) const {
    const std::span<const NodeId> chosen =
        workspace.order.batch(source, batches_, key, "GraphBatchSampler::sample");
    batch.target_id.resize(chosen.size());
    std::copy(chosen.begin(), chosen.end(), batch.target_id.begin());
    std::sort(batch.target_id.begin(), batch.target_id.end());
    const NodeId last = batch.target_id[chosen.size() - 1];
    if (last >= num_graphs()) {
      throw IndexError(
          message("GraphBatchSampler::sample: a target is graph ", last, ", want less than ", num_graphs()));
    }
  }

  void join_graphs(MiniBatch& batch) const {
    Block& readout = batch.readout;
    batch.node_id.clear();
    readout.row_ptr.clear();
    readout.transpose_col.clear();
    readout.row_ptr.push_back(0);
    for (std::size_t g = 0; g < batch.target_id.size(); ++g) {
      for (std::size_t i = node_ptr_[batch.target_id[g]]; i < node_ptr_[batch.target_id[g] + 1]; ++i) {
        batch.node_id.push_back(static_cast<NodeId>(i));
        readout.transpose_col.push_back(static_cast<NodeId>(g));
      }
      readout.row_ptr.push_back(batch.node_id.size());
    }
    const std::size_t n = batch.node_id.size();
    readout.num_dst = batch.target_id.size();
    readout.num_src = n;
    readout.symmetric = false;
    readout.weight.clear();
    readout.transpose_weight.clear();
    readout.edge_id.clear();
    readout.col.resize(n);
    readout.transpose_row_ptr.resize(n + 1);
    readout.transpose_edge.resize(n);
    std::iota(readout.col.begin(), readout.col.end(), NodeId{0});
    std::iota(readout.transpose_row_ptr.begin(), readout.transpose_row_ptr.end(), EdgeId{0});
    std::iota(readout.transpose_edge.begin(), readout.transpose_edge.end(), EdgeId{0});
  }

  Array<std::size_t> node_ptr_;
  TargetBatches batches_;
};

}  // namespace tessera
