// SPDX-License-Identifier: MIT
#include "tessera/io/finite.hpp"

#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/core/tensor.hpp"

using namespace tessera;

TEST_CASE("values that are not finite are counted", "[io]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const float values[] = {0,    -0.0f,
                          nan,  inf,
                          -inf, std::numeric_limits<float>::max(),
                          -nan, std::numeric_limits<float>::denorm_min()};
  CHECK(io::count_not_finite(values) == 4);
  CHECK(io::count_not_finite({}) == 0);
}

TEST_CASE("the policy decides what a bad feature does", "[io]") {
  Tensor<float> x = Tensor<float>::filled(3000, 3, 1.0f);
  const io::Place place("feats.npy");
  CHECK_NOTHROW(io::check_finite(x, place, io::NanPolicy::error));
  x(2500, 1) = std::numeric_limits<float>::infinity();
  x(2999, 1) = std::numeric_limits<float>::quiet_NaN();
  test::refuses("FEA-01", {"infinite value at row 2,500 column 1; 1 NaN and 1 infinite values in 1 column."},
                [&] { io::check_finite(x, place, io::NanPolicy::error); });
  CHECK(std::isnan(x(2999, 1)));
  std::vector<std::string> warnings;
  io::check_finite(x, place, io::NanPolicy::zero, &warnings);
  CHECK(warnings.size() == 1);
  CHECK(x(2500, 1) == 0.0f);
  CHECK(x(2999, 1) == 0.0f);
  CHECK(x(2999, 2) == 1.0f);
}
