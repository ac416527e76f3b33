// SPDX-License-Identifier: MIT
#include "tessera/kernels/spmm_multi.hpp"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/kernels/combine_heads.hpp"
#include "tessera/kernels/reference/spmm_multi.hpp"

namespace {

using namespace tessera;
using test::Dense;
using test::SparseCase;
using List = std::vector<Aggregator>;
using A = Aggregator;

const List kAll{A::symmetric, A::sum, A::mean, A::max, A::min, A::var, A::std};
const std::vector<List> kLists{
    {A::symmetric},           {A::sum}, {A::mean},         {A::max},
    {A::min, A::max},         {A::var}, {A::std, A::mean}, {A::symmetric, A::max, A::mean},
    {A::sum, A::std, A::max}, kAll};

template <class T>
struct Saved {
  Dense<T> mean;
  Dense<std::int32_t> arg_max, arg_min;
  Saved(std::size_t rows, std::size_t cols) : mean(rows, cols), arg_max(rows, cols), arg_min(rows, cols) {}
  MultiSaved<T> views() { return {mean.view(), arg_max.view(), arg_min.view()}; }
};

/// Sums of n terms err by (n + 8) u of the sum of magnitudes, which is at most (n + 1) times the largest element, 1; a
/// variance by as many roundings of the largest square, 4 after the shift; its root by that over 2 sqrt(eps).
template <class T>
double bound(A kind, std::size_t n) {
  const double u = test::unit_roundoff<T>();
  const auto terms = static_cast<double>(n);
  if (kind == A::max || kind == A::min) return 0;
  if (kind == A::symmetric) return (terms + 8) * u * terms;
  if (kind == A::sum) return 3 * (terms + 8) * u * (terms + 1);
  if (kind == A::mean) return 3 * (terms + 8) * u;
  const double variance = 8 * (terms + 8) * u;
  return kind == A::var ? variance : variance / (2 * std::sqrt(kStdEps)) + 4 * u;
}

template <class T>
void check(const SparseCase& c, const List& list, std::size_t cols) {
  const auto x = Dense<T>::random(c.num_cols, cols, 1, 2);
  Dense<T> y(c.num_rows(), list.size() * cols, 1);
  Saved<T> saved(c.num_rows(), cols);
  Dense<double> want(c.num_rows(), list.size() * cols);
  Saved<double> want_saved(c.num_rows(), cols);
  spmm_multi<T>(c.view(), x, list, y.view(), saved.views());
  reference::spmm_multi<double>(c.view(), x.widened().view(), list, want.view(), want_saved.views());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t f = 0; f < y.cols(); ++f) {
      const double d = std::abs(static_cast<double>(y(i, f)) - want(i, f));
      if (!(d <= bound<T>(list[f / cols], c.view().degree(i)))) ++wrong;
    }
  }
  INFO(c.name << ", " << cols << " columns, " << list.size() << " aggregators, first "
              << static_cast<int>(list[0]));
  CHECK(wrong == 0);
  CHECK(y.gaps_untouched());
  for (const A kind : list) {
    if (kind == A::max) CHECK(saved.arg_max.same_bits(want_saved.arg_max));
    if (kind == A::min) CHECK(saved.arg_min.same_bits(want_saved.arg_min));
  }
  // Without the extras the values are the same bits.
  Dense<T> again(c.num_rows(), list.size() * cols, 1);
  spmm_multi<T>(c.view(), x, list, again.view());
  CHECK(again.same_bits(y));
}

TEST_CASE("spmm_multi: equals its twin on awkward matrices at every level", "[spmm_multi]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const bool weighted : {true, false}) {
      for (const SparseCase& c : test::awkward_cases(weighted)) {
        for (const List& list : kLists) {
          for (const std::size_t cols : {1u, 17u, 100u}) check<float>(c, list, cols);
          check<double>(c, list, 19);
        }
      }
    }
  }
}

