// SPDX-License-Identifier: MIT
#include <cmath>
#include <utility>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/init/glorot.hpp"
#include "tessera/nn/init/kaiming.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

constexpr InitStream kStream{make_key(3, 0, Purpose::init), 5};

/// Uniform on [-bound, bound): mean within 4 sigma / sqrt n of 0, variance within 5 % of bound^2 / 3, and the
/// extremes close to the bounds.
void check_uniform(const Tensor<float>& w, double bound) {
  double sum = 0;
  double squares = 0;
  double low = 0;
  double high = 0;
  for (std::size_t i = 0; i < w.rows(); ++i) {
    for (const float element : w.row(i)) {
      const double x = static_cast<double>(element);
      sum += x;
      squares += x * x;
      low = std::min(low, x);
      high = std::max(high, x);
    }
  }
  const double n = static_cast<double>(w.size());
  REQUIRE(n >= 1e5);
  const double sigma = bound / std::sqrt(3.0);
  CHECK(std::abs(sum / n) <= 4 * sigma / std::sqrt(n));
  CHECK(std::abs(squares / n - sigma * sigma) <= 0.05 * sigma * sigma);
  CHECK(high <= bound);
  CHECK(low >= -bound * (1 + 1e-7));  // rounding to float may reach the bound itself
  CHECK(high >= 0.99 * bound);
  CHECK(low <= -0.99 * bound);
}

TEST_CASE("Glorot and Kaiming fill the range they promise") {
  Tensor<float> w(400, 300);
  glorot_uniform(w.view(), kStream);
  check_uniform(w, std::sqrt(6.0 / 700.0));
  glorot_uniform(w.view(), kStream, std::sqrt(2.0));
  check_uniform(w, std::sqrt(12.0 / 700.0));
  kaiming_uniform(w.view(), kStream);
  check_uniform(w, 1.0 / 20.0);
  kaiming_uniform(w.view(), kStream, 0.0);
  check_uniform(w, std::sqrt(6.0 / 400.0));
  fan_in_uniform(w.view(), 16, kStream);
  check_uniform(w, 0.25);
}

TEST_CASE("initial weights depend on seed and parameter, not on threads or stride") {
  const auto fill = [](InitStream stream, std::size_t threads) {
    Tensor<float> w(500, 21);
    with_threads(threads, [&] { glorot_uniform(w.view(), stream); });
    return w;
  };
  const Tensor<float> one = fill(kStream, 1);
  for (const std::size_t threads : {2u, 4u}) {
    CHECK(same_bits<float>(one.view(), fill(kStream, threads).view()));
  }
  CHECK_FALSE(same_bits<float>(one.view(), fill({kStream.key, 6}, 1).view()));
  CHECK_FALSE(same_bits<float>(one.view(), fill({make_key(4, 0, Purpose::init), 5}, 1).view()));
  std::vector<float> packed(500 * 21);
  const MatrixView<float> view(packed.data(), 500, 21);
  glorot_uniform(view, kStream);
  CHECK(same_bits<float>(one.view(), view));
}

TEST_CASE("nothing to fill is no error") {
  Tensor<float> w(0, 3);
  glorot_uniform(w.view(), kStream);
  kaiming_uniform(w.view(), kStream);
  fan_in_uniform(w.view(), 0, kStream);
}

}  // namespace
