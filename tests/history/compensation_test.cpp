// SPDX-License-Identifier: MIT
#include "tessera/history/compensate.hpp"

#include <vector>

#include "support/catch.hpp"
#include "support/history_cases.hpp"
#include "tessera/nn/nets/appnp_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

template <class H>
void refresh(H& model, const HistoryCase& data) {
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, model.aggregation());
  REQUIRE(model.infer_layers(prepared.adjacency(), data.x.view(), 0).has_value());
}

/// The gradient summed over the batches of an epoch, weights frozen, after `warm_up` epochs that fill the tables.
template <class H>
std::vector<double> epoch_gradient(H& model, const HistoryCase& data, const HaloSampler& sampler,
                                   std::uint64_t warm_up) {
  refresh(model, data);
  for (std::uint64_t epoch = 0; epoch <= warm_up; ++epoch) {
    model.parameters().zero_grads();
    for (std::uint64_t b = 0; b < sampler.num_batches(data.source()); ++b) {
      batch_step(model, data, sampled(sampler, data, model.aggregation(), {1, epoch, b}));
    }
  }
  return gradient_of(model.parameters());
}

}  // namespace

TEST_CASE("With exact histories of rows and gradients, linear propagation's gradient is the whole graph's",
          "[history][lmc]") {
  const HistoryCase data(random_graph(60, 4, 11), 8, 4);
  const AppnpNet<double>::Options options{
      .in = 8, .hidden = 8, .out = 4, .steps = 4, .dropout = 0, .entry_dropout = 0, .seed = 5};
  AppnpNet<double> whole(options);
  const StepResult want = full_step(whole, data);
  const std::vector<PartId> parts = scattered_parts(60, 6);

  HistoryModel<AppnpNet<double>, MessageCompensation> lmc(AppnpNet<double>(options), 60, {}, {.beta = 0});
  const HaloSampler with_halo(parts, {.clusters_per_batch = 1, .halo_rows = HaloRows::all});
  CHECK(relative_distance(epoch_gradient(lmc, data, with_halo, 5), want.gradient) <= kRounding);

  HistoryModel<AppnpNet<double>> gas(AppnpNet<double>(options), 60);
  CHECK(relative_distance(epoch_gradient(gas, data, HaloSampler(parts), 5), want.gradient) > 0.01);
}

TEST_CASE("With ReLU, compensation is nearer to the whole graph's gradient than cutting it",
          "[history][lmc]") {
  const HistoryCase data(random_graph(80, 4, 13), 8, 4);
  const GcnNet<double>::Options options{
      .in = 8, .hidden = 16, .out = 4, .layers = 3, .dropout = 0, .seed = 5};
  GcnNet<double> whole(options);
  const StepResult want = full_step(whole, data);
  const std::vector<PartId> parts = scattered_parts(80, 6);
  HistoryModel<GcnNet<double>> gas(GcnNet<double>(options), 80);
  const double cut = relative_distance(epoch_gradient(gas, data, HaloSampler(parts), 4), want.gradient);
  const HaloSampler with_halo(parts, {.clusters_per_batch = 1, .halo_rows = HaloRows::all});
  for (const CompensationScore score : {CompensationScore::linear, CompensationScore::constant,
                                        CompensationScore::concave, CompensationScore::convex}) {
    HistoryModel<GcnNet<double>, MessageCompensation> lmc(GcnNet<double>(options), 80, {},
                                                          {.beta = 0.2, .score = score});
    CHECK(relative_distance(epoch_gradient(lmc, data, with_halo, 4), want.gradient) < 0.7 * cut);
  }
}

