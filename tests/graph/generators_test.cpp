// SPDX-License-Identifier: MIT
#include "tessera/graph/generators.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/graph/degree.hpp"
#include "tessera/graph/validate.hpp"

using namespace tessera;

namespace {

template <class T>
bool same(const Array<T>& x, const Array<T>& y) {
  return std::equal(x.begin(), x.end(), y.begin(), y.end());
}

bool same(const Dataset& x, const Dataset& y) {
  if (!same(x.graph.row_ptr, y.graph.row_ptr) || !same(x.graph.col, y.graph.col) || !same(x.roles, y.roles) ||
      !same(x.labels.classes, y.labels.classes))
    return false;
  for (std::size_t i = 0; i < x.num_nodes(); ++i) {
    if (!std::equal(x.features.row(i).begin(), x.features.row(i).end(), y.features.row(i).begin()))
      return false;
  }
  return true;
}

}  // namespace

TEST_CASE("generate_community_graph keeps what its options promise") {
  std::vector<CommunityGraphOptions> cases;
  cases.push_back({});
  cases.push_back({.nodes = 20'000, .classes = 3, .mean_degree = 50, .homophily = 0.6, .seed = 1});
  cases.push_back({.nodes = 8000, .mean_degree = 12, .homophily = 0.1, .seed = 2});
  cases.push_back({.nodes = 8000, .mean_degree = 12, .homophily = 1, .seed = 3});
  cases.push_back({.nodes = 8000, .classes = 40, .mean_degree = 16, .class_skew = 1.1, .seed = 4});
  cases.push_back({.nodes = 20'000, .mean_degree = 15, .degree_law = DegreeLaw::power_law, .seed = 5});
  cases.push_back({.nodes = 8000, .mean_degree = 30, .degree_sigma = 0, .shuffle_nodes = false, .seed = 6});
  for (const CommunityGraphOptions& options : cases) {
    const Dataset data = generate_community_graph(options);
    CHECK(data.name == "community-like");
    CHECK(validate(data).empty());
    CHECK(data.graph.symmetric);
    CHECK(is_symmetric(data.graph));
    REQUIRE(data.num_nodes() == options.nodes);
    CHECK(data.num_features() == options.features);
    CHECK(data.num_classes() == options.classes);
    const DegreeSummary degrees = summarize_degrees(data.graph);
    CHECK(std::abs(degrees.mean - options.mean_degree) <= 0.02 * options.mean_degree);
    CHECK(std::abs(edge_homophily(data.graph, data.labels.classes) - options.homophily) <= 0.02);
    for (std::size_t i = 0; i < data.num_nodes(); ++i) {
      const auto row = data.graph.view().neighbors(i);
      REQUIRE_FALSE(std::binary_search(row.begin(), row.end(), static_cast<NodeId>(i)));
    }
    const auto share = [&](double fraction) {
      return static_cast<std::size_t>(std::llround(fraction * static_cast<double>(options.nodes)));
    };
    CHECK(data.nodes(Role::train).size() == share(options.train));
    CHECK(data.nodes(Role::val).size() == share(options.val));
    CHECK(data.nodes(Role::test).size() == share(options.test));
  }
}

TEST_CASE("generate_community_graph: degrees are log-normal") {
  // Quantiles of a log-normal with mean 40 and sigma 1: exp(mu + z sigma), mu = log 40 - 1/2. The Poisson
  // spread of received links and a cut hub or two move them by less than a tenth here.
  const Dataset data =
      generate_community_graph({.nodes = 50'000, .classes = 5, .features = 1, .mean_degree = 40});
  const DegreeSummary degrees = summarize_degrees(data.graph);
  const double median = 40 * std::exp(-0.5);
  CHECK(std::abs(static_cast<double>(degrees.median) - median) <= 0.1 * median);
  CHECK(std::abs(static_cast<double>(degrees.p90) - median * std::exp(1.2816)) <=
        0.1 * median * std::exp(1.2816));
  CHECK(std::abs(static_cast<double>(degrees.p99) - median * std::exp(2.3263)) <=
        0.1 * median * std::exp(2.3263));
}

TEST_CASE("generate_community_graph: neighbours say more than a node's own features") {
  const Dataset data = generate_community_graph({.nodes = 4000, .classes = 5, .features = 32, .seed = 7});
  // Class means of the features, then the nearest mean for a row alone and for a row with its neighbours.
  const std::size_t width = data.num_features();
  std::vector<std::vector<double>> mean(5, std::vector<double>(width));
  std::vector<double> count(5);
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    const auto k = static_cast<std::size_t>(data.labels.classes[i]);
    ++count[k];
    for (std::size_t j = 0; j < width; ++j) mean[k][j] += static_cast<double>(data.features(i, j));
  }
  for (std::size_t k = 0; k < 5; ++k) {
    for (double& m : mean[k]) m /= count[k];
  }
  const auto accuracy = [&](bool with_neighbors) {
    std::size_t right = 0;
    for (std::size_t i = 0; i < data.num_nodes(); ++i) {
      std::vector<double> x(width);
      const auto add = [&](std::size_t node) {
        for (std::size_t j = 0; j < width; ++j) x[j] += static_cast<double>(data.features(node, j));
      };
      add(i);
      double terms = 1;
      if (with_neighbors) {
        for (const NodeId j : data.graph.view().neighbors(i)) add(j);
        terms += static_cast<double>(data.graph.degree(i));
      }
      std::size_t best = 0;
      double least = std::numeric_limits<double>::max();
      for (std::size_t k = 0; k < 5; ++k) {
        double distance = 0;
        for (std::size_t j = 0; j < width; ++j)
          distance += (x[j] / terms - mean[k][j]) * (x[j] / terms - mean[k][j]);
        if (distance < least) {
          least = distance;
          best = k;
        }
      }
      right += best == static_cast<std::size_t>(data.labels.classes[i]) ? 1u : 0u;
    }
    return static_cast<double>(right) / static_cast<double>(data.num_nodes());
  };
  CHECK(accuracy(false) < 0.75);
  CHECK(accuracy(true) > accuracy(false) + 0.1);
}

TEST_CASE("generate_community_graph: multi-label targets") {
  const Dataset data = generate_community_graph({.nodes = 3000, .classes = 12, .multilabel = true});
  CHECK(validate(data).empty());
  REQUIRE(data.multilabel());
  CHECK(data.labels.classes.empty());
  double ones = 0;
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    double labels = 0;
    for (const float y : data.labels.indicators.row(i)) labels += static_cast<double>(y);
    REQUIRE(labels >= 1);
    ones += labels;
  }
  CHECK(ones / 3000 > 1.5);
  CHECK(ones / 3000 < 4.5);
}

TEST_CASE(
    "generate_community_graph: same seed, same bits, for any number of threads; other seed, other graph") {
  const CommunityGraphOptions options{.nodes = 20'000, .features = 7, .seed = 8};
  const Dataset one = with_threads(1, [&] { return generate_community_graph(options); });
  for (const std::size_t threads : {2u, 4u, 16u})
    CHECK(same(one, with_threads(threads, [&] { return generate_community_graph(options); })));
  CommunityGraphOptions other = options;
  other.seed = 9;
  CHECK_FALSE(same(one, generate_community_graph(other)));
}

TEST_CASE("generate_community_graph: tiny graphs") {
  for (const std::size_t nodes : {1u, 2u, 3u, 10u}) {
    const Dataset data = generate_community_graph(
        {.nodes = nodes, .classes = 1, .features = 1, .mean_degree = 0, .homophily = 1});
    CHECK(data.num_nodes() == nodes);
    CHECK(data.graph.num_edges() == 0);
  }
}

TEST_CASE("generate_community_graph refuses options that cannot be") {
  const auto refuses = [](const CommunityGraphOptions& options) {
    REQUIRE_THROWS_AS(generate_community_graph(options), ConfigError);
  };
  refuses({.nodes = 0});
  refuses({.nodes = 5, .classes = 6});
  refuses({.classes = 0});
  refuses({.features = 0});
  refuses({.mean_degree = -1});
  refuses({.mean_degree = std::numeric_limits<double>::quiet_NaN()});
  refuses({.nodes = 100, .classes = 5, .mean_degree = 90});  // more than the classes can hold
  refuses({.degree_sigma = -1});
  refuses({.degree_law = DegreeLaw::power_law, .degree_exponent = 2});
  refuses({.homophily = 1.5});
  refuses({.classes = 1, .homophily = 0.5});
  refuses({.community_share = -0.1});
  refuses({.community_size = 1});
  refuses({.class_skew = -1});
  refuses({.feature_noise = std::numeric_limits<double>::infinity()});
  refuses({.train = 0.8, .val = 0.2, .test = 0.2});
  refuses({.val = -0.1});
}
