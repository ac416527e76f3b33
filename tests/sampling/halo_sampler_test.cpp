// SPDX-License-Identifier: MIT
#include "tessera/sampling/halo_sampler.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include "support/batch_checks.hpp"
#include "support/catch.hpp"
#include "support/history_cases.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Sampler<HaloSampler>);

constexpr AggregationSpec kGcn{Normalization::symmetric, true, 0.0f};
constexpr AggregationSpec kRow{Normalization::row, true, 0.5f};
constexpr AggregationSpec kPlain{Normalization::none, false, 0.0f};

MiniBatch sample(const HaloSampler& sampler, const CsrGraph& graph, const AggregationSpec& spec,
                 BatchKey key) {
  HaloSampler::Workspace workspace;
  MiniBatch batch;
  sampler.sample({graph.view(), graph.symmetric, {}}, spec, key, workspace, batch);
  return batch;
}

/// Rows of the batch are the whole graph's, entry by entry.
void check_rows(const MiniBatch& batch, const CsrGraph& graph, const AggregationSpec& spec) {
  const PreparedAdjacency prepared = prepare_adjacency(graph, spec);
  const CsrView<> whole = prepared.adjacency().forward;
  const Block& b = batch.blocks[0];
  for (std::size_t i = 0; i < b.num_dst; ++i) {
    const auto want = whole.neighbors(batch.node_id[i]);
    REQUIRE(b.row_ptr[i + 1] - b.row_ptr[i] == want.size());
    for (std::size_t k = 0; k < want.size(); ++k) {
      const EdgeId e = b.row_ptr[i] + k;
      REQUIRE(batch.node_id[b.col[e]] == want[k]);
      if (whole.weighted()) REQUIRE(b.weight[e] == whole.weights(batch.node_id[i])[k]);
    }
  }
}

}  // namespace

TEST_CASE("A halo batch has every entry into its parts with the whole graph's coefficients",
          "[sampling][halo]") {
  const bool symmetric = GENERATE(true, false);
  const CsrGraph graph = random_graph(90, 5, 21, symmetric);
  const std::vector<PartId> parts = scattered_parts(90, 7);
  for (const AggregationSpec& spec : {kGcn, kRow, kPlain}) {
    for (const std::size_t q : {1u, 3u, 7u, 9u}) {
      const HaloSampler sampler(parts, {.clusters_per_batch = q});
      std::vector<int> seen(90, 0);
      for (std::uint64_t b = 0; b < sampler.num_batches({graph.view(), symmetric, {}}); ++b) {
        const MiniBatch batch = sample(sampler, graph, spec, {3, 1, b});
        const Block& block = batch.blocks[0];
        REQUIRE(batch.blocks.size() == 1);
        REQUIRE(block.num_dst == batch.num_targets);
        REQUIRE(batch.halo_begin == batch.num_targets);
        REQUIRE(block.num_src == batch.num_nodes());
        REQUIRE(block.num_src - block.num_dst == block.pulled.size());
        CHECK(batch.halo.num_dst == 0);
        CHECK(std::is_sorted(batch.node_id.begin(), batch.node_id.begin() + block.num_dst));
        std::set<NodeId> unique(batch.node_id.begin(), batch.node_id.end());
        CHECK(unique.size() == batch.num_nodes());
        // The halo as it first appears.
        std::vector<NodeId> order;
        for (const NodeId c : block.col) {
          if (c >= block.num_dst && std::find(order.begin(), order.end(), c) == order.end())
            order.push_back(c);
        }
        for (std::size_t k = 0; k < order.size(); ++k) {
          CHECK(order[k] == block.num_dst + k);
          CHECK(block.pulled[k] == batch.node_id[order[k]]);
        }
        for (std::size_t i = 0; i < block.num_dst; ++i) ++seen[batch.node_id[i]];
        check_rows(batch, graph, spec);
      }
      CHECK(seen == std::vector<int>(90, 1));
    }
  }
}

TEST_CASE("Halos of single parts add up to the communication volume", "[sampling][halo]") {
  const CsrGraph graph = random_graph(90, 5, 21);
  const std::vector<PartId> parts = scattered_parts(90, 7);
  // Pairs of a node and a foreign part that reads it.
  std::set<std::pair<NodeId, std::uint32_t>> volume;
  for (NodeId i = 0; i < 90; ++i) {
    for (const NodeId j : graph.view().neighbors(i)) {
      if (parts[i] != parts[j]) volume.insert({j, static_cast<std::uint32_t>(parts[i])});
    }
  }
  const HaloSampler sampler(parts);
  std::size_t sum = 0;
  for (std::uint64_t b = 0; b < 7; ++b)
    sum += sample(sampler, graph, kGcn, {1, 0, b}).blocks[0].pulled.size();
  CHECK(sum == volume.size());
}

