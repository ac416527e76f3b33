// SPDX-License-Identifier: MIT
#include "tessera/sampling/control_variate_sampler.hpp"

#include <cmath>
#include <vector>

#include "support/batch_checks.hpp"
#include "support/catch.hpp"
#include "support/history_cases.hpp"
#include "tessera/nn/nets/gcn_net.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Sampler<ControlVariateSampler>);

constexpr AggregationSpec kGcn{Normalization::symmetric, true, 0.0f};

MiniBatch sample(const HistoryCase& data, const ControlVariateSampler& sampler,
                 std::span<const NodeId> targets, BatchKey key = {}) {
  ControlVariateSampler::Workspace workspace;
  MiniBatch batch;
  sampler.sample({data.graph.view(), data.graph.symmetric, targets}, kGcn, key, workspace, batch);
  return batch;
}

std::vector<NodeId> everyone(std::size_t nodes) {
  std::vector<NodeId> out(nodes);
  for (std::size_t i = 0; i < nodes; ++i) out[i] = static_cast<NodeId>(i);
  return out;
}

/// The nodes of the sources of a block: computed ones, then those of the history.
std::vector<NodeId> sources(const MiniBatch& batch, std::size_t l) {
  const Block& b = batch.blocks[l];
  std::vector<NodeId> out(batch.node_id.begin(), batch.node_id.begin() + (b.num_src - b.pulled.size()));
  out.insert(out.end(), b.pulled.begin(), b.pulled.end());
  return out;
}

/// z_u of one row for numbers h and hbar of all nodes.
double estimate(const MiniBatch& batch, std::size_t l, std::size_t row, const std::vector<double>& h,
                const std::vector<double>& hbar) {
  const Block& b = batch.blocks[l];
  const std::vector<NodeId> ids = sources(batch, l);
  double z = 0;
  for (EdgeId e = b.row_ptr[row]; e < b.row_ptr[row + 1]; ++e) {
    const NodeId col = b.col[e];
    const bool stale = col >= b.num_src - b.pulled.size();
    z += static_cast<double>(b.weight[e]) * (stale ? hbar : h)[ids[col]];
  }
  return z;
}

}  // namespace

TEST_CASE("Control variates estimate a row's sum without bias, whatever the history holds",
          "[history][vrgcn]") {
  const HistoryCase data(random_graph(40, 6, 5), 4, 3);
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, kGcn);
  const Adjacency a = prepared.adjacency();
  std::vector<double> h(40), hbar(40);
  for (std::size_t i = 0; i < 40; ++i) {
    h[i] = number(1, i, 0);
    hbar[i] = number(2, i, 0);
  }
  for (const std::size_t fanout : {1u, 2u, 3u}) {
    const ControlVariateSampler sampler(
        {.layers = 2, .fanout = fanout, .batches = {.batch_size = 40, .shuffle = false}});
    constexpr std::size_t kDraws = 2000;
    std::vector<double> sum(40, 0.0), squares(40, 0.0);
    for (std::uint64_t t = 0; t < kDraws; ++t) {
      const MiniBatch batch = sample(data, sampler, everyone(40), {9, t, 0});
      for (std::size_t u = 0; u < 40; ++u) {
        const double z = estimate(batch, 1, u, h, hbar);
        sum[u] += z;
        squares[u] += z * z;
      }
    }
    for (std::size_t u = 0; u < 40; ++u) {
      double want = 0, mean = 0, spread = 0;
      const std::size_t n = data.graph.degree(u);
      const auto nodes = a.forward.neighbors(u);
      const auto weights = a.forward.weights(u);
      std::vector<double> terms;
      for (std::size_t e = 0; e < nodes.size(); ++e) {
        want += static_cast<double>(weights[e]) * h[nodes[e]];
        if (nodes[e] != u) terms.push_back(static_cast<double>(weights[e]) * (h[nodes[e]] - hbar[nodes[e]]));
      }
      for (const double x : terms) mean += x / static_cast<double>(n);
      for (const double x : terms) spread += (x - mean) * (x - mean);
      // Var = n^2 / D (1 - D / n) S^2, S^2 the sample variance of P_uv (h_v - hbar_v).
      const double variance = n <= fanout ? 0
                                          : static_cast<double>(n * n) / static_cast<double>(fanout) *
                                                (1 - static_cast<double>(fanout) / static_cast<double>(n)) *
                                                spread / static_cast<double>(n - 1);
      const double draws = kDraws;
      INFO("node " << u << ", degree " << n << ", fanout " << fanout);
      // Five standard errors, and the rounding of float coefficients.
      CHECK(std::abs(sum[u] / draws - want) <= 5 * std::sqrt(variance / draws) + 1e-5);
      const double seen = squares[u] / draws - (sum[u] / draws) * (sum[u] / draws);
      // The variance of a sample variance is at most (max - min)^2 times the variance.
      double range = 0;
      for (const double x : terms) range = std::max(range, 2 * std::abs(x) * static_cast<double>(n));
      CHECK(std::abs(seen - variance) <= 5 * range * std::sqrt(variance / draws) + 1e-5);
    }
  }
}

