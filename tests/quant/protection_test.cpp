// SPDX-License-Identifier: MIT
#include "tessera/quant/protection.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/parallel.hpp"

using namespace tessera;

namespace {

/// A graph of these in-degrees, every link from node 0.
struct Degrees {
  std::vector<EdgeId> row_ptr{0};
  std::vector<NodeId> col;
  std::size_t n;

  explicit Degrees(const std::vector<std::size_t>& degrees) : n(degrees.size()) {
    for (const std::size_t d : degrees) {
      col.insert(col.end(), d, NodeId{0});
      row_ptr.push_back(col.size());
    }
  }
  CsrView<> view() const { return {n, n, row_ptr, col, {}}; }
};

std::vector<float> probabilities(const Array<float>& rank, double low, double high) {
  std::vector<float> out;
  for (const float r : rank) out.push_back(protection(r, low, high));
  return out;
}

}  // namespace

TEST_CASE("protection follows the share of nodes of at most that degree", "[quant]") {
  const Degrees g({1, 1, 2, 3, 3, 3, 7, 1, 2, 20});
  const auto p = probabilities(degree_ranks(g.view()), 0.1, 0.2);
  const std::vector<float> want{.13f, .13f, .15f, .18f, .18f, .18f, .19f, .13f, .15f, .20f};
  for (std::size_t v = 0; v < want.size(); ++v) CHECK(std::abs(p[v] - want[v]) < 1e-7f);
}

TEST_CASE("graphs of a batch are ranked by themselves", "[quant]") {
  const std::vector<std::size_t> all{0, 2, 1, 5, 5, 9, 3};
  const std::size_t cut[] = {0, 3, 6, 7};
  const Array<float> together = degree_ranks(Degrees(all).view(), cut);
  for (std::size_t g = 0; g < 3; ++g) {
    const std::vector<std::size_t> part(all.begin() + static_cast<std::ptrdiff_t>(cut[g]),
                                        all.begin() + static_cast<std::ptrdiff_t>(cut[g + 1]));
    const Array<float> alone = degree_ranks(Degrees(part).view());
    for (std::size_t v = 0; v < part.size(); ++v) CHECK(together[cut[g] + v] == alone[v]);
  }
  // A graph of one node is its own largest degree.
  CHECK(together[6] == 1.0f);
  const std::size_t bad[] = {0, 9};
  CHECK_THROWS_AS(degree_ranks(Degrees(all).view(), bad), ShapeError);
}

TEST_CASE("draws have their probability and know nothing of other nodes or threads", "[quant]") {
  const Degrees g({0, 1, 2, 3, 4, 5, 6, 7});
  const Array<float> rank = degree_ranks(g.view());
  const std::size_t trials = 20000;
  std::vector<double> hits(8);
  std::vector<std::uint8_t> keep(8);
  for (std::size_t t = 0; t < trials; ++t) {
    draw_protected(rank.span(), {}, 0.1, 0.6, make_key(1, t, Purpose::dropout), keep);
    for (std::size_t v = 0; v < 8; ++v) hits[v] += keep[v];
  }
  double before = 0;
  for (std::size_t v = 0; v < 8; ++v) {
    const double p = protection(rank[v], 0.1, 0.6);
    const double n = static_cast<double>(trials);
    CHECK(std::abs(hits[v] / n - p) < 4 * std::sqrt(p * (1 - p) / n));
    CHECK(p > before);
    before = p;
  }

  const RngKey key = make_key(5, 2, Purpose::dropout);
  const std::vector<NodeId> some{6, 1, 7};
  std::vector<std::uint8_t> few(3);
  draw_protected(rank.span(), {}, 0.1, 0.6, key, keep);
  for (const std::size_t threads : {1u, 4u}) {
    with_threads(threads, [&] { draw_protected(rank.span(), some, 0.1, 0.6, key, few); });
    for (std::size_t i = 0; i < 3; ++i) CHECK(few[i] == keep[some[i]]);
  }
}

TEST_CASE("protection of all, of none, and of unknown nodes", "[quant]") {
  const Array<float> rank = degree_ranks(Degrees({1, 2, 3}).view());
  std::vector<std::uint8_t> keep(3);
  draw_protected(rank.span(), {}, 1, 1, {}, keep);
  CHECK(keep == std::vector<std::uint8_t>{1, 1, 1});
  draw_protected(rank.span(), {}, 0, 0, {}, keep);
  CHECK(keep == std::vector<std::uint8_t>{0, 0, 0});
  const std::vector<NodeId> beyond{0, 3, 1};
  CHECK_THROWS_AS(draw_protected(rank.span(), beyond, 0, 1, {}, keep), IndexError);
  const std::vector<NodeId> two{0, 1};
  CHECK_THROWS_AS(draw_protected(rank.span(), two, 0, 1, {}, keep), ShapeError);
}
