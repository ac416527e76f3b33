// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <span>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/induced_block.hpp"
#include "tessera/sampling/mini_batch.hpp"

namespace tessera {

struct ClusterSamplerOptions {
  std::size_t clusters_per_batch = 1;  ///< q: parts joined into one batch
};

/// Cluster-GCN's batches: every epoch shuffles the parts of a partition and joins q at a time; all links
/// among the nodes of a batch are kept, those between its parts included, and normalised inside the batch.
///
///     ClusterSampler sampler(parts, {.clusters_per_batch = 10});
///
/// Every node with a part is in exactly one batch per epoch. Nodes marked kNoPart are in none: partition the
/// training graph alone by marking the others.
/// Shapes   parts [N]; a batch is one block over its nodes in ascending order, all of them targets
/// Cost     sample: work O(n log n + P + sum of the nodes' degrees); holds 4 bytes per node; steady state
///          allocates nothing
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
/// Source   Chiang et al., Cluster-GCN, KDD 2019, algorithm 1 and section 3.2; as published
class ClusterSampler {
 public:
  using Options = ClusterSamplerOptions;

  /// Scratch of one caller. Also remembers the order of the parts in the epoch at hand.
  struct Workspace {
    InducedBlockWorkspace block;
    Array<std::uint32_t> order;  ///< the parts as epoch `epoch` of run `seed` visits them
    Array<std::uint32_t> chosen;
    std::uint64_t seed = 0;
    std::uint64_t epoch = 0;
    Array<std::size_t> part_entries;  ///< stored entries of each part's rows, in no order
    const void* measured = nullptr;   ///< the graph that max_nodes and max_entries were taken of
    std::size_t max_nodes = 0;
    std::size_t max_entries = 0;
  };

  /// Errors   ConfigError if clusters_per_batch is 0; IndexError for a part id of max(N, 2^20) or more
  explicit ClusterSampler(std::span<const PartId> parts, Options options = {})
      : options_(options), num_nodes_(parts.size()) {
    if (options.clusters_per_batch == 0) {
      throw ConfigError("ClusterSampler: clusters_per_batch is 0, want at least 1");
    }
    group_by_part(parts);
  }

  /// Parts that hold a node; q of them make a batch.
  std::size_t num_parts() const noexcept { return part_ptr_.size() - 1; }
  /// The nodes of one of these parts, ascending.
  std::span<const NodeId> part(std::size_t p) const noexcept {
    return members_.span().subspan(part_ptr_[p], part_ptr_[p + 1] - part_ptr_[p]);
  }

  std::size_t num_nodes() const noexcept { return num_nodes_; }
  std::size_t clusters_per_batch() const noexcept { return options_.clusters_per_batch; }

  /// The nodes of a batch, ascending.
  ///
  /// Errors   ShapeError, IndexError as `sample`
  void batch_nodes(const SampleSource& source, BatchKey key, Workspace& workspace,
                   Array<NodeId>& nodes) const {
    check(source, key);
    choose_parts(key, workspace);
    join_parts(workspace.chosen, nodes);
  }

  std::size_t num_batches(const SampleSource&) const noexcept {
    return num_parts() == 0 ? 0 : (num_parts() - 1) / options_.clusters_per_batch + 1;
  }

  /// Errors   ShapeError if the source has another number of nodes than the parts; IndexError if key.batch is
  ///          num_batches() or more; otherwise as induced_block
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    check(source, key);
    validate(spec);
    make_room(source, spec, workspace, batch);
    choose_parts(key, workspace);
    join_parts(workspace.chosen, batch.node_id);
    induced_block(source.graph, source.symmetric, batch.node_id, spec, workspace.block, batch.blocks[0]);
    batch.num_targets = batch.node_id.size();
    batch.halo_begin = batch.node_id.size();
    batch.clear_optional();
  }

 private:
  void check(const SampleSource& source, BatchKey key) const {
    if (source.graph.num_rows != num_nodes_) {
      throw ShapeError(message("ClusterSampler::sample: source.graph has ", source.graph.num_rows,
                               " nodes, want ", num_nodes_, " as parts has"));
    }
    if (key.batch >= num_batches(source)) {
      throw IndexError(message("ClusterSampler::sample: key.batch is ", key.batch, ", want less than ",
                               num_batches(source)));
    }
  }

