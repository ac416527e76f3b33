// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/detail/row_ranges.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/mini_batch.hpp"
#include "tessera/sampling/neighbor_coefficients.hpp"
#include "tessera/sampling/neighbor_relabel.hpp"
#include "tessera/sampling/neighbor_targets.hpp"

namespace tessera {

/// What a picker sees of the layer whose neighbours it picks.
struct LayerView {
  CsrView<> graph;
  const GraphCoefficients& coefficients;
  std::span<const NodeId> rows;          ///< the destinations, by global id
  std::span<const std::size_t> reached;  ///< destinations after each hop so far; the last is rows.size()
  std::uint32_t hop = 0;                 ///< 0 next to the targets
  bool expand_once = false;
  RngKey key;
  std::uint32_t batch = 0;

  /// The hop whose fan-out row i has, and whose numbers it draws.
  std::uint32_t hop_of(std::size_t i) const noexcept {
    if (!expand_once) return hop;
    std::uint32_t first = 0;
    while (i >= reached[first]) ++first;
    return first;
  }
  /// The numbers of one node in one hop.
  CounterRng rng(std::uint32_t of_hop, NodeId node) const noexcept {
    return {key, batch, std::uint64_t{of_hop} << 32 | node};
  }
};

/// What was picked for one row.
struct PickedRow {
  std::size_t count = 0;
  float loop_scale = 1.0f;  ///< factor of the loop the spec adds
};

/// Says which neighbours of each destination a layer sees, and with which factor.
///
/// Semantics no compiler can check: `pick` writes at most `capacity` distinct or repeated positions in the
/// row, exactly as many if kExact; `scale[t]`, the factor that makes an estimate of the coefficient, is
/// written where `scales()`; all is a pure function of the layer, for any number of threads and any order of
/// rows.
template <class P>
concept NeighborPicker = requires(const P& picker, const typename P::Options& options,
                                  typename P::Workspace& workspace, const typename P::Workspace& prepared,
                                  const LayerView& layer, CsrView<> graph, std::size_t i, std::uint32_t* step,
                                  float* scale) {
  { options.batches } -> std::convertible_to<TargetBatches>;
  { picker.num_layers() } -> std::convertible_to<std::size_t>;
  picker.check(graph);
  { picker.scales(graph) } -> std::convertible_to<bool>;
  picker.begin_layer(layer, workspace);
  { picker.capacity(layer, prepared, i) } -> std::convertible_to<std::size_t>;
  { picker.pick(layer, prepared, i, step, scale) } -> std::same_as<PickedRow>;
  { P::kExact } -> std::convertible_to<bool>;
  { P::kName } -> std::convertible_to<const char*>;
};

namespace detail {

/// Resizes with room to spare: batches differ in size, and a late large one should not be the first to
/// allocate.
template <class T>
void resize_roomy(Array<T>& array, std::size_t size) {
  if (size > array.capacity()) {
    array.clear();
    array.reserve(size + size / 3 + 64);
  }
  array.resize(size);
}

inline std::size_t block_ranges(std::span<const EdgeId> row_ptr) noexcept {
  const std::size_t rows = row_ptr.size() - 1;
  return std::clamp<std::size_t>((rows + row_ptr[rows]) / 2048, 1, 4096);
}

}  // namespace detail

/// Mini-batches of one bipartite block per layer: seeds, what they aggregate from, what that aggregates from.
/// A picker says which neighbours (neighbor_sampler.hpp, labor_sampler.hpp, ladies_sampler.hpp, ...).
///
/// The destinations of a block are the first of its sources; blocks[l] serves layer l, so the last belongs to
/// the seeds. Rows keep the order of picking, a loop that the spec adds comes first.
/// Coefficients are those of the whole graph, times the picker's factor: an estimate of the full aggregate,
/// and equal to it, row by row, where every neighbour is picked. A mean aggregator ignores them and divides by
/// the number picked.
/// Cost     sample: work O(entries + destinations of a layer), see the picker; holds 8 to 17 bytes per node
///          of the graph; steady state allocates nothing
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
/// Source   Hamilton, Ying & Leskovec, Inductive representation learning on large graphs, 2017, algorithm 2
template <NeighborPicker P>
class BlockSampler {
 public:
  using Options = typename P::Options;

