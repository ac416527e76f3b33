// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "support/partition_graphs.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/metrics.hpp"
#include "tessera/partition/multilevel.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

std::uint64_t hash_of(const Partition& p) {
  std::uint64_t h = 1469598103934665603u;
  for (const PartId part : p.part) h = (h ^ index(part)) * 1099511628211u;
  return h;
}

struct Row {
  std::size_t parts;
  std::int64_t metis;  // mean cut of METIS 5.1.0 k-way, seeds 1 to 5, same balance
};

double ratio_to_metis(const PartitionGraph& graph, const Row& row, PartitionEffort effort) {
  const Partition p = partition(graph, {.parts = row.parts, .seed = 1, .effort = effort});
  CHECK(p.feasible());
  CHECK(p.cut == edge_cut(graph, p.part));
  CHECK(partition_metrics(graph, p.part, row.parts).empty_parts == 0);
  return static_cast<double>(p.cut) / static_cast<double>(row.metis);
}

struct Published {
  const char* name;
  PartitionGraph graph;
  std::uint64_t hash;
  std::vector<Row> rows;
};

std::vector<Published> published() {
  std::vector<Published> out;
  out.push_back({"grid", published_grid(), 0xcfd506adf21c58e7u, {{16, 3577}, {64, 8290}}});
  out.push_back({"sbm", published_sbm(), 0x5332d14c7bed703bu, {{100, 213421}}});
  out.push_back({"ba", published_ba(), 0xaeb21d5f6e25455fu, {{16, 318209}}});
  out.push_back({"er", published_er(), 0x5d06f2c1fddeaceb, {{16, 561186}}});
  out.push_back({"rgg", published_rgg(), 0xc17b80d3318cd76eu, {{16, 4231}, {64, 10226}}});
  out.push_back({"rmat16", published_rmat16(), 0x0e3d9071a3cd2a75u, {{16, 612233}}});
  return out;
}

}  // namespace

TEST_CASE("the quality preset cuts no more than METIS on any published graph", "[slow]") {
  double log_sum = 0;
  int rows = 0;
  for (const Published& p : published()) {
    REQUIRE(graph_hash(p.graph) == p.hash);
    for (const Row& row : p.rows) {
      const double ratio = ratio_to_metis(p.graph, row, PartitionEffort::high);
      CAPTURE(p.name, row.parts);
      CHECK(ratio <= 1);
      log_sum += std::log(ratio);
      ++rows;
    }
  }
  CHECK(std::exp(log_sum / rows) <= 0.95);
}

TEST_CASE("the default preset cuts no more than METIS on average", "[slow]") {
  double log_sum = 0;
  int rows = 0;
  for (const Published& p : published()) {
    for (const Row& row : p.rows) {
      log_sum += std::log(ratio_to_metis(p.graph, row, PartitionEffort::standard));
      ++rows;
    }
  }
  CHECK(std::exp(log_sum / rows) <= 1);
}

TEST_CASE("planted blocks are found again", "[slow]") {
  const PartitionGraph graph = published_sbm();
  const Partition p = partition(graph, {.parts = 100, .effort = PartitionEffort::high});
  CHECK(p.cut <= 207000);
  // A planted block is recovered when nine tenths of it lie in one part.
  std::size_t recovered = 0;
  for (std::size_t b = 0; b < 100; ++b) {
    std::vector<std::size_t> count(100, 0);
    for (std::size_t i = 0; i < 1000; ++i) ++count[index(p.part[1000 * b + i])];
    recovered += *std::max_element(count.begin(), count.end()) >= 900 ? 1u : 0u;
  }
  CHECK(recovered >= 90);
}

TEST_CASE("a skewed graph gets the same parts at any number of threads", "[slow]") {
  const PartitionGraph graph = published_rmat16();
  const PartitionOptions options{.parts = 64, .seed = 3};
  const std::uint64_t one = with_threads(1, [&] { return hash_of(partition(graph, options)); });
  for (const std::size_t threads : {2u, 3u, 8u, 16u}) {
    CHECK(with_threads(threads, [&] { return hash_of(partition(graph, options)); }) == one);
  }
}

TEST_CASE("a star with a million leaves is no trouble") {
  const PartitionGraph graph = star_graph(1000000);
  const Partition p = partition(graph, {.parts = 8});
  CHECK(p.feasible());
  CHECK(p.cut == 1000001 - p.part_weight[index(p.part[0])]);  // the leaves outside the hub's part
}
