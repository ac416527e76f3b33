// SPDX-License-Identifier: MIT
#include "tessera/nn/parameter_block.hpp"

#include <algorithm>
#include <cstdint>

#include "support/catch.hpp"

namespace {

using namespace tessera;

TEST_CASE("parameters lie in one array, each on a cache line") {
  ParameterBlock<float> block;
  const Parameter a = block.add("a.weight", 3, 5);
  const Parameter b = block.add("b.weight", 2, 16);
  const Parameter c = block.add("c.bias", 1, 1, 0.0f);
  CHECK(a.offset == 0);
  CHECK(b.offset == 16);
  CHECK(c.offset == 48);
  CHECK(block.values().size() == 64);
  CHECK(block.grads().size() == 64);
  CHECK(block.num_parameters() == 15 + 32 + 1);
  for (const Parameter p : {a, b, c}) {
    CHECK(reinterpret_cast<std::uintptr_t>(block.value(p).data()) % 64 == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(block.grad(p).data()) % 64 == 0);
    CHECK(block.value(p).contiguous());
  }
  CHECK(std::all_of(block.values().begin(), block.values().end(), [](float x) { return x == 0; }));
  CHECK(std::all_of(block.grads().begin(), block.grads().end(), [](float x) { return x == 0; }));

  block.value(b)(1, 15) = 7;
  CHECK(block.values()[47] == 7);
  CHECK(block[b].value(1, 15) == 7);
  block[b].grad(0, 0) = 3;
  CHECK(block.grads()[16] == 3);
  block.zero_grads();
  CHECK(block.grads()[16] == 0);

  CHECK(block.parameters()[2].weight_decay_scale == 0);
  CHECK(block.find("b.weight").offset == 16);
  CHECK(block.find("c.bias").index == 2);
  CHECK_THROWS_AS(block.find("d"), ConfigError);
  CHECK_THROWS_AS(block.add("a.weight", 1, 1), ConfigError);
}

TEST_CASE("values survive growth, moves and clones") {
  ParameterBlock<double> block;
  const Parameter a = block.add("a", 1, 3);
  block.value(a)(0, 2) = 5;
  block.grad(a)(0, 1) = 6;
  for (int k = 0; k < 50; ++k) block.add(std::to_string(k), 7, 9);
  CHECK(block.value(a)(0, 2) == 5);
  CHECK(block.grad(a)(0, 1) == 6);
  ParameterBlock<double> copy = block.clone();
  copy.value(a)(0, 2) = 1;
  CHECK(block.value(a)(0, 2) == 5);
  CHECK(copy.grad(a)(0, 1) == 6);
  CHECK(copy.find("49").offset == block.find("49").offset);
  const ParameterBlock<double> moved = std::move(block);
  CHECK(moved.value(a)(0, 2) == 5);
}

TEST_CASE("a parameter without elements is allowed") {
  ParameterBlock<float> block;
  const Parameter none = block.add("none", 0, 4);
  const Parameter one = block.add("one", 1, 1);
  CHECK(block.value(none).empty());
  CHECK(one.offset == 0);
  CHECK(block.num_parameters() == 1);
}

}  // namespace