TEST_CASE("Compensation over all parts at once is the whole graph, and full belief needs no history",
          "[history][lmc]") {
  const HistoryCase data(random_graph(50, 4, 17), 8, 4);
  const GcnNet<double>::Options options{.in = 8, .hidden = 8, .out = 4, .layers = 3, .dropout = 0, .seed = 5};
  GcnNet<double> whole(options);
  const StepResult want = full_step(whole, data);
  HistoryModel<GcnNet<double>, MessageCompensation> all(GcnNet<double>(options), 50);
  const HaloSampler everything(scattered_parts(50, 3), {.clusters_per_batch = 3, .halo_rows = HaloRows::all});
  all.parameters().zero_grads();
  const Tensor<double> y = batch_step(all, data, sampled(everything, data, all.aggregation()));
  CHECK(relative_distance(flat(y.view()), flat(want.logits.view())) <= kRounding);
  CHECK(relative_distance(gradient_of(all.parameters()), want.gradient) <= kRounding);

  const HaloSampler parts(scattered_parts(50, 3), {.halo_rows = HaloRows::all});
  std::vector<std::vector<double>> results;
  for (const std::uint64_t noise : {1u, 2u}) {
    HistoryModel<GcnNet<double>, MessageCompensation> model(
        GcnNet<double>(options), 50, {}, {.beta = 1, .score = CompensationScore::constant});
    refresh(model, data);
    for (std::size_t l = 1; l <= 3; ++l) {
      HistoryTable<double>& table = *model.store().find(l);
      table.push_range(0, random_matrix(50, table.cols(), noise + l).view(), 1);
    }
    model.parameters().zero_grads();
    auto bits = flat(batch_step(model, data, sampled(parts, data, model.aggregation())).view());
    const auto gradient = gradient_of(model.parameters());
    bits.insert(bits.end(), gradient.begin(), gradient.end());
    results.push_back(std::move(bits));
  }
  CHECK(results[0] == results[1]);
}

TEST_CASE("Momentum of 0 is no momentum; of 1 it knows a node whose neighbours all are in the batch",
          "[history][momentum]") {
  const HistoryCase data(path(12), 8, 4);
  const GcnNet<double>::Options options{.in = 8, .hidden = 6, .out = 4, .layers = 3, .dropout = 0, .seed = 5};
  std::vector<PartId> parts(12, part_id(0));
  parts[11] = part_id(1);
  parts[0] = part_id(1);
  const HaloSampler plain(parts);
  const HaloSampler with_halo(parts, {.halo_rows = HaloRows::from_batch});
  const auto logits = [&](auto& model, const HaloSampler& sampler) {
    std::vector<double> bits;
    for (std::uint64_t s = 0; s < 6; ++s) {
      const auto y = flat(
          batch_step(model, data, sampled(sampler, data, model.aggregation(), {1, s / 2, s % 2})).view());
      bits.insert(bits.end(), y.begin(), y.end());
    }
    return bits;
  };
  HistoryModel<GcnNet<double>> gas(GcnNet<double>(options), 12);
  HistoryModel<GcnNet<double>, FeatureMomentum> still(GcnNet<double>(options), 12, {}, {.gamma = 0});
  CHECK(logits(gas, plain) == logits(still, with_halo));

  HistoryModel<GcnNet<double>, FeatureMomentum> eager(GcnNet<double>(options), 12, {}, {.gamma = 1});
  const std::vector<Tensor<double>> exact = exact_rows(eager.model(), data);
  std::uint64_t large = 0;
  while (sampled(with_halo, data, eager.aggregation(), {1, 0, large}).num_targets != 10) ++large;
  batch_step(eager, data, sampled(with_halo, data, eager.aggregation(), {1, 0, large}));
  eager.store().wait_all();
  std::vector<double> row(6);
  for (const std::size_t l : {std::size_t{1}, std::size_t{2}}) {
    eager.store().find(l)->read_row(11, row);
    CHECK(relative_distance(row, exact[l - 1].row(11)) <= kRounding);
  }
}

TEST_CASE("Policies refuse what they cannot work with", "[history]") {
  const HistoryCase data(path(12), 8, 4);
  const GcnNet<double>::Options options{.in = 8, .hidden = 6, .out = 4, .layers = 3, .dropout = 0};
  using Lmc = HistoryModel<GcnNet<double>, MessageCompensation>;
  using Momentum = HistoryModel<GcnNet<double>, FeatureMomentum>;
  CHECK_THROWS_AS(Lmc(GcnNet<double>(options), 12, {}, {.beta = 1.5}), ConfigError);
  CHECK_THROWS_AS(Momentum(GcnNet<double>(options), 12, {}, {.gamma = -1}), ConfigError);
  Lmc lmc(GcnNet<double>(options), 12);
  Momentum momentum(GcnNet<double>(options), 12);
  const MiniBatch batch = sampled(HaloSampler(scattered_parts(12, 3)), data, lmc.aggregation());
  CHECK_THROWS_AS(batch_step(lmc, data, batch), ConfigError);
  CHECK_THROWS_AS(batch_step(momentum, data, batch), ConfigError);
}
