// SPDX-License-Identifier: MIT
#include "tessera/io/npy_write.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/io/npy_convert.hpp"

using namespace tessera;

TEST_CASE("the header equals numpy's, byte for byte", "[io]") {
  const std::uint64_t shape[] = {2708, 1433};
  const std::string preamble = io::npy_preamble("<f4", shape);
  CHECK(preamble.size() == 128);
  CHECK(preamble.substr(10, 62) == "{'descr': '<f4', 'fortran_order': False, 'shape': (2708, 1433)");
  CHECK(io::npy_preamble("<i8", {}).size() == 128);  // 55 characters, 10 bytes before, a line feed
  const auto real = test::real_data("cora/graphsaint/feats.npy");
  if (real) CHECK(test::read_back(*real).substr(0, 128) == preamble);
}

TEST_CASE("what is written reads back", "[io]") {
  const test::ScratchFolder folder;
  SECTION("a strided matrix") {
    Tensor<float> x(3, 17);  // rows of 17 floats are padded
    REQUIRE(x.stride() != x.cols());
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t j = 0; j < 17; ++j) x(i, j) = static_cast<float>(100 * i + j);
    }
    io::write_npy<float>(folder / "x.npy", x.view());
    const Tensor<float> y = io::to_matrix(io::read_npy(folder / "x.npy"));
    REQUIRE(y.rows() == 3);
    REQUIRE(y.cols() == 17);
    for (std::size_t i = 0; i < 3; ++i) CHECK(std::equal(x.row(i).begin(), x.row(i).end(), y.row(i).begin()));
  }
  SECTION("a vector of integers") {
    const std::vector<std::int64_t> values = {1, -2, 3'000'000'000};
    io::write_npy<std::int64_t>(folder / "v.npy", values);
    const auto back = io::to_integers<std::int64_t>(io::read_npy(folder / "v.npy"));
    CHECK(std::vector<std::int64_t>(back.begin(), back.end()) == values);
  }
  SECTION("nothing") {
    io::write_npy<double>(folder / "e.npy", std::span<const double>());
    CHECK(io::read_npy(folder / "e.npy").size() == 0);
  }
}

TEST_CASE("types have numpy's names", "[io]") {
  CHECK(io::npy_descr<float>() == "<f4");
  CHECK(io::npy_descr<double>() == "<f8");
  CHECK(io::npy_descr<std::int8_t>() == "|i1");
  CHECK(io::npy_descr<std::uint64_t>() == "<u8");
  CHECK(io::npy_descr<bool>() == "|b1");
}
