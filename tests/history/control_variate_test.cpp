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

/// Numbers no weights move.
template <class H>
void fixed_tables(H& model, const HistoryCase& data) {
  for (std::size_t l = 1; l < model.num_layers(); ++l)
    model.store().table(l, 6).push_range(0, random_matrix(data.num_nodes(), 6, 70 + l).view(), 1);
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

TEST_CASE("Noise columns are the sampled ones again, with the variance of the full sum", "[history][vrgcn]") {
  const HistoryCase data(random_graph(40, 6, 5), 4, 3);
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, kGcn);
  const TargetBatches batches{.batch_size = 40, .shuffle = false};
  const ControlVariateSampler plain({.layers = 2, .fanout = 2, .batches = batches});
  const ControlVariateSampler noisy({.layers = 2, .fanout = 2, .noise_columns = true, .batches = batches});
  constexpr std::size_t kDraws = 2000;
  std::vector<double> sum(40, 0.0), squares(40, 0.0);
  for (std::uint64_t t = 0; t < kDraws; ++t) {
    const MiniBatch batch = sample(data, noisy, everyone(40), {9, t, 0});
    const Block& b = batch.blocks[1];
    const std::size_t computed = batch.blocks[0].num_dst;
    REQUIRE(b.num_src == 2 * computed + b.pulled.size());
    if (t == 0) {
      const MiniBatch without = sample(data, plain, everyone(40), {9, t, 0});
      CHECK(values(b.pulled) == values(without.blocks[1].pulled));
      CHECK(values(batch.node_id) == values(without.node_id));
      CHECK(same_bits(batch.blocks[0], without.blocks[0]));
    }
    for (std::size_t u = 0; u < 40; ++u) {
      double variance = 0;  // of the sum of weight times noise of variance mu^2
      for (EdgeId e = b.row_ptr[u]; e < b.row_ptr[u + 1]; ++e) {
        if (b.col[e] < computed || b.col[e] >= 2 * computed) continue;
        const double w =
            static_cast<double>(b.weight[e]) * (1 + number(3, batch.node_id[b.col[e] - computed], 0));
        variance += w * w;
      }
      sum[u] += variance;
      squares[u] += variance * variance;
    }
  }
  for (std::size_t u = 0; u < 40; ++u) {
    double want = 0;
    const auto nodes = prepared.adjacency().forward.neighbors(u);
    const auto weights = prepared.adjacency().forward.weights(u);
    for (std::size_t e = 0; e < nodes.size(); ++e) {
      const double w = static_cast<double>(weights[e]) * (1 + number(3, nodes[e], 0));
      want += w * w;
    }
    const double mean = sum[u] / kDraws;
    const double spread = std::sqrt(std::max(0.0, squares[u] / kDraws - mean * mean) / kDraws);
    CHECK(std::abs(mean - want) <= 5 * spread + 1e-5 * want);  // coefficients are floats
  }
}

TEST_CASE("CVD: without dropout it is CV, with every neighbour it is dropout, its gradient is its own",
          "[history][vrgcn]") {
  const HistoryCase data(random_graph(40, 6, 5), 8, 4);
  const GcnNet<double>::Options form{
      .in = 8, .hidden = 6, .out = 4, .layers = 3, .dropout = 0, .input_dropout = false, .seed = 2};
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, kGcn);
  const auto batch_of = [&](std::size_t fanout, bool noise, std::size_t targets) {
    return sample(data,
                  ControlVariateSampler({.layers = 3,
                                         .fanout = fanout,
                                         .noise_columns = noise,
                                         .batches = {.batch_size = 40, .shuffle = false}}),
                  everyone(targets));
  };
  const Pass pass{.training = true, .dropout_key = make_key(3, 1, Purpose::dropout)};
  const auto exact = [&](auto& model) {
    REQUIRE(model.infer_layers(prepared.adjacency(), data.x.view(), 0).has_value());
  };
  using Cvd = HistoryModel<GcnNet<double>, ControlVariateDropout>;
  HistoryModel<GcnNet<double>> cv(GcnNet<double>(form), 40);
  Cvd still(GcnNet<double>(form), 40, {}, {.dropout = 0});
  exact(cv);
  exact(still);
  const Tensor<double> a = batch_step(cv, data, batch_of(2, false, 9), pass);
  const Tensor<double> b = batch_step(still, data, batch_of(2, true, 9), pass);
  CHECK(relative_distance(flat(b.view()), flat(a.view())) <= kRounding);
  CHECK(relative_distance(gradient_of(still.parameters()), gradient_of(cv.parameters())) <= kRounding);

  // All neighbours sampled: rows are sums of dropped rows, by hand.
  Cvd dropping(GcnNet<double>(form), 40, {}, {.dropout = 0.4f});
  exact(dropping);
  const MiniBatch every = batch_of(1000, true, 40);
  const Tensor<double> y = batch_step(dropping, data, every, pass);
  Tensor<double> h(40, 8);
  for (std::size_t i = 0; i < 40; ++i)
    for (std::size_t j = 0; j < 8; ++j) h(i, j) = static_cast<double>(data.x(i, j));
  for (std::size_t l = 0; l < 3; ++l) {
    NoTape<double> ctx;
    h = ctx.take(
        dropping.model().layer(ctx, l, prepared.adjacency(), ctx.input(std::as_const(h).view()), Pass{}));
    if (l == 2) break;
    Tensor<double> dropped(40, h.cols());
    dropout<double>(std::as_const(h).view(), dropped.view(),
                    {0.4f, pass.dropout_key, static_cast<std::uint32_t>(0x20000 + l)});
    h = std::move(dropped);
  }
  CHECK(relative_distance(flat(y.view()), flat(std::as_const(h).view())) <= kRounding);

  // Finite differences, tables held fixed.
  Cvd model(GcnNet<double>(form), 40, {}, {.dropout = 0.4f});
  const MiniBatch batch = batch_of(2, true, 12);
  const auto value = [&] {
    fixed_tables(model, data);
    const Tensor<double> z = batch_step(model, data, batch, pass);
    double sum = 0;
    for (std::size_t i = 0; i < z.rows(); ++i)
      for (std::size_t c = 0; c < z.cols(); ++c) sum += z(i, c) * data.loss(batch.node_id[i], c);
    return sum;
  };
  model.parameters().zero_grads();
  value();
  const std::vector<double> gradient = gradient_of(model.parameters());
  double largest = 0;
  for (const double g : gradient) largest = std::max(largest, std::abs(g));
  REQUIRE(largest > 1e-3);
  for (const ParameterInfo& p : model.parameters().parameters()) {
    for (std::size_t k = p.offset; k < p.offset + p.size(); k += 3) {
      double& w = model.parameters().values()[k];
      const double before = w;
      w = before + 1e-6;
      const double up = value();
      w = before - 1e-6;
      const double down = value();
      w = before;
      CHECK(std::abs((up - down) / 2e-6 - gradient[k]) <= 1e-6 * largest);
    }
  }
  CHECK_THROWS_AS(Cvd(GcnNet<double>(form), 40, {}, {.dropout = 1}), ConfigError);
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
