// SPDX-License-Identifier: MIT
#include "tessera/graph/statistics.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/generators.hpp"

using namespace tessera;

TEST_CASE("statistics of a star and a pair, by hand") {
  // Node 0 joins 1, 2, 3; nodes 4 and 5 join; 6 is alone.
  const std::vector<NodeId> from = {0, 0, 0, 4}, to = {1, 2, 3, 5};
  const CsrGraph graph = build_csr(7, {from, to, {}}, {.symmetrize = true}).graph;
  const DegreeStatistics d = degree_statistics(graph);
  CHECK(d.isolated == 1);
  CHECK(d.max == 3);
  CHECK(d.mean == 8.0 / 7);
  CHECK(d.count == std::vector<std::size_t>{1, 5, 0, 1});
  CHECK(d.percentile[0] == 0);
  CHECK(d.percentile[4] == 1);  // the median
  CHECK(d.percentile[8] == 1);  // rank 5.994 of 0..6 is still the sixth node
  CHECK(std::abs(d.hill[0] - (1 + 1 / std::log(3.0))) < 1e-12);
  CHECK(component_sizes(graph) == std::vector<std::size_t>{4, 2, 1});
  CHECK(odd_entries(graph).loops == 0);
}

TEST_CASE("loops and repeated entries are counted where a builder kept them") {
  const std::vector<NodeId> from = {0, 0, 1, 2}, to = {1, 1, 1, 0};
  const BuiltGraph built =
      build_csr(3, {from, to, {}}, {.duplicates = Duplicates::keep, .self_loops = SelfLoops::keep});
  CHECK(odd_entries(built.graph).loops == 1);
  CHECK(odd_entries(built.graph).duplicates == 1);
}

TEST_CASE("feature statistics and class counts") {
  Tensor<float> x(2, 3);
  const float values[] = {0, 2, -1, 0, 0, 5};
  for (std::size_t k = 0; k < 6; ++k) x(k / 3, k % 3) = values[k];
  const FeatureStatistics s = feature_statistics(x);
  CHECK(s.mean == 1);
  CHECK(std::abs(s.variance - (30.0 / 6 - 1)) < 1e-12);
  CHECK(s.density == 0.5);
  CHECK(s.min == -1);
  CHECK(s.max == 5);
  CHECK(feature_statistics({}).density == 0);

  const Dataset one = generate_community_graph({.nodes = 300, .classes = 3, .features = 2});
  const std::vector<std::size_t> counts = class_counts(one);
  CHECK(counts.size() == 3);
  CHECK(counts[0] + counts[1] + counts[2] == 300);
  const Dataset many =
      generate_community_graph({.nodes = 300, .classes = 3, .features = 2, .multilabel = true});
  std::size_t labels = 0;
  for (const std::size_t c : class_counts(many)) labels += c;
  CHECK(labels >= 300);
}

TEST_CASE("statistics do not depend on the number of threads, nor on there being nodes") {
  const Dataset data = generate_community_graph({.nodes = 5000, .features = 9});
  const auto all = [&] { return feature_statistics(data.features); };
  const FeatureStatistics one = with_threads(1, all);
  for (const std::size_t threads : {2u, 8u}) {
    const FeatureStatistics other = with_threads(threads, all);
    CHECK(one.mean == other.mean);
    CHECK(one.variance == other.variance);
  }
  CHECK(degree_statistics(CsrGraph{}).max == 0);
  CHECK(component_sizes(CsrGraph{}).empty());
}
