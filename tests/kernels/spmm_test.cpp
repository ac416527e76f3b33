// SPDX-License-Identifier: MIT
#include "tessera/kernels/spmm.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/kernels/reference/sparse.hpp"

namespace tessera {
namespace {

using test::SparseCase;

constexpr std::size_t kWidths[] = {1, 3, 16, 17, 64, 100, 256, 300};

// The largest of |got - want| / bound over all elements, where bound_if = gamma_(n_i + 2) sum |w| |x| and
// gamma_n = n u: the textbook bound of a sum of n_i rounded products in any order.
template <class X, class Y>
double worst_error(const CsrView<>& a, const Tensor<X>& x, const Tensor<Y>& got, const Tensor<double>& want,
                   bool mean) {
  const double u = std::is_same_v<Y, float> ? 0x1p-24 : 0x1p-53;
  double worst = 0;
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    const double n = static_cast<double>(a.degree(i));
    for (std::size_t f = 0; f < x.cols(); ++f) {
      double size = 0;
      for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
        const double w = a.weighted() && !mean ? std::abs(static_cast<double>(a.weight[e])) : 1;
        size += w * std::abs(static_cast<double>(x(a.col[e], f)));
      }
      if (mean && n > 0) size /= n;
      const double error = std::abs(static_cast<double>(got(i, f)) - want(i, f));
      const double bound = (n + 2) * u * size;
      // The double twin rounds as well.
      worst =
          std::max(worst, error == 0 ? 0 : error / (std::is_same_v<Y, double> ? 2 * bound : 1.001 * bound));
    }
  }
  return worst;
}

template <class X>
void check_against_reference(bool weighted, bool mean) {
  using Y = Accumulator<X>;
  for (const SparseCase& matrix : test::awkward_cases(weighted)) {
    for (const std::size_t cols : kWidths) {
      const CsrView<> a = matrix.view();
      const Tensor<X> x = test::random_matrix<X>(a.num_cols, cols, 11);
      Tensor<double> want(a.num_rows, cols);
      if (mean) {
        reference::spmm_mean<X, double>(a, x, want);
      } else {
        reference::spmm_sum<X, double>(a, x, want);
      }
      for (const Isa isa : test::isa_levels()) {
        const IsaScope scope(isa);
        Tensor<Y> got = Tensor<Y>::filled(a.num_rows, cols, std::numeric_limits<Y>::quiet_NaN());
        if (mean) {
          spmm_mean<X, Y>(a, x, got);
        } else {
          spmm_sum<X, Y>(a, x, got);
        }
        CAPTURE(matrix.name, cols, name(isa), weighted, mean);
        CHECK(worst_error(a, x, got, want, mean) <= 1);
      }
    }
  }
}

TEST_CASE("the reference sum of a hand-made matrix", "[spmm]") {
  // [[0, 2, 0], [0, 0, 0], [1, 0, -1]] x [[1, 10], [2, 20], [4, 40]]
  const SparseCase a{"", 3, {0, 1, 1, 3}, {1, 0, 2}, {2, 1, -1}};
  Tensor<float> x(3, 2);
  x(0, 0) = 1, x(0, 1) = 10, x(1, 0) = 2, x(1, 1) = 20, x(2, 0) = 4, x(2, 1) = 40;
  Tensor<float> y(3, 2);
  reference::spmm_sum<float, float>(a.view(), x, y);
  CHECK(y(0, 0) == 4);
  CHECK(y(0, 1) == 40);
  CHECK(y(1, 0) == 0);
  CHECK(y(2, 1) == -30);
  reference::spmm_mean<float, float>(a.view(), x, y);
  CHECK(y(0, 1) == 20);
  CHECK(y(1, 1) == 0);
  CHECK(y(2, 0) == 2.5f);
}

TEST_CASE("spmm_sum agrees with its reference at every level and width", "[spmm]") {
  const bool weighted = GENERATE(false, true);
  SECTION("float") { check_against_reference<float>(weighted, false); }
  SECTION("bf16") { check_against_reference<bf16>(weighted, false); }
  SECTION("double") { check_against_reference<double>(weighted, false); }
}

TEST_CASE("spmm_mean agrees with its reference at every level and width", "[spmm]") {
  SECTION("float") { check_against_reference<float>(false, true); }
  SECTION("bf16") { check_against_reference<bf16>(true, true); }  // weights are ignored
  SECTION("double") { check_against_reference<double>(false, true); }
}

