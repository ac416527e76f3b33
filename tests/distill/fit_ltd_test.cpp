// SPDX-License-Identifier: MIT
#include "tessera/distill/fit_ltd.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/distill_cases.hpp"
#include "tessera/core/error.hpp"
#include "tessera/distill/fit_ltd_batches.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"

using namespace tessera;

TEST_CASE(
    "fit_ltd and fit_soft: learn a teacher's answers, the same on any number of threads; diverging is said") {
  Dataset data = testing::community_task(600, 3);
  LtdSplit split = ltd_split(data.labels.classes.span(), 3);
  Tensor<float> teacher = Tensor<float>::zeros(600, 3);
  for (std::size_t i = 0; i < 600; ++i) teacher(i, static_cast<std::size_t>(data.labels.classes[i])) = 3;
  const GcnNet<>::Options form{.in = data.num_features(), .hidden = 8, .out = 3, .dropout = 0.1f};
  const PreparedAdjacency prepared =
      prepare_adjacency(data.graph.view(), true, GcnNet<>(form).aggregation(), true);
  const LtdData<float> problem{prepared.adjacency(),       data.graph.view(),
                               data.features.view(),       std::as_const(teacher).view(),
                               data.labels.classes.span(), &split};
  const auto learn = [&](std::size_t threads, double alpha) {
    return with_threads(threads, [&] {
      GcnNet<> student(form);
      const LtdFit<float> fit =
          fit_ltd(student, problem,
                  {.step = {.alpha = alpha, .beta = 1e-3}, .epochs = 60, .warm_up = 5, .hidden = 8});
      return std::pair{fit.report.test_accuracy,
                       std::vector<float>(fit.temperatures.begin(), fit.temperatures.end())};
    });
  };
  const auto one = learn(1, 1e-3);
  CHECK(one.first > 0.8);
  REQUIRE(one.second.size() == 600);
  for (const float tau : one.second) CHECK((tau > -0.2f && tau < 0.8f && tau != 0));
  CHECK(learn(4, 1e-3) == one);
  CHECK_THROWS_AS(learn(1, 1e30), Error);

  GcnNet<> fixed(form);
  CHECK(fit_soft(fixed, problem, {.lr = 0, .alpha = 1e-3, .epochs = 60}).report.test_accuracy > 0.8);
  GcnNet<> ruled(form);
  const LtdFit<float> rule = fit_soft(ruled, problem, {.epochs = 60, .heuristic = true});
  CHECK(rule.report.test_accuracy > 0.8);
  CHECK(rule.temperatures[0] != rule.temperatures[1]);
}

TEST_CASE("fit_ltd_batches: batches of everything are fit_ltd, bit for bit; sampled ones learn as well") {
  const Dataset data = testing::community_task(600, 3);
  const LtdSplit split = ltd_split(data.labels.classes.span(), 3);
  Tensor<float> teacher = Tensor<float>::zeros(600, 3);
  for (std::size_t i = 0; i < 600; ++i) teacher(i, static_cast<std::size_t>(data.labels.classes[i])) = 3;
  const GcnNet<>::Options form{.in = data.num_features(), .hidden = 8, .out = 3, .dropout = 0.1f};
  const PreparedAdjacency prepared =
      prepare_adjacency(data.graph.view(), true, GcnNet<>(form).aggregation(), true);
  const LtdData<float> problem{prepared.adjacency(),       data.graph.view(),
                               data.features.view(),       std::as_const(teacher).view(),
                               data.labels.classes.span(), &split};
  const bool attached = GENERATE(false, true);
  FitLtdOptions options{
      .step = {.alpha = 1e-3, .beta = 1e-3, .attached = attached}, .epochs = 30, .warm_up = 5, .hidden = 8};
  const auto outcome = [](const GcnNet<>& student, const LtdFit<float>& fit) {
    std::vector<float> out(student.parameters().values().begin(), student.parameters().values().end());
    out.insert(out.end(), fit.temperatures.begin(), fit.temperatures.end());
    out.push_back(static_cast<float>(fit.report.test_accuracy));
    return out;
  };
  GcnNet<> whole(form);
  const auto want = outcome(whole, fit_ltd(whole, problem, options));
  GcnNet<> batched(form);
  const auto got = outcome(batched, fit_ltd_batches(batched, data, FullGraphSampler{},
                                                    std::as_const(teacher).view(), split, options));
  CHECK(got == want);

  const NeighborSampler sampler({.fanouts = {10, 10}, .batches = {.batch_size = 100}});
  const auto sampled = [&](std::size_t threads) {
    return with_threads(threads, [&] {
      GcnNet<> student(form);
      return outcome(student,
                     fit_ltd_batches(student, data, sampler, std::as_const(teacher).view(), split, options));
    });
  };
  const auto one = sampled(1);
  CHECK(one.back() > 0.8f);
  CHECK(sampled(4) == one);
  options.step = {.hypergradient = Hypergradient::logit_space};
  CHECK_THROWS_AS(sampled(1), ConfigError);
}
