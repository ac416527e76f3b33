// SPDX-License-Identifier: MIT
#include "tessera/io/standardize.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/builders.hpp"

using namespace tessera;
using io::FeatureScaler;
using io::fit_scaler;

namespace {

/// Rows of (i, 5, noise): column 1 is constant.
Dataset ramp(std::size_t n) {
  Dataset data;
  data.name = "ramp";
  data.features.resize(n, 3);
  data.roles = Array<Role>(n, Role::none);
  std::uint32_t state = 7;
  for (std::size_t i = 0; i < n; ++i) {
    state = state * 1664525u + 1013904223u;
    data.features(i, 0) = static_cast<float>(i);
    data.features(i, 1) = 0.1f;
    data.features(i, 2) = static_cast<float>(state >> 8) / 16777216.0f;
    data.roles[i] = i % 3 == 0 ? Role::train : Role::test;
  }
  data.graph = build_csr(n, {}).graph;
  return data;
}

}  // namespace

TEST_CASE("A scaler agrees with the textbook formulas on any number of rows", "[io]") {
  for (const std::size_t n : {1u, 2u, 100u, 20'000u}) {
    const Dataset data = ramp(n);
    const Array<NodeId> rows = data.nodes(Role::train);
    const FeatureScaler scaler = fit_scaler(data.features.view(), rows);
    for (std::size_t j = 0; j < 3; ++j) {
      long double mean = 0, variance = 0;
      for (const NodeId r : rows) mean += static_cast<long double>(data.features(r, j));
      mean /= static_cast<long double>(rows.size());
      for (const NodeId r : rows) {
        const long double d = static_cast<long double>(data.features(r, j)) - mean;
        variance += d * d;
      }
      variance /= static_cast<long double>(rows.size());
      const bool constant = j == 1 || rows.size() == 1;
      const double want = constant ? 1.0 : static_cast<double>(std::sqrt(variance));
      // A sum of n terms of size up to n differs by at most n roundings of its largest partial sum.
      const double tolerance =
          static_cast<double>(n) * std::numeric_limits<double>::epsilon() * static_cast<double>(n);
      CHECK(std::abs(scaler.mean[j] - static_cast<double>(mean)) <= tolerance);
      CHECK(std::abs(scaler.scale[j] - want) <= tolerance);
    }
    CHECK(scaler.constant_columns == (rows.size() == 1 ? 3u : 1u));
  }
}

TEST_CASE("Fitting gives the same bits for any number of threads", "[io]") {
  const Dataset data = ramp(30'000);
  const Array<NodeId> rows = data.nodes(Role::train);
  const auto fit = [&](std::size_t threads) {
    return with_threads(threads, [&] { return fit_scaler(data.features.view(), rows); });
  };
  const FeatureScaler one = fit(1);
  for (const std::size_t threads : {2u, 4u}) {
    const FeatureScaler many = fit(threads);
    for (std::size_t j = 0; j < 3; ++j) {
      CHECK(one.mean[j] == many.mean[j]);
      CHECK(one.scale[j] == many.scale[j]);
    }
  }
}

TEST_CASE("Standardising happens once, over the training nodes", "[io]") {
  Dataset data = ramp(3'000);
  io::standardize(data);
  CHECK(data.provenance.feature_state == "standardised(train rows)");
  REQUIRE(data.provenance.warnings.size() == 1);
  CHECK(data.provenance.warnings[0].find("warning[FEA-02] ramp: 1 columns are constant") == 0);
  double mean = 0, square = 0;
  const Array<NodeId> rows = data.nodes(Role::train);
  for (const NodeId r : rows) {
    mean += static_cast<double>(data.features(r, 0));
    square += static_cast<double>(data.features(r, 0)) * static_cast<double>(data.features(r, 0));
  }
  // Every value is below 2, so storing it as float costs at most eps of float.
  constexpr double kEps = std::numeric_limits<float>::epsilon();
  CHECK(std::abs(mean / static_cast<double>(rows.size())) <= kEps);
  CHECK(std::abs(square / static_cast<double>(rows.size()) - 1) <= 8 * kEps);
  CHECK(data.features(7, 1) == 0.0f);  // the constant column is centred only

  const Tensor<float> before = Tensor<float>::copy_of(data.features.view());
  io::standardize(data);
  io::normalize_rows(data);
  CHECK(data.provenance.warnings.size() == 3);
  CHECK(data.provenance.warnings[1].find("FEA-04") != std::string::npos);
  for (std::size_t i = 0; i < before.rows(); ++i) CHECK(data.features(i, 0) == before(i, 0));
}

TEST_CASE("Features that come standardised are left alone", "[io]") {
  Dataset data = ramp(3'000);
  io::standardize(data);
  data.provenance = {};
  data.provenance.layout = "graphsaint";
  const float before = data.features(1, 0);
  io::standardize(data);
  CHECK(data.features(1, 0) == before);
  REQUIRE(data.provenance.warnings.size() == 1);
  CHECK(data.provenance.warnings[0].find("FEA-04") != std::string::npos);
  CHECK(data.provenance.feature_state == "standardised(in the file)");
}

TEST_CASE("GraphSAINT data sets are fitted on rows with training edges", "[io]") {
  Dataset data = ramp(9);
  data.provenance.layout = "graphsaint";
  const std::vector<NodeId> source{0, 3}, target{3, 0};
  data.train_graph = build_csr(9, {source, target, {}}).graph;
  const Array<NodeId> rows = io::fitting_rows(data);
  CHECK(std::vector<NodeId>(rows.begin(), rows.end()) == source);  // 6 trains as well, without an edge
  data.provenance.layout = "graphsage";
  CHECK(io::fitting_rows(data).size() == 3);
}

TEST_CASE("Rows are divided by their absolute sum, once", "[io]") {
  Dataset data;
  data.features = Tensor<float>::zeros(3, 2);
  data.features(0, 0) = 1;
  data.features(0, 1) = -3;
  data.features(2, 1) = 4;
  io::normalize_rows(data);
  CHECK(data.features(0, 0) == 0.25f);
  CHECK(data.features(0, 1) == -0.75f);
  CHECK(data.features(1, 0) == 0.0f);
  CHECK(data.features(2, 1) == 1.0f);
  CHECK(data.provenance.feature_state == "row-L1");
}

TEST_CASE("A scaler needs rows, and a matrix of its width", "[io]") {
  Dataset data = ramp(3);
  CHECK_THROWS_AS(fit_scaler(data.features.view(), {}), ConfigError);
  const FeatureScaler scaler = fit_scaler(data.features.view(), data.nodes(Role::train));
  Tensor<float> other(2, 2);
  CHECK_THROWS_AS(io::apply_scaler(scaler, other.view()), ShapeError);
}