TEST_CASE("spmm_multi: what holds exactly", "[spmm_multi]") {
  SparseCase c;
  c.num_cols = 4;
  c.row_ptr = {0, 1, 1, 4};
  c.col = {2, 3, 3, 3};
  auto x = Dense<float>::random(4, 5, 1);
  Dense<float> y(3, 7 * 5);
  spmm_multi<float>(c.view(), x, kAll, y.view());
  const float root = static_cast<float>(std::sqrt(kStdEps));
  for (std::size_t f = 0; f < 5; ++f) {
    for (std::size_t k = 0; k < 5; ++k)
      CHECK(y(0, k * 5 + f) == x(2, f));                                 // one entry: every aggregate is it
    for (std::size_t k = 0; k < 6; ++k) CHECK(y(1, k * 5 + f) == 0.0f);  // no entry
    CHECK(y(0, 5 * 5 + f) == 0.0f);
    CHECK(y(2, 5 * 5 + f) == 0.0f);  // equal neighbours vary by nothing
    for (std::size_t i = 0; i < 3; ++i) CHECK(std::abs(y(i, 6 * 5 + f) - root) <= 4e-10f);
  }
}

TEST_CASE("spmm_multi: large offsets do not cancel, a NaN shows", "[spmm_multi]") {
  const SparseCase c = test::awkward_cases(false)[4];
  auto x = Dense<float>::random(c.num_cols, 3, 1);
  for (std::size_t j = 0; j < x.rows(); ++j) {
    for (float& value : x.view().row(j)) value = 1000.0f + value;
  }
  const List list{A::var, A::max, A::min};
  Dense<float> y(c.num_rows(), 9);
  Dense<double> want(c.num_rows(), 9);
  Saved<double> unused(c.num_rows(), 3);
  spmm_multi<float>(c.view(), x, list, y.view());
  reference::spmm_multi<double>(c.view(), x.widened().view(), list, want.view(), unused.views());
  for (std::size_t i = 0; i < c.num_rows(); ++i) {
    for (std::size_t f = 0; f < 3; ++f) CHECK(std::abs(static_cast<double>(y(i, f)) - want(i, f)) < 1e-5);
  }
  x(7, 1) = std::numeric_limits<float>::quiet_NaN();
  for (const List& kinds : {List{A::max}, List{A::min}, List{A::max, A::min, A::symmetric}, List{A::var}}) {
    Dense<float> z(c.num_rows(), kinds.size() * 3);
    spmm_multi<float>(c.view(), x, kinds, z.view());
    for (std::size_t i = 0; i < c.num_rows(); ++i) {
      bool touched = false;
      for (const NodeId j : c.view().neighbors(i)) touched = touched || j == 7;
      for (std::size_t k = 0; k < kinds.size(); ++k) {
        CHECK(std::isnan(z(i, k * 3 + 1)) == touched);
        CHECK(!std::isnan(z(i, k * 3)));
      }
    }
  }
}

/// d <y, g> / dx by central differences.
TEST_CASE("spmm_multi: gradients by differences", "[spmm_multi]") {
  for (const bool weighted : {true, false}) {
    const SparseCase c =
        test::random_sparse("small", std::vector<std::size_t>{3, 0, 5, 1, 4}, 6, weighted, 9);
    const SparseCase transpose = test::transpose_of(c.view());
    for (const List& list : kLists) {
      auto x = Dense<double>::random(6, 3, 2);
      const auto g = Dense<double>::random(5, list.size() * 3, 3);
      Dense<double> y(5, list.size() * 3), grad(6, 3);
      Saved<double> saved(5, 3);
      spmm_multi<double>(c.view(), x, list, y.view(), saved.views());
      spmm_multi_backward<double>(transpose.view(), c.view(), x, list, y, saved.views(), g, grad.view());
      const double error = test::gradient_error(x, grad, [&] {
        Dense<double> at(5, list.size() * 3);
        spmm_multi<double>(c.view(), x, list, at.view());
        double sum = 0;
        for (std::size_t i = 0; i < 5; ++i) {
          for (std::size_t f = 0; f < at.cols(); ++f) sum += at(i, f) * g(i, f);
        }
        return sum;
      });
      INFO("first aggregator " << static_cast<int>(list[0]));
      CHECK(error < 1e-5);
    }
  }
}

