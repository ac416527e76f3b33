// SPDX-License-Identifier: MIT
#include "tessera/kernels/gemm.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/reference/dense.hpp"

using namespace tessera;
using test::Dense;

namespace {

enum class Kind { nn, nt, tn };

struct Extents {
  std::size_t rows, depth, cols;
};

// Edges of every tile: none, one, below and above a register, a tile, a panel, a packed block, a task.
const Extents kExtents[] = {{0, 3, 4},      {3, 0, 4},    {3, 4, 0},    {1, 1, 1},     {2, 3, 7},
                            {5, 17, 16},    {7, 130, 33}, {24, 64, 48}, {25, 129, 65}, {97, 31, 79},
                            {131, 257, 97}, {211, 40, 5}, {6, 700, 6},  {300, 13, 128}};

template <class T>
void run(Kind kind, MatrixView<const T> a, MatrixView<const T> b, MatrixView<T> c, Accumulate accumulate) {
  if (kind == Kind::nn) gemm(a, b, c, accumulate);
  if (kind == Kind::nt) gemm_nt(a, b, c, accumulate);
  if (kind == Kind::tn) gemm_tn(a, b, c, accumulate);
}

void run_reference(Kind kind, const Dense<double>& a, const Dense<double>& b, Dense<double>& c,
                   Accumulate accumulate) {
  if (kind == Kind::nn) reference::gemm<double>(a, b, c, accumulate);
  if (kind == Kind::nt) reference::gemm_nt<double>(a, b, c, accumulate);
  if (kind == Kind::tn) reference::gemm_tn<double>(a, b, c, accumulate);
}

template <class T>
void agrees_with_twin(Kind kind, Extents e, Accumulate accumulate, std::size_t gap) {
  const auto a = kind == Kind::tn ? Dense<T>::random(e.depth, e.rows, 1, gap)
                                  : Dense<T>::random(e.rows, e.depth, 1, gap);
  const auto b = kind == Kind::nt ? Dense<T>::random(e.cols, e.depth, 2, gap)
                                  : Dense<T>::random(e.depth, e.cols, 2, gap);
  auto c = Dense<T>::random(e.rows, e.cols, 3, gap);
  auto want = c.widened();
  auto bound = c.magnitudes();
  run_reference(kind, a.widened(), b.widened(), want, accumulate);
  run_reference(kind, a.magnitudes(), b.magnitudes(), bound, accumulate);
  const double gamma = static_cast<double>(e.depth + 2) * test::unit_roundoff<T>() * 1.01;
  for (std::size_t i = 0; i < e.rows; ++i) {
    for (double& x : bound.view().row(i)) x *= gamma;
  }
  run<T>(kind, a, b, c, accumulate);
  INFO("kind " << static_cast<int>(kind) << " extents " << e.rows << " " << e.depth << " " << e.cols
               << " gap " << gap);
  CHECK(test::misses(c, want, bound) == 0);
  CHECK(c.gaps_untouched());
}

}  // namespace

TEST_CASE("reference gemm: hand-checked", "[gemm]") {
  Dense<double> a(2, 3), b(3, 1), c(2, 1);
  for (std::size_t k = 0; k < 3; ++k) {
    a(0, k) = static_cast<double>(k + 1);
    a(1, k) = static_cast<double>(k + 4);
    b(k, 0) = k == 1 ? -1 : 1;
  }
  reference::gemm<double>(a, b, c, Accumulate::no);
  CHECK(c(0, 0) == 2);
  CHECK(c(1, 0) == 5);
  Dense<double> d(3, 3);
  reference::gemm_tn<double>(a, a, d, Accumulate::no);
  CHECK(d(0, 2) == 1 * 3 + 4 * 6);
  Dense<double> g(2, 2);
  reference::gemm_nt<double>(a, a, g, Accumulate::no);
  CHECK(g(0, 1) == 4 + 10 + 18);
}

TEST_CASE("gemm: agrees with its twin at every level, extent and stride", "[gemm]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    INFO("level " << std::string(name(level)));
    for (const Kind kind : {Kind::nn, Kind::nt, Kind::tn}) {
      for (const Extents e : kExtents) {
        for (const Accumulate accumulate : {Accumulate::no, Accumulate::yes}) {
          agrees_with_twin<float>(kind, e, accumulate, 0);
          agrees_with_twin<float>(kind, e, accumulate, 5);
          agrees_with_twin<double>(kind, e, accumulate, 3);
        }
      }
    }
  }
}

TEST_CASE("gemm: large enough for threads, agrees with its twin", "[gemm]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const Kind kind : {Kind::nn, Kind::nt, Kind::tn}) {
      agrees_with_twin<float>(kind, {700, 150, 70}, Accumulate::yes, 1);
      agrees_with_twin<float>(kind, {130, 2300, 7}, Accumulate::no, 2);
      agrees_with_twin<double>(kind, {7, 2300, 130}, Accumulate::yes, 0);
      // Tiles and blocks of the sum at once.
      agrees_with_twin<float>(kind, {260, 1301, 40}, Accumulate::yes, 0);
    }
  }
}

