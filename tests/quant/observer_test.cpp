// SPDX-License-Identifier: MIT
#include "tessera/quant/observer.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/quant/quant_plan.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

Tensor<float> row_of(std::vector<float> numbers) {
  Tensor<float> x(1, numbers.size());
  std::copy(numbers.begin(), numbers.end(), x.view().row(0).begin());
  return x;
}

ValueRange<float> percentiles(const Tensor<float>& x, double p, const QuantRows& rows = {}) {
  return percentile_range(detail::RowValues<float>{x.view(), rows, {}}, p);
}

}  // namespace

TEST_CASE("percentile ranks are those of the released code", "[quant]") {
  const auto ranks = [](std::uint64_t n, double p) {
    const PercentileRanks r(n, p);
    return std::pair<std::uint64_t, std::uint64_t>{r.low, r.high};
  };
  using Pair = std::pair<std::uint64_t, std::uint64_t>;
  CHECK(ranks(1, 0.001) == Pair{1, 1});
  CHECK(ranks(10, 0.001) == Pair{1, 9});
  CHECK(ranks(100, 0.001) == Pair{1, 99});
  CHECK(ranks(1000, 0.001) == Pair{1, 999});
  CHECK(ranks(5000, 0.001) == Pair{5, 4995});
  CHECK(ranks(100000, 0.001) == Pair{100, 99900});
}

TEST_CASE("percentiles are the elements a sort would put there", "[quant]") {
  const std::size_t rows = GENERATE(std::size_t{1}, std::size_t{13}, std::size_t{3000});
  const double p = GENERATE(0.0, 0.001, 0.01, 0.25, 0.5);
  Tensor<float> x = random_matrix<float>(rows, 7, 21);
  for (std::size_t i = 0; i < rows; ++i) {
    x(i, 1) = 0.0f;                   // ties
    x(i, 2) *= 1e-20f;                // tiny and of both signs
    if (i % 5 == 0) x(i, 3) *= 1e6f;  // far out
  }
  std::vector<std::uint8_t> keep(rows);
  for (std::size_t i = 0; i < rows; ++i) keep[i] = rows > 1 && i % 4 == 2 ? 1 : 0;
  std::vector<float> sorted;
  for (std::size_t i = 0; i < rows; ++i) {
    if (keep[i] == 0) sorted.insert(sorted.end(), x.view().row(i).begin(), x.view().row(i).end());
  }
  std::sort(sorted.begin(), sorted.end());
  const PercentileRanks rank(sorted.size(), p);
  for (const std::size_t threads : {1u, 2u, 16u}) {
    const auto seen = with_threads(threads, [&] { return percentiles(x, p, {keep, {}}); });
    CHECK(seen.min == sorted[rank.low - 1]);
    CHECK(seen.max == sorted[rank.high - 1]);
  }
}

TEST_CASE("percentiles of nothing, and of NaN, are nothing", "[quant]") {
  CHECK(percentiles(Tensor<float>(0, 3), 0.01).empty());
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(percentiles(row_of({nan, -nan}), 0.01).empty());
  const auto seen = percentiles(row_of({nan, 3, -nan, -2}), 0.0);
  CHECK(seen.min == -2.0f);
  CHECK(seen.max == 3.0f);
}

