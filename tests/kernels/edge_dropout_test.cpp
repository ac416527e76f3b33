// SPDX-License-Identifier: MIT
#include "tessera/kernels/edge_dropout.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/core/parallel.hpp"

namespace {

using namespace tessera;

constexpr DropoutMask kMask{0.4f, make_key(3, 1, Purpose::dropout), 5};

TEST_CASE("edge dropout: every entry by its definition, the transpose likewise", "[edge_dropout]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const bool weighted : {false, true}) {
      for (const test::SparseCase& c : test::awkward_cases(weighted)) {
        std::vector<std::size_t> from;
        const test::SparseCase t = test::transpose_of(c.view(), &from);
        std::vector<float> weight(c.col.size()), mirrored(c.col.size());
        edge_dropout(c.view(), kMask, false, weight);
        edge_dropout(t.view(), kMask, true, mirrored);
        for (std::size_t i = 0; i < c.num_rows(); ++i) {
          for (auto e = c.view().begin(i); e < c.view().end(i); ++e) {
            const float w = weighted ? c.weight[e] : 1.0f;
            const bool kept = edge_dropout_keeps(kMask, static_cast<NodeId>(i), c.col[e]);
            REQUIRE(weight[e] == (kept ? dropout_scale<float>(kMask) * w : 0.0f));
          }
        }
        for (std::size_t e = 0; e < from.size(); ++e) REQUIRE(mirrored[e] == weight[from[e]]);
      }
    }
  }
}

TEST_CASE("edge dropout: keeps the share it should, heads apart, same bits at any thread count",
          "[edge_dropout]") {
  constexpr std::size_t kDraws = 40'000;
  std::size_t kept = 0, both = 0;
  for (NodeId e = 0; e < kDraws; ++e) {
    const bool first = edge_dropout_keeps(kMask, e % 200, e / 200, 0);
    kept += first ? 1u : 0u;
    both += first && edge_dropout_keeps(kMask, e % 200, e / 200, 9) ? 1u : 0u;
  }
  // Five standard deviations of a binomial count.
  const auto within = [](std::size_t count, double p) {
    return std::abs(static_cast<double>(count) - p * kDraws) <= 5 * std::sqrt(p * (1 - p) * kDraws);
  };
  CHECK(within(kept, 0.6));
  CHECK(within(both, 0.36));
  const auto cases = test::awkward_cases(true);
  CHECK(test::same_at_any_thread_count([&] {
    test::Dense<float> weight(1, cases.back().col.size());
    edge_dropout(cases.back().view(), kMask, false, weight.view().row(0));
    return weight;
  }));
}

TEST_CASE("edge dropout: the ends of the range, and wrong arguments", "[edge_dropout]") {
  const test::SparseCase c = test::awkward_cases(true)[3];
  std::vector<float> weight(c.col.size());
  edge_dropout(c.view(), {}, false, weight);
  CHECK(weight == c.weight);
  edge_dropout(c.view(), {1.0f, {}, 0}, false, weight);
  for (const float w : weight) CHECK(w == 0.0f);
  CHECK_THROWS_AS(edge_dropout(c.view(), {1.1f, {}, 0}, false, weight), ConfigError);
  weight.pop_back();
  CHECK_THROWS_AS(edge_dropout(c.view(), kMask, false, weight), ShapeError);
}

}  // namespace