TEST_CASE("sums of bf16 written as bf16 are those written as float, rounded", "[spmm]") {
  const auto rounds = [](const Tensor<float>& wide, const Tensor<bf16>& narrow) {
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < wide.rows(); ++i) {
      for (std::size_t f = 0; f < wide.cols(); ++f) {
        wrong += narrow(i, f).same_bits(bf16(wide(i, f))) ? 0u : 1u;
      }
    }
    return wrong == 0;
  };
  for (const SparseCase& matrix : test::awkward_cases(true)) {
    for (const std::size_t cols : {std::size_t{1}, std::size_t{33}, std::size_t{100}}) {
      const CsrView<> a = matrix.view();
      const auto x = test::random_matrix<bf16>(a.num_cols, cols, 3);
      Array<float> bias(cols);
      for (std::size_t f = 0; f < cols; ++f) bias[f] = 0.01f * static_cast<float>(f);
      const Epilogue<float> epilogue{
          bias.span(), Activation::relu, {0.25f, make_key(1, 2, Purpose::dropout), 3}};
      CAPTURE(matrix.name, cols);
      Tensor<float> wide(a.num_rows, cols);
      Tensor<bf16> narrow(a.num_rows, cols), again(a.num_rows, cols);
      spmm_sum<bf16, float>(a, x, wide, epilogue);
      spmm_sum<bf16, bf16>(a, x, narrow, epilogue);
      CHECK(rounds(wide, narrow));
      with_threads(7, [&] { spmm_sum<bf16, bf16>(a, x, again, epilogue); });
      CHECK(test::same_bits(again, narrow));
      spmm_mean<bf16, float>(a, x, wide);
      spmm_mean<bf16, bf16>(a, x, narrow);
      CHECK(rounds(wide, narrow));
    }
  }
}

TEST_CASE("spmm gives the same bits for any number of threads", "[spmm]") {
  for (const SparseCase& matrix : test::awkward_cases(true)) {
    const CsrView<> a = matrix.view();
    const auto x = test::random_matrix<float>(a.num_cols, 100, 3);
    Tensor<float> want(a.num_rows, 100);
    Tensor<float> want_mean(a.num_rows, 100);
    with_threads(1, [&] {
      spmm_sum<float, float>(a, x, want);
      spmm_mean<float, float>(a, x, want_mean);
    });
    for (const std::size_t threads : {2u, 4u, 16u}) {
      Tensor<float> got(a.num_rows, 100);
      CAPTURE(matrix.name, threads);
      with_threads(threads, [&] { spmm_sum<float, float>(a, x, got); });
      CHECK(test::same_bits(got, want));
      with_threads(threads, [&] { spmm_mean<float, float>(a, x, got); });
      CHECK(test::same_bits(got, want_mean));
    }
  }
}

TEST_CASE("a row has the same bits alone and among others", "[spmm]") {
  const SparseCase matrix = test::awkward_cases(true).back();  // has a hub
  const CsrView<> a = matrix.view();
  const auto x = test::random_matrix<float>(a.num_cols, 100, 3);
  Tensor<float> all(a.num_rows, 100);
  spmm_sum<float, float>(a, x, all);
  for (const std::size_t i : {std::size_t{5}, std::size_t{77}}) {
    const EdgeId bounds[2] = {0, a.degree(i)};
    const CsrView<> one{1, a.num_cols, bounds, a.neighbors(i), a.weights(i)};
    Tensor<float> alone(1, 100);
    spmm_sum<float, float>(one, x, alone);
    CHECK(std::equal(alone.row(0).begin(), alone.row(0).end(), all.row(i).begin()));
  }
}

