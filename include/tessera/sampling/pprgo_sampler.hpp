// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/mini_batch.hpp"
#include "tessera/sampling/neighbor_blocks.hpp"
#include "tessera/sampling/ppr_table.hpp"

namespace tessera {

/// PPRGo's batches: each target with the nodes that matter most to it, joined by one block of PageRank
/// scores.
///
///     PprTable table = ppr_table(graph, data.nodes(Role::train), {.k = 32});
///     PprgoSampler sampler(std::move(table), graph.num_nodes(), {.batch_size = 512});
///
/// Nodes that several targets want are there once. The coefficients are the table's scores: the spec of the
/// model, which prepares the graph for inference, is not used.
/// Shapes   a batch is one block [targets, n]; its first sources are the targets
/// Cost     sample: work O(targets k); holds 12 bytes per node; steady state allocates nothing
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
/// Source   Bojchevski et al., Scaling graph neural networks with approximate PageRank, KDD 2020; differs:
///          batches are shuffled every epoch, and shared neighbours pass through the network once
class PprgoSampler {
 public:
  using Options = TargetBatches;

  struct Workspace {
    FirstAppearanceIds ids;
    TargetOrder order;
    TransposeWorkspace transpose;
    Array<NodeId> target_row;
  };

  /// Errors   ConfigError if batch_size is 0; IndexError if the table names a node that is not in the graph
  PprgoSampler(PprTable table, std::size_t num_nodes, Options options = {.batch_size = 512, .shuffle = true})
      : options_(options), table_(std::move(table)), rows_(num_nodes, table_) {
    check_batch_size(options.batch_size, "PprgoSampler");
    for (const NodeId j : table_.node) {
      if (j < num_nodes) continue;
      throw IndexError(message("PprgoSampler: the table holds node ", j, ", want less than ", num_nodes));
    }
  }

  const PprTable& table() const noexcept { return table_; }
  std::size_t num_batches(const SampleSource& source) const noexcept {
    return options_.count(source.targets.size());
  }

  /// Errors   IndexError if key.batch is num_batches() or more, or a target has no row in the table;
  ///          ShapeError if the graph has another number of nodes than the table was made for
  void sample(const SampleSource& source, const AggregationSpec&, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    if (source.graph.num_rows != rows_.num_nodes()) {
      throw ShapeError(message("PprgoSampler::sample: source.graph has ", source.graph.num_rows,
                               " nodes, want ", rows_.num_nodes()));
    }
    const auto targets = workspace.order.batch(source, options_, key, "PprgoSampler");
    check_seeds(targets, source.graph.num_rows, "PprgoSampler");
    for (const NodeId target : targets) rows_(target, "PprgoSampler");
    workspace.ids.begin(source.graph.num_rows);
    workspace.target_row.resize(targets.size());
    std::copy(targets.begin(), targets.end(), workspace.target_row.begin());
    batch.node_id.clear();
    workspace.ids.append(workspace.target_row.span(), batch.node_id);
    batch.num_targets = batch.node_id.size();
    batch.clear_optional();
    batch.blocks.resize(1);
    fill(workspace, batch, batch.blocks[0]);
    batch.halo_begin = batch.node_id.size();
  }

 private:
  void fill(Workspace& workspace, MiniBatch& batch, Block& block) const {
    const std::size_t n = batch.num_targets;
    block.num_dst = n;
    block.symmetric = false;
    detail::resize_roomy(block.row_ptr, n + 1);
    for (std::size_t i = 0; i < n; ++i) block.row_ptr[i] = table_.nodes(row_of(batch, i)).size();
    block.row_ptr[n] = 0;
    const std::size_t entries = parallel_exclusive_scan(block.row_ptr.span());
    detail::resize_roomy(block.col, entries);
    detail::resize_roomy(block.weight, entries);
    detail::resize_roomy(block.edge_id, entries);
    parallel_for(n, 64, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const std::size_t row = row_of(batch, i);
        const std::size_t at = block.row_ptr[i];
        std::copy(table_.nodes(row).begin(), table_.nodes(row).end(), block.col.begin() + at);
        std::copy(table_.scores(row).begin(), table_.scores(row).end(), block.weight.begin() + at);
        std::fill(block.edge_id.begin() + at, block.edge_id.begin() + block.row_ptr[i + 1], kNoEdge);
      }
    });
    batch.node_id.reserve(n + block.col.capacity());
    workspace.ids.append(block.col.span(), batch.node_id);
    block.num_src = batch.node_id.size();
    workspace.transpose.reserve(block.col.capacity());
    block.transpose_row_ptr.reserve(batch.node_id.capacity() + 1);
    block.transpose_col.reserve(block.col.capacity());
    block.transpose_edge.reserve(block.col.capacity());
    block.transpose_weight.reserve(block.col.capacity());
    transpose_into({n, block.num_src, block.row_ptr, block.col, block.weight}, workspace.transpose,
                   block.transpose_row_ptr, block.transpose_col, block.transpose_weight,
                   block.transpose_edge);
  }

  std::size_t row_of(const MiniBatch& batch, std::size_t i) const {
    return rows_(batch.node_id[i], "PprgoSampler");
  }

  Options options_;
  PprTable table_;
  PprRows rows_;
};

}  // namespace tessera
