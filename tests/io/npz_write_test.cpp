// SPDX-License-Identifier: MIT
#include "tessera/io/npz_write.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/io/npy_convert.hpp"
#include "tessera/io/npz.hpp"

using namespace tessera;

TEST_CASE("an archive written array by array reads back", "[io]") {
  const test::ScratchFolder folder;
  Tensor<float> x(4, 18);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 18; ++j) x(i, j) = static_cast<float>(i) - 0.5f * static_cast<float>(j);
  }
  const std::vector<std::int64_t> ids = {5, 6, 7};
  const std::uint64_t scalar[] = {9};
  {
    io::NpzWriter out(folder / "p.npz");
    out.add<float>("logits", x.view());
    out.add<std::int64_t>("ids", ids);
    out.add<std::uint64_t>("step", scalar, {});
    out.commit();
  }
  const io::NpzFile npz(folder / "p.npz");
  CHECK(npz.keys() == std::vector<std::string>{"ids", "logits", "step"});
  const Tensor<float> y = io::to_matrix(npz.read("logits"));
  REQUIRE(y.rows() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(std::equal(x.row(i).begin(), x.row(i).end(), y.row(i).begin()));
  const auto back = io::to_integers<std::int64_t>(npz.read("ids"));
  CHECK(std::vector<std::int64_t>(back.begin(), back.end()) == ids);
  CHECK(npz.read("step").rank() == 0);
  CHECK(io::to_integers<int>(npz.read("step"))[0] == 9);
}

TEST_CASE("the same arrays give the same bytes", "[io]") {
  const test::ScratchFolder folder;
  const std::vector<float> values = {1, 2, 3};
  for (const char* name : {"a.npz", "b.npz"}) {
    io::NpzWriter out(folder / name);
    out.add<float>("x", values);
    out.commit();
  }
  CHECK(test::read_back(folder / "a.npz") == test::read_back(folder / "b.npz"));
}

TEST_CASE("keys that numpy could not load and wrong shapes are refused", "[io]") {
  const test::ScratchFolder folder;
  const std::vector<float> values = {1, 2, 3};
  io::NpzWriter out(folder / "a.npz");
  out.add<float>("x", values);
  CHECK_THROWS_AS(out.add<float>("x", values), ConfigError);
  CHECK_THROWS_AS(out.add<float>("file", values), ConfigError);
  const std::uint64_t shape[] = {2, 2};
  CHECK_THROWS_AS(out.add<float>("y", values, shape), ShapeError);
  CHECK_FALSE(std::filesystem::exists(folder / "a.npz"));
}