// Sums of the first columns of x alone are the first columns of the sums of all.
template <class X>
void check_columns(const SparseCase& matrix, MatrixView<const X> x, const Tensor<Accumulator<X>>& want,
                   const Tensor<Accumulator<X>>& want_mean) {
  using Y = Accumulator<X>;
  std::vector<std::size_t> widths{400, 416, 602, 608, want.cols()};
  for (std::size_t w = 1; w < want.cols(); w += 1 + w / 16) widths.push_back(w);
  const CsrView<> a = matrix.view();
  for (const std::size_t cols : widths) {
    Tensor<Y> got(a.num_rows, cols);
    const auto differ = [&](const Tensor<Y>& all) {
      std::size_t count = 0;
      for (std::size_t i = 0; i < a.num_rows; ++i) {
        count += std::equal(got.row(i).begin(), got.row(i).end(), all.row(i).begin()) ? 0u : 1u;
      }
      return count;
    };
    CAPTURE(cols, detail::lies_far(x.middle_cols(0, cols)), name(active_isa()));
    spmm_sum<X, Y>(a, x.middle_cols(0, cols), got);
    CHECK(differ(want) == 0);
    spmm_mean<X, Y>(a, x.middle_cols(0, cols), got);
    CHECK(differ(want_mean) == 0);
  }
}

template <class X>
void check_near_and_far() {
  constexpr std::size_t kCols = 900;
  const std::vector<std::size_t> degrees{3, 0, 40, 1, 17, 16, 64};
  const SparseCase matrix = test::random_sparse("short rows", degrees, 300, true, 8);
  const Tensor<X> near = test::random_matrix<X>(matrix.num_cols, kCols, 9);
  Tensor<X> room(matrix.num_cols, (detail::kNearBytes / sizeof(X)) / matrix.num_cols + kCols);
  const MatrixView<X> far = room.view().middle_cols(0, kCols);
  for (std::size_t j = 0; j < near.rows(); ++j) {
    std::copy(near.row(j).begin(), near.row(j).end(), far.row(j).begin());
  }
  REQUIRE(!detail::lies_far(near.view()));
  REQUIRE(detail::lies_far(MatrixView<const X>(far)));
  for (const Isa isa : test::isa_levels()) {
    const IsaScope scope(isa);
    Tensor<Accumulator<X>> sum(matrix.num_rows(), kCols), mean(matrix.num_rows(), kCols);
    // Sixteen columns at a time never need a second tile.
    for (std::size_t f = 0; f < kCols; f += 16) {
      const std::size_t count = std::min<std::size_t>(16, kCols - f);
      spmm_sum<X, Accumulator<X>>(matrix.view(), near.view().middle_cols(f, count),
                                  sum.view().middle_cols(f, count));
      spmm_mean<X, Accumulator<X>>(matrix.view(), near.view().middle_cols(f, count),
                                   mean.view().middle_cols(f, count));
    }
    check_columns<X>(matrix, near.view(), sum, mean);
    check_columns<X>(matrix, far, sum, mean);
  }
}

TEST_CASE("a column has the same bits at every width, in the caches and out of memory", "[spmm]") {
  SECTION("float") { check_near_and_far<float>(); }
  SECTION("bf16") { check_near_and_far<bf16>(); }
  SECTION("double") { check_near_and_far<double>(); }
}

TEST_CASE("the transpose is the adjoint of spmm_sum and of spmm_mean", "[spmm]") {
  for (const SparseCase& matrix : test::awkward_cases(true)) {
    const CsrView<> a = matrix.view();
    const SparseCase transposed = test::transpose_of(a);
    const auto x = test::random_matrix<double>(a.num_cols, 17, 5);
    const auto g = test::random_matrix<double>(a.num_rows, 17, 6);
    const auto inner = [](const Tensor<double>& l, const Tensor<double>& r) {
      double sum = 0;
      for (std::size_t i = 0; i < l.rows(); ++i) {
        for (std::size_t f = 0; f < l.cols(); ++f) sum += l(i, f) * r(i, f);
      }
      return sum;
    };
    const double scale = 1 + static_cast<double>(a.num_edges());
    Tensor<double> y(a.num_rows, 17);
    Tensor<double> back(a.num_cols, 17);
    CAPTURE(matrix.name);
    spmm_sum<double, double>(a, x, y);
    spmm_sum<double, double>(transposed.view(), g, back);
    CHECK(std::abs(inner(y, g) - inner(x, back)) <= 1e-12 * scale);
    spmm_mean<double, double>(a, x, y);
    spmm_mean_backward<double>(transposed.view(), a, g, back);
    CHECK(std::abs(inner(y, g) - inner(x, back)) <= 1e-12 * scale);
    Tensor<double> want(a.num_cols, 17);
    reference::spmm_mean_backward<double>(a, g, want);
    double worst = 0;
    for (std::size_t j = 0; j < want.rows(); ++j) {
      for (std::size_t f = 0; f < 17; ++f) worst = std::max(worst, std::abs(want(j, f) - back(j, f)));
    }
    CHECK(worst <= 2 * scale * 0x1p-53 * scale);
  }
}

