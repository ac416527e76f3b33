// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/mini_batch.hpp"
#include "tessera/sampling/neighbor_blocks.hpp"
#include "tessera/sampling/shadow_scope.hpp"

namespace tessera {

/// shaDow-GNN's batches: every target with a small graph of its own, so that a network may be deeper than its
/// scope is wide.
///
///     ShadowSampler sampler(ShadowHops{.depth = 2, .budget = 20}, {.batch_size = 128});
///     ShadowSampler sampler(ppr_table(graph, targets, {.k = 200}), graph.num_nodes(), ShadowPpr{});
///
/// The graphs of a batch are disjoint: a node is there once for every target whose scope holds it, so ids
/// repeat. All links within a scope are kept and normalised inside it.
/// Shapes   blocks[0] [n, n] the graphs, for every layer; blocks[1] [targets, n] which rows each target is
///          read out from, itself first, without weights. Rows [0, targets) are the targets; the others
///          follow target by target, ascending
/// Cost     sample: per target O(sum over its scope of min(degree, scope log degree)); steady state
///          allocates nothing
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
/// Source   Zeng et al., Decoupling the depth and scope of graph neural networks, NeurIPS 2021, section 3.2;
///          differs: the ordinary walk's PageRank (`ordinary_alpha` translates), and independent draws
class ShadowSampler {
 public:
  using Options = TargetBatches;

  /// What a chunk of targets found, before anybody knows where it will go.
  struct Chunk {
    Array<NodeId> scope;           ///< of its targets, one after the other
    Array<std::size_t> scope_end;  ///< per target
    Array<std::size_t> row_end;    ///< per node of the scopes
    Array<std::uint32_t> place;    ///< per entry: the column, by position in its scope
    Array<EdgeId> edge;
    Array<NodeId> now;
    std::size_t entries() const noexcept { return place.size(); }
  };
  struct Workspace {
    TargetOrder order;
    std::vector<Chunk> chunks;
    Array<std::size_t> first_row;  ///< of the targets' other nodes
    Array<double> factor;
    TransposeWorkspace transpose;
  };

  /// Errors   ConfigError if batch_size is 0 or budget is below -1
  explicit ShadowSampler(const ShadowHops& hops, Options options = {.batch_size = 128, .shuffle = true})
      : options_(options), hops_(hops) {
    check_batch_size(options.batch_size, kName);
    if (hops.budget >= -1) return;
    throw ConfigError(
        message("ShadowSampler: budget is ", hops.budget, ", want 0 or more, or -1 for all neighbours"));
  }
  /// Errors   ConfigError if batch_size or k is 0 or the threshold is not a number; IndexError if the table
  ///          names a node that is not in the graph
  ShadowSampler(PprTable table, std::size_t num_nodes, const ShadowPpr& ppr,
                Options options = {.batch_size = 128, .shuffle = true})
      : options_(options), ppr_(ppr), table_(std::move(table)), rows_(std::in_place, num_nodes, table_) {
    check_batch_size(options.batch_size, kName);
    if (ppr.k == 0) throw ConfigError("ShadowSampler: k is 0, want at least 1");
    if (!(ppr.threshold >= 0)) {
      throw ConfigError(message("ShadowSampler: threshold is ", ppr.threshold, ", want 0 or more"));
    }
    for (const NodeId j : table_.node) {
      if (j < num_nodes) continue;
      throw IndexError(message("ShadowSampler: the table holds node ", j, ", want less than ", num_nodes));
    }
  }

  std::size_t num_batches(const SampleSource& source) const noexcept {
    return options_.count(source.targets.size());
  }

  /// Errors   ConfigError for a wrong spec; IndexError if key.batch is num_batches() or more, a target is no
  ///          node or has no row in the table; ShapeError if the graph is not the table's; Error if weights of
  ///          a row sum to a negative number or NaN
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    validate(spec);
    if (rows_ && source.graph.num_rows != rows_->num_nodes()) {
      throw ShapeError(message("ShadowSampler::sample: source.graph has ", source.graph.num_rows,
                               " nodes, want ", rows_->num_nodes()));
    }
    const auto targets = workspace.order.batch(source, options_, key, kName);
    check_seeds(targets, source.graph.num_rows, kName);
    if (rows_) {
      for (const NodeId target : targets) (*rows_)(target, kName);
    }
    extract(source.graph, spec, targets, key, workspace);
    place(targets.size(), workspace, batch);
    fill(source, AggregationRule(spec), targets, workspace, batch);
  }

