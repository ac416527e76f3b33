// SPDX-License-Identifier: MIT
#include "tessera/kernels/quantized_messages.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "support/sparse_cases.hpp"

namespace {

using namespace tessera;
using test::Dense;
using test::SparseCase;

/// Codes in [-5, 4] of a tenth: random numbers reach beyond both ends.
template <class T>
struct Tenths {
  std::array<T, 4> numbers{T(0.1), T(10), T(-5), T(4)};
  QuantGrid<T> view() const {
    const std::span<const T> all(numbers);
    return {all.subspan(0, 1), all.subspan(1, 1), all.subspan(2, 1), all.subspan(3, 1)};
  }
};

std::vector<std::uint8_t> every_third(std::size_t n) {
  std::vector<std::uint8_t> keep(n);
  for (std::size_t i = 0; i < n; ++i) keep[i] = i % 3 == 1 ? 1 : 0;
  return keep;
}

/// The definition of all three, message by message. A message is what the kernels multiply, in their order, so that codes
/// are theirs.
template <class T>
struct Twin {
  Dense<T> y, grad_x;
  ValueRange<T> range;

  Twin(const SparseCase& c, const Dense<T>& x, const Dense<T>& grad, const std::vector<std::uint8_t>& keep,
       QuantGradient gradient)
      : y(c.num_rows(), x.cols()), grad_x(c.num_cols, x.cols()) {
    for (const MatrixView<T>& out : {y.view(), grad_x.view()}) {
      for (std::size_t i = 0; i < out.rows(); ++i) std::fill(out.row(i).begin(), out.row(i).end(), T{0});
    }
    const CsrView<> a = c.view();
    for (std::size_t i = 0; i < a.num_rows; ++i) {
      for (auto e = a.begin(i); e < a.end(i); ++e) {
        const std::size_t j = a.col[e];
        const T w = static_cast<T>(a.weight[e]);
        for (std::size_t f = 0; f < x.cols(); ++f) {
          const T m = w * x(j, f);
          const bool kept = !keep.empty() && keep[j] != 0;
          const T code = std::nearbyint(m * T(10));
          const bool inside = gradient == QuantGradient::clipped ? code > T(-5) && code < T(4)
                                                                 : code >= T(-5) && code <= T(4);
          y(i, f) += kept ? m : std::clamp(code, T(-5), T(4)) * T(0.1);
          if (kept || gradient == QuantGradient::straight || inside) grad_x(j, f) += w * grad(i, f);
          if (!kept) range = join(range, ValueRange<T>{m, m});
        }
      }
    }
  }
};

template <class T>
double worst(const Dense<T>& got, const Dense<T>& want) {
  double out = 0;
  for (std::size_t i = 0; i < got.rows(); ++i) {
    for (std::size_t f = 0; f < got.cols(); ++f) {
      const double d = std::abs(static_cast<double>(got(i, f)) - static_cast<double>(want(i, f)));
      if (!(d <= out)) out = d;
    }
  }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("rounded messages equal plain loops at every level", "[quantized_messages]", float,
                   double) {
  using T = TestType;
  const Tenths<T> grid;
  const auto cases = test::awkward_cases(true);
  for (const SparseCase& c : cases) {
    const SparseCase transpose = test::transpose_of(c.view());
    std::size_t longest = 1;
    for (std::size_t i = 0; i < c.num_rows(); ++i) longest = std::max(longest, c.view().degree(i));
    for (std::size_t j = 0; j < c.num_cols; ++j) longest = std::max(longest, transpose.view().degree(j));
    float heaviest = 0;
    for (const float w : c.view().weight) heaviest = std::max(heaviest, std::abs(w));
    for (const std::size_t n : {1u, 19u, 64u, 67u, 130u}) {
      if (longest > 1000 && n > 67) continue;
      const Dense<T> x = Dense<T>::random(c.num_cols, n, 1, 3);
      const Dense<T> grad = Dense<T>::random(c.num_rows(), n, 2, 1);
      double largest = 1;
      for (std::size_t j = 0; j < x.rows(); ++j) {
        for (std::size_t f = 0; f < n; ++f) largest = std::max(largest, std::abs(double(x(j, f))));
      }
      for (std::size_t i = 0; i < grad.rows(); ++i) {
        for (std::size_t f = 0; f < n; ++f) largest = std::max(largest, std::abs(double(grad(i, f))));
      }
      // Every partial sum of `longest` messages is rounded once, every message twice.
      const double terms = static_cast<double>(longest);
      const double bound = terms * (terms + 2) * largest * double(heaviest) * test::unit_roundoff<T>();
      for (const bool keeps : {false, true}) {
        const auto keep = keeps ? every_third(c.num_cols) : std::vector<std::uint8_t>{};
        for (const QuantGradient gradient :
             {QuantGradient::straight, QuantGradient::clipped, QuantGradient::clipped_inclusive}) {
          const Twin<T> want(c, x, grad, keep, gradient);
          for (const Isa level : test::dense_levels()) {
            const IsaScope scope(level);
            Dense<T> y(c.num_rows(), n, 1), grad_x(c.num_cols, n, 1);
            quantized_messages<T>(c.view(), x, grid.view(), keep, y.view());
            quantized_messages_backward<T>(transpose.view(), x, grid.view(), keep, grad, gradient,
                                           grad_x.view());
            const ValueRange<T> seen = message_range<T>(c.view(), x, keep);
            INFO(c.name << ", " << n << " columns, keeps " << keeps << ", gradient "
                        << static_cast<int>(gradient) << ", level " << static_cast<int>(level));
            CHECK(worst(y, want.y) <= bound);
            CHECK(worst(grad_x, want.grad_x) <= bound);
            CHECK(y.gaps_untouched());
            CHECK(grad_x.gaps_untouched());
            CHECK(seen.min == want.range.min);
            CHECK(seen.max == want.range.max);
          }
        }
      }
    }
  }
}

TEST_CASE("rounded messages: same bits at any thread count", "[quantized_messages]") {
  const auto cases = test::awkward_cases(true);
  const SparseCase& c = cases.back();
  const SparseCase transpose = test::transpose_of(c.view());
  const Tenths<float> grid;
  const Dense<float> x = Dense<float>::random(c.num_cols, 37, 1);
  const Dense<float> grad = Dense<float>::random(c.num_rows(), 37, 2);
  CHECK(test::same_at_any_thread_count([&] {
    Dense<float> y(c.num_rows(), 37);
    quantized_messages<float>(c.view(), x, grid.view(), {}, y.view());
    return y;
  }));
  CHECK(test::same_at_any_thread_count([&] {
    Dense<float> grad_x(c.num_cols, 37);
    quantized_messages_backward<float>(transpose.view(), x, grid.view(), {}, grad, QuantGradient::clipped,
                                       grad_x.view());
    return grad_x;
  }));
}

TEST_CASE("rounded messages: numbers that are none touch their own messages alone", "[quantized_messages]") {
  const auto cases = test::awkward_cases(true);
  const SparseCase& c = cases[4];
  const SparseCase transpose = test::transpose_of(c.view());
  const Tenths<float> grid;
  Dense<float> x = Dense<float>::random(c.num_cols, 20, 1);
  x(3, 7) = std::numeric_limits<float>::infinity();
  x(4, 8) = std::numeric_limits<float>::quiet_NaN();
  const Dense<float> grad = Dense<float>::random(c.num_rows(), 20, 2);
  Dense<float> y(c.num_rows(), 20), grad_x(c.num_cols, 20);
  quantized_messages<float>(c.view(), x, grid.view(), {}, y.view());
  quantized_messages_backward<float>(transpose.view(), x, grid.view(), {}, grad, QuantGradient::clipped,
                                     grad_x.view());
  for (std::size_t f = 0; f < 20; ++f) {
    for (std::size_t i = 0; i < y.rows(); ++i) CHECK(std::isfinite(y(i, f)));
    for (std::size_t j = 0; j < grad_x.rows(); ++j) CHECK(std::isfinite(grad_x(j, f)));
  }
  CHECK(grad_x(3, 7) == 0.0f);
}

TEST_CASE("rounded messages: what does not fit is refused", "[quantized_messages]") {
  const auto cases = test::awkward_cases(false);
  const SparseCase& c = cases[4];
  const Tenths<float> grid;
  const Dense<float> x = Dense<float>::random(c.num_cols, 3, 1);
  Dense<float> y(c.num_rows(), 3);
  CHECK_THROWS_AS(quantized_messages<float>(c.view(), x, grid.view(), {}, y.view()), ShapeError);
  CHECK_THROWS_AS(message_range<float>(c.view(), x, {}), ShapeError);
}
