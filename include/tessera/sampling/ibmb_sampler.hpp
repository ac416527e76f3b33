// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/induced_block.hpp"
#include "tessera/sampling/mini_batch.hpp"
#include "tessera/sampling/neighbor_blocks.hpp"
#include "tessera/sampling/ppr_table.hpp"

namespace tessera {

namespace detail {

/// Groups the sources of a table: pairs that matter to each other most are joined first, as long as the group
/// stays within `most`; what is left is packed in order. Returns a group per source, numbered from 0.
inline Array<std::uint32_t> group_by_influence(const PprTable& table, std::size_t num_nodes,
                                               std::size_t most) {
  struct Pair {
    float score;
    std::uint32_t a;
    std::uint32_t b;
  };
  const std::size_t count = table.num_sources();
  most = std::min(most, std::max<std::size_t>(1, count));
  Array<NodeId> source_of(num_nodes, kNoNode);
  for (std::size_t s = 0; s < count; ++s) source_of[table.source[s]] = static_cast<NodeId>(s);
  Array<Pair> pairs;
  for (std::size_t s = 0; s < count; ++s) {
    for (std::size_t t = 0; t < table.nodes(s).size(); ++t) {
      const NodeId other = source_of[table.nodes(s)[t]];
      if (other != kNoNode && other != s)
        pairs.push_back({table.scores(s)[t], static_cast<std::uint32_t>(s), other});
    }
  }
  parallel_sort(pairs.begin(), pairs.end(), [](const Pair& x, const Pair& y) {
    return x.score != y.score ? x.score > y.score : x.a != y.a ? x.a < y.a : x.b < y.b;
  });
  Array<std::uint32_t> root(count);
  Array<std::size_t> size(count, 1);
  std::iota(root.begin(), root.end(), 0u);
  const auto find = [&](std::uint32_t s) {
    while (root[s] != s) s = root[s] = root[root[s]];
    return s;
  };
  for (const Pair& pair : pairs) {
    const std::uint32_t a = find(pair.a);
    const std::uint32_t b = find(pair.b);
    if (a == b || size[a] + size[b] > most) continue;
    root[std::max(a, b)] = std::min(a, b);
    size[std::min(a, b)] += size[std::max(a, b)];
  }
  // First fit over the open batch only: groups come in the order of their first source.
  Array<std::uint32_t> group(count);
  Array<std::uint32_t> batch_of(count, kNoNode);
  std::uint32_t batches = 0;
  std::size_t filled = most;
  for (std::uint32_t s = 0; s < count; ++s) {
    const std::uint32_t r = find(s);
    if (batch_of[r] == kNoNode) {
      if (filled + size[r] > most) {
        ++batches;
        filled = 0;
      }
      batch_of[r] = batches - 1;
      filled += size[r];
    }
    group[s] = batch_of[r];
  }
  return group;
}

}  // namespace detail

/// Importance-based mini-batches: targets that matter to each other share a batch, together with the nodes
/// that matter most to them; all links among these are kept.
///
///     IbmbSampler sampler(ppr_table(graph, targets, {.k = 16}), graph.num_nodes(), {.batch_size = 1024});
///
/// Batches are the same in every epoch, only their order changes. Nodes that came along count 0 in the loss.
/// Shapes   a batch is one block over its nodes in ascending order, all of them targets; loss_weight is
///          1 over their number for the batch's own targets and 0 elsewhere
/// Cost     construction O(table log table); sample O(sum of the nodes' degrees); holds its batches' ids
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
/// Source   Gasteiger, Qian & Guennemann, Influence-based mini-batching for graph neural networks, LoG 2022,
///          node-wise variant; differs: batches come in random order, not scheduled by their labels
class IbmbSampler {
 public:
  using Options = TargetBatches;

  struct Workspace {
    InducedBlockWorkspace block;
    Array<std::uint32_t> order;
    std::uint64_t seed = 0;
    std::uint64_t epoch = 0;
  };

