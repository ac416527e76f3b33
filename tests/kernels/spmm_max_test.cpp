// SPDX-License-Identifier: MIT
#include "tessera/kernels/spmm_max.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/kernels/reference/sparse.hpp"

namespace tessera {
namespace {

using test::SparseCase;

constexpr std::size_t kWidths[] = {1, 3, 16, 17, 64, 100, 256, 300};

// Values of a coarse grid: maxima tie often.
template <class T>
Tensor<T> grid_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  Tensor<T> out(rows, cols);
  CounterRng rng(make_key(seed, 2, Purpose::generate), 0, 0);
  for (std::size_t i = 0; i < rows; ++i) {
    for (T& value : out.row(i)) value = static_cast<T>(static_cast<float>(rng.below(9)) - 4.0f);
  }
  return out;
}

template <class X>
void check_against_reference() {
  using Y = Accumulator<X>;
  for (const SparseCase& matrix : test::awkward_cases(false)) {
    for (const std::size_t cols : kWidths) {
      const CsrView<> a = matrix.view();
      const Tensor<X> x = grid_matrix<X>(a.num_cols, cols, 3);
      Tensor<Y> want(a.num_rows, cols);
      Tensor<std::int32_t> want_arg(a.num_rows, cols);
      reference::spmm_max<X, Y>(a, x, want, want_arg);
      for (const Isa isa : test::isa_levels()) {
        const IsaScope scope(isa);
        Tensor<Y> got(a.num_rows, cols);
        Tensor<std::int32_t> arg(a.num_rows, cols);
        spmm_max<X, Y>(a, x, got, arg);
        CAPTURE(matrix.name, cols, name(isa));
        CHECK(test::same_bits(got, want));
        CHECK(test::same_bits(arg, want_arg));
      }
    }
  }
}

TEST_CASE("the reference maximum of a hand-made matrix", "[spmm_max]") {
  const SparseCase a{"", 3, {0, 3, 3, 4}, {2, 0, 1, 1}, {}};
  Tensor<float> x(3, 2);
  x(0, 0) = 5, x(0, 1) = -1, x(1, 0) = 5, x(1, 1) = -3, x(2, 0) = 4, x(2, 1) = -1;
  Tensor<float> y(3, 2);
  Tensor<std::int32_t> arg(3, 2);
  reference::spmm_max<float, float>(a.view(), x, y, arg);
  CHECK(y(0, 0) == 5);
  CHECK(arg(0, 0) == 0);  // the first entry that has it
  CHECK(y(0, 1) == -1);
  CHECK(arg(0, 1) == 2);
  CHECK(y(1, 0) == 0);
  CHECK(arg(1, 0) == -1);
  CHECK(y(2, 1) == -3);
}

TEST_CASE("spmm_max equals its reference exactly", "[spmm_max]") {
  SECTION("float") { check_against_reference<float>(); }
  SECTION("bf16") { check_against_reference<bf16>(); }
  SECTION("double") { check_against_reference<double>(); }
}

TEST_CASE("spmm_max equals its reference on rows that lie far apart", "[spmm_max]") {
  const SparseCase matrix = test::awkward_cases(false)[4];
  const Tensor<float> room = grid_matrix<float>(matrix.num_cols, 1100, 3);
  const MatrixView<const float> x = room.view().middle_cols(0, 100);
  REQUIRE(detail::lies_far(x));
  Tensor<float> want(matrix.num_rows(), 100), got(matrix.num_rows(), 100);
  Tensor<std::int32_t> want_arg(matrix.num_rows(), 100), arg(matrix.num_rows(), 100);
  reference::spmm_max<float, float>(matrix.view(), x, want, want_arg);
  for (const Isa isa : test::isa_levels()) {
    const IsaScope scope(isa);
    spmm_max<float, float>(matrix.view(), x, got, arg);
    CAPTURE(name(isa));
    CHECK(test::same_bits(got, want));
    CHECK(test::same_bits(arg, want_arg));
  }
}

TEST_CASE("spmm_max handles infinities and lets the first NaN win", "[spmm_max]") {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const SparseCase& matrix : test::awkward_cases(false)) {
    const CsrView<> a = matrix.view();
    Tensor<float> x = grid_matrix<float>(a.num_cols, 20, 5);
    for (std::size_t j = 0; j < x.rows(); ++j) {
      if (j % 5 == 0) x(j, 3) = nan;
      if (j % 3 == 0) x(j, 7) = inf;
      if (j % 3 == 1) x(j, 7) = -inf;
      if (j % 2 == 0) x(j, 19) = -inf;
    }
    Tensor<float> want(a.num_rows, 20);
    Tensor<std::int32_t> want_arg(a.num_rows, 20);
    reference::spmm_max<float, float>(a, x, want, want_arg);
    for (const Isa isa : test::isa_levels()) {
      const IsaScope scope(isa);
      Tensor<float> got(a.num_rows, 20);
      Tensor<std::int32_t> arg(a.num_rows, 20);
      spmm_max<float, float>(a, x, got, arg);
      CAPTURE(matrix.name, name(isa));
      CHECK(test::same_bits(arg, want_arg));
      CHECK(test::same_bits(got, want));
    }
  }
}

