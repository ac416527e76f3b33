// SPDX-License-Identifier: MIT
#include "tessera/sampling/alias_table.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

/// Every frequency within 5 sigma of its probability.
void check_frequencies(const std::vector<double>& weight, const std::vector<double>& hits, double draws) {
  double total = 0;
  for (const double w : weight) total += w;
  for (std::size_t i = 0; i < weight.size(); ++i) {
    const double p = weight[i] / total;
    CAPTURE(i, p, hits[i] / draws);
    CHECK(std::abs(hits[i] / draws - p) <= 5 * std::sqrt(p * (1 - p) / draws) + 1 / draws);
    if (weight[i] == 0) CHECK(hits[i] == 0);
  }
}

}  // namespace

TEST_CASE("AliasTable draws in proportion to the weights") {
  const std::vector<double> weight =
      GENERATE(std::vector<double>{1}, std::vector<double>{1, 1, 1}, std::vector<double>{0, 3, 0, 1},
               std::vector<double>{1e-9, 1, 1e3, 2, 0.5}, std::vector<double>{1e300, 1e300, 5e299});
  const AliasTable table(weight);
  constexpr double kDraws = 40'000;
  std::vector<double> hits(weight.size());
  CounterRng rng(make_key(1, 0, Purpose::pick), 0, weight.size());
  for (int r = 0; r < static_cast<int>(kDraws); ++r) ++hits[table.draw(rng)];
  check_frequencies(weight, hits, kDraws);
}

TEST_CASE("AliasTable: the slots add up to the weights exactly") {
  // The probability of i is what its own slot keeps plus what others pass on; 2^-32 per slot is lost to rounding.
  CounterRng rng(make_key(2, 0, Purpose::generate), 0, 0);
  std::vector<double> weight(200);
  for (double& w : weight) w = rng.below(4) == 0 ? 0.0 : rng.uniform();
  std::vector<AliasSlot> slot(weight.size());
  Array<double> share;
  Array<std::uint32_t> stack;
  const double total = detail::build_alias<double>(weight, slot, share, stack);
  std::vector<double> chance(weight.size());
  for (std::size_t i = 0; i < slot.size(); ++i) {
    const double keep = static_cast<double>(slot[i].keep) * 0x1p-32;
    chance[i] += keep / static_cast<double>(slot.size());
    chance[slot[i].other] += (1 - keep) / static_cast<double>(slot.size());
  }
  for (std::size_t i = 0; i < weight.size(); ++i)
    CHECK(std::abs(chance[i] - weight[i] / total) <= 0x1p-32 + 200 * 0x1p-52);
}

TEST_CASE("AliasTable refuses weights nothing can be drawn from") {
  REQUIRE_THROWS_AS(AliasTable(std::vector<double>{}), ConfigError);
  REQUIRE_THROWS_AS(AliasTable(std::vector<double>{0, 0}), ConfigError);
  REQUIRE_THROWS_AS(AliasTable(std::vector<double>{1, -1}), ConfigError);
  REQUIRE_THROWS_AS(AliasTable(std::vector<double>{1, std::nan("")}), ConfigError);
  REQUIRE_THROWS_AS(AliasTable(std::vector<double>{1, std::numeric_limits<double>::infinity()}), ConfigError);
}

TEST_CASE("NeighborAliasTables draw neighbours by edge weight") {
  CsrGraph graph = with_random_weights(random_directed(20, 150, 1), 2);
  for (EdgeId e = graph.row_ptr[3]; e < graph.row_ptr[4]; ++e) graph.weight[e] = 0.0f;
  const NeighborAliasTables tables(graph.view());
  CHECK(tables.total(3) == 0.0);
  for (const std::size_t i : {0u, 7u, 19u}) {
    const auto row = graph.view().weights(i);
    const std::vector<double> weight(row.begin(), row.end());
    std::vector<double> hits(weight.size());
    constexpr double kDraws = 40'000;
    CounterRng rng(make_key(3, 0, Purpose::pick), 0, i);
    for (int r = 0; r < static_cast<int>(kDraws); ++r) ++hits[tables.draw(i, rng)];
    check_frequencies(weight, hits, kDraws);
  }
  graph.weight[5] = -1.0f;
  REQUIRE_THROWS_AS(NeighborAliasTables(graph.view()), Error);
  REQUIRE_THROWS_AS(NeighborAliasTables(g6().view()), ConfigError);
}
