// SPDX-License-Identifier: MIT
#include "tessera/sampling/diagnostics.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

/// Equal up to the rounding of a dozen operations on numbers up to 2.
bool near(double x, double y) { return std::abs(x - y) <= 24 * std::numeric_limits<double>::epsilon(); }

Labels labels_of(const std::vector<std::int32_t>& classes, std::size_t count) {
  Labels labels;
  labels.classes = Array<std::int32_t>::copy_of(classes);
  labels.num_classes = count;
  return labels;
}

}  // namespace

TEST_CASE("diagnose_clusters on G6, one part per batch") {
  const CsrGraph graph = g6();
  const SampleSource source{graph.view(), true, {}};
  std::vector<PartId> parts(6, part_id(0));
  parts[3] = parts[4] = parts[5] = part_id(1);
  const Labels labels = labels_of({0, 0, 1, 1, 1, kUnlabelled}, 2);
  const std::vector<Role> roles{Role::train, Role::val, Role::train, Role::none, Role::test, Role::none};
  const ClusterDiagnostics one = diagnose_clusters(ClusterSampler(parts), source, labels, roles);
  CHECK(near(one.cut_fraction, 2.0 / 10));
  CHECK(near(one.kept_fraction, 8.0 / 10));
  CHECK(one.utilisation.min == 2);
  CHECK(one.utilisation.mean == 4);
  CHECK(one.utilisation.max == 6);
  CHECK(one.batch_nodes.mean == 3);
  CHECK(one.training_nodes.min == 0);
  CHECK(one.training_nodes.max == 2);
  const double first =
      -(2 / 3.) * std::log2(2 / 3.) - (1 / 3.) * std::log2(1 / 3.);  // part 0: classes 0, 0, 1
  CHECK(near(one.part_entropy, 3 * first / 5));                      // part 1 is pure
  CHECK(near(one.batch_entropy, one.part_entropy));
  REQUIRE(one.part_entropies.size() == 2);
  CHECK(near(one.part_entropies[0], first));
  CHECK(one.part_entropies[1] == 0);
  REQUIRE(one.batch_entries.size() == 2);
  CHECK(one.batch_entries[0] + one.batch_entries[1] == 8);
  const double all = -(2 / 5.) * std::log2(2 / 5.) - (3 / 5.) * std::log2(3 / 5.);
  CHECK(near(one.overall_entropy, all));

  const ClusterDiagnostics both =
      diagnose_clusters(ClusterSampler(parts, {.clusters_per_batch = 2}), source, labels, roles);
  CHECK(near(both.cut_fraction, 2.0 / 10));
  CHECK(near(both.kept_fraction, 1.0));
  CHECK(near(both.batch_entropy, all));
}

TEST_CASE("diagnose_clusters leaves nodes without a part out") {
  const CsrGraph graph = g6();
  std::vector<PartId> parts(6, part_id(0));
  parts[3] = kNoPart;
  parts[4] = part_id(1);
  const ClusterDiagnostics d = diagnose_clusters(ClusterSampler(parts), {graph.view(), true, {}}, Labels{},
                                                 std::vector<Role>(6, Role::train));
  CHECK(d.cut_fraction == 0.0);  // 2-3 and 3-4 have an end without a part
  CHECK(d.kept_fraction == 1.0);
  CHECK(d.part_entropy == 0.0);
  CHECK(d.training_nodes.mean == 2.5);
}

TEST_CASE("diagnose_clusters of no parts, and of arrays that do not fit") {
  const CsrGraph graph = g6();
  const SampleSource source{graph.view(), true, {}};
  const std::vector<Role> roles(6, Role::train);
  const ClusterDiagnostics d =
      diagnose_clusters(ClusterSampler(std::vector<PartId>(6, kNoPart)), source, Labels{}, roles);
  CHECK(d.utilisation.max == 0);
  CHECK(d.kept_fraction == 0);
  const ClusterSampler sampler(std::vector<PartId>(6, part_id(0)));
  REQUIRE_THROWS_AS(diagnose_clusters(sampler, source, Labels{}, std::vector<Role>(5)), ShapeError);
  REQUIRE_THROWS_AS(diagnose_clusters(sampler, source, labels_of({0, 1}, 2), roles), ShapeError);
  const ClusterSampler larger(std::vector<PartId>(9, part_id(0)));
  REQUIRE_THROWS_AS(diagnose_clusters(larger, source, Labels{}, roles), ShapeError);
}
