// SPDX-License-Identifier: MIT
// Every sampler on graphs that leave it little to draw from: batches keep their shape, name wanted targets only and hold
// finite numbers. What each refuses is in its own test.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "support/block_checks.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/drop_edge_sampler.hpp"
#include "tessera/sampling/fastgcn_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/graph_batch_sampler.hpp"
#include "tessera/sampling/halo_sampler.hpp"
#include "tessera/sampling/ibmb_sampler.hpp"
#include "tessera/sampling/labor_sampler.hpp"
#include "tessera/sampling/ladies_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/sampling/neighbor_weighted.hpp"
#include "tessera/sampling/pprgo_sampler.hpp"
#include "tessera/sampling/random_node_sampler.hpp"
#include "tessera/sampling/row_sampler.hpp"
#include "tessera/sampling/saint/walk_draw.hpp"
#include "tessera/sampling/saint_sampler.hpp"
#include "tessera/sampling/shadow_sampler.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

constexpr AggregationSpec kGcn{Normalization::symmetric, true, 0.0f};

struct Named {
  std::string name;
  AnySampler sampler;
  bool whole = false;  ///< batches are parts of the graph, whatever the targets
};

/// Fan-outs and sizes of 0 and beyond the graph, k beyond every component.
std::vector<Named> samplers(const CsrGraph& graph, const std::vector<NodeId>& targets) {
  const std::size_t n = graph.num_nodes();
  const TargetBatches batches{.batch_size = 4};
  std::vector<Named> out;
  for (const int k : {0, 3, 1000}) {
    const std::string fanout = ", fan-out " + std::to_string(k);
    const std::vector<int> fanouts{k, k};
    out.push_back({"neighbour" + fanout, NeighborSampler({.fanouts = fanouts, .batches = batches})});
    out.push_back(
        {"replacing" + fanout, NeighborSampler({.fanouts = fanouts, .batches = batches, .replace = true})});
    if (graph.view().weighted()) {
      out.push_back({"weighted" + fanout, WeightedNeighborSampler({.fanouts = fanouts, .batches = batches})});
    }
    out.push_back(
        {"LABOR" + fanout, LaborSampler({.fanouts = fanouts, .batches = batches, .iterations = 1})});
    const std::vector<std::size_t> sizes(2, static_cast<std::size_t>(k));
    out.push_back({"LADIES" + fanout, LadiesSampler({.layer_sizes = sizes, .batches = batches})});
    out.push_back({"shaDow" + fanout, ShadowSampler(ShadowHops{.depth = 2, .budget = k}, batches)});
  }
  const auto table = [&] { return ppr_table(graph, targets, {.k = 1000}); };
  out.push_back({"shaDow by PageRank", ShadowSampler(table(), n, ShadowPpr{.k = 1000}, batches)});
  out.push_back({"PPRGo", PprgoSampler(table(), n, batches)});
  out.push_back({"IBMB", IbmbSampler(table(), n, batches)});
  std::vector<PartId> part(n);
  for (std::size_t i = 0; i < n; ++i) part[i] = static_cast<PartId>(i % 3);
  out.push_back({"cluster", ClusterSampler(part, {.clusters_per_batch = 2}), true});
  out.push_back({"halo", HaloSampler(part, {.clusters_per_batch = 2}), true});
  out.push_back({"random nodes", RandomNodeSampler({.parts = 3}), true});
  out.push_back({"DropEdge", DropEdgeSampler({.probability = 0.5}), true});
  out.push_back({"rows", RowSampler({.batch_size = 4})});
  if (graph.num_edges() > 0) {
    const PreparedAdjacency prepared = prepare_adjacency(graph, kGcn);
    out.push_back({"FastGCN", FastGcnSampler({.layer_sizes = {1000, 1}, .batches = batches},
                                             fastgcn_distribution(prepared.adjacency()))});
  }
  if (graph.view().weighted()) {
    out.push_back({"alias", AliasNeighborSampler({.fanouts = {0, 1000}, .batches = batches},
                                                 std::make_shared<const NeighborAliasTables>(graph.view()))});
  }
  if (!targets.empty()) {
    const SampleSource source = source_with(graph, targets);
    out.push_back({"SAINT walks", SaintSampler<SaintWalkDraw>(source, {.roots = 5, .length = 2}), true});
  }
  return out;
}

std::vector<std::pair<std::string, CsrGraph>> graphs() {
  std::vector<std::pair<std::string, CsrGraph>> out;
  out.emplace_back("one node", empty_graph(1));
  out.emplace_back("no links", empty_graph(9));
  out.emplace_back("a star", star(40));
  out.emplace_back("directed, with sinks and sources", random_directed(30, 40, 3));
  out.emplace_back("weights of zero", [] {
    CsrGraph graph = random_undirected(20, 40, 5);
    graph.weight = Array<float>(graph.num_edges(), 0.0f);
    return graph;
  }());
  return out;
}