 private:
  static constexpr const char* kName = "ShadowSampler";
  static constexpr std::size_t kChunk = 4;

  void extract(CsrView<> graph, const AggregationSpec& spec, std::span<const NodeId> targets, BatchKey key,
               Workspace& workspace) const {
    const std::size_t chunks = (targets.size() + kChunk - 1) / kChunk;
    if (workspace.chunks.size() < chunks) workspace.chunks.resize(chunks);
    const RngKey draws = make_key(key.seed, key.epoch, Purpose::pick);
    parallel_blocks(chunks, [&](std::size_t c) {
      Chunk& chunk = workspace.chunks[c];
      chunk.scope.clear();
      chunk.scope_end.clear();
      chunk.row_end.clear();
      chunk.place.clear();
      chunk.edge.clear();
      for (std::size_t b = c * kChunk; b < std::min(targets.size(), (c + 1) * kChunk); ++b) {
        if (rows_) {
          const std::size_t row = (*rows_)(targets[b], kName);
          detail::ppr_scope(table_.nodes(row), table_.scores(row), targets[b], ppr_, chunk.now);
        } else {
          detail::hop_scope(graph, targets[b], hops_, draws, static_cast<std::uint32_t>(key.batch),
                            chunk.now);
        }
        induce(graph, spec.self_loops, chunk);
      }
    });
  }

  /// Adds the scope chunk.now with the links inside it.
  static void induce(CsrView<> graph, bool self_loops, Chunk& chunk) {
    for (std::size_t p = 0; p < chunk.now.size(); ++p) {
      const NodeId node = chunk.now[p];
      const EdgeId first = graph.begin(node);
      bool has_loop = false;
      detail::intersect(graph.neighbors(node), chunk.now, [&](std::size_t t, std::size_t q) {
        chunk.place.push_back(static_cast<std::uint32_t>(q));
        chunk.edge.push_back(first + t);
        has_loop |= p == q;
      });
      if (self_loops && !has_loop) {
        chunk.place.push_back(static_cast<std::uint32_t>(p));
        chunk.edge.push_back(kNoEdge);
      }
      chunk.scope.push_back(node);
      chunk.row_end.push_back(chunk.place.size());
    }
    chunk.scope_end.push_back(chunk.scope.size());
  }

  /// Where everything goes: rows of the targets first, then the others of each.
  void place(std::size_t targets, Workspace& workspace, MiniBatch& batch) const {
    workspace.first_row.resize(targets + 1);
    std::size_t row = targets;
    for (std::size_t b = 0; b < targets; ++b) {
      const Chunk& chunk = workspace.chunks[b / kChunk];
      const std::size_t in_chunk = b % kChunk;
      const std::size_t begin = in_chunk == 0 ? 0 : chunk.scope_end[in_chunk - 1];
      workspace.first_row[b] = row;
      row += chunk.scope_end[in_chunk] - begin - 1;
    }
    workspace.first_row[targets] = row;
    detail::resize_roomy(batch.node_id, row);
    batch.num_targets = targets;
    batch.halo_begin = row;
    batch.clear_optional();
    batch.blocks.resize(2);
  }

  /// Calls body(chunk, b, begin, end, root) for every target b, whose scope is chunk.scope[begin, end) and
  /// holds the target at `root`.
  template <class F>
  static void for_targets(std::span<const NodeId> targets, const Workspace& workspace, F&& body) {
    parallel_for(targets.size(), kChunk, [&](std::size_t b, std::size_t end) {
      const Chunk& chunk = workspace.chunks[b / kChunk];
      for (std::size_t in_chunk = 0; b < end; ++b, ++in_chunk) {
        const std::size_t first = in_chunk == 0 ? 0 : chunk.scope_end[in_chunk - 1];
        const std::size_t last = chunk.scope_end[in_chunk];
        const auto root =
            std::lower_bound(chunk.scope.begin() + first, chunk.scope.begin() + last, targets[b]);
        body(chunk, b, first, last, static_cast<std::size_t>(root - chunk.scope.begin()));
      }
    });
  }

