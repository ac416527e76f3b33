// SPDX-License-Identifier: MIT
#include "tessera/kernels/sddmm.hpp"

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/kernels/reference/sparse.hpp"
#include "tessera/kernels/spmm.hpp"

namespace tessera {
namespace {

using test::SparseCase;

template <class T>
void check_dot() {
  const double u = std::is_same_v<T, float> ? 0x1p-24 : 0x1p-53;
  for (const SparseCase& matrix : test::awkward_cases(false)) {
    for (const std::size_t cols : {1u, 3u, 16u, 17u, 64u, 100u, 256u, 300u}) {
      const CsrView<> a = matrix.view();
      const auto left = test::random_matrix<T>(a.num_rows, cols, 1);
      const auto right = test::random_matrix<T>(a.num_cols, cols, 2);
      std::vector<double> want(a.num_edges());
      reference::sddmm_dot<T, double>(a, left, right, want);
      for (const Isa isa : test::isa_levels()) {
        const IsaScope scope(isa);
        std::vector<T> got(a.num_edges(), T{99});
        sddmm_dot<T>(a, left, right, got);
        double worst = 0;
        for (std::size_t e = 0; e < got.size(); ++e) {
          worst = std::max(worst, std::abs(static_cast<double>(got[e]) - want[e]));
        }
        CAPTURE(matrix.name, cols, name(isa));
        // F products of numbers below 1 in any order; twice, because the twin rounds as well.
        const double n = static_cast<double>(cols);
        CHECK(worst <= 2 * (n + 2) * u * n);
      }
    }
  }
}

TEST_CASE("the reference products of a hand-made matrix", "[sddmm]") {
  const SparseCase a{"", 2, {0, 2, 3}, {1, 0, 1}, {}};
  Tensor<float> u(2, 2);
  Tensor<float> v(2, 2);
  u(0, 0) = 1, u(0, 1) = 2, u(1, 0) = 3, u(1, 1) = 4;
  v(0, 0) = 10, v(0, 1) = 0, v(1, 0) = 0, v(1, 1) = 100;
  std::vector<float> s(3);
  reference::sddmm_dot<float, float>(a.view(), u, v, s);
  CHECK(s == std::vector<float>{200, 10, 400});
}

TEST_CASE("sddmm_dot agrees with its reference at every level and width", "[sddmm]") {
  SECTION("float") { check_dot<float>(); }
  SECTION("double") { check_dot<double>(); }
}

TEST_CASE("sddmm_dot is the gradient of the weights of spmm_sum", "[sddmm]") {
  // spmm_sum is linear in w: <spmm(w), G> = <w, sddmm(G, X)>.
  for (const SparseCase& matrix : test::awkward_cases(true)) {
    const CsrView<> a = matrix.view();
    const auto x = test::random_matrix<double>(a.num_cols, 17, 5);
    const auto g = test::random_matrix<double>(a.num_rows, 17, 6);
    Tensor<double> y(a.num_rows, 17);
    spmm_sum<double, double>(a, x, y);
    std::vector<double> s(a.num_edges());
    sddmm_dot<double>(a, g, x, s);
    double left = 0;
    double right = 0;
    for (std::size_t i = 0; i < a.num_rows; ++i) {
      for (std::size_t f = 0; f < 17; ++f) left += y(i, f) * g(i, f);
    }
    for (std::size_t e = 0; e < s.size(); ++e) right += static_cast<double>(a.weight[e]) * s[e];
    CHECK(std::abs(left - right) <= 1e-12 * (1 + static_cast<double>(a.num_edges())));
  }
}

TEST_CASE("sddmm does not depend on threads", "[sddmm]") {
  const SparseCase matrix = test::awkward_cases(false).back();
  const CsrView<> a = matrix.view();
  const auto u = test::random_matrix<float>(a.num_rows, 100, 1);
  const auto v = test::random_matrix<float>(a.num_cols, 100, 2);
  std::vector<float> want(a.num_edges());
  with_threads(1, [&] { sddmm_dot<float>(a, u, v, want); });
  for (const std::size_t threads : {2u, 4u, 16u}) {
    std::vector<float> got(a.num_edges());
    with_threads(threads, [&] { sddmm_dot<float>(a, u, v, got); });
    CHECK(got == want);
  }
}

TEST_CASE("sddmm_add adds ends of entries", "[sddmm]") {
  for (const SparseCase& matrix : test::awkward_cases(false)) {
    const CsrView<> a = matrix.view();
    const auto u = test::random_matrix<float>(1, a.num_rows, 1);
    const auto v = test::random_matrix<float>(1, a.num_cols, 2);
    std::vector<float> want(a.num_edges());
    std::vector<float> got(a.num_edges());
    const auto left = std::as_const(u).row(0);
    const auto right = std::as_const(v).row(0);
    reference::sddmm_add<float>(a, left, right, want);
    sddmm_add<float>(a, left, right, got);
    CHECK(got == want);
  }
}

TEST_CASE("sddmm rejects what does not fit", "[sddmm]") {
  const SparseCase a{"", 3, {0, 1, 3}, {1, 0, 2}, {}};
  const auto u = test::random_matrix<float>(2, 4, 1);
  const auto v = test::random_matrix<float>(3, 4, 1);
  const auto narrow = test::random_matrix<float>(3, 3, 1);
  std::vector<float> s(3);
  std::vector<float> few(2);
  CHECK_THROWS_AS(sddmm_dot<float>(a.view(), v, v, s), ShapeError);
  CHECK_THROWS_AS(sddmm_dot<float>(a.view(), u, u, s), ShapeError);
  CHECK_THROWS_AS(sddmm_dot<float>(a.view(), u, narrow, s), ShapeError);
  CHECK_THROWS_AS(sddmm_dot<float>(a.view(), u, v, few), ShapeError);
  CHECK_THROWS_AS(sddmm_add<float>(a.view(), few, few, s), ShapeError);
}

}  // namespace
}  // namespace tessera
