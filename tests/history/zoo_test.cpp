// SPDX-License-Identifier: MIT
// Every network of the zoo with a history: docs/layers.md ticks what runs here.
#include <vector>

#include "support/catch.hpp"
#include "support/history_cases.hpp"
#include "support/zoo.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

constexpr Pass kTraining{.training = true};

HistoryCase zoo_case() { return HistoryCase(random_graph(40, 4, 11), 5, 3); }

/// A batch's norm over its rows is not the whole graph's.
bool by_rows(const ZooEntry<double>& entry) {
  return !needs_all_rows(entry.model) && entry.name != "gin, one map" &&
         entry.name != "gcn, batch norm, residual, ends";
}

}  // namespace

TEST_CASE("zoo: with a history, all parts in one batch are the whole graph, values and gradients",
          "[history][zoo]") {
  const HistoryCase data = zoo_case();
  const HaloSampler sampler(scattered_parts(data.num_nodes(), 4), {.clusters_per_batch = 4});
  for (ZooEntry<double>& entry : zoo<double>(0.0f)) {
    CAPTURE(entry.name);
    const StepResult want = full_step(entry.model, data, kTraining);
    HistoryModel<AnyModel<double>> model(std::move(entry.model), data.num_nodes());
    model.parameters().zero_grads();
    const Tensor<double> logits = batch_step(model, data, sampled(sampler, data, model.aggregation()));
    CHECK(relative_distance(flat(logits.view()), flat(want.logits.view())) <= kRounding);
    CHECK(relative_distance(gradient_of(model.parameters()), want.gradient) <= kRounding);
  }
}

TEST_CASE("zoo: a refresh gives the logits of inference, and batches of any part see exact rows",
          "[history][zoo]") {
  const HistoryCase data = zoo_case();
  const HaloSampler sampler(scattered_parts(data.num_nodes(), 4), {.clusters_per_batch = 1});
  for (ZooEntry<double>& entry : zoo<double>(0.0f)) {
    CAPTURE(entry.name);
    const bool rows = by_rows(entry);
    const std::vector<Tensor<double>> exact = exact_rows(entry.model, data);
    HistoryModel<AnyModel<double>> model(std::move(entry.model), data.num_nodes());
    const PreparedAdjacency prepared = prepare_adjacency(data.graph, model.aggregation());
    const auto logits = model.infer_layers(prepared.adjacency(), data.x.view(), 0);
    REQUIRE(logits.has_value());
    CHECK(flat(logits->view()) == flat(exact.back().view()));
    if (!rows) continue;
    for (std::uint64_t b = 0; b < 4; ++b) {
      const MiniBatch batch = sampled(sampler, data, model.aggregation(), {1, 0, b});
      const Tensor<double> y = batch_step(model, data, batch);
      Tensor<double> want(batch.num_targets, 3);
      gather_rows(exact.back().view(), batch.node_id.span().first(batch.num_targets), want.view());
      CHECK(relative_distance(flat(y.view()), flat(want.view())) <= kRounding);
    }
  }
}
