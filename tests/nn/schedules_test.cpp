// SPDX-License-Identifier: MIT
#include "tessera/nn/optim/schedules.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "tessera/nn/optim/plateau.hpp"

namespace {

using namespace tessera;

/// PyTorch reaches its numbers by repeated multiplication: n roundings of a number below 1.
template <class S>
void check_factors(const S& schedule, const std::vector<double>& want) {
  for (std::size_t e = 0; e < want.size(); ++e) {
    INFO("epoch " << e);
    CHECK(std::abs(schedule.factor(e) - want[e]) <= 4 * static_cast<double>(want.size()) * 0x1p-53);
  }
}

}  // namespace

TEST_CASE("Schedules repeat PyTorch's factors", "[schedules]") {
  check_factors(ConstantRate{}, {1, 1, 1});
  check_factors(StepDecay{.every = 3, .gamma = 0.5}, {1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125});
  check_factors(MultiStepDecay{.milestones = {2, 5, 9}, .gamma = 0.1},
                {1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.001, 0.001});
  check_factors(ExponentialDecay{.gamma = 0.9}, {1, 0.9, 0.81, 0.7290000000000001, 0.6561000000000001});
  check_factors(CosineDecay{.period = 10, .floor = 0.05},
                {1.0, 0.976751845240198, 0.9092830723281, 0.8041979948389247, 0.6717830723281,
                 0.5249999999999999, 0.37821692767189996, 0.2458020051610753, 0.14071692767190003,
                 0.07324815475980208, 0.05, 0.07324815475980208, 0.14071692767190033, 0.2458020051610761});
  check_factors(LinearWarmup<>{.epochs = 5, .start = 0.1}, {0.1, 0.28, 0.46, 0.64, 0.82, 1, 1});
}

TEST_CASE("A warm-up hands over to the schedule that follows", "[schedules]") {
  const LinearWarmup<CosineDecay> schedule{.epochs = 2, .start = 0.5, .then = {.period = 10, .floor = 0.05}};
  check_factors(schedule, {0.5, 0.75, 1.0, 0.976751845240198, 0.9092830723281});
  check_factors(InverseSqrtDecay{.warmup = 4}, {0.25, 0.5, 0.75, 1, std::sqrt(4.0 / 5), std::sqrt(4.0 / 6)});
}

TEST_CASE("Schedules refuse a period of zero", "[schedules]") {
  CHECK_THROWS_AS(StepDecay{.every = 0}.factor(1), ConfigError);
  CHECK_THROWS_AS(CosineDecay{.period = 0}.factor(1), ConfigError);
  CHECK_THROWS_AS(InverseSqrtDecay{.warmup = 0}.factor(1), ConfigError);
  CHECK_THROWS_AS(ReduceOnPlateau{.gamma = 1}.start(), ConfigError);
  CHECK_THROWS_AS(ReduceOnPlateau{.threshold = -1}.start(), ConfigError);
}

TEST_CASE("ReduceOnPlateau repeats PyTorch's sequence", "[schedules]") {
  const auto run = [](const ReduceOnPlateau& policy, const std::vector<double>& values) {
    auto state = policy.start();
    std::vector<double> out;
    for (const double v : values) {
      policy.observe(state, v, v);
      out.push_back(policy.factor(state, 0));
    }
    return out;
  };
  std::vector<double> losses{1.0, 0.9, 0.895, 0.9, 0.91, 0.92};
  losses.resize(22, 0.5);
  CHECK(run({.gamma = 0.5, .patience = 2, .threshold = 0.01, .cooldown = 2, .floor = 0.1}, losses) ==
        std::vector<double>{1,    1,    1,    1,     0.5,   0.5,   0.5,   0.5,   0.5, 0.25, 0.25,
                            0.25, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125, 0.125, 0.1, 0.1,  0.1});
  CHECK(run({.watch = ReduceOnPlateau::Watch::val_metric, .gamma = 0.5, .patience = 1, .threshold = 0.01},
            {0.5, 0.502, 0.51, 0.51, 0.51, 0.52, 0.52, 0.51}) ==
        std::vector<double>{1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25});
}
