// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/mini_batch.hpp"
#include "tessera/sampling/neighbor_coefficients.hpp"
#include "tessera/sampling/neighbor_pick.hpp"
#include "tessera/sampling/neighbor_relabel.hpp"
#include "tessera/sampling/neighbor_targets.hpp"

namespace tessera {

struct ControlVariateSamplerOptions {
  std::size_t layers = 2;
  std::size_t fanout = 2;      ///< D: neighbours whose rows are computed, per node and layer
  bool noise_columns = false;  ///< a second column for every computed one, for dropout's noise (CVD)
  TargetBatches batches{};
};

/// VR-GCN's batches: each row computes D of its neighbours and takes all of them from a history, with coefficients
/// that make the sum an unbiased estimate whatever the history holds:
///
///     z_u = sum over sampled v of P^_uv (h_v - hbar_v)  +  sum over all v of P_uv hbar_v,   P^_uv = P_uv deg(u) / D
///
/// A block says this by its entries alone: sampled columns have coefficient P^, history columns P - P^ where sampled
/// and P elsewhere. So any layer that adds up rows by coefficients runs as it is. The first layer, whose inputs are
/// features, sees all neighbours exactly. A loop that the spec adds is exact.
///
/// With `noise_columns` computed column j has a twin N_l + j for what dropout adds to its row, n_v = h_v - mu_v, with
/// coefficients that keep the noise's variance that of the full sum (CVD; ControlVariateDropout fills the rows):
///
///     z_u = sum over sampled v of [ P^_uv (mu_v - mubar_v) + sqrt(deg(u) / D) P_uv n_v ]  +  sum over all v of P_uv mubar_v
///
/// Shapes   blocks[l] [N_l+1, N_l + H_l]: its destinations are the first of its computed sources, the history columns
///          are its last; blocks[0] has none. With noise columns [N_l+1, 2 N_l + H_l] for l > 0
/// Cost     sample: work O(sum of the degrees of the computed rows); computed rows grow by D + 1 per layer; holds 25
///          bytes per node of the graph
/// Errors   ConfigError for no layers, a fanout of 0, or a spec without coefficients (mean and attention layers divide
///          by what they see themselves)
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
/// Source   Chen, Zhu & Song, Stochastic training of graph convolutional networks with variance reduction, ICML 2018,
///          eq. (5); CVD section 4.3. Differs without noise columns: dropout falls on computed and history rows alike
class ControlVariateSampler {
 public:
  using Options = ControlVariateSamplerOptions;

  /// Scratch of one caller; remembers the order of targets in the epoch at hand.
  struct Workspace {
    TargetOrder order;
    GraphCoefficients coefficients;
    FirstAppearanceIds computed;
    FirstAppearanceIds pulled;
    TransposeWorkspace transpose;
    Array<NodeId> seeds;
    Array<std::uint32_t> step;
    Array<NodeId> computed_entries;  ///< of each row, before those of its history
  };

  explicit ControlVariateSampler(const Options& options) : options_(options) {
    check_batch_size(options.batches.batch_size, kName);
    if (options.layers == 0) throw ConfigError("ControlVariateSampler: layers is 0, want at least 1");
    if (options.fanout == 0) {
      throw ConfigError(
          "ControlVariateSampler: fanout is 0, want at least 1: what is never computed is never learnt");
    }
  }

  std::size_t num_layers() const noexcept { return options_.layers; }
  std::size_t num_batches(const SampleSource& source) const noexcept {
    return options_.batches.count(source.targets.size());
  }

  /// Errors   IndexError if key.batch is num_batches() or more, or a target is no node
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    if (spec.normalization == Normalization::none) {
      throw ConfigError(
          "ControlVariateSampler: the model's layers take no coefficients (normalization is none), and "
          "histories "
          "are corrected by coefficients; use a GCN, GCNII or APPNP");
    }
    const std::span<const NodeId> targets = workspace.order.batch(source, options_.batches, key, kName);
    check_seeds(targets, source.graph.num_rows, kName);
    workspace.coefficients.prepare(source.graph, spec);
    workspace.computed.begin(source.graph.num_rows);
    workspace.seeds.resize(targets.size());
    std::copy(targets.begin(), targets.end(), workspace.seeds.begin());
    batch.node_id.clear();
    workspace.computed.append(workspace.seeds.span(), batch.node_id);
    batch.num_targets = batch.node_id.size();
    batch.clear_optional();
    batch.blocks.resize(options_.layers);
    for (std::size_t l = options_.layers; l-- > 0;) {
      fill(source.graph, key, l, workspace, batch);
      number(source.graph.num_rows, l > 0 && options_.noise_columns, workspace, batch, batch.blocks[l]);
    }
    batch.halo_begin = batch.node_id.size();
  }

 private:
  static constexpr const char* kName = "ControlVariateSampler";

  /// How the entries of one row lie: its loop, the sampled neighbours, all of them from the history, then noise.
  struct RowPlan {
    std::size_t degree, loop, sampled, history;
    bool noise;
    std::size_t size() const noexcept { return (noise ? 2 : 1) * (loop + sampled) + history; }
  };
  RowPlan plan(CsrView<> graph, const Workspace& workspace, std::size_t layer, NodeId node) const noexcept {
    const std::size_t degree = graph.degree(node);
    const std::size_t sampled = layer == 0 ? degree : std::min(degree, options_.fanout);
    return {degree, workspace.coefficients.adds_loop(node) ? std::size_t{1} : 0, sampled,
            sampled == degree ? 0 : degree, options_.noise_columns && layer > 0};
  }

