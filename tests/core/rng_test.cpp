// SPDX-License-Identifier: MIT
#include "tessera/core/rng.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "support/catch.hpp"

using namespace tessera;

TEST_CASE("Philox gives the published known answers", "[rng]") {
  using Words = std::array<std::uint32_t, 4>;
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("A stream is a pure function of its keys", "[rng]") {
  const RngKey key = make_key(7, 3, Purpose::walk);
  CounterRng a(key, 5, 1234567890123u);
  CounterRng b(key, 5, 1234567890123u);
  for (int i = 0; i < 100; ++i) REQUIRE(a.next32() == b.next32());

  SECTION("and its words are the block function's, four draws a counter") {
    CounterRng c(key, 5, 1234567890123u);
    const auto first =
        philox4x32({0, 5, static_cast<std::uint32_t>(1234567890123u), 1234567890123u >> 32}, key);
    const auto second =
        philox4x32({1, 5, static_cast<std::uint32_t>(1234567890123u), 1234567890123u >> 32}, key);
    for (const std::uint32_t word : first) CHECK(c.next32() == word);
    CHECK(c.next64() == (second[0] | (std::uint64_t{second[1]} << 32)));
  }
  SECTION("and changes with seed, epoch, purpose, batch and entity") {
    const std::uint64_t base = CounterRng(key, 0, 0).next64();
    CHECK(base != CounterRng(make_key(8, 3, Purpose::walk), 0, 0).next64());
    CHECK(base != CounterRng(make_key(7, 4, Purpose::walk), 0, 0).next64());
    CHECK(base != CounterRng(make_key(7, 3, Purpose::pick), 0, 0).next64());
    CHECK(base != CounterRng(key, 1, 0).next64());
    CHECK(base != CounterRng(key, 0, 1).next64());
    CHECK(base != CounterRng(key, 0, std::uint64_t{1} << 32).next64());
  }
}

TEST_CASE("Bounded integers are uniform", "[rng]") {
  const RngKey key = make_key(1, 0, Purpose::generic);
  const auto bound = GENERATE(as<std::uint64_t>{}, 2, 3, 7, 10);
  constexpr int kDraws = 40000;
  std::vector<int> seen(bound);
  CounterRng rng(key, 0, bound);
  for (int i = 0; i < kDraws; ++i) {
    const std::uint64_t x = rng.below(bound);
    REQUIRE(x < bound);
    ++seen[x];
  }
  const double p = 1.0 / static_cast<double>(bound);
  for (const int count : seen) {  // five standard deviations of a binomial frequency
    CHECK(std::abs(count / double{kDraws} - p) <= 5 * std::sqrt(p * (1 - p) / kDraws));
  }
}

TEST_CASE("Bounds of any width are respected", "[rng]") {
  CounterRng rng(make_key(2, 0, Purpose::generic), 0, 0);
  CHECK(rng.below(0) == 0);
  CHECK(rng.below(1) == 0);
  for (const std::uint64_t bound :
       {std::uint64_t{0xffffffffu}, std::uint64_t{1} << 32, std::uint64_t{3} << 40}) {
    std::uint64_t largest = 0;
    for (int i = 0; i < 2000; ++i) largest = std::max(largest, rng.below(bound));
    CHECK(largest < bound);
    CHECK(largest > bound / 4 * 3);  // misses with probability 0.75^2000
  }
}

TEST_CASE("Uniform and normal draws have their moments", "[rng]") {
  constexpr int kDraws = 100000;
  CounterRng rng(make_key(3, 0, Purpose::noise), 0, 0);
  double sum = 0;
  double normal_sum = 0;
  double normal_square = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = rng.uniform();
    REQUIRE((u >= 0 && u < 1));
    sum += u;
    const double z = rng.normal();
    normal_sum += z;
    normal_square += z * z;
  }
  CHECK(std::abs(sum / kDraws - 0.5) <= 5 * std::sqrt(1.0 / 12 / kDraws));
  CHECK(std::abs(normal_sum / kDraws) <= 5 / std::sqrt(double{kDraws}));
  CHECK(std::abs(normal_square / kDraws - 1) <= 5 * std::sqrt(2.0 / kDraws));
}

TEST_CASE("A shuffle permutes, and every position is equally likely", "[rng]") {
  constexpr std::size_t kItems = 5;
  constexpr int kRounds = 20000;
  int first_at[kItems] = {};
  for (int round = 0; round < kRounds; ++round) {
    std::vector<int> items(kItems);
    std::iota(items.begin(), items.end(), 0);
    shuffle(std::span(items),
            CounterRng(make_key(4, 0, Purpose::shuffle), 0, static_cast<std::uint64_t>(round)));
    ++first_at[static_cast<std::size_t>(std::find(items.begin(), items.end(), 0) - items.begin())];
    std::sort(items.begin(), items.end());
    for (std::size_t i = 0; i < kItems; ++i) REQUIRE(items[i] == static_cast<int>(i));
  }
  for (const int count : first_at) {
    CHECK(std::abs(count / double{kRounds} - 0.2) <= 5 * std::sqrt(0.2 * 0.8 / kRounds));
  }
}