  /// Errors   ConfigError if batch_size is 0; IndexError if the table names a node that is not in the graph
  IbmbSampler(const PprTable& table, std::size_t num_nodes,
              Options options = {.batch_size = 512, .shuffle = true})
      : options_(options), num_nodes_(num_nodes) {
    check_batch_size(options.batch_size, "IbmbSampler");
    for (const auto* ids : {&table.source, &table.node}) {
      for (const NodeId j : *ids) {
        if (j < num_nodes) continue;
        throw IndexError(message("IbmbSampler: the table holds node ", j, ", want less than ", num_nodes));
      }
    }
    build(table);
  }

  /// The targets of the source are not asked: batches hold those of the table.
  std::size_t num_batches(const SampleSource&) const noexcept { return node_ptr_.size() - 1; }

  /// Errors   ShapeError if the source has another number of nodes; IndexError if key.batch is num_batches()
  ///          or more; otherwise as induced_block
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    if (source.graph.num_rows != num_nodes_) {
      throw ShapeError(message("IbmbSampler::sample: source.graph has ", source.graph.num_rows,
                               " nodes, want ", num_nodes_));
    }
    const std::size_t batches = num_batches(source);
    if (key.batch >= batches) {
      throw IndexError(
          message("IbmbSampler::sample: key.batch is ", key.batch, ", want less than ", batches));
    }
    if (workspace.order.size() != batches || workspace.seed != key.seed || workspace.epoch != key.epoch) {
      workspace.order.resize(batches);
      std::iota(workspace.order.begin(), workspace.order.end(), 0u);
      const RngKey shuffled = make_key(key.seed, key.epoch, Purpose::shuffle);
      if (options_.shuffle) shuffle(workspace.order.span(), CounterRng(shuffled, 0, 0));
      workspace.seed = key.seed;
      workspace.epoch = key.epoch;
    }
    const std::size_t b = workspace.order[key.batch];
    const std::size_t size = node_ptr_[b + 1] - node_ptr_[b];
    batch.clear_optional();
    detail::resize_roomy(batch.node_id, size);
    detail::resize_roomy(batch.loss_weight, size);
    std::copy_n(node_.begin() + node_ptr_[b], size, batch.node_id.begin());
    std::copy_n(weight_.begin() + node_ptr_[b], size, batch.loss_weight.begin());
    batch.blocks.resize(1);
    induced_block(source.graph, source.symmetric, batch.node_id, spec, workspace.block, batch.blocks[0]);
    batch.num_targets = size;
    batch.halo_begin = size;
  }

 private:
  void build(const PprTable& table) {
    const Array<std::uint32_t> group = detail::group_by_influence(table, num_nodes_, options_.batch_size);
    std::uint32_t batches = 0;
    for (const std::uint32_t g : group) batches = std::max(batches, g + 1);
    Array<std::size_t> begin(batches + 1, 0);
    for (const std::uint32_t g : group) ++begin[g + 1];
    for (std::size_t b = 0; b < batches; ++b) begin[b + 1] += begin[b];
    Array<std::uint32_t> member(group.size());
    Array<std::size_t> next = Array<std::size_t>::copy_of(begin);
    for (std::uint32_t s = 0; s < group.size(); ++s) member[next[group[s]]++] = s;
    Array<NodeId> nodes;
    Array<NodeId> own;
    for (std::size_t b = 0; b < batches; ++b) {
      nodes.clear();
      own.clear();
      for (std::size_t m = begin[b]; m < begin[b + 1]; ++m) {
        own.push_back(table.source[member[m]]);
        nodes.push_back(table.source[member[m]]);
        for (const NodeId j : table.nodes(member[m])) nodes.push_back(j);
      }
      std::sort(own.begin(), own.end());
      std::sort(nodes.begin(), nodes.end());
      const auto last = std::unique(nodes.begin(), nodes.end());
      for (auto j = nodes.begin(); j != last; ++j) {
        node_.push_back(*j);
        const bool is_own = std::binary_search(own.begin(), own.end(), *j);
        weight_.push_back(is_own ? 1.0f / static_cast<float>(own.size()) : 0.0f);
      }
      node_ptr_.push_back(node_.size());
    }
  }

  Options options_;
  std::size_t num_nodes_;
  Array<std::size_t> node_ptr_{1, std::size_t{0}};
  Array<NodeId> node_;
  Array<float> weight_;
};

}  // namespace tessera
