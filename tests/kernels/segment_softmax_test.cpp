// SPDX-License-Identifier: MIT
#include "tessera/kernels/segment_softmax.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/reference/sparse.hpp"

namespace tessera {
namespace {

using test::SparseCase;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <class T>
std::vector<T> random_scores(std::size_t count, double scale, std::uint64_t seed) {
  std::vector<T> out(count);
  CounterRng rng(make_key(seed, 3, Purpose::generate), 0, 0);
  for (T& value : out) value = static_cast<T>((rng.uniform() * 2 - 1) * scale);
  return out;
}

std::vector<float> softmax_of(const SparseCase& a, const std::vector<float>& s) {
  std::vector<float> out(s.size(), -1.0f);
  segment_softmax<float>(a.view(), s, out);
  return out;
}

TEST_CASE("segment_softmax agrees with its reference and its rows sum to 1", "[segment_softmax]") {
  for (const SparseCase& matrix : test::awkward_cases(false)) {
    for (const double scale : {1.0, 1e4}) {
      const CsrView<> a = matrix.view();
      const auto s = random_scores<float>(a.num_edges(), scale, 1);
      std::vector<double> want(s.size());
      reference::segment_softmax<float, double>(a, s, want);
      std::vector<float> got(s.size());
      segment_softmax<float>(a, s, got);
      CAPTURE(matrix.name, scale);
      for (std::size_t i = 0; i < a.num_rows; ++i) {
        const double n = static_cast<double>(a.degree(i));
        double sum = 0;
        double worst = 0;
        for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
          // s - m is rounded (absolute error u |s - m|, relative in exp), exp and division to about an ulp
          // each, the sum to (n - 1) u. Shares below the smallest normal float may vanish.
          const double spread = std::min(2 * scale, 104.0);
          const double bound = (n + spread + 8) * 0x1p-24 * want[e] + 0x1p-126;
          worst = std::max(worst, std::abs(static_cast<double>(got[e]) - want[e]) / bound);
          sum += static_cast<double>(got[e]);
        }
        REQUIRE(worst <= 1);
        if (n > 0) REQUIRE(std::abs(sum - 1) <= (2 * n + 2) * 0x1p-24);
      }
    }
  }
}

TEST_CASE("segment_softmax follows the rules for masked, infinite and lonely scores", "[segment_softmax]") {
  const SparseCase one{"", 4, {0, 1}, {2}, {}};
  CHECK(softmax_of(one, {1e30f}) == std::vector<float>{1});
  CHECK(softmax_of(one, {-1e30f}) == std::vector<float>{1});
  const SparseCase row{"", 4, {0, 0, 3, 3}, {2, 1, 0}, {}};
  CHECK(softmax_of(row, {-kInf, -kInf, -kInf}) == std::vector<float>{0, 0, 0});
  CHECK(softmax_of(row, {-kInf, 3, -kInf}) == std::vector<float>{0, 1, 0});
  CHECK(softmax_of(row, {5, 5, -kInf}) == std::vector<float>{0.5f, 0.5f, 0});
  for (const std::vector<float>& bad :
       {std::vector<float>{1, kNan, 2}, std::vector<float>{-kInf, -kInf, kNan},
        std::vector<float>{kNan, -kInf, -kInf}, std::vector<float>{1, kInf, 2}}) {
    for (const float value : softmax_of(row, bad)) CHECK(std::isnan(value));
  }
}

TEST_CASE("the rules hold in a hub as well", "[segment_softmax]") {
  const SparseCase matrix = test::awkward_cases(false).back();
  const CsrView<> a = matrix.view();
  std::vector<float> s(a.num_edges(), -kInf);
  for (const float value : softmax_of(matrix, s)) REQUIRE(value == 0);
  s[a.end(77) - 1] = 2;
  CHECK(softmax_of(matrix, s)[a.end(77) - 1] == 1);
  s[a.begin(77) + 5000] = kNan;
  const auto broken = softmax_of(matrix, s);
  for (std::size_t e = 0; e < s.size(); ++e) {
    REQUIRE(std::isnan(broken[e]) == (e >= a.begin(77) && e < a.end(77)));
  }
}

TEST_CASE("segment_softmax may work in place and ignores a common shift", "[segment_softmax]") {
  const SparseCase matrix = test::awkward_cases(false).back();
  const CsrView<> a = matrix.view();
  // Multiples of 1/64: adding 512 rounds nothing.
  auto s = random_scores<float>(a.num_edges(), 200, 2);
  for (float& value : s) value = std::round(value) / 64;
  const auto want = softmax_of(matrix, s);
  auto shifted = s;
  for (float& value : shifted) value += 512;
  CHECK(softmax_of(matrix, shifted) == want);
  segment_softmax<float>(a, s, s);
  CHECK(s == want);
}

TEST_CASE("segment kernels do not depend on threads", "[segment_softmax]") {
  const SparseCase matrix = test::awkward_cases(false).back();
  const CsrView<> a = matrix.view();
  const auto s = random_scores<float>(a.num_edges(), 3, 2);
  std::vector<float> want(s.size());
  std::vector<float> want_back(s.size());
  std::vector<float> want_sum(a.num_rows);
  const auto run = [&](std::vector<float>& alpha, std::vector<float>& back, std::vector<float>& sum) {
    segment_softmax<float>(a, s, alpha);
    segment_softmax_backward<float>(a, alpha, s, back);
    segment_sum<float>(a, s, sum);
  };
  with_threads(1, [&] { run(want, want_back, want_sum); });
  for (const std::size_t threads : {2u, 4u, 16u}) {
    std::vector<float> alpha(s.size());
    std::vector<float> back(s.size());
    std::vector<float> sum(a.num_rows);
    with_threads(threads, [&] { run(alpha, back, sum); });
    CHECK(alpha == want);
    CHECK(back == want_back);
    CHECK(sum == want_sum);
  }
}

TEST_CASE("segment_softmax_backward agrees with central differences", "[segment_softmax]") {
  const std::vector<std::size_t> degrees{4, 0, 1, 7};
  const SparseCase matrix = test::random_sparse("small", degrees, 5, false, 1);
  const CsrView<> a = matrix.view();
  const auto s = random_scores<double>(a.num_edges(), 2, 4);
  const auto g = random_scores<double>(a.num_edges(), 1, 5);
  std::vector<double> alpha(s.size());
  std::vector<double> grad(s.size());
  segment_softmax<double>(a, s, alpha);
  segment_softmax_backward<double>(a, alpha, g, grad);
  const auto value = [&](const std::vector<double>& at) {
    std::vector<double> out(at.size());
    segment_softmax<double>(a, at, out);
    double sum = 0;
    for (std::size_t e = 0; e < out.size(); ++e) sum += out[e] * g[e];
    return sum;
  };
  const double h = 1e-5;  // error h^2 times the third derivative (below 1) plus 12 u / h
  for (std::size_t e = 0; e < s.size(); ++e) {
    auto up = s;
    auto down = s;
    up[e] += h;
    down[e] -= h;
    CHECK(std::abs((value(up) - value(down)) / (2 * h) - grad[e]) <= h * h + 12 * 0x1p-53 / h);
  }
}

TEST_CASE("segment_softmax_backward and segment_sum agree with their references", "[segment_softmax]") {
  for (const SparseCase& matrix : test::awkward_cases(false)) {
    const CsrView<> a = matrix.view();
    const auto s = random_scores<double>(a.num_edges(), 1, 7);
    const auto g = random_scores<double>(a.num_edges(), 1, 8);
    std::vector<double> got(s.size());
    std::vector<double> want(s.size());
    segment_softmax_backward<double>(a, s, g, got);
    reference::segment_softmax_backward<double, double>(a, s, g, want);
    std::vector<double> sum(a.num_rows, 5.0);
    std::vector<double> want_sum(a.num_rows);
    segment_sum<double>(a, s, sum);
    reference::segment_sum<double, double>(a, s, want_sum);
    CAPTURE(matrix.name);
    for (std::size_t i = 0; i < a.num_rows; ++i) {
      const double n = static_cast<double>(a.degree(i));
      REQUIRE(std::abs(sum[i] - want_sum[i]) <= 2 * n * 0x1p-53 * n);
      for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
        REQUIRE(std::abs(got[e] - want[e]) <= (2 * n * n + 4) * 0x1p-53);
      }
    }
  }
}

TEST_CASE("segment kernels reject what does not fit", "[segment_softmax]") {
  const SparseCase a{"", 3, {0, 1, 3}, {1, 0, 2}, {}};
  std::vector<float> two(2);
  std::vector<float> three(3);
  CHECK_THROWS_AS(segment_softmax<float>(a.view(), two, three), ShapeError);
  CHECK_THROWS_AS(segment_softmax<float>(a.view(), three, two), ShapeError);
  CHECK_THROWS_AS(segment_softmax_backward<float>(a.view(), three, three, two), ShapeError);
  CHECK_THROWS_AS(segment_sum<float>(a.view(), three, three), ShapeError);
}

}  // namespace
}  // namespace tessera
