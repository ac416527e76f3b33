// SPDX-License-Identifier: MIT
#include "tessera/kernels/message_dropout.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/spmm.hpp"

namespace {

using namespace tessera;
using test::Dense;
using test::SparseCase;

constexpr DropoutMask kMask{0.3f, make_key(3, 1, Purpose::dropout), 5};

/// By the definition, in double; terms of at most 1 / (1 - p) each err by (n + 4) u of their sum.
template <class T>
void check(const SparseCase& c, std::size_t cols) {
  const auto x = Dense<T>::random(c.num_cols, cols, 1);
  Dense<T> y(c.num_rows(), cols, 1);
  spmm_drop_messages<T>(c.view(), x, kMask, false, y.view());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < c.num_rows(); ++i) {
    for (std::size_t f = 0; f < cols; ++f) {
      double want = 0, size = 0;
      for (auto e = c.view().begin(i); e < c.view().end(i); ++e) {
        if (!edge_dropout_keeps(kMask, static_cast<NodeId>(i), c.col[e], f)) continue;
        const double w = c.weight.empty() ? 1.0 : static_cast<double>(c.weight[e]);
        const double term = w * dropout_scale<double>(kMask) * static_cast<double>(x(c.col[e], f));
        want += term;
        size += std::abs(term);
      }
      const auto n = static_cast<double>(c.view().degree(i));
      // dropout_scale<float> and its product with w round as well.
      if (!(std::abs(static_cast<double>(y(i, f)) - want) <= (n + 4) * test::unit_roundoff<T>() * size))
        ++wrong;
    }
  }
  INFO(c.name << ", " << cols << " columns");
  CHECK(wrong == 0);
  CHECK(y.gaps_untouched());
}

TEST_CASE("dropped messages: equal to their definition on awkward matrices at every level",
          "[message_dropout]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const bool weighted : {true, false}) {
      for (const SparseCase& c : test::awkward_cases(weighted)) {
        for (const std::size_t cols : {1u, 8u, 19u}) check<float>(c, cols);
        check<double>(c, 11);
      }
    }
  }
}

TEST_CASE("dropped messages: the transpose is the adjoint, any number of threads gives the same bits",
          "[message_dropout]") {
  const SparseCase c = test::awkward_cases(true)[4];
  const SparseCase t = test::transpose_of(c.view());
  const auto x = Dense<double>::random(c.num_cols, 13, 1);
  const auto g = Dense<double>::random(c.num_rows(), 13, 2);
  Dense<double> y(c.num_rows(), 13), back(c.num_cols, 13);
  spmm_drop_messages<double>(c.view(), x, kMask, false, y.view());
  spmm_drop_messages<double>(t.view(), g, kMask, true, back.view());
  double left = 0, right = 0, size = 0;
  for (std::size_t f = 0; f < 13; ++f) {
    for (std::size_t i = 0; i < c.num_rows(); ++i) {
      left += y(i, f) * g(i, f);
      size += std::abs(y(i, f) * g(i, f));
    }
    for (std::size_t j = 0; j < c.num_cols; ++j) right += x(j, f) * back(j, f);
  }
  CHECK(std::abs(left - right) <= 1e-12 * size);
  CHECK(test::same_at_any_thread_count([&] {
    Dense<float> out(c.num_rows(), 13);
    spmm_drop_messages<float>(c.view(), Dense<float>::random(c.num_cols, 13, 1), kMask, false, out.view());
    return out;
  }));
}

TEST_CASE("dropped messages: the mean over many draws is the sum of all, p = 0 the sum itself",
          "[message_dropout]") {
  const SparseCase c = test::awkward_cases(false)[5];
  const auto x = Dense<double>::random(c.num_cols, 9, 1);
  Dense<double> want(c.num_rows(), 9), y(c.num_rows(), 9);
  spmm_sum<double, double>(c.view(), x, want.view());
  spmm_drop_messages<double>(c.view(), x, {0.0f, kMask.key, 1}, false, y.view());
  CHECK(y.same_bits(want));
  constexpr std::size_t kDraws = 4000;
  Dense<double> mean(c.num_rows(), 9);
  for (std::size_t i = 0; i < c.num_rows(); ++i)
    std::fill(mean.view().row(i).begin(), mean.view().row(i).end(), 0.0);
  for (std::uint32_t d = 0; d < kDraws; ++d) {
    spmm_drop_messages<double>(c.view(), x, {0.3f, kMask.key, d}, false, y.view());
    for (std::size_t i = 0; i < y.rows(); ++i) {
      for (std::size_t f = 0; f < 9; ++f) mean(i, f) += y(i, f) / kDraws;
    }
  }
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t f = 0; f < 9; ++f) {
      // A term x k with k = 0 or 1 / (1 - p) varies by x^2 p / (1 - p); duplicates draw together.
      double variance = 0;
      for (auto e = c.view().begin(i); e < c.view().end(i); ++e) {
        double same = 0;
        for (auto o = c.view().begin(i); o < c.view().end(i); ++o) same += c.col[o] == c.col[e] ? 1.0 : 0.0;
        variance += same * x(c.col[e], f) * x(c.col[e], f) * 0.3 / 0.7;
      }
      CHECK(std::abs(mean(i, f) - want(i, f)) <= 5 * std::sqrt(variance / kDraws) + 1e-12);
    }
  }
  CHECK_THROWS_AS(spmm_drop_messages<double>(c.view(), x, {1.5f, kMask.key, 1}, false, y.view()),
                  ConfigError);
  Dense<double> narrow(c.num_rows(), 8);
  CHECK_THROWS_AS(spmm_drop_messages<double>(c.view(), x, kMask, false, narrow.view()), ShapeError);
}

}  // namespace