  /// The forward half of a block, columns by global id.
  void fill(CsrView<> graph, BatchKey key, std::size_t layer, Workspace& workspace, MiniBatch& batch) const {
    Block& block = batch.blocks[layer];
    const std::span<const NodeId> rows = batch.node_id;
    block.num_dst = rows.size();
    block.symmetric = false;
    block.row_ptr.resize(rows.size() + 1);
    workspace.computed_entries.resize(rows.size());
    parallel_for(rows.size(), 1024, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const RowPlan row = plan(graph, workspace, layer, rows[i]);
        block.row_ptr[i] = row.size();
        workspace.computed_entries[i] = static_cast<NodeId>(row.loop + row.sampled);
      }
    });
    block.row_ptr[rows.size()] = 0;
    const std::size_t entries = parallel_exclusive_scan(block.row_ptr.span());
    block.col.resize(entries);
    block.edge_id.resize(entries);
    block.weight.resize(entries);
    workspace.step.resize(entries);
    const RngKey rng_key = make_key(key.seed, key.epoch, Purpose::pick);
    parallel_for(rows.size(), 64, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        CounterRng rng(rng_key, static_cast<std::uint32_t>(key.batch), std::uint64_t{layer} << 32 | rows[i]);
        fill_row(graph, rows[i], plan(graph, workspace, layer, rows[i]), rng, block.row_ptr[i], workspace,
                 block);
      }
    });
  }

  static void fill_row(CsrView<> graph, NodeId node, const RowPlan& row, CounterRng& rng, std::size_t at,
                       Workspace& workspace, Block& block) {
    fill_rows_and_history(graph, node, row, rng, at, workspace, block);
    if (!row.noise) return;
    // R P of a sampled entry becomes sqrt(R) P; loops are exact.
    const std::size_t computed = row.loop + row.sampled;
    const double ratio =
        row.history == 0 ? 1.0 : static_cast<double>(row.degree) / static_cast<double>(row.sampled);
    const auto shrink = static_cast<float>(1 / std::sqrt(ratio));
    for (std::size_t k = 0; k < computed; ++k) {
      const std::size_t twin = at + computed + row.history + k;
      block.col[twin] = block.col[at + k];
      block.edge_id[twin] = block.edge_id[at + k];
      block.weight[twin] = block.weight[at + k] * (k < row.loop ? 1.0f : shrink);
    }
  }

  static void fill_rows_and_history(CsrView<> graph, NodeId node, const RowPlan& row, CounterRng& rng,
                                    std::size_t at, Workspace& workspace, Block& block) {
    const GraphCoefficients& c = workspace.coefficients;
    const EdgeId first = graph.begin(node);
    if (row.loop != 0) {
      block.col[at] = node;
      block.edge_id[at] = kNoEdge;
      block.weight[at] = c.loop(node);
      ++at;
    }
    const std::size_t history = at + row.sampled;
    for (std::size_t k = 0; k < row.history; ++k) put(graph, c, node, first + k, block, history + k);
    std::uint32_t* const step = workspace.step.data() + at;
    if (row.history == 0) {
      for (std::size_t k = 0; k < row.sampled; ++k) put(graph, c, node, first + k, block, at + k);
      return;
    }
    pick_without_replacement(static_cast<std::uint32_t>(row.degree), static_cast<std::uint32_t>(row.sampled),
                             rng, step);
    const float scale =
        static_cast<float>(static_cast<double>(row.degree) / static_cast<double>(row.sampled));
    for (std::size_t k = 0; k < row.sampled; ++k) {
      put(graph, c, node, first + step[k], block, at + k);
      block.weight[at + k] *= scale;
      block.weight[history + step[k]] -= block.weight[at + k];
    }
  }

  static void put(CsrView<> graph, const GraphCoefficients& c, NodeId node, EdgeId parent, Block& block,
                  std::size_t at) {
    block.col[at] = graph.col[parent];
    block.edge_id[at] = parent;
    block.weight[at] = c.entry(node, parent);
  }

  /// Numbers computed columns after the rows, their twins and then history columns behind them, in the order of
  /// appearance.
  void number(std::size_t num_nodes, bool noise, Workspace& workspace, MiniBatch& batch, Block& block) const {
    block.pulled.clear();
    workspace.pulled.begin(num_nodes);
    batch.node_id.reserve(batch.node_id.size() + block.col.size());
    for (std::size_t i = 0; i < block.num_dst; ++i) {
      const auto row = block.col.span().subspan(block.row_ptr[i], block.row_ptr[i + 1] - block.row_ptr[i]);
      const std::size_t computed = workspace.computed_entries[i];
      const std::size_t twins = noise ? computed : 0;
      workspace.computed.append(row.first(computed), batch.node_id);
      workspace.pulled.append(row.subspan(computed, row.size() - computed - twins), block.pulled);
    }
    const std::size_t computed = batch.node_id.size();
    const auto behind = static_cast<NodeId>(noise ? 2 * computed : computed);
    parallel_for(block.num_dst, 1024, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const std::size_t own = workspace.computed_entries[i];
        const EdgeId twins = block.row_ptr[i + 1] - (noise ? own : 0);
        for (EdgeId e = block.row_ptr[i] + own; e < twins; ++e) block.col[e] += behind;
        for (EdgeId e = twins; e < block.row_ptr[i + 1]; ++e)
          block.col[e] = block.col[block.row_ptr[i] + (e - twins)] + static_cast<NodeId>(computed);
      }
    });
    block.num_src = behind + block.pulled.size();
    transpose_into({block.num_dst, block.num_src, block.row_ptr, block.col, block.weight},
                   workspace.transpose, block.transpose_row_ptr, block.transpose_col, block.transpose_weight,
                   block.transpose_edge);
  }

  Options options_;
};

}  // namespace tessera