TEST_CASE("spmm finishes rows with bias, relu and dropout", "[spmm]") {
  for (const std::size_t cols : {std::size_t{17}, std::size_t{300}}) {
    const SparseCase matrix = test::awkward_cases(true).back();
    const CsrView<> a = matrix.view();
    const auto x = test::random_matrix<double>(a.num_cols, cols, 8);
    const auto bias = test::random_matrix<double>(1, cols, 9);
    const Epilogue<double> epilogue{
        bias.row(0), Activation::relu, {0.4f, make_key(3, 1, Purpose::dropout), 2}};
    for (const bool mean : {false, true}) {
      Tensor<double> got(a.num_rows, cols);
      Tensor<double> want(a.num_rows, cols);
      if (mean) {
        spmm_mean<double, double>(a, x, got, epilogue);
        reference::spmm_mean<double, double>(a, x, want, epilogue);
      } else {
        spmm_sum<double, double>(a, x, got, epilogue);
        reference::spmm_sum<double, double>(a, x, want, epilogue);
      }
      double worst = 0;
      std::size_t zeros = 0;
      for (std::size_t i = 0; i < a.num_rows; ++i) {
        for (std::size_t f = 0; f < cols; ++f) {
          worst = std::max(worst, std::abs(got(i, f) - want(i, f)));
          zeros += want(i, f) == 0;
        }
      }
      // Sums of up to 8955 terms of size 1, scaled by 1 / 0.6.
      CHECK(worst <= 2 * 8957 * 0x1p-53 * 8957 / 0.6);
      CHECK(zeros > a.num_rows * cols / 2);
      CHECK(zeros < a.num_rows * cols);
    }
  }
}

TEST_CASE("spmm works on strided views and leaves the gap alone", "[spmm]") {
  const SparseCase matrix = test::awkward_cases(false)[4];
  const CsrView<> a = matrix.view();
  auto x = test::random_matrix<float>(a.num_cols, 64, 4);
  Tensor<float> wide = Tensor<float>::filled(a.num_rows, 64, -7.0f);
  Tensor<float> want(a.num_rows, 21);
  spmm_sum<float, float>(a, x.view().middle_cols(3, 21), wide.view().middle_cols(5, 21));
  spmm_sum<float, float>(a, x.view().middle_cols(3, 21), want);
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (std::size_t f = 0; f < 64; ++f) {
      if (f >= 5 && f < 26) {
        REQUIRE(wide(i, f) == want(i, f - 5));
      } else {
        REQUIRE(wide(i, f) == -7.0f);
      }
    }
  }
}

TEST_CASE("spmm rejects what does not fit", "[spmm]") {
  const SparseCase a{"", 3, {0, 1, 3}, {1, 0, 2}, {}};
  Tensor<float> x = Tensor<float>::zeros(3, 4);
  Tensor<float> y = Tensor<float>::filled(2, 4, 5.0f);
  Tensor<float> other(3, 4);
  Tensor<float> narrow(2, 3);
  const std::vector<float> bias(3);
  CHECK_THROWS_AS((spmm_sum<float, float>(a.view(), y, y)), ShapeError);
  CHECK_THROWS_AS((spmm_sum<float, float>(a.view(), x, other)), ShapeError);
  CHECK_THROWS_AS((spmm_sum<float, float>(a.view(), x, narrow)), ShapeError);
  CHECK_THROWS_AS((spmm_sum<float, float>(a.view(), x, y, {bias, Activation::none, {}})), ShapeError);
  CHECK_THROWS_AS((spmm_sum<float, float>(a.view(), x, y, {{}, Activation::none, {1.5f, {}, 0}})),
                  ConfigError);
  CHECK_THROWS_AS((spmm_sum<float, float>(a.view(), x, x.view().middle_rows(0, 2))), ShapeError);
  CsrView<> broken = a.view();
  broken.col = broken.col.first(2);
  CHECK_THROWS_AS((spmm_sum<float, float>(broken, x, y)), ShapeError);
  CHECK(y(1, 3) == 5.0f);
}

}  // namespace
}  // namespace tessera
