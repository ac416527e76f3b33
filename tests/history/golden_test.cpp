// SPDX-License-Identifier: MIT
// Pulls, pushes, values and gradients against GNNAutoScale's recursion run with PyTorch Geometric's layers
// (tests/golden/make_history_golden.py).
#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/golden.hpp"
#include "support/history_cases.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

HistoryCase case_of(const GoldenFile& golden) {
  const std::vector<NodeId> ends = golden.ids("links");
  Links links;
  for (std::size_t k = 0; k < ends.size(); k += 2) links.push_back({ends[k], ends[k + 1]});
  const Tensor<double> x = golden.matrix("x");
  HistoryCase data(undirected(x.rows(), links), x.cols(), 3);
  for (std::size_t i = 0; i < x.rows(); ++i)
    for (std::size_t j = 0; j < x.cols(); ++j) data.x(i, j) = static_cast<float>(x(i, j));
  data.loss = golden.matrix("g");
  return data;
}

/// The batch of one part, wherever the sampler's order puts it.
MiniBatch batch_of(const HaloSampler& sampler, const HistoryCase& data, const AggregationSpec& spec,
                   std::span<const PartId> parts, PartId part) {
  for (std::uint64_t b = 0; b < sampler.num_batches(data.source()); ++b) {
    MiniBatch batch = sampled(sampler, data, spec, {0, 0, b});
    if (parts[batch.node_id[0]] == part) return batch;
  }
  FAIL("no batch holds the part");
  return {};
}

template <class Net>
void check(const GoldenFile& golden, const std::string& name, Net net, double tolerance) {
  const HistoryCase data = case_of(golden);
  std::vector<PartId> parts;
  for (const NodeId p : golden.ids("part")) parts.push_back(part_id(p));
  ParameterBlock<double>& block = net.parameters();
  for (const ParameterInfo& info : block.parameters()) {
    const Tensor<double> value = golden.matrix(name + "." + info.name);
    REQUIRE(value.rows() == info.rows);
    REQUIRE(value.cols() == info.cols);
    for (std::size_t i = 0; i < value.rows(); ++i)
      std::copy(value.row(i).begin(), value.row(i).end(), block.value(block.find(info.name)).row(i).begin());
  }
  HistoryModel<Net> model(std::move(net), data.num_nodes());
  for (std::size_t l = 1; l < 3; ++l)
    model.store().table(l, 6).push_range(0, golden.matrix(name + ".start." + std::to_string(l)).view(), 0);
  const HaloSampler sampler(parts);
  model.parameters().zero_grads();
  for (int sweep = 0; sweep < 2; ++sweep) {
    for (std::uint32_t p = 0; p < 4; ++p) {
      const MiniBatch batch = batch_of(sampler, data, model.aggregation(), parts, part_id(p));
      const Tensor<double> y = batch_step(model, data, batch);
      const Tensor<double> want =
          golden.matrix(name + ".y." + std::to_string(sweep) + "." + std::to_string(p));
      CHECK(relative_distance(flat(y.view()), flat(want.view())) <= tolerance);
    }
  }
  model.store().wait_all();
  for (std::size_t l = 1; l < 3; ++l) {
    CHECK(relative_distance(table_rows(*model.store().find(l)),
                            flat(golden.matrix(name + ".end." + std::to_string(l)).view())) <= tolerance);
  }
  for (const ParameterInfo& info : model.parameters().parameters()) {
    INFO(info.name);
    CHECK(relative_distance(flat(model.parameters().grad(model.parameters().find(info.name))),
                            flat(golden.matrix(name + "." + info.name + ".grad").view())) <= tolerance);
  }
}

}  // namespace

TEST_CASE("GNNAutoScale's steps equal those of PyTorch Geometric's layers with histories", "[history]") {
  const GoldenFile golden("history.npz");
  // Normalised weights are float, to 6e-8 each: sums of some tens of terms, three layers deep. Attention has none.
  check(golden, "gcn", GcnNet<double>({.in = 5, .hidden = 6, .out = 3, .layers = 3, .dropout = 0}), 2e-6);
  check(golden, "gat",
        GatNet<double>({.in = 5,
                        .hidden = 6,
                        .out = 3,
                        .layers = 3,
                        .dropout = 0,
                        .conv = {.heads = 2, .out_heads = 1, .entry_dropout = 0}}),
        kRounding);
}