  /// Scratch of one caller; remembers the order of targets in the epoch at hand.
  struct Workspace {
    FirstAppearanceIds ids;
    TargetOrder order;
    GraphCoefficients coefficients;
    TransposeWorkspace transpose;
    std::vector<std::size_t> reached;
    Array<EdgeId> offset;
    Array<std::uint32_t> step;
    Array<float> scale;
    Array<float> loop_scale;
    Array<NodeId> seed_row;  ///< of the latest sample_seeds: the row of every seed as asked for
    typename P::Workspace picker;
  };

  /// `arguments` are what the picker needs beside its options.
  ///
  /// Errors   ConfigError for options the picker refuses, or a batch_size of 0
  template <class... Arguments>
  explicit BlockSampler(const Options& options, Arguments&&... arguments)
      : batches_(options.batches), picker_(options, std::forward<Arguments>(arguments)...) {
    check_batch_size(batches_.batch_size, P::kName);
    if (picker_.num_layers() == 0) {
      throw ConfigError(message(P::kName, ": no layers, want a number per layer"));
    }
  }

  const P& picker() const noexcept { return picker_; }
  std::size_t num_layers() const noexcept { return picker_.num_layers(); }
  std::size_t num_batches(const SampleSource& source) const noexcept {
    return batches_.count(source.targets.size());
  }

  /// Errors   IndexError if key.batch is num_batches() or more, or a target is no node; otherwise as
  ///          GraphCoefficients::prepare and the picker
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    sample_seeds(source, spec, workspace.order.batch(source, batches_, key, P::kName), key, workspace, batch);
  }

  /// The batch of these seeds, whatever the source's targets are. Repeated seeds become one row:
  /// workspace.seed_row tells which.
  void sample_seeds(const SampleSource& source, const AggregationSpec& spec, std::span<const NodeId> seeds,
                    BatchKey key, Workspace& workspace, MiniBatch& batch) const {
    check_seeds(seeds, source.graph.num_rows, P::kName);
    picker_.check(source.graph);
    workspace.coefficients.prepare(source.graph, spec);
    workspace.ids.begin(source.graph.num_rows);
    workspace.seed_row.resize(seeds.size());
    std::copy(seeds.begin(), seeds.end(), workspace.seed_row.begin());
    batch.node_id.clear();
    workspace.ids.append(workspace.seed_row.span(), batch.node_id);
    batch.num_targets = batch.node_id.size();
    batch.clear_optional();
    workspace.reached.assign(1, batch.num_targets);
    const std::size_t layers = num_layers();
    batch.blocks.resize(layers);
    for (std::uint32_t hop = 0; hop < layers; ++hop) {
      grow(source.graph, key, hop, workspace, batch, batch.blocks[layers - 1 - hop]);
      workspace.reached.push_back(batch.node_id.size());
    }
    batch.halo_begin = batch.node_id.size();
  }

  /// What the seeds aggregate from, before it is renumbered: row i belongs to seeds[i], columns are global ids.
  /// Fills the forward half of `links` and leaves num_src 0.
  void sample_links(const SampleSource& source, const AggregationSpec& spec, std::span<const NodeId> seeds,
                    BatchKey key, Workspace& workspace, Block& links) const {
    check_seeds(seeds, source.graph.num_rows, P::kName);
    picker_.check(source.graph);
    workspace.coefficients.prepare(source.graph, spec);
    workspace.reached.assign(1, seeds.size());
    pick_rows(source.graph, seeds, key, 0, workspace, links, nullptr);
    links.num_src = 0;
  }

