// SPDX-License-Identifier: MIT
#include "tessera/kernels/column_tiles.hpp"

#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/spmm.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

Tensor<float> numbers(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  Tensor<float> out(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    CounterRng rng(make_key(seed, 0, Purpose::generic), 0, i);
    for (float& v : out.row(i)) v = static_cast<float>(2 * rng.uniform() - 1);
  }
  return out;
}

}  // namespace

TEST_CASE("Products of some columns at a time are the bits of one product", "[column_tiles]") {
  CsrGraph graph = star(70);
  graph.weight.resize(graph.num_edges());
  for (std::size_t e = 0; e < graph.num_edges(); ++e) graph.weight[e] = 0.3f + 0.01f * static_cast<float>(e);
  const std::size_t cols = GENERATE(1u, 33u, 64u, 100u, 256u);
  const std::size_t width = GENERATE(32u, 96u);
  const Tensor<float> x = numbers(70, cols, 1);
  const Tensor<float> bias = numbers(1, cols, 2);
  const Epilogue<float> epilogue{bias.row(0), Activation::relu, {}};
  Tensor<float> want(70, cols), got(70, cols);
  spmm_sum(graph.view(), x.view(), want.view(), epilogue);
  std::size_t calls = 0;
  in_column_tiles(x.view(), got.view(), epilogue, width,
                  [&](MatrixView<const float> in, MatrixView<float> out, const Epilogue<float>& part) {
                    ++calls;
                    CHECK(in.cols() <= width);
                    spmm_sum(graph.view(), in, out, part);
                  });
  CHECK(calls == (cols + width - 1) / width);
  for (std::size_t i = 0; i < 70; ++i)
    REQUIRE(std::equal(want.row(i).begin(), want.row(i).end(), got.row(i).begin()));
  CHECK(ResidentBlock::held() == 0);
}

TEST_CASE("Columns are taken in turn where a matrix is more than may be held", "[column_tiles]") {
  const Tensor<float> x = numbers(1000, 256, 3);
  const std::size_t bytes = 1000 * 256 * sizeof(float);
  CHECK(columns_at_once(x.view()) == 0);
  const auto with_limit = [&](std::size_t limit) {
    ResidentBlock::set_limit(limit);
    const std::size_t columns = columns_at_once(x.view());
    ResidentBlock::set_limit(0);
    return columns;
  };
  CHECK(with_limit(bytes) == 0);  // all of it may be held
  CHECK(with_limit(bytes - 1) == 224);
  CHECK(with_limit(bytes / 2) == 128);
  CHECK(with_limit(bytes / 8) == 32);
  CHECK(with_limit(bytes / 8 - 1) == 0);  // too little for any
}
