// SPDX-License-Identifier: MIT
#include "tessera/distill/fit_ltd.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/distill_cases.hpp"
#include "tessera/core/error.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/nn/nets/gcn_net.hpp"

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