 private:
  /// One layer: pick, weigh, number, transpose.
  void grow(CsrView<> graph, BatchKey key, std::uint32_t hop, Workspace& workspace, MiniBatch& batch,
            Block& block) const {
    pick_rows(graph, batch.node_id.span(), key, hop, workspace, block, &batch.node_id);
    block.num_src = batch.node_id.size();
    workspace.transpose.reserve(block.col.capacity());
    block.transpose_row_ptr.reserve(batch.node_id.capacity() + 1);
    block.transpose_col.reserve(block.col.capacity());
    block.transpose_edge.reserve(block.col.capacity());
    block.transpose_weight.reserve(block.weight.capacity());
    transpose_into({block.num_dst, block.num_src, block.row_ptr, block.col, block.weight},
                   workspace.transpose, block.transpose_row_ptr, block.transpose_col, block.transpose_weight,
                   block.transpose_edge);
  }

  /// The forward half of a block. Its columns are global ids, or with `nodes` (which begin with the rows)
  /// numbers in the order of appearance.
  void pick_rows(CsrView<> graph, std::span<const NodeId> rows, BatchKey key, std::uint32_t hop,
                 Workspace& workspace, Block& block, Array<NodeId>* nodes) const {
    bool expand_once = false;
    if constexpr (requires { picker_.expand_once(); }) expand_once = picker_.expand_once();
    LayerView layer{graph,
                    workspace.coefficients,
                    rows,
                    workspace.reached,
                    hop,
                    expand_once,
                    make_key(key.seed, key.epoch, Purpose::pick),
                    static_cast<std::uint32_t>(key.batch)};
    picker_.begin_layer(layer, workspace.picker);
    block.num_dst = rows.size();
    block.symmetric = false;
    offsets(layer, workspace);
    if constexpr (P::kExact) {
      detail::resize_roomy(block.row_ptr, block.num_dst + 1);
      std::copy(workspace.offset.begin(), workspace.offset.end(), block.row_ptr.begin());
      room_for_entries(graph, workspace, block);
      room_for_nodes(block, nodes, layer);
      fill_ranges(workspace, block, nodes, [&](std::size_t begin, std::size_t end) {
        constexpr std::size_t kRows = 32;  // few enough that what was prefetched is still there
        for (; begin < end; begin += kRows) {
          const std::size_t last = std::min(end, begin + kRows);
          for (std::size_t i = begin; i < last; ++i) pick_row(layer, i, workspace);
          for (std::size_t i = begin; i < last; ++i) fill_row(layer, i, workspace, block);
        }
      });
    } else {
      pick_within_capacity(layer, workspace, block);
      room_for_entries(graph, workspace, block);
      room_for_nodes(block, nodes, layer);
      fill_ranges(workspace, block, nodes, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) fill_row(layer, i, workspace, block);
      });
    }
  }

  template <class F>
  static void for_ranges(std::span<const EdgeId> row_ptr, F&& body) {
    const std::size_t ranges = detail::block_ranges(row_ptr);
    parallel_blocks(ranges, [&](std::size_t k) {
      const std::size_t begin = detail::range_row(row_ptr, k, ranges);
      const std::size_t end = detail::range_row(row_ptr, k + 1, ranges);
      if (begin < end) body(begin, end);
    });
  }

  /// Fills ranges of rows in parallel and numbers the finished ones in order meanwhile.
  template <class F>
  static void fill_ranges(Workspace& workspace, Block& block, Array<NodeId>* nodes, F&& fill) {
    const std::span<const EdgeId> row_ptr = block.row_ptr;
    const std::size_t ranges = detail::block_ranges(row_ptr);
    const auto first_row = [&](std::size_t k) { return detail::range_row(row_ptr, k, ranges); };
    InOrderSteps steps(ranges);
    parallel_blocks(ranges, [&](std::size_t k) {
      fill(first_row(k), first_row(k + 1));
      if (nodes == nullptr) return;
      steps.finished(k, [&](std::size_t done) {
        const EdgeId begin = row_ptr[first_row(done)];
        const EdgeId end = row_ptr[first_row(done + 1)];
        workspace.ids.append(block.col.span().subspan(begin, end - begin), *nodes);
      });
    });
  }

  /// Where the picks of each row go: room for its loop and as many as it may pick.
  void offsets(const LayerView& layer, Workspace& workspace) const {
    const std::size_t rows = layer.rows.size();
    detail::resize_roomy(workspace.offset, rows + 1);
    parallel_for(rows, 4096, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        if (i + 16 < end) __builtin_prefetch(layer.graph.row_ptr.data() + layer.rows[i + 16]);
        workspace.offset[i] = picker_.capacity(layer, std::as_const(workspace.picker), i) +
                              (layer.coefficients.adds_loop(layer.rows[i]) ? 1u : 0u);
      }
    });
    workspace.offset[rows] = 0;
    const std::size_t total = parallel_exclusive_scan(workspace.offset.span());
    detail::resize_roomy(workspace.step, total);
    detail::resize_roomy(workspace.scale, picker_.scales(layer.graph) ? total : 0);
    detail::resize_roomy(workspace.loop_scale, picker_.scales(layer.graph) ? rows : 0);
  }

  void room_for_entries(CsrView<> graph, const Workspace& workspace, Block& block) const {
    const std::size_t entries = block.row_ptr[block.num_dst];
    const bool weigh = workspace.coefficients.weighted() || picker_.scales(graph);
    detail::resize_roomy(block.col, entries);
    detail::resize_roomy(block.edge_id, entries);
    detail::resize_roomy(block.weight, weigh ? entries : 0);
  }

  /// Numbering must not move the rows that are being read.
  static void room_for_nodes(const Block& block, Array<NodeId>* nodes, LayerView& layer) {
    if (nodes == nullptr) return;
    FirstAppearanceIds::check(nodes->size(), block.col.size());
    const std::size_t most = nodes->size() + block.col.size();
    if (nodes->capacity() < most) nodes->reserve(most + most / 3);
    layer.rows = nodes->span().first(layer.rows.size());
  }

  /// Returns how many entries the row will have.
  std::size_t pick_row(const LayerView& layer, std::size_t i, Workspace& workspace) const {
    const NodeId node = layer.rows[i];
    const std::size_t loop = layer.coefficients.adds_loop(node) ? 1 : 0;
    const std::size_t at = workspace.offset[i] + loop;
    std::uint32_t* const step = workspace.step.data() + at;
    float* const scale = workspace.scale.empty() ? nullptr : workspace.scale.data() + at;
    const PickedRow picked = picker_.pick(layer, std::as_const(workspace.picker), i, step, scale);
    const NodeId* const row = layer.graph.col.data() + layer.graph.begin(node);
    if constexpr (P::kExact) {
      for (std::size_t t = 0; t < picked.count; ++t) __builtin_prefetch(row + step[t]);
    }
    if (!workspace.loop_scale.empty()) workspace.loop_scale[i] = picked.loop_scale;
    return picked.count + loop;
  }

  void pick_within_capacity(const LayerView& layer, Workspace& workspace, Block& block) const {
    detail::resize_roomy(block.row_ptr, block.num_dst + 1);
    for_ranges(workspace.offset, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) block.row_ptr[i] = pick_row(layer, i, workspace);
    });
    block.row_ptr[block.num_dst] = 0;
    parallel_exclusive_scan(block.row_ptr.span());
  }

  /// Moves what was picked into the block, by global id.
  void fill_row(const LayerView& layer, std::size_t i, const Workspace& workspace, Block& block) const {
    const NodeId node = layer.rows[i];
    const EdgeId first = layer.graph.begin(node);
    const bool weigh = !block.weight.empty();
    const bool scale = !workspace.scale.empty();
    std::size_t at = block.row_ptr[i];
    std::size_t from = workspace.offset[i];
    const std::size_t end = block.row_ptr[i + 1];
    if (layer.coefficients.adds_loop(node)) {
      block.col[at] = node;
      block.edge_id[at] = kNoEdge;
      if (weigh) block.weight[at] = layer.coefficients.loop(node) * (scale ? workspace.loop_scale[i] : 1.0f);
      ++at;
      ++from;
    }
    for (; at < end; ++at, ++from) {
      const EdgeId parent = first + workspace.step[from];
      block.col[at] = layer.graph.col[parent];
      block.edge_id[at] = parent;
      if (!weigh) continue;
      block.weight[at] = layer.coefficients.entry(node, parent) * (scale ? workspace.scale[from] : 1.0f);
    }
  }

  TargetBatches batches_;
  P picker_;
};

}  // namespace tessera
