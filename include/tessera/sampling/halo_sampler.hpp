// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/mini_batch.hpp"
#include "tessera/sampling/neighbor_coefficients.hpp"
#include "tessera/sampling/neighbor_relabel.hpp"

namespace tessera {

/// What a batch computes of its halo, beside pulling it.
enum class HaloRows {
  none,        ///< nothing: GNNAutoScale
  from_batch,  ///< their rows over the batch's nodes and themselves: GraphFM's momentum
  all          ///< their rows over the batch and the halo, and their losses: LMC
};

struct HaloSamplerOptions {
  std::size_t clusters_per_batch = 1;  ///< q: parts joined into one batch
  HaloRows halo_rows = HaloRows::none;
};

/// Batches for histories: a few parts of a partition with every entry into them, and behind them the nodes outside
/// that these entries come from (the halo), whose deeper rows a history supplies.
///
///     HaloSampler sampler(parts, {.clusters_per_batch = 2});
///     HistoryModel model(GcnNet<>({...}), data.num_nodes());
///
/// Nothing is dropped: the rows of a batch are those of the whole graph's adjacency, coefficients bit for bit and in
/// the same order. Each part is in one batch per epoch, drawn as by ClusterSampler.
/// Shapes   parts [N]; one block [B, B + H] that serves every layer: rows are the batch's nodes ascending, sources the
///          same and then the halo in the order of first appearance. With HaloRows::all, targets are the batch's nodes
///          and then the halo, and each weighs (batches per epoch) / (targets of the graph)
/// Cost     sample: work O(entries), twice with halo rows plus the degrees of the halo; holds 17 bytes per node;
///          steady state allocates nothing
/// Errors   as ClusterSampler
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
/// Source   Fey et al., GNNAutoScale, ICML 2021, algorithm 1; Shi et al., LMC, ICLR 2023, section 4; Yu et al.,
///          GraphFM, ICML 2022, section 3.2
class HaloSampler {
 public:
  using Options = HaloSamplerOptions;

  /// Scratch of one caller.
  struct Workspace {
    ClusterSampler::Workspace parts;
    GraphCoefficients coefficients;
    FirstAppearanceIds ids;
    TransposeWorkspace transpose;
  };

  /// Errors   ConfigError if clusters_per_batch is 0; IndexError as ClusterSampler
  explicit HaloSampler(std::span<const PartId> parts, Options options = {})
      : parts_(parts, {.clusters_per_batch = options.clusters_per_batch}), halo_rows_(options.halo_rows) {}

  std::size_t num_parts() const noexcept { return parts_.num_parts(); }
  std::size_t num_batches(const SampleSource& source) const noexcept { return parts_.num_batches(source); }
  bool same_every_epoch() const noexcept { return parts_.clusters_per_batch() >= parts_.num_parts(); }

  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    parts_.batch_nodes(source, key, workspace.parts, batch.node_id);
    batch.clear_optional();
    workspace.coefficients.prepare(source.graph, spec);
    const std::size_t rows = batch.node_id.size();
    batch.blocks.resize(1);
    Block& block = batch.blocks[0];
    fill_rows(source.graph, batch.node_id, workspace, block);
    number(rows, source.graph.num_rows, workspace, batch);
    finish(source.symmetric && workspace.coefficients.rule().keeps_symmetry() && block.num_src == rows,
           workspace, block);

    batch.halo_begin = rows;
    batch.halo_targets = halo_rows_ == HaloRows::all;
    fill_halo(source.graph, rows, workspace, batch);
    batch.num_targets = rows + (batch.halo_targets ? batch.halo.num_dst : 0);
    if (!batch.halo_targets) return;
    const double batches = static_cast<double>(num_batches(source));
    const auto weight =
        static_cast<float>(batches / static_cast<double>(std::max<std::size_t>(1, source.targets.size())));
    batch.loss_weight.assign(batch.num_targets, weight);
  }

