// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sampling/table.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/sampling/fastgcn_sampler.hpp"
#include "tessera/sampling/ibmb_sampler.hpp"
#include "tessera/sampling/labor_sampler.hpp"
#include "tessera/sampling/ladies_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/sampling/ppr_table.hpp"
#include "tessera/sampling/pprgo_sampler.hpp"
#include "tessera/sampling/shadow_sampler.hpp"

namespace tessera::bench {

namespace detail {

/// Entries of all blocks.
inline std::uint64_t entries_of(const MiniBatch& batch) {
  std::uint64_t sum = 0;
  for (const Block& block : batch.blocks) sum += block.col.size();
  return sum;
}

/// Batches of one sampler, one after the other.
template <class S>
void add_batches(const std::string& name, S made, const SampleSource& source, const AggregationSpec& spec,
                 std::size_t batches, SamplingTable& table) {
  if (!table.wanted(name)) return;
  const S sampler = std::move(made);
  typename S::Workspace workspace;
  MiniBatch batch;
  const std::size_t there = sampler.num_batches(source);
  if (there == 0) return;
  table.add({name, batches, [&](std::uint64_t b) {
               sampler.sample(source, spec, {1, 0, b % there}, workspace, batch);
               return entries_of(batch);
             }});
}

/// The same batches, several at once: what a loader with many batches in flight gets.
template <class S>
void add_in_flight(const std::string& name, S made, const SampleSource& source, const AggregationSpec& spec,
                   std::size_t batches, SamplingTable& table) {
  if (!table.wanted(name)) return;
  const S sampler = std::move(made);
  const std::size_t there = sampler.num_batches(source);
  if (there == 0) return;
  std::vector<typename S::Workspace> workspace(batches);
  std::vector<MiniBatch> batch(batches);
  table.add({name, 1, [&](std::uint64_t) {
               parallel_blocks(batches, [&](std::size_t b) {
                 sampler.sample(source, spec, {1, 0, b % there}, workspace[b], batch[b]);
               });
               std::uint64_t sum = 0;
               for (const MiniBatch& m : batch) sum += entries_of(m);
               return sum;
             }});
}

}  // namespace detail

/// Neighbour sampling in three depths, then whole batches of the other samplers.
///
/// Edges are those picked, of all layers; loops are not counted. "picks" stops at global ids, "numbered" at
/// local ones, "batch" has the transpose too.
inline void add_neighbor_rows(const SamplingShape& shape, SamplingTable& table) {
  const SampleSource source{shape.data->graph.view(), shape.data->graph.symmetric, shape.targets.span()};
  const AggregationSpec plain{Normalization::none, false, 0.0f};
  const AggregationSpec gcn{Normalization::symmetric, true, 0.0f};
  const std::size_t batches = 16;
  const auto one_hop = [](std::size_t batch_size) {
    return NeighborSampler({.fanouts = {20}, .batches = {.batch_size = batch_size}, .rescale = false});
  };

  const NeighborSampler sampler = one_hop(4096);
  NeighborSampler::Workspace workspace;
  TargetOrder order;
  FirstAppearanceIds ids;
  Array<NodeId> nodes;
  Array<NodeId> rows;
  Block links;
  const auto pick = [&](std::uint64_t b) {
    const BatchKey key{1, 0, b % sampler.num_batches(source)};
    const auto seeds = order.batch(source, {.batch_size = 4096, .shuffle = true}, key, "bench_sampling");
    sampler.sample_links(source, plain, seeds, key, workspace, links);
    return seeds;
  };
  table.add({"neighbour 20, picks", batches, [&](std::uint64_t b) {
               pick(b);
               return std::uint64_t{links.col.size()};
             }});
  table.add({"neighbour 20, numbered", batches, [&](std::uint64_t b) {
               const auto seeds = pick(b);
               ids.begin(source.graph.num_rows);
               rows.resize(seeds.size());
               std::copy(seeds.begin(), seeds.end(), rows.begin());
               nodes.clear();
               nodes.reserve(seeds.size() + links.col.size());
               ids.append(rows.span(), nodes);
               ids.append(links.col.span(), nodes);
               return std::uint64_t{links.col.size()};
             }});
  detail::add_batches("neighbour 20, batch", one_hop(4096), source, plain, batches, table);
  detail::add_batches(
      "neighbour 20, replacing",
      NeighborSampler({.fanouts = {20}, .batches = {.batch_size = 4096}, .replace = true, .rescale = false}),
      source, plain, batches, table);
  detail::add_in_flight("neighbour 20, 16 batches at once", one_hop(1024), source, plain, batches, table);
  const TargetBatches thousand{.batch_size = 1024};
  detail::add_batches("neighbour 15, 10", NeighborSampler({.fanouts = {15, 10}, .batches = thousand}), source,
                      gcn, 4, table);
  detail::add_in_flight("neighbour 15, 10, 16 at once",
                        NeighborSampler({.fanouts = {15, 10}, .batches = thousand}), source, gcn, batches,
                        table);
  detail::add_batches("LABOR-0 15, 10", LaborSampler({.fanouts = {15, 10}, .batches = thousand}), source, gcn,
                      4, table);
  detail::add_batches("LABOR-1 15, 10",
                      LaborSampler({.fanouts = {15, 10}, .batches = thousand, .iterations = 1}), source, gcn,
                      2, table);
  detail::add_batches("LADIES 512, 512", LadiesSampler({.layer_sizes = {512, 512}}), source, gcn, 4, table);
  if (table.wanted("FastGCN 4096, 4096")) {
    const PreparedAdjacency prepared = prepare_adjacency(source.graph, source.symmetric, gcn);
    detail::add_batches("FastGCN 4096, 4096",
                        FastGcnSampler({.layer_sizes = {4096, 4096}, .batches = thousand},
                                       fastgcn_distribution(prepared.adjacency())),
                        source, gcn, 4, table);
  }
  detail::add_batches("shaDow 2 hops, 20",
                      ShadowSampler(ShadowHops{.depth = 2, .budget = 20}, {.batch_size = 128}), source, gcn,
                      2, table);

  // Scores for some of the targets; edges are links visited by pushes.
  const std::size_t some = std::min<std::size_t>(shape.targets.size(), 512);
  const auto sources = shape.targets.span().first(some);
  const PprTableOptions scores{.push = {.alpha = 0.25, .eps = 1e-4}, .k = 32};
  if (table.wanted("PPR push 1e-4")) {
    std::uint64_t visits = 0;
    PprPush push;
    for (const NodeId s : sources) {
      push.run(source.graph, s, scores.push);
      visits += push.link_visits();
    }
    table.add({"PPR push 1e-4, top 32 of 512", 1, [&](std::uint64_t) {
                 const PprTable made = ppr_table(source.graph, sources, scores);
                 return made.num_sources() == 0 ? std::uint64_t{0} : visits;
               }});
  }
  const SampleSource few{source.graph, source.symmetric, sources};
  if (table.wanted("PPRGo 512")) {
    detail::add_batches("PPRGo 512",
                        PprgoSampler(ppr_table(source.graph, sources, scores), source.graph.num_rows), few,
                        plain, batches, table);
  }
  if (table.wanted("shaDow PPR 64")) {
    detail::add_batches("shaDow PPR 64",
                        ShadowSampler(ppr_table(source.graph, sources, {.push = scores.push, .k = 64}),
                                      source.graph.num_rows, ShadowPpr{.k = 64}, {.batch_size = 128}),
                        few, gcn, 2, table);
  }
  if (table.wanted("IBMB 512")) {
    detail::add_batches("IBMB 512",
                        IbmbSampler(ppr_table(source.graph, sources, scores), source.graph.num_rows), few,
                        gcn, 4, table);
  }
}

}  // namespace tessera::bench