TEST_CASE("spmm_multi_combine: the fused form has the bits of the two steps, and gradients by differences",
          "[spmm_multi]") {
  constexpr std::size_t kHeads = 4, kBases = 3, kWidth = 9;
  for (const SparseCase& c : test::awkward_cases(true)) {
    const auto u = Dense<float>::random(c.num_cols, kBases * kWidth, 1);
    const auto w = Dense<float>::random(c.num_rows(), kHeads * 3 * kBases, 2);
    const List list{A::symmetric, A::max, A::mean};
    Dense<float> fused(c.num_rows(), kHeads * kWidth), kept(c.num_rows(), kHeads * kWidth),
        aggregates(c.num_rows(), 3 * kBases * kWidth), alone(c.num_rows(), 3 * kBases * kWidth);
    spmm_multi_combine<float>(c.view(), u, w, kHeads, list, fused.view());
    spmm_multi_combine<float>(c.view(), u, w, kHeads, list, kept.view(), aggregates.view());
    spmm_multi<float>(c.view(), u, list, alone.view());
    CHECK(fused.same_bits(kept));
    CHECK(aggregates.same_bits(alone));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < c.num_rows(); ++i) {
      for (std::size_t f = 0; f < kHeads * kWidth; ++f) {
        double want = 0, size = 0;
        for (std::size_t k = 0; k < 3 * kBases; ++k) {
          const double term = static_cast<double>(w(i, f / kWidth * 3 * kBases + k)) *
                              static_cast<double>(aggregates(i, k * kWidth + f % kWidth));
          want += term;
          size += std::abs(term);
        }
        if (!(std::abs(static_cast<double>(fused(i, f)) - want) <= 12 * test::unit_roundoff<float>() * size))
          ++wrong;
      }
    }
    CHECK(wrong == 0);
  }
  auto w = Dense<double>::random(3, 2 * 5, 1);
  auto pieces = Dense<double>::random(3, 5 * 7, 2);
  const auto g = Dense<double>::random(3, 2 * 7, 3);
  Dense<double> grad_w(3, 10), grad_pieces(3, 35);
  combine_heads_backward<double>(2, w, pieces, g, grad_w.view(), grad_pieces.view());
  const auto loss = [&] {
    double sum = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t h = 0; h < 2; ++h) {
        for (std::size_t k = 0; k < 5; ++k) {
          for (std::size_t f = 0; f < 7; ++f) sum += g(i, h * 7 + f) * w(i, h * 5 + k) * pieces(i, k * 7 + f);
        }
      }
    }
    return sum;
  };
  CHECK(test::gradient_error(w, grad_w, loss) < test::gradient_tolerance(10));
  CHECK(test::gradient_error(pieces, grad_pieces, loss) < test::gradient_tolerance(10));
}

TEST_CASE("spmm_multi: same bits at any thread count; wrong arguments are named", "[spmm_multi]") {
  const SparseCase hub = test::awkward_cases(true).back();
  const auto x = Dense<float>::random(hub.num_cols, 21, 1);
  CHECK(test::same_at_any_thread_count([&] {
    Dense<float> y(hub.num_rows(), kAll.size() * 21);
    spmm_multi<float>(hub.view(), x, kAll, y.view());
    return y;
  }));
  Dense<float> y(hub.num_rows(), 20);
  CHECK_THROWS_AS(spmm_multi<float>(hub.view(), x, kAll, y.view()), ShapeError);
  CHECK_THROWS_AS(spmm_multi<float>(hub.view(), x, List{}, y.view()), ConfigError);
  Dense<float> z(hub.num_rows(), 21), grad(hub.num_cols, 21);
  CHECK_THROWS_AS(spmm_multi_backward<float>(test::transpose_of(hub.view()).view(), hub.view(), x,
                                             List{A::max}, z, {}, z, grad.view()),
                  ShapeError);
}

}  // namespace