TEST_CASE("observers follow their rule", "[quant]") {
  Tensor<float> state = Tensor<float>::zeros(3, 1);
  QuantSettings settings;
  const auto see = [&](std::vector<float> numbers) {
    const Tensor<float> x = row_of(std::move(numbers));
    observe<float>(state.view(), x.view(), {}, settings);
  };
  SECTION("absolute: never shrinks") {
    settings.range = RangeRule::absolute;
    see({-1, 2});
    see({-0.5f, 5});
    see({0, 1});
    CHECK(state(0, 0) == -1.0f);
    CHECK(state(1, 0) == 5.0f);
    CHECK(state(2, 0) == 1.0f);
  }
  SECTION("moving: a hundredth of the way") {
    settings.range = RangeRule::moving;
    see({-1, 2});
    CHECK(state(0, 0) == -1.0f);
    CHECK(state(1, 0) == 2.0f);
    see({-3, 12});
    CHECK(std::abs(state(0, 0) + 1.02f) < 2e-7f);
    CHECK(std::abs(state(1, 0) - 2.1f) < 4e-7f);
  }
  SECTION("percentile: of each step, then the widest") {
    settings.range = RangeRule::percentile;
    settings.percentile = 0.3;
    see({5, 1, 2, 3, 4, 6, 7, 8, 9, 10});  // ranks 3 and 7
    CHECK(state(0, 0) == 3.0f);
    CHECK(state(1, 0) == 7.0f);
    see({0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    CHECK(state(0, 0) == 0.0f);
    CHECK(state(1, 0) == 7.0f);
  }
  SECTION("nothing seen changes nothing") {
    settings.range = GENERATE(RangeRule::absolute, RangeRule::moving, RangeRule::percentile);
    observe<float>(state.view(), Tensor<float>(0, 4).view(), {}, settings);
    const std::vector<std::uint8_t> all{1};
    const Tensor<float> x = row_of({1, 2});
    observe<float>(state.view(), x.view(), {all, {}}, settings);
    CHECK(state(2, 0) == 0.0f);
    CHECK_THROWS_AS(observed_params<float>(std::as_const(state).view(), QuantFormat{}, "q"), ConfigError);
  }
}

TEST_CASE("an observer does not see protected rows", "[quant]") {
  Tensor<float> x = random_matrix<float>(50, 6, 8);
  std::vector<std::uint8_t> keep(50);
  keep[17] = 1;
  QuantSettings settings;
  settings.range = GENERATE(RangeRule::absolute, RangeRule::moving, RangeRule::percentile);
  Tensor<float> before = Tensor<float>::zeros(3, 1);
  observe<float>(before.view(), x.view(), {keep, {}}, settings);
  x(17, 3) = 1e9f;
  Tensor<float> after = Tensor<float>::zeros(3, 1);
  observe<float>(after.view(), x.view(), {keep, {}}, settings);
  CHECK(same_bits(std::as_const(before).view(), std::as_const(after).view()));
}

TEST_CASE("percentiles that leave nothing but zero give way to the extremes", "[quant]") {
  const QuantSettings settings{.range = RangeRule::percentile, .percentile = 0.01};
  Tensor<float> x = Tensor<float>::zeros(100, 10);
  Tensor<float> none = Tensor<float>::zeros(3, 1);
  observe<float>(none.view(), x.view(), {}, settings);
  CHECK(none(0, 0) == 0.0f);
  CHECK(none(1, 0) == 0.0f);
  x(7, 3) = 0.25f;
  x(50, 1) = 0.5f;
  x(51, 1) = -0.125f;  // 10 numbers are left out at each end
  Tensor<float> few = Tensor<float>::zeros(3, 1);
  observe<float>(few.view(), x.view(), {}, settings);
  CHECK(few(0, 0) == -0.125f);
  CHECK(few(1, 0) == 0.5f);
}

TEST_CASE("a matrix given by its entries is observed as the same matrix with its zeros", "[quant]") {
  const std::size_t rows = 1500;  // more than a block
  const std::size_t cols = 9;
  Tensor<float> x = Tensor<float>::zeros(rows, cols);
  std::vector<EdgeId> row_ptr{0};
  std::vector<NodeId> col;
  std::vector<float> weight;
  CounterRng rng(make_key(21, 0, Purpose::generate), 0, 0);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t f = 0; f < cols && i != 3; ++f) {  // a row without entries
      if (rng.uniform() > 0.2) continue;
      x(i, f) = static_cast<float>(rng.uniform() - 0.3);
      col.push_back(static_cast<NodeId>(f));
      weight.push_back(x(i, f));
    }
    row_ptr.push_back(static_cast<EdgeId>(col.size()));
  }
  const CsrView<> entries{rows, cols, row_ptr, col, weight};
  std::vector<std::uint8_t> keep(rows);
  for (std::size_t i = 0; i < rows; i += 5) keep[i] = 1;
  QuantSettings settings{.percentile = GENERATE(0.001, 0.05, 0.3)};
  settings.range = GENERATE(RangeRule::absolute, RangeRule::moving, RangeRule::percentile);
  settings.sample = GENERATE(std::size_t{0}, std::size_t{4000});
  const bool all_kept = GENERATE(false, true);
  if (all_kept) std::fill(keep.begin(), keep.end(), std::uint8_t{1});
  const RngKey key = make_key(3, 1, Purpose::dropout);
  Tensor<float> want = Tensor<float>::zeros(3, 1);
  observe<float>(want.view(), x.view(), {keep, {}}, settings, key, 4);
  Tensor<float> got = Tensor<float>::zeros(3, 1);
  observe_entries<float>(got.view(), entries, keep, settings, key, 4);
  CHECK(same_bits(std::as_const(got).view(), std::as_const(want).view()));
  CHECK(got(2, 0) == (all_kept ? 0.0f : 1.0f));
}

