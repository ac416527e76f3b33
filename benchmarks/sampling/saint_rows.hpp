// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "sampling/table.hpp"
#include "tessera/sampling/saint_sampler.hpp"

namespace tessera::bench {

/// GraphSAINT: drawing, inducing, whole batches, normalisation.
///
/// Edges are those induced. Sizes are the authors' for Reddit, and for Amazon2M those of their ogbn-products
/// runs (20,000 edges) and as many nodes for the other samplers.
inline void add_saint_rows(const SamplingShape& shape, SamplingTable& table) {
  const bool reddit = shape.name.find("Reddit") != std::string::npos;
  const SampleSource source{shape.data->graph.view(), shape.data->graph.symmetric, shape.targets.span()};
  const AggregationSpec spec{Normalization::row, false, 0.0f};
  const std::size_t batches = 8;
  const SaintNormalizationOptions few{.coverage = 1, .round = 64};

  const auto batch_case = [&](const std::string& name, const auto& sampler) {
    auto workspace = std::make_shared<typename std::remove_cvref_t<decltype(sampler)>::Workspace>();
    auto batch = std::make_shared<MiniBatch>();
    table.add({name, batches, [=](std::uint64_t b) {
                 sampler.sample(source, spec, {1, b % 1000, 0}, *workspace, *batch);
                 return std::uint64_t{batch->blocks[0].col.size()};
               }});
  };
  const SaintWalkOptions walks{.roots = shape.scaled(reddit ? 2000 : 20'000),
                               .length = std::size_t{reddit ? 4u : 2u}};
  const std::string walk_name =
      "SAINT-RW " + std::to_string(walks.roots) + " x " + std::to_string(walks.length);
  if (table.wanted(walk_name + " induce")) {
    // The nodes are drawn before, so that inducing is timed alone.
    const SaintWalkDraw draw(source, walks);
    std::vector<Array<NodeId>> nodes(batches);
    SaintWalkDraw::Workspace scratch;
    Array<NodeId> drawn;
    NodeSet set;
    for (std::size_t b = 0; b < batches; ++b) {
      draw.draw(source, {1, b, 0}, scratch, drawn);
      set.collect(source.graph.num_rows, drawn, nodes[b]);
    }
    InducedBlockWorkspace workspace;
    Block block;
    std::uint64_t scanned = 0;
    for (const auto& list : nodes) {
      for (const NodeId v : list) scanned += source.graph.degree(v);
    }
    table.add({walk_name + " induce", batches, [&](std::uint64_t b) {
                 induced_block(source.graph, source.symmetric, nodes[b], {Normalization::none, false, 0.0f},
                               workspace, block);
                 return std::uint64_t{block.col.size()};
               }});
    table.add({walk_name + " induce, read", batches, [&](std::uint64_t b) {
                 induced_block(source.graph, source.symmetric, nodes[b], {Normalization::none, false, 0.0f},
                               workspace, block);
                 return scanned / batches;
               }});
  }
  if (table.wanted(walk_name + " batch"))
    batch_case(walk_name + " batch", SaintWalkSampler(source, walks, few));
  const std::size_t nodes = shape.scaled(reddit ? 8000 : 40'000);
  const std::size_t edges = shape.scaled(reddit ? 6000 : 20'000);
  if (table.wanted("SAINT-node batch")) {
    batch_case("SAINT-node batch",
               SaintNodeSampler(source, {.nodes = nodes}, {.estimate = SaintEstimate::closed_form}));
  }
  if (table.wanted("SAINT-edge batch")) {
    batch_case("SAINT-edge batch",
               SaintEdgeSampler(source, {.edges = edges}, {.estimate = SaintEstimate::closed_form}));
  }
  if (table.wanted("SAINT-MRW batch")) {
    batch_case(
        "SAINT-MRW batch",
        SaintFrontierSampler(source, {.nodes = nodes, .roots = std::max<std::size_t>(1, nodes / 8)}, few));
  }

  // Normalisation: all threads at the full coverage, and the ratio to one thread at a fifth of it.
  const std::string name = "SAINT-RW normalisation";
  if (!table.wanted(name)) return;
  const SaintWalkDraw draw(source, walks);
  const std::size_t threads = table.options().common.threads;
  const auto seconds = [&](std::size_t on, double coverage) {
    return with_threads(on, [&] {
      return seconds_of([&] { count_inclusions(source, draw, {.coverage = coverage, .round = 40}); });
    });
  };
  const double coverage = table.options().coverage;
  const double all = seconds(threads, coverage);
  const double one_part = seconds(1, coverage / 5);
  const double all_part = seconds(threads, coverage / 5);
  char text[160];
  std::snprintf(text, sizeof text,
                "coverage %g: %.2f s on %zu threads; a fifth of it: %.2f s on 1, %.2f s: %.2fx", coverage,
                all, threads, one_part, all_part, one_part / all_part);
  table.add_figures(name, text, [&](JsonObject& row) {
    row.add("coverage", coverage).add("seconds_all_threads", all).add("seconds_fifth_one_thread", one_part);
    row.add("seconds_fifth_all_threads", all_part).add("speedup", one_part / all_part);
  });
}

}  // namespace tessera::bench
