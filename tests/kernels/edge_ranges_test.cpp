// SPDX-License-Identifier: MIT
#include "tessera/kernels/edge_ranges.hpp"

#include <atomic>
#include <cstddef>
#include <vector>

#include "support/catch.hpp"
#include "support/sparse_cases.hpp"

namespace tessera {
namespace {

std::vector<EdgeId> row_pointers(const std::vector<std::size_t>& degrees) {
  std::vector<EdgeId> out{0};
  for (const std::size_t d : degrees) out.push_back(out.back() + d);
  return out;
}

// How often rows and entries are covered by for_each.
void check_cover(const std::vector<EdgeId>& row_ptr) {
  const EdgeRanges ranges(row_ptr);
  const std::size_t rows = row_ptr.size() - 1;
  std::vector<std::atomic<int>> row_seen(rows);
  std::vector<std::atomic<int>> entry_seen(row_ptr.back());
  ranges.for_each(
      [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i) {
          ++row_seen[i];
          for (EdgeId e = row_ptr[i]; e < row_ptr[i + 1]; ++e) ++entry_seen[e];
        }
      },
      [&](const HubRow& hub, std::size_t part, EdgeRanges::Entries entries) {
        if (part == hub.first_part) ++row_seen[hub.row];
        for (std::size_t e = entries.first; e < entries.last; ++e) ++entry_seen[e];
      });
  std::size_t wrong = 0;
  for (const auto& n : row_seen) wrong += n != 1;
  for (const auto& n : entry_seen) wrong += n != 1;
  CHECK(wrong == 0);
}

TEST_CASE("edge ranges cover every row and every entry once", "[edge_ranges]") {
  const std::size_t h = EdgeRanges::kHubEntries;
  const std::vector<std::vector<std::size_t>> cases{
      {},
      {0},
      {1},
      {0, 0, 0, 5, 0, 0},
      std::vector<std::size_t>(5000, 0),
      std::vector<std::size_t>(3000, 7),
      {h},
      {h + 1},
      {h + 1, h + 1, 0, h, 3 * h + 17},
      {0, 5 * h, 0, 0, 2, 2 * h, 1},
      {1, h - 1, h + 1},
  };
  for (std::size_t c = 0; c < cases.size(); ++c) {
    CAPTURE(c);
    check_cover(row_pointers(cases[c]));
  }
  CHECK(EdgeRanges({}).num_chunks() == 0);
}

TEST_CASE("hubs are exactly the rows beyond the limit, whatever lies around them", "[edge_ranges]") {
  CounterRng rng(make_key(1, 0, Purpose::generate), 0, 0);
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<std::size_t> degrees(1 + rng.below(60));
    for (std::size_t& d : degrees) {
      d = rng.below(4) == 0 ? EdgeRanges::kHubEntries - 3 + rng.below(8) : rng.below(100);
      if (rng.below(20) == 0) d = rng.below(5 * EdgeRanges::kHubEntries);
    }
    const auto row_ptr = row_pointers(degrees);
    const EdgeRanges ranges(row_ptr);
    std::vector<std::size_t> want;
    for (std::size_t i = 0; i < degrees.size(); ++i) {
      if (degrees[i] > EdgeRanges::kHubEntries) want.push_back(i);
    }
    REQUIRE(ranges.hubs().size() == want.size());
    std::size_t part = 0;
    for (std::size_t k = 0; k < want.size(); ++k) {
      const HubRow& hub = ranges.hubs()[k];
      REQUIRE(hub.row == want[k]);
      REQUIRE(hub.first_part == part);
      std::size_t next = row_ptr[hub.row];
      for (std::size_t p = 0; p < hub.num_parts; ++p, ++part) {
        const auto entries = ranges.part_entries(hub, part);
        REQUIRE(&ranges.hub_of_part(part) == &hub);
        REQUIRE(entries.first == next);
        REQUIRE(entries.last > entries.first);
        REQUIRE(entries.last - entries.first <= EdgeRanges::kPartEntries);
        next = entries.last;
      }
      REQUIRE(next == row_ptr[hub.row + 1]);
    }
    REQUIRE(ranges.num_parts() == part);
  }
}

TEST_CASE("chunks are balanced: none holds more than its share and one row", "[edge_ranges]") {
  std::vector<std::size_t> degrees(100000);
  CounterRng rng(make_key(2, 0, Purpose::generate), 0, 0);
  std::size_t longest = 0;
  for (std::size_t& d : degrees) {
    d = rng.below(50) == 0 ? rng.below(2000) : rng.below(10);
    longest = std::max(longest, d);
  }
  const auto row_ptr = row_pointers(degrees);
  const EdgeRanges ranges(row_ptr);
  const std::size_t share = (row_ptr.back() + degrees.size()) / ranges.num_chunks() + 1;
  CHECK(ranges.num_chunks() > 100);
  CHECK(ranges.num_chunks() <= EdgeRanges::kMaxChunks);
  std::size_t next = 0;
  for (std::size_t k = 0; k < ranges.num_chunks(); ++k) {
    const auto rows = ranges.chunk(k);
    REQUIRE(rows.first == next);
    next = rows.last;
    REQUIRE(row_ptr[rows.last] - row_ptr[rows.first] + (rows.last - rows.first) <= 2 * share + longest);
  }
  CHECK(next == degrees.size());
}

}  // namespace
}  // namespace tessera
