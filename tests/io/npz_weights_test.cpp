// SPDX-License-Identifier: MIT
#include "tessera/io/npz_weights.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;

namespace {

ParameterBlock<float> sample() {
  ParameterBlock<float> block;
  block.add("convs.0.lin.weight", 2, 3);
  block.add("convs.0.bias", 1, 3);
  block.add("convs.1.weight1", 2, 2);
  block.add("norm.weight", 1, 3);
  float next = 1;
  for (const ParameterInfo& info : block.parameters()) {
    for (float& v : block.values().subspan(info.offset, info.size())) v = next++;
  }
  return block;
}

bool same(const ParameterBlock<float>& a, const ParameterBlock<float>& b) {
  return std::equal(a.values().begin(), a.values().end(), b.values().begin(), b.values().end());
}

}  // namespace

TEST_CASE("weights go through a .npz with PyTorch's shapes and back", "[io]") {
  const test::ScratchFolder folder;
  const ParameterBlock<float> block = sample();
  io::save_npz(folder / "m.npz", block);
  const io::NpzFile file(folder / "m.npz");
  const io::NpyArray weight = file.read("convs.0.lin.weight");
  REQUIRE(weight.rank() == 2);
  CHECK(weight.dim(0) == 3);
  CHECK(weight.dim(1) == 2);
  const Array<float> values = io::to_floats(weight);
  CHECK(std::vector<float>(values.begin(), values.end()) == std::vector<float>{1, 4, 2, 5, 3, 6});
  CHECK(file.read("convs.0.bias").rank() == 1);
  CHECK(io::to_floats(file.read("convs.1.weight1"))[1] == 11);  // applied as x times W there too
  ParameterBlock<float> back = sample();
  std::fill(back.values().begin(), back.values().end(), 0.0f);
  io::load_npz(folder / "m.npz", back);
  CHECK(same(back, block));
}

TEST_CASE("every difference between a .npz and the model is reported at once", "[io]") {
  const test::ScratchFolder folder;
  const float numbers[] = {1, 2, 3, 4, 5, 6};
  io::NpzWriter out(folder / "m.npz");
  out.add("convs.0.lin.weight", MatrixView<const float>(numbers, 2, 3));  // not transposed
  out.add("norm.weight", MatrixView<const float>(numbers, 3, 1));         // a column is a vector
  out.add("convs.1.weight1", MatrixView<const float>(numbers, 2, 2));
  out.add("head.bias", std::span<const float>(numbers, 2));
  out.add("norm.num_batches_tracked", std::span<const float>(numbers, 1));
  out.commit();
  ParameterBlock<float> block = sample();
  try {
    io::load_npz(folder / "m.npz", block);
    FAIL("nothing was thrown");
  } catch (const ConfigError& e) {
    const std::string what = e.what();
    CHECK(what.find("convs.0.lin.weight is (2, 3), want (3, 2)") != what.npos);
    CHECK(what.find("missing convs.0.bias") != what.npos);
    CHECK(what.find("unexpected head.bias") != what.npos);
    CHECK(what.find("norm.weight is") == what.npos);
    CHECK(what.find("num_batches") == what.npos);
  }
  CHECK(same(block, sample()));
}