TEST_CASE("gemm: same bits at any number of threads", "[gemm]") {
  const auto x = Dense<float>::random(3001, 101, 1, 3);
  const auto g = Dense<float>::random(3001, 67, 2);
  const auto w = Dense<float>::random(101, 67, 3);
  const auto thin = Dense<float>::random(3001, 7, 4);
  CHECK(test::same_at_any_thread_count([&] {
    Dense<float> c(3001, 67);
    gemm(x, w, c.view());
    return c;
  }));
  CHECK(test::same_at_any_thread_count([&] {
    Dense<float> c(3001, 101);
    gemm_nt(g, w, c.view());
    return c;
  }));
  CHECK(test::same_at_any_thread_count([&] {
    Dense<float> c(101, 67);
    gemm_tn(x, g, c.view());
    return c;
  }));
  CHECK(test::same_at_any_thread_count([&] {
    Dense<float> c(101, 7);
    gemm_tn(x, thin, c.view());
    return c;
  }));
}

TEST_CASE("gemm: a row's bits do not depend on the rows around it", "[gemm]") {
  const auto a = Dense<float>::random(500, 140, 1);
  const auto b = Dense<float>::random(140, 50, 2);
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    Dense<float> whole(500, 50);
    gemm(a, b, whole.view());
    Dense<float> parts(500, 50);
    for (std::size_t begin = 0; begin < 500; begin += 37) {
      const std::size_t count = std::min<std::size_t>(37, 500 - begin);
      gemm(a.view().middle_rows(begin, count), b, parts.view().middle_rows(begin, count));
    }
    CHECK(parts.same_bits(whole));
  }
}

TEST_CASE("gemm: the epilogue on the way out equals the epilogue afterwards", "[gemm]") {
  const auto bias = test::random_values<float>(37, 9);
  Epilogue<float> epilogue;
  epilogue.bias = bias;
  epilogue.activation = Activation::relu;
  epilogue.dropout = {0.4f, make_key(1, 2, Purpose::dropout), 3};
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t rows : {std::size_t{5}, std::size_t{1500}}) {
      const auto a = Dense<float>::random(rows, 150, 1);
      const auto b = Dense<float>::random(150, 37, 2);
      Dense<float> plain(rows, 37), fused(rows, 37);
      gemm(a, b, plain.view());
      reference::apply_epilogue(plain.view(), epilogue);
      gemm(a, b, fused.view(), Accumulate::no, epilogue);
      CHECK(fused.same_bits(plain));
    }
  }
}

TEST_CASE("gemm: a NaN stays in its row, padding leaks nothing", "[gemm]") {
  auto a = Dense<float>::random(13, 20, 1);
  auto b = Dense<float>::random(20, 21, 2);
  a(4, 3) = std::numeric_limits<float>::quiet_NaN();
  a(12, 0) = std::numeric_limits<float>::infinity();
  Dense<float> c(13, 21);
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    gemm(a, b, c.view());
    for (std::size_t i = 0; i < 13; ++i) {
      for (std::size_t j = 0; j < 21; ++j) {
        CHECK(std::isnan(c(i, j)) == (i == 4));
        CHECK(std::isinf(c(i, j)) == (i == 12));
      }
    }
  }
}

TEST_CASE("gemm: wrong extents and options are named", "[gemm]") {
  Dense<float> a(3, 4), b(5, 6), c(3, 6), ok(4, 6);
  REQUIRE_THROWS_AS(gemm(a, b, c.view()), ShapeError);
  REQUIRE_THROWS_AS(gemm(a, ok, ok.view()), ShapeError);
  REQUIRE_THROWS_AS(gemm_nt(a, b, c.view()), ShapeError);
  REQUIRE_THROWS_AS(gemm_tn(a, b, c.view()), ShapeError);
  const std::vector<float> bias(5);
  Epilogue<float> epilogue;
  epilogue.bias = bias;
  REQUIRE_THROWS_AS(gemm(a, ok, c.view(), Accumulate::no, epilogue), ShapeError);
  epilogue.bias = {};
  epilogue.dropout.probability = 1.5f;
  REQUIRE_THROWS_AS(gemm(a, ok, c.view(), Accumulate::no, epilogue), ConfigError);
  try {
    gemm(a, b, c.view());
  } catch (const ShapeError& error) {
    CHECK(std::string(error.what()) == "gemm: the summed extent is 4 in a and 5 in b");
  }
}

TEST_CASE("gemm: a repeated call allocates nothing", "[gemm]") {
  const auto x = Dense<float>::random(2000, 100, 1);
  const auto w = Dense<float>::random(100, 60, 2);
  Dense<float> y(2000, 60), dw(100, 60);
  const auto step = [&] {
    gemm(x, w, y.view());
    gemm_tn(x, y, dw.view());
  };
  // Blocks in flight at once depend on how threads meet, so warm up on more threads than are then used.
  with_threads(4, [&] {
    for (int i = 0; i < 20; ++i) step();
  });
  with_threads(1, [&] { step(); });
  const auto before = BufferPool::global().stats().system_allocations;
  with_threads(1, [&] {
    for (int i = 0; i < 5; ++i) step();
  });
  CHECK(BufferPool::global().stats().system_allocations == before);
}