TEST_CASE("Rows of the halo are the whole graph's, as far as the batch shows them", "[sampling][halo]") {
  const HaloRows kind = GENERATE(HaloRows::from_batch, HaloRows::all);
  const bool symmetric = GENERATE(true, false);
  const CsrGraph graph = random_graph(60, 5, 21, symmetric);
  const PreparedAdjacency prepared = prepare_adjacency(graph, kGcn);
  const CsrView<> whole = prepared.adjacency().forward;
  const std::vector<NodeId> targets{1, 5, 7};
  const HaloSampler sampler(scattered_parts(60, 6), {.clusters_per_batch = 2, .halo_rows = kind});
  for (std::uint64_t b = 0; b < 3; ++b) {
    HaloSampler::Workspace workspace;
    MiniBatch batch;
    sampler.sample({graph.view(), symmetric, targets}, kGcn, {1, 0, b}, workspace, batch);
    const Block& halo = batch.halo;
    const std::size_t rows = batch.blocks[0].num_dst;
    const std::size_t h = batch.blocks[0].pulled.size();
    REQUIRE(halo.num_dst == h);
    REQUIRE(halo.num_src == h + rows);
    const auto node_of = [&](NodeId c) { return c < h ? batch.node_id[rows + c] : batch.node_id[c - h]; };
    const std::set<NodeId> inside(batch.node_id.begin(), batch.node_id.begin() + rows);
    const std::set<NodeId> near(batch.node_id.begin(), batch.node_id.end());
    for (std::size_t i = 0; i < h; ++i) {
      const NodeId v = batch.blocks[0].pulled[i];
      std::vector<std::pair<NodeId, float>> want, got;
      for (std::size_t k = 0; k < whole.degree(v); ++k) {
        const NodeId j = whole.neighbors(v)[k];
        const bool kept = j == v || (kind == HaloRows::all ? near : inside).count(j) > 0;
        if (kept) want.push_back({j, whole.weights(v)[k]});
      }
      for (EdgeId e = halo.row_ptr[i]; e < halo.row_ptr[i + 1]; ++e) {
        got.push_back({node_of(halo.col[e]), halo.weight[e]});
      }
      CHECK(got == want);
      CHECK(batch.halo_share[i] ==
            static_cast<float>(static_cast<double>(want.size()) / static_cast<double>(whole.degree(v))));
    }
    const bool all = kind == HaloRows::all;
    CHECK(batch.num_targets == rows + (all ? h : 0));
    CHECK(batch.loss_weight.size() == (all ? batch.num_targets : 0));
    for (const float w : batch.loss_weight) CHECK(w == 1.0f);  // 3 batches, 3 targets
  }
}

TEST_CASE("A halo row without entries is held whole", "[sampling][halo]") {
  const CsrGraph graph = build_csr(3, {std::vector<NodeId>{1, 2}, std::vector<NodeId>{0, 1}, {}}, {}).graph;
  const std::vector<PartId> parts{part_id(0), part_id(1), part_id(2)};
  const HaloSampler sampler(parts, {.clusters_per_batch = 3, .halo_rows = HaloRows::all});
  const HaloSampler alone(parts, {.clusters_per_batch = 1, .halo_rows = HaloRows::all});
  for (std::uint64_t b = 0; b < 3; ++b) {
    for (const float share : sample(alone, graph, kPlain, {0, 0, b}).halo_share)
      CHECK((share >= 0 && share <= 1));
  }
  CHECK(sample(sampler, graph, kPlain, {0, 0, 0}).halo_share.empty());
}

TEST_CASE("Halo batches do not depend on threads, and take odd graphs", "[sampling][halo]") {
  const CsrGraph graph = random_graph(500, 8, 2);
  const HaloSampler sampler(scattered_parts(500, 9), {.clusters_per_batch = 2, .halo_rows = HaloRows::all});
  const MiniBatch want = with_threads(1, [&] { return sample(sampler, graph, kGcn, {1, 2, 1}); });
  for (const std::size_t threads : {2u, 4u, 9u}) {
    const MiniBatch got = with_threads(threads, [&] { return sample(sampler, graph, kGcn, {1, 2, 1}); });
    CHECK(same_bits(got, want));
    CHECK(same_bits(got.halo, want.halo));
  }
  const CsrGraph lonely = empty_graph(4);
  const MiniBatch alone = sample(HaloSampler(scattered_parts(4, 4)), lonely, kPlain, {1, 0, 2});
  CHECK(alone.num_nodes() == 1);
  CHECK(alone.blocks[0].col.empty());
  CHECK_THROWS_AS(sample(HaloSampler(scattered_parts(5, 2)), lonely, kGcn, {}), ShapeError);
  CHECK_THROWS_AS(sample(HaloSampler(scattered_parts(4, 2)), lonely, kGcn, {0, 0, 2}), IndexError);
  CHECK_THROWS_AS(HaloSampler(scattered_parts(4, 2), {.clusters_per_batch = 0}), ConfigError);
}
