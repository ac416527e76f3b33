// SPDX-License-Identifier: MIT
#include "tessera/partition/metrics.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/partition_graphs.hpp"
#include "tessera/partition/all.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

static_assert(Partitioner<RandomPartitioner>);
static_assert(Partitioner<ContiguousPartitioner>);
struct NotAPartitioner {
  int partition(CsrView<>, const PartitionOptions&) const { return 0; }
};
static_assert(!Partitioner<NotAPartitioner>);

std::vector<PartId> parts_of(std::initializer_list<std::size_t> numbers) {
  std::vector<PartId> out;
  for (const std::size_t p : numbers) out.push_back(part_id(p));
  return out;
}

}  // namespace

TEST_CASE("metrics of G6 by hand") {
  const PartitionGraph graph = g6();
  const auto part = parts_of({0, 0, 1, 1, 2, 2});
  const PartitionMetrics m = partition_metrics(graph, part, 4);
  CHECK(m.cut == 3);  // 0-2, 1-2, 3-4
  CHECK(m.cut_fraction == Approx(3.0 / 5));
  CHECK(m.embedding_utilisation == Approx(2.0 / 5));
  CHECK(m.communication_volume == 5);  // nodes 0, 1, 2, 3, 4 see one other part each
  CHECK(m.halo_fraction == Approx(5.0 / 6));
  CHECK(m.imbalance == Approx(2.0 * 4 / 6));
  CHECK(m.empty_parts == 1);
  CHECK(edge_cut(graph, part) == 3);
}

TEST_CASE("label entropy by hand") {
  const auto part = parts_of({0, 0, 1, 1, 1, 1});
  const std::vector<std::int32_t> label{0, 0, 1, 2, kUnlabelled, 1};
  // Part 0 is pure; part 1 has labels 1, 2, 1: -(2/3 ln 2/3 + 1/3 ln 1/3), weighted 3 of 5.
  const double h = -(2.0 / 3 * std::log(2.0 / 3) + 1.0 / 3 * std::log(1.0 / 3));
  CHECK(label_entropy(part, 2, label) == Approx(3.0 / 5 * h));
  CHECK(label_entropy(part, 2, std::vector<std::int32_t>(6, kUnlabelled)) == 0);
}

TEST_CASE("metrics refuse parts that do not fit") {
  const PartitionGraph graph = g6();
  CHECK_THROWS_AS(partition_metrics(graph, parts_of({0, 1}), 2), ShapeError);
  CHECK_THROWS_AS(partition_metrics(graph, parts_of({0, 1, 2, 0, 0, 0}), 2), IndexError);
  CHECK_THROWS_AS(edge_cut(graph, parts_of({0, 1})), ShapeError);
}

TEST_CASE("the simple partitioners are even, and report what they did") {
  const PartitionGraph graph = grid_graph(10, 10);
  for (const std::size_t k : {1u, 3u, 7u, 100u, 130u}) {
    const Partition random = RandomPartitioner{}.partition(graph, {.parts = k, .seed = 2});
    const Partition runs = ContiguousPartitioner{}.partition(graph, {.parts = k});
    for (const Partition* p : {&random, &runs}) {
      const PartitionMetrics m = partition_metrics(graph, p->part, k);
      CHECK(m.cut == p->cut);
      CHECK(p->feasible());
      CHECK(m.empty_parts == (k > 100 ? k - 100 : 0));
    }
    CHECK(std::is_sorted(runs.part.begin(), runs.part.end()));
  }
  const Partition a = RandomPartitioner{}.partition(graph, {.parts = 4, .seed = 1});
  const Partition b = RandomPartitioner{}.partition(graph, {.parts = 4, .seed = 2});
  CHECK(!std::equal(a.part.begin(), a.part.end(), b.part.begin()));
  CHECK_THROWS_AS(RandomPartitioner{}.partition(graph, {.parts = 0}), ConfigError);
}

TEST_CASE("boundary, halos and the entropy of each part, counted by hand") {
  // The triangle 0 1 2 with the tail 2 - 3 - 4; node 5 alone. Parts {0, 1}, {2, 3}, {4, 5}.
  const PartitionGraph graph = g6();
  std::vector<PartId> part(6);
  for (std::size_t v = 0; v < 6; ++v) part[v] = part_id(v / 2);
  const PartitionMetrics m = partition_metrics(graph, part, 4);
  CHECK(m.cut == 3);
  CHECK(m.boundary_nodes == 5);
  CHECK(m.communication_volume == 5);  // 0, 1 -> 1; 2 -> 0; 3 -> 2; 4 -> 1
  CHECK(m.max_halo_ratio == 1.5);      // part 1 sees 0, 1 and 4
  CHECK(m.mean_halo_ratio == (0.5 + 1.5 + 0.5) / 3);
  CHECK(m.empty_parts == 1);
  const std::vector<std::int32_t> label{0, 1, 2, 2, kUnlabelled, 7};
  const Array<double> entropy = part_label_entropy(part, 4, label);
  CHECK(std::abs(entropy[0] - std::log(2.0)) < 4e-16);
  CHECK(entropy[1] == 0);
  CHECK(entropy[2] == 0);
  CHECK(entropy[3] == 0);
  CHECK(std::abs(label_entropy(part, 4, label) - std::log(2.0) * 2 / 5) < 4e-16);
}