 private:
  /// The rows of the batch as the whole graph has them, columns by global id.
  static void fill_rows(CsrView<> graph, std::span<const NodeId> nodes, const Workspace& workspace,
                        Block& block) {
    const GraphCoefficients& c = workspace.coefficients;
    const std::size_t n = nodes.size();
    block.num_dst = n;
    block.row_ptr.resize(n + 1);
    parallel_for(n, 2048, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) block.row_ptr[i] = graph.degree(nodes[i]) + (c.adds_loop(nodes[i]) ? 1u : 0u);
    });
    block.row_ptr[n] = 0;
    const std::size_t entries = parallel_exclusive_scan(block.row_ptr.span());
    block.col.clear();  // so that growing moves nothing
    block.edge_id.clear();
    block.weight.clear();
    block.col.resize(entries);
    block.edge_id.resize(entries);
    block.weight.resize(c.weighted() ? entries : 0);
    parallel_for(n, 256, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        fill_row(graph, nodes[i], c, block, block.row_ptr[i], [](NodeId) { return true; });
      }
    });
  }

  /// Writes the entries of one node that `keep` accepts, its added loop where it belongs; returns their number.
  template <class Keep>
  static std::size_t fill_row(CsrView<> graph, NodeId node, const GraphCoefficients& c, Block& block,
                              std::size_t begin, Keep&& keep) {
    std::size_t at = begin;
    const auto put = [&](NodeId j, EdgeId parent) {
      block.col[at] = j;
      block.edge_id[at] = parent;
      if (!block.weight.empty()) block.weight[at] = parent == kNoEdge ? c.loop(node) : c.entry(node, parent);
      ++at;
    };
    bool missing_loop = c.adds_loop(node);
    for (EdgeId e = graph.begin(node); e < graph.end(node); ++e) {
      const NodeId j = graph.col[e];
      if (missing_loop && j > node) {
        put(node, kNoEdge);
        missing_loop = false;
      }
      if (keep(j)) put(j, e);
    }
    if (missing_loop) put(node, kNoEdge);
    return at - begin;
  }

  /// Gives every column its place: the batch's nodes, then the halo as it appears.
  static void number(std::size_t rows, std::size_t num_nodes, Workspace& workspace, MiniBatch& batch) {
    Block& block = batch.blocks[0];
    workspace.ids.begin(num_nodes);
    // Appending replaces the list by numbers, which the pulled list is free to hold for a moment.
    block.pulled.resize(rows);
    std::copy(batch.node_id.begin(), batch.node_id.end(), block.pulled.begin());
    batch.node_id.clear();
    batch.node_id.reserve(rows + rows / 2);
    workspace.ids.append(block.pulled.span(), batch.node_id);
    workspace.ids.append(block.col.span(), batch.node_id);
    block.num_src = batch.node_id.size();
    block.pulled.resize(block.num_src - rows);
    std::copy(batch.node_id.begin() + rows, batch.node_id.end(), block.pulled.begin());
  }

  static void finish(bool symmetric, Workspace& workspace, Block& block) {
    block.symmetric = symmetric;
    if (symmetric) {
      block.transpose_row_ptr.clear();
      block.transpose_col.clear();
      block.transpose_weight.clear();
      block.transpose_edge.clear();
      return;
    }
    transpose_into({block.num_dst, block.num_src, block.row_ptr, block.col, block.weight},
                   workspace.transpose, block.transpose_row_ptr, block.transpose_col, block.transpose_weight,
                   block.transpose_edge);
  }

  /// The rows of the halo, as far as the batch shows them.
  void fill_halo(CsrView<> graph, std::size_t rows, Workspace& workspace, MiniBatch& batch) const {
    Block& block = batch.halo;
    const std::span<const NodeId> halo = batch.blocks[0].pulled;
    const std::size_t h = halo_rows_ == HaloRows::none ? 0 : halo.size();
    block.num_dst = h;
    block.num_src = h == 0 ? 0 : h + rows;
    batch.halo_share.resize(h);
    if (h == 0) return;
    const GraphCoefficients& c = workspace.coefficients;
    const FirstAppearanceIds& ids = workspace.ids;
    const bool from_batch = halo_rows_ == HaloRows::from_batch;
    const auto kept = [&](NodeId node, NodeId j) {
      return ids[j] != kNoNode && (!from_batch || ids[j] < rows || j == node);
    };
    block.row_ptr.resize(h + 1);
    parallel_for(h, 256, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const NodeId node = halo[i];
        std::size_t count = c.adds_loop(node) ? 1 : 0;
        const std::size_t all = count + graph.degree(node);
        for (const NodeId j : graph.neighbors(node)) count += kept(node, j) ? 1u : 0u;
        block.row_ptr[i] = count;
        batch.halo_share[i] =  // a row without entries is whole
            all == 0 ? 1.0f : static_cast<float>(static_cast<double>(count) / static_cast<double>(all));
      }
    });
    block.row_ptr[h] = 0;
    const std::size_t entries = parallel_exclusive_scan(block.row_ptr.span());
    block.col.resize(entries);
    block.edge_id.resize(entries);
    block.weight.resize(c.weighted() ? entries : 0);
    parallel_for(h, 256, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const NodeId node = halo[i];
        const std::size_t at = block.row_ptr[i];
        const std::size_t count =
            fill_row(graph, node, c, block, at, [&](NodeId j) { return kept(node, j); });
        // The halo comes first among its sources.
        for (std::size_t e = at; e < at + count; ++e) {
          const std::size_t place = ids[block.col[e]];
          block.col[e] = static_cast<NodeId>(place < rows ? place + h : place - rows);
        }
      }
    });
    finish(false, workspace, block);
  }

  ClusterSampler parts_;
  HaloRows halo_rows_;
};

}  // namespace tessera