TEST_CASE("With an exact history, or with every neighbour sampled, rows are exact", "[history][vrgcn]") {
  const HistoryCase data(random_graph(40, 6, 5), 8, 4);
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, kGcn);
  std::vector<double> h(40);
  for (std::size_t i = 0; i < 40; ++i) h[i] = number(1, i, 0);
  const ControlVariateSampler one(
      {.layers = 2, .fanout = 1, .batches = {.batch_size = 40, .shuffle = false}});
  const ControlVariateSampler all(
      {.layers = 2, .fanout = 1000, .batches = {.batch_size = 40, .shuffle = false}});
  const MiniBatch few = sample(data, one, everyone(40));
  const MiniBatch every = sample(data, all, everyone(40));
  CHECK(every.blocks[1].pulled.empty());
  CHECK(few.blocks[0].pulled.empty());
  CHECK_FALSE(few.blocks[1].pulled.empty());
  for (std::size_t u = 0; u < 40; ++u) {
    double want = 0, size = 0;
    const auto row = prepared.adjacency().forward.neighbors(u);
    for (std::size_t e = 0; e < row.size(); ++e) {
      const double term = static_cast<double>(prepared.adjacency().forward.weights(u)[e]) * h[row[e]];
      want += term;
      size += std::abs(term);
    }
    CHECK(std::abs(estimate(every, 1, u, h, h) - want) <= 1e-12);
    // Coefficients P, P^ and P - P^ are floats: deg(u) / D times their rounding.
    CHECK(std::abs(estimate(few, 1, u, h, h) - want) <=
          2e-7 * (1 + static_cast<double>(row.size())) * (1 + size));
  }

  HistoryModel<GcnNet<double>> model(
      GcnNet<double>({.in = 8, .hidden = 6, .out = 4, .dropout = 0, .seed = 2}), 40);
  const std::vector<Tensor<double>> exact = exact_rows(model.model(), data);
  REQUIRE(model.infer_layers(prepared.adjacency(), data.x.view(), 0).has_value());
  const std::vector<NodeId> targets{3, 17, 0, 39};
  const MiniBatch batch = sample(data, one, targets);
  REQUIRE(batch.num_targets == 4);
  const Tensor<double> y = batch_step(model, data, batch);
  for (std::size_t i = 0; i < 4; ++i) CHECK(relative_distance(y.row(i), exact[1].row(targets[i])) <= 1e-5);
}

TEST_CASE("Blocks of control variates chain, and do not depend on threads", "[history][vrgcn]") {
  const HistoryCase data(random_graph(300, 8, 6), 4, 3);
  const ControlVariateSampler sampler({.layers = 3, .fanout = 2, .batches = {.batch_size = 20}});
  const auto targets = everyone(300);
  const MiniBatch want = with_threads(1, [&] { return sample(data, sampler, targets, {1, 2, 3}); });
  for (const std::size_t threads : {2u, 4u, 9u}) {
    const MiniBatch got = with_threads(threads, [&] { return sample(data, sampler, targets, {1, 2, 3}); });
    CHECK(same_bits(got, want));
    for (std::size_t l = 0; l < 3; ++l) CHECK(values(got.blocks[l].pulled) == values(want.blocks[l].pulled));
  }
  REQUIRE(want.blocks.size() == 3);
  CHECK(want.blocks[2].num_dst == want.num_targets);
  CHECK(want.blocks[0].num_src == want.num_nodes());
  for (std::size_t l = 1; l < 3; ++l) {
    const Block& b = want.blocks[l];
    CHECK(b.num_src - b.pulled.size() == want.blocks[l - 1].num_dst);
    CHECK(b.num_src - b.pulled.size() <= b.num_dst * 3);
  }
}

TEST_CASE("Control variates refuse layers without coefficients and empty fan-outs", "[history][vrgcn]") {
  const HistoryCase data(path(5), 4, 3);
  CHECK_THROWS_AS(ControlVariateSampler({.fanout = 0}), ConfigError);
  CHECK_THROWS_AS(ControlVariateSampler({.layers = 0}), ConfigError);
  const ControlVariateSampler sampler({});
  ControlVariateSampler::Workspace workspace;
  MiniBatch batch;
  const auto targets = everyone(5);
  const SampleSource source{data.graph.view(), true, targets};
  CHECK_THROWS_AS(sampler.sample(source, {Normalization::none, true, 0}, {}, workspace, batch), ConfigError);
  CHECK_THROWS_AS(sampler.sample(source, kGcn, {0, 0, 1}, workspace, batch), IndexError);
}
