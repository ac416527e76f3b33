// SPDX-License-Identifier: MIT
#include "tessera/core/parallel.hpp"

#include <atomic>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/rng.hpp"

using namespace tessera;

TEST_CASE("A parallel loop visits every item once, in ranges of the grain", "[parallel]") {
  const auto count = GENERATE(as<std::size_t>{}, 0, 1, 99, 100, 101, 12345);
  const auto threads = GENERATE(as<std::size_t>{}, 1, 2, 5);
  std::vector<int> visits(count);
  with_threads(threads, [&] {
    parallel_for(count, 100, [&](std::size_t begin, std::size_t end) {
      if (begin % 100 != 0 || end - begin > 100) throw std::logic_error("range");
      for (std::size_t i = begin; i < end; ++i) ++visits[i];
    });
  });
  for (const int v : visits) REQUIRE(v == 1);
}

TEST_CASE("A float sum has the same bits for any number of threads", "[parallel]") {
  std::vector<float> values(100003);
  CounterRng rng(make_key(1, 0, Purpose::noise), 0, 0);
  for (float& v : values) v = static_cast<float>(rng.normal() * std::exp(10 * rng.uniform()));
  const auto sum = [&] {
    return parallel_sum<float>(values.size(), 1000, [&](std::size_t begin, std::size_t end) {
      return std::accumulate(values.begin() + static_cast<std::ptrdiff_t>(begin),
                             values.begin() + static_cast<std::ptrdiff_t>(end), 0.0f);
    });
  };
  const float one = with_threads(1, sum);
  for (const std::size_t threads : {2u, 3u, 4u, 16u}) {
    for (int repeat = 0; repeat < 5; ++repeat) CHECK(with_threads(threads, sum) == one);
  }
  const double exact = std::accumulate(values.begin(), values.end(), 0.0);
  double magnitude = 0;
  for (const float v : values) magnitude += std::abs(v);
  // A block adds 1000 terms in turn, the tree 7 levels: at most 1007 roundings touch a term.
  CHECK(std::abs(one - exact) <= 1007 * 0x1p-24 * magnitude);
}

TEST_CASE("The reduction of nothing is the identity", "[parallel]") {
  CHECK(parallel_reduce(
            0, 10, 42, [](auto, auto) { return 0; }, [](int a, int b) { return a + b; }) == 42);
}

TEST_CASE("The exclusive scan equals the serial one", "[parallel]") {
  const auto count = GENERATE(as<std::size_t>{}, 0, 1, 32768, 32769, 200000);
  std::vector<std::uint64_t> values(count);
  CounterRng rng(make_key(2, 0, Purpose::noise), 0, 0);
  for (auto& v : values) v = rng.below(1000);
  std::vector<std::uint64_t> want(count);
  std::exclusive_scan(values.begin(), values.end(), want.begin(), std::uint64_t{0});
  const std::uint64_t total = std::accumulate(values.begin(), values.end(), std::uint64_t{0});
  CHECK(parallel_exclusive_scan(std::span(values)) == total);
  CHECK(values == want);
}

TEST_CASE("Exceptions leave a parallel loop, and the loop works again", "[parallel]") {
  CHECK_THROWS_AS(parallel_blocks(100,
                                  [](std::size_t block) {
                                    if (block == 37) throw std::runtime_error("37");
                                  }),
                  std::runtime_error);
  std::atomic<int> calls{0};
  parallel_blocks(10, [&](std::size_t) { ++calls; });
  CHECK(calls == 10);
}

TEST_CASE("The thread limit is what loops see", "[parallel]") {
  for (const std::size_t threads : {1u, 2u, 3u, 8u}) {
    CHECK(with_threads(threads, [] { return max_threads(); }) == threads);
  }
  CHECK(in_arena(2, [] { return max_threads(); }) == 2);
}