  void fill(const SampleSource& source, const AggregationRule& rule, std::span<const NodeId> targets,
            Workspace& workspace, MiniBatch& batch) const {
    const std::size_t n = batch.node_id.size();
    const CsrView<> graph = source.graph;
    Block& block = batch.blocks[0];
    Block& readout = batch.blocks[1];
    block.num_dst = block.num_src = readout.num_src = n;
    readout.num_dst = targets.size();
    detail::resize_roomy(block.row_ptr, n + 1);
    detail::resize_roomy(readout.row_ptr, targets.size() + 1);
    detail::resize_roomy(workspace.factor, n);
    // The row of position p of scope b: the target's own is b.
    const auto row_of = [&](std::size_t b, std::size_t first, std::size_t root, std::size_t p) {
      if (p == root) return b;
      return workspace.first_row[b] + (p - first) - (p > root ? 1 : 0);
    };
    std::atomic<std::size_t> first_bad{n};
    for_targets(
        targets, workspace,
        [&](const Chunk& chunk, std::size_t b, std::size_t first, std::size_t last, std::size_t root) {
          readout.row_ptr[b] = last - first;
          for (std::size_t p = first; p < last; ++p) {
            const std::size_t begin = p == 0 ? 0 : chunk.row_end[p - 1];
            const std::size_t row = row_of(b, first, root, p);
            double degree = 0;
            for (std::size_t e = begin; e < chunk.row_end[p]; ++e) degree += weight_of(graph, chunk.edge[e]);
            if (!(degree >= 0)) detail::atomic_min(first_bad, row);
            workspace.factor[row] = rule.factor(degree);
            block.row_ptr[row] = chunk.row_end[p] - begin;
            batch.node_id[row] = chunk.scope[p];
          }
        });
    if (first_bad.load() != n && rule.spec().normalization != Normalization::none) {
      throw Error(message("ShadowSampler::sample: the weights kept of row ", batch.node_id[first_bad.load()],
                          " sum to a negative number or NaN; degrees must be 0 or more"));
    }
    block.row_ptr[n] = 0;
    readout.row_ptr[targets.size()] = 0;
    const std::size_t entries = parallel_exclusive_scan(block.row_ptr.span());
    parallel_exclusive_scan(readout.row_ptr.span());
    detail::resize_roomy(block.col, entries);
    detail::resize_roomy(block.edge_id, entries);
    detail::resize_roomy(block.weight, rule.changes_weights() || graph.weighted() ? entries : 0);
    detail::resize_roomy(readout.col, n);
    detail::resize_roomy(readout.edge_id, n);
    std::fill(readout.edge_id.begin(), readout.edge_id.end(), kNoEdge);
    readout.weight.clear();
    for_targets(
        targets, workspace,
        [&](const Chunk& chunk, std::size_t b, std::size_t first, std::size_t last, std::size_t root) {
          std::size_t out = readout.row_ptr[b];
          readout.col[out++] = static_cast<NodeId>(b);
          for (std::size_t p = first; p < last; ++p) {
            const std::size_t row = row_of(b, first, root, p);
            if (p != root) readout.col[out++] = static_cast<NodeId>(row);
            std::size_t at = block.row_ptr[row];
            for (std::size_t e = p == 0 ? 0 : chunk.row_end[p - 1]; e < chunk.row_end[p]; ++e, ++at) {
              const std::size_t j = row_of(b, first, root, first + chunk.place[e]);
              block.col[at] = static_cast<NodeId>(j);
              block.edge_id[at] = chunk.edge[e];
              if (block.weight.empty()) continue;
              block.weight[at] =
                  rule(weight_of(graph, chunk.edge[e]), workspace.factor[row], workspace.factor[j], row == j);
            }
          }
        });
    block.symmetric = source.symmetric && rule.keeps_symmetry();
    readout.symmetric = false;
    if (block.symmetric) {
      for (auto* array : {&block.transpose_row_ptr, &block.transpose_edge}) array->clear();
      block.transpose_col.clear();
      block.transpose_weight.clear();
    } else {
      transpose(workspace, block);
    }
    transpose(workspace, readout);
  }

  static void transpose(Workspace& workspace, Block& block) {
    workspace.transpose.reserve(block.col.capacity());
    block.transpose_row_ptr.reserve(block.num_src + block.num_src / 3 + 1);
    block.transpose_col.reserve(block.col.capacity());
    block.transpose_edge.reserve(block.col.capacity());
    block.transpose_weight.reserve(block.weight.capacity());
    transpose_into({block.num_dst, block.num_src, block.row_ptr, block.col, block.weight},
                   workspace.transpose, block.transpose_row_ptr, block.transpose_col, block.transpose_weight,
                   block.transpose_edge);
  }

  static double weight_of(CsrView<> graph, EdgeId e) noexcept {
    return graph.weighted() && e != kNoEdge ? static_cast<double>(graph.weight[e]) : 1.0;
  }

  Options options_;
  ShadowHops hops_;
  ShadowPpr ppr_;
  PprTable table_;
  std::optional<PprRows> rows_;
};

}  // namespace tessera