void check_batch(const CsrGraph& graph, const MiniBatch& batch) {
  for (const NodeId v : batch.node_id) REQUIRE(v < graph.num_nodes());
  REQUIRE(batch.num_targets <= batch.num_nodes());
  for (const float w : batch.loss_weight) REQUIRE(std::isfinite(w));
  for (const Block& block : batch.blocks) {
    REQUIRE(block.row_ptr.size() == block.num_dst + 1);
    REQUIRE(block.col.size() == block.row_ptr[block.num_dst]);
    for (const NodeId j : block.col) REQUIRE(j < block.num_src);
    for (const float w : block.weight) REQUIRE((std::isfinite(w) && w >= 0));
  }
}

}  // namespace

TEST_CASE("every sampler: isolated nodes, a star, directions, weights of zero; fan-outs of 0 and too large") {
  for (const auto& [kind, graph] : graphs()) {
    std::vector<NodeId> some;  // among them isolated ones
    for (std::size_t i = 0; i < graph.num_nodes(); i += 2) some.push_back(static_cast<NodeId>(i));
    for (const std::vector<NodeId>& targets : {all_nodes(graph), some}) {
      const SampleSource source = source_with(graph, targets);
      for (const Named& s : samplers(graph, targets)) {
        INFO(s.name << " on " << kind << ", " << targets.size() << " targets");
        AnySampler::Workspace workspace;
        MiniBatch batch;
        std::vector<NodeId> seen;
        for (std::uint64_t b = 0; b < s.sampler.num_batches(source); ++b) {
          s.sampler.sample(source, kGcn, {1, 0, b}, workspace, batch);
          check_batch(graph, batch);
          for (std::size_t i = 0; i < batch.num_targets; ++i) {
            if (batch.loss_weight.empty() || batch.loss_weight[i] > 0) seen.push_back(batch.node_id[i]);
          }
        }
        if (s.whole) continue;
        std::ranges::sort(seen);
        CHECK(seen == targets);
      }
    }
  }
}

TEST_CASE("every sampler leaves nothing of another one's batch") {
  const CsrGraph graph = random_undirected(30, 60, 7);
  const std::vector<NodeId> targets = all_nodes(graph);
  std::vector<PartId> part(graph.num_nodes());
  for (std::size_t i = 0; i < part.size(); ++i) part[i] = static_cast<PartId>(i % 3);
  const std::vector<std::size_t> sets{0, 10, 30};
  const std::vector<NodeId> both{0, 1};
  const AnySampler halo(HaloSampler(part, {.clusters_per_batch = 1, .halo_rows = HaloRows::all}));
  const AnySampler sets_of_nodes(GraphBatchSampler(sets, {.batch_size = 2}));
  std::vector<Named> all = samplers(graph, targets);
  all.push_back({"full graph", FullGraphSampler{}, true});
  for (const Named& s : all) {
    INFO(s.name);
    const SampleSource source = source_with(graph, targets);
    AnySampler::Workspace fresh, workspace, first, second;
    MiniBatch want, got;
    s.sampler.sample(source, kGcn, {1, 0, 0}, fresh, want);
    sets_of_nodes.sample(source_with(graph, both), kGcn, {1, 0, 0}, first, got);
    REQUIRE(got.readout.num_dst == 2);
    s.sampler.sample(source, kGcn, {1, 0, 0}, workspace, got);
    CHECK((got.readout.num_dst == 0 && got.target_id.empty()));
    halo.sample(source, kGcn, {1, 0, 0}, second, got);
    REQUIRE((got.halo.num_dst > 0 && got.halo_targets && !got.blocks[0].pulled.empty()));
    s.sampler.sample(source, kGcn, {1, 0, 0}, workspace, got);
    CHECK(got.halo.num_dst == want.halo.num_dst);
    CHECK(got.halo_targets == want.halo_targets);
    CHECK(std::ranges::equal(got.halo_share, want.halo_share));
    CHECK(std::ranges::equal(got.loss_weight, want.loss_weight));
    CHECK(got.num_targets == want.num_targets);
    for (std::size_t l = 0; l < want.blocks.size(); ++l)
      CHECK(std::ranges::equal(got.blocks[l].pulled, want.blocks[l].pulled));
  }
}

TEST_CASE("every sampler: no target, no batch; no node, no batch") {
  const CsrGraph graph = g6(), nothing = empty_graph(0);
  for (const Named& s : samplers(graph, {})) {
    INFO(s.name);
    if (!s.whole) CHECK(s.sampler.num_batches(source_with(graph, {})) == 0);
  }
  for (const Named& s : samplers(nothing, {})) {
    INFO(s.name);
    const SampleSource source = source_with(nothing, {});
    AnySampler::Workspace workspace;
    MiniBatch batch;
    for (std::uint64_t b = 0; b < s.sampler.num_batches(source); ++b) {
      s.sampler.sample(source, kGcn, {1, 0, b}, workspace, batch);
      CHECK(batch.num_nodes() == 0);
    }
  }
}