TEST_CASE("spmm_max and its gradient do not depend on threads", "[spmm_max]") {
  const SparseCase matrix = test::awkward_cases(false).back();
  const CsrView<> a = matrix.view();
  const SparseCase transposed = test::transpose_of(a);
  const auto x = test::random_matrix<float>(a.num_cols, 100, 3);
  const auto g = test::random_matrix<float>(a.num_rows, 100, 4);
  Tensor<float> want(a.num_rows, 100);
  Tensor<std::int32_t> want_arg(a.num_rows, 100);
  Tensor<float> want_grad(a.num_cols, 100);
  with_threads(1, [&] {
    spmm_max<float, float>(a, x, want, want_arg);
    spmm_max_backward<float>(transposed.view(), want_arg, g, want_grad);
  });
  for (const std::size_t threads : {2u, 4u, 16u}) {
    Tensor<float> got(a.num_rows, 100);
    Tensor<std::int32_t> arg(a.num_rows, 100);
    Tensor<float> grad(a.num_cols, 100);
    with_threads(threads, [&] {
      spmm_max<float, float>(a, x, got, arg);
      spmm_max_backward<float>(transposed.view(), arg, g, grad);
    });
    CHECK(test::same_bits(got, want));
    CHECK(test::same_bits(arg, want_arg));
    CHECK(test::same_bits(grad, want_grad));
  }
}

template <class T>
void check_backward(bool shuffled) {
  for (const SparseCase& matrix : test::awkward_cases(false)) {
    for (const std::size_t cols : {1u, 3u, 17u, 64u}) {
      const CsrView<> a = matrix.view();
      SparseCase transposed = test::transpose_of(a);
      if (shuffled) {
        for (std::size_t j = 0; j < transposed.num_rows(); ++j) {
          const std::size_t first = transposed.row_ptr[j];
          shuffle<NodeId>(std::span(transposed.col).subspan(first, transposed.row_ptr[j + 1] - first),
                          CounterRng(make_key(1, 0, Purpose::shuffle), 0, j));
        }
      }
      const auto x = grid_matrix<T>(a.num_cols, cols, 3);
      const auto g = test::random_matrix<T>(a.num_rows, cols, 4);
      Tensor<T> y(a.num_rows, cols);
      Tensor<std::int32_t> arg(a.num_rows, cols);
      spmm_max<T, T>(a, x, y, arg);
      Tensor<T> want(a.num_cols, cols);
      reference::spmm_max_backward<T>(arg, g, want);
      for (const Isa isa : test::isa_levels()) {
        const IsaScope scope(isa);
        Tensor<T> got(a.num_cols, cols);
        spmm_max_backward<T>(transposed.view(), arg, g, got);
        CAPTURE(matrix.name, cols, name(isa), shuffled);
        CHECK(test::same_bits(got, want));  // both add rows in ascending order
      }
    }
  }
}

TEST_CASE("spmm_max_backward sends every gradient to one entry, duplicates or not", "[spmm_max]") {
  const bool shuffled = GENERATE(false, true);
  SECTION("float") { check_backward<float>(shuffled); }
  SECTION("double") { check_backward<double>(shuffled); }
}

TEST_CASE("spmm_max is its own derivative's antiderivative", "[spmm_max]") {
  // Directional derivative along d, without ties: <grad_x, d> = (f(x + h d) - f(x - h d)) / 2 h, exact up to
  // rounding while no maximum changes hands.
  const SparseCase matrix = test::awkward_cases(false)[4];
  const CsrView<> a = matrix.view();
  const SparseCase transposed = test::transpose_of(a);
  const auto x = test::random_matrix<double>(a.num_cols, 5, 1);
  const auto d = test::random_matrix<double>(a.num_cols, 5, 2);
  const auto g = test::random_matrix<double>(a.num_rows, 5, 3);
  const double h = 1e-9;
  Tensor<std::int32_t> arg(a.num_rows, 5);
  Tensor<double> y(a.num_rows, 5);
  const auto value = [&](double t) {
    Tensor<double> at = Tensor<double>::copy_of(x);
    for (std::size_t i = 0; i < at.rows(); ++i) {
      for (std::size_t f = 0; f < 5; ++f) at(i, f) += t * d(i, f);
    }
    spmm_max<double, double>(a, at, y, arg);
    double sum = 0;
    for (std::size_t i = 0; i < y.rows(); ++i) {
      for (std::size_t f = 0; f < 5; ++f) sum += y(i, f) * g(i, f);
    }
    return sum;
  };
  const double slope = (value(h) - value(-h)) / (2 * h);
  value(0);
  Tensor<double> grad(a.num_cols, 5);
  spmm_max_backward<double>(transposed.view(), arg, g, grad);
  double inner = 0;
  for (std::size_t j = 0; j < grad.rows(); ++j) {
    for (std::size_t f = 0; f < 5; ++f) inner += grad(j, f) * d(j, f);
  }
  // 5000 terms of size at most 1, each rounded to 2^-53, divided by 2 h.
  CHECK(std::abs(slope - inner) <= 2 * 5000 * 0x1p-53 * 100 / h);
  CHECK(std::abs(inner) > 1e-2);
}

TEST_CASE("spmm_max rejects what does not fit", "[spmm_max]") {
  const SparseCase a{"", 3, {0, 1, 3}, {1, 0, 2}, {}};
  Tensor<float> x = Tensor<float>::zeros(3, 4);
  Tensor<float> y(2, 4);
  Tensor<std::int32_t> arg(2, 4);
  Tensor<std::int32_t> short_arg(1, 4);
  Tensor<float> wrong(2, 5);
  CHECK_THROWS_AS((spmm_max<float, float>(a.view(), x, y, short_arg)), ShapeError);
  CHECK_THROWS_AS((spmm_max<float, float>(a.view(), x, wrong, arg)), ShapeError);
  CHECK_THROWS_AS((spmm_max_backward<float>(a.view(), arg, y, x)), ShapeError);
}

}  // namespace
}  // namespace tessera