TEST_CASE(
    "a sampled percentile looks at about as many rows as asked for, and depends on key and tensor alone",
    "[quant]") {
  const std::size_t rows = 20000;
  const detail::RowSample sample(rows * 10, 50000, make_key(3, 1, Purpose::dropout), 4);
  std::size_t taken = 0;
  for (std::size_t i = 0; i < rows; ++i) taken += sample.takes(i) ? 1u : 0u;
  // Binomial with mean 5000: four standard deviations are 245.
  CHECK(taken > 5000 - 245);
  CHECK(taken < 5000 + 245);
  CHECK(detail::RowSample(1000, 0, {}, 0).takes(7));
  CHECK(detail::RowSample(1000, 1000, {}, 0).takes(7));
}

TEST_CASE("weights have a range per column", "[quant]") {
  const Tensor<float> w = random_matrix<float>(9, 4, 11);
  Tensor<float> state = Tensor<float>::zeros(3, 4);
  observe_columns<float>(state.view(), w.view(), {});
  const OwnedGrid<float> grid(std::as_const(state).view(), format_of(QuantRole::weight, {}), "w");
  Tensor<float> y(9, 4);
  fake_quantize<float>(w.view(), grid.view(), y.view());
  for (std::size_t j = 0; j < 4; ++j) {
    float largest = 0;
    for (std::size_t i = 0; i < 9; ++i) largest = std::max(largest, std::abs(w(i, j)));
    // The narrow range holds the largest magnitude as a code, and every other number within half a step.
    CHECK(std::abs(grid.view().scale[j] - largest / 127) < 1e-7f * largest);
    for (std::size_t i = 0; i < 9; ++i) CHECK(std::abs(y(i, j) - w(i, j)) <= 0.5f * largest / 127 * 1.00001f);
  }
}

TEST_CASE("messages are observed by entry", "[quant]") {
  const OwnedAdjacency a = random_block(30, 40, 5, 2);
  const Tensor<float> x = random_matrix<float>(40, 3, 6);
  std::vector<std::uint8_t> keep(40);
  keep[3] = keep[9] = 1;
  std::vector<float> all;
  const CsrView<> rows = a.view().forward;
  for (std::size_t e = 0; e < rows.num_edges(); ++e) {
    for (std::size_t f = 0; f < 3 && keep[rows.col[e]] == 0; ++f)
      all.push_back(rows.weight[e] * x(rows.col[e], f));
  }
  std::sort(all.begin(), all.end());
  QuantSettings settings{.range = RangeRule::percentile, .percentile = 0.05};
  Tensor<float> state = Tensor<float>::zeros(3, 1);
  observe_messages<float>(state.view(), rows, x.view(), keep, settings);
  const PercentileRanks rank(all.size(), 0.05);
  CHECK(state(0, 0) == all[rank.low - 1]);
  CHECK(state(1, 0) == all[rank.high - 1]);
}