  /// Counting sort of the nodes by part, stable, without the empty parts.
  void group_by_part(std::span<const PartId> parts) {
    const std::size_t limit = std::max<std::size_t>(parts.size(), std::size_t{1} << 20);
    std::size_t count = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i] == kNoPart) continue;
      if (index(parts[i]) >= limit) {
        throw IndexError(
            message("ClusterSampler: parts[", i, "] is ", index(parts[i]), ", want less than ", limit));
      }
      count = std::max(count, index(parts[i]) + 1);
    }
    Array<std::size_t> next(count, 0);
    for (const PartId p : parts) {
      if (p != kNoPart) ++next[index(p)];
    }
    part_ptr_.push_back(0);
    for (std::size_t& size : next) {
      const std::size_t begin = part_ptr_[part_ptr_.size() - 1];
      if (size > 0) part_ptr_.push_back(begin + size);
      size = begin;
    }
    members_.resize(part_ptr_[part_ptr_.size() - 1]);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i] != kNoPart) members_[next[index(parts[i])]++] = static_cast<NodeId>(i);
    }
  }

  /// Reserves what the largest union of parts could need: batches differ in size, and a late large one should
  /// not be the first to allocate.
  void make_room(const SampleSource& source, const AggregationSpec& spec, Workspace& workspace,
                 MiniBatch& batch) const {
    if (workspace.measured != source.graph.col.data() || workspace.part_entries.size() != num_parts()) {
      Array<std::size_t>& size = workspace.part_entries;
      size.resize(num_parts());
      for (std::size_t p = 0; p < num_parts(); ++p) size[p] = part(p).size();
      workspace.max_nodes = largest_sum(size);
      parallel_for(num_parts(), 16, [&](std::size_t begin, std::size_t end) {
        for (std::size_t p = begin; p < end; ++p) {
          size[p] = 0;
          for (const NodeId i : part(p)) size[p] += source.graph.degree(i);
        }
      });
      workspace.max_entries = largest_sum(size);
      workspace.measured = source.graph.col.data();
    }
    const bool with_transpose = !source.symmetric || spec.normalization == Normalization::row;
    batch.blocks.resize(1);
    batch.node_id.reserve(workspace.max_nodes);
    reserve_induced_block(workspace.max_nodes, workspace.max_entries, with_transpose, workspace.block,
                          batch.blocks[0]);
  }

  /// The sum of the clusters_per_batch largest sizes.
  std::size_t largest_sum(std::span<std::size_t> sizes) const {
    const std::size_t q = std::min(options_.clusters_per_batch, sizes.size());
    const auto end_of_largest = sizes.begin() + static_cast<std::ptrdiff_t>(q);
    std::nth_element(sizes.begin(), end_of_largest, sizes.end(), std::greater<>{});
    return std::accumulate(sizes.begin(), end_of_largest, std::size_t{0});
  }

  void choose_parts(BatchKey key, Workspace& workspace) const {
    const std::size_t count = num_parts();
    if (workspace.order.size() != count || workspace.seed != key.seed || workspace.epoch != key.epoch) {
      workspace.order.resize(count);
      std::iota(workspace.order.begin(), workspace.order.end(), 0u);
      shuffle(workspace.order.span(), CounterRng(make_key(key.seed, key.epoch, Purpose::shuffle), 0, 0));
      workspace.seed = key.seed;
      workspace.epoch = key.epoch;
    }
    const std::size_t first = key.batch * options_.clusters_per_batch;
    const std::size_t last = std::min(count, first + std::min(options_.clusters_per_batch, count - first));
    workspace.chosen.resize(last - first);
    std::copy(workspace.order.begin() + first, workspace.order.begin() + last, workspace.chosen.begin());
  }

  /// The nodes of some parts, ascending.
  void join_parts(std::span<std::uint32_t> chosen, Array<NodeId>& nodes) const {
    std::sort(chosen.begin(), chosen.end(),
              [&](std::uint32_t x, std::uint32_t y) { return part(x).front() < part(y).front(); });
    std::size_t size = 0;
    for (const std::uint32_t p : chosen) size += part(p).size();
    nodes.clear();
    nodes.resize(size);
    // Where ids follow the partition, parts are ranges and joining them in order is all there is to do.
    bool ranges = true;
    std::size_t at = 0;
    for (const std::uint32_t p : chosen) {
      ranges &= at == 0 || nodes[at - 1] < part(p).front();
      std::copy(part(p).begin(), part(p).end(), nodes.begin() + at);
      at += part(p).size();
    }
    if (!ranges) parallel_sort(nodes.begin(), nodes.end());
  }

  Options options_;
  std::size_t num_nodes_;
  Array<std::size_t> part_ptr_;
  Array<NodeId> members_;
};

}  // namespace tessera
