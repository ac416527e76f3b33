// SPDX-License-Identifier: MIT
#include "tessera/kernels/bf16_gemm.hpp"

#include <cmath>
#include <cstddef>
#include <type_traits>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "tessera/kernels/bf16_isa.hpp"
#include "tessera/kernels/convert.hpp"
#include "tessera/kernels/epilogue_apply.hpp"
#include "tessera/kernels/reference/dense.hpp"

using namespace tessera;
using test::Dense;

namespace {

enum class Kind { nn, nt, tn };

struct Extents {
  std::size_t rows, depth, cols;
};

// Edges of blocks, steps, panels and chunks: none, one, just below and above.
const Extents kExtents[] = {{0, 3, 4},      {3, 0, 4},    {3, 4, 0},      {1, 1, 1},
                            {31, 33, 32},   {33, 31, 33}, {32, 64, 32},   {65, 32, 15},
                            {100, 100, 47}, {7, 2500, 5}, {40, 1025, 33}, {260, 400, 97}};

template <class F>
void at_every_level(F&& body) {
  for (const Bf16Isa level : {Bf16Isa::portable, Bf16Isa::avx512_bf16, Bf16Isa::amx}) {
    if (!has_bf16_isa(level)) continue;
    const Bf16IsaScope scope(level);
    INFO("level " << std::string(name(level)));
    body();
  }
}

template <class A, class B, class C>
void run(Kind kind, MatrixView<const A> a, MatrixView<const B> b, MatrixView<C> c, Accumulate accumulate) {
  if (kind == Kind::nn) bf16_gemm(a, b, c, accumulate);
  if (kind == Kind::nt) bf16_gemm_nt(a, b, c, accumulate);
  if constexpr (std::is_same_v<C, float>) {
    if (kind == Kind::tn) bf16_gemm_tn(a, b, c, accumulate);
  }
}

/// The operand as the product sees it.
template <class T>
Dense<double> seen(const Dense<T>& x) {
  Dense<double> out(x.rows(), x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) {
      out(i, j) = static_cast<double>(static_cast<float>(bf16(static_cast<float>(x(i, j)))));
    }
  }
  return out;
}

/// Products of bf16 numbers are exact in float; sums of n terms, in any order, err by (n + 2) u of the sum of magnitudes
/// (twice that where an instruction rounds each of two products), a bf16 result by 2^-9 of itself more.
template <class A, class B, class C>
void agrees_with_twin(Kind kind, Extents e, Accumulate accumulate, std::size_t gap) {
  const auto a = kind == Kind::tn ? Dense<A>::random(e.depth, e.rows, 1, gap)
                                  : Dense<A>::random(e.rows, e.depth, 1, gap);
  const auto b = kind == Kind::nt ? Dense<B>::random(e.cols, e.depth, 2, gap)
                                  : Dense<B>::random(e.depth, e.cols, 2, gap);
  auto c = Dense<C>::random(e.rows, e.cols, 3, gap);
  auto want = c.widened();
  auto bound = c.magnitudes();
  const auto reference = [&](const Dense<double>& x, const Dense<double>& y, Dense<double>& z) {
    if (kind == Kind::nn) reference::gemm<double>(x, y, z, accumulate);
    if (kind == Kind::nt) reference::gemm_nt<double>(x, y, z, accumulate);
    if (kind == Kind::tn) reference::gemm_tn<double>(x, y, z, accumulate);
  };
  reference(seen(a), seen(b), want);
  reference(seen(a).magnitudes(), seen(b).magnitudes(), bound);
  const double gamma = 2 * static_cast<double>(e.depth + 2) * test::unit_roundoff<float>() * 1.01 +
                       (std::is_same_v<C, bf16> ? 0x1p-8 : 0.0);
  for (std::size_t i = 0; i < e.rows; ++i) {
    for (double& x : bound.view().row(i)) x *= gamma;
  }
  run<A, B, C>(kind, a, b, c.view(), accumulate);
  INFO("kind " << static_cast<int>(kind) << " extents " << e.rows << " " << e.depth << " " << e.cols
               << " gap " << gap);
  CHECK(test::misses(c, want, bound) == 0);
  CHECK(c.gaps_untouched());
}

}  // namespace

TEST_CASE("bf16 products equal their twins", "[bf16]") {
  at_every_level([] {
    for (const Extents e : kExtents) {
      for (const std::size_t gap : {std::size_t{0}, std::size_t{3}}) {
        for (const Accumulate accumulate : {Accumulate::no, Accumulate::yes}) {
          for (const Kind kind : {Kind::nn, Kind::nt}) {
            agrees_with_twin<bf16, float, float>(kind, e, accumulate, gap);
            agrees_with_twin<bf16, float, bf16>(kind, e, accumulate, gap);
            agrees_with_twin<float, float, float>(kind, e, accumulate, gap);
          }
          agrees_with_twin<bf16, bf16, float>(Kind::tn, e, accumulate, gap);
          agrees_with_twin<bf16, float, float>(Kind::tn, e, accumulate, gap);
          agrees_with_twin<float, float, float>(Kind::tn, e, accumulate, gap);
        }
      }
    }
  });
}

TEST_CASE("bf16 A^T B of several chunks equals its twin, in place or added", "[bf16]") {
  at_every_level([] {
    agrees_with_twin<bf16, bf16, float>(Kind::tn, {98, 1281, 97}, Accumulate::no, 3);
    agrees_with_twin<bf16, bf16, float>(Kind::tn, {98, 1281, 97}, Accumulate::yes, 3);
    agrees_with_twin<bf16, bf16, float>(Kind::tn, {98, 2600, 97}, Accumulate::no, 3);
  });
}

TEST_CASE("bf16 products: the same bits for any number of threads", "[bf16]") {
  at_every_level([] {
    const auto x = Dense<bf16>::random(2100, 70, 1);
    const auto g = Dense<float>::random(2100, 90, 2);
    const auto w = Dense<float>::random(70, 90, 3);
    const auto all = [&](Dense<float>& y, Dense<bf16>& back, Dense<float>& dw) {
      bf16_gemm<bf16, float, float>(x, w, y.view());
      bf16_gemm_nt<bf16, float, bf16>(x, Dense<float>::random(90, 70, 4), back.view());
      bf16_gemm_tn<bf16, float>(x, g, dw.view());
    };
    Dense<float> y(2100, 90), dw(70, 90);
    Dense<bf16> back(2100, 90);
    with_threads(1, [&] { all(y, back, dw); });
    for (const std::size_t threads : {std::size_t{2}, std::size_t{4}, std::size_t{16}}) {
      Dense<float> y2(2100, 90), dw2(70, 90);
      Dense<bf16> back2(2100, 90);
      with_threads(threads, [&] { all(y2, back2, dw2); });
      CHECK(y2.same_bits(y));
      CHECK(back2.same_bits(back));
      CHECK(dw2.same_bits(dw));
    }
  });
}

TEST_CASE("bf16 products finish their rows", "[bf16]") {
  at_every_level([] {
    const auto a = Dense<bf16>::random(70, 40, 1);
    const auto w = Dense<float>::random(40, 37, 2);
    const auto bias = test::random_values<float>(37, 3);
    Epilogue<float> epilogue{bias, Activation::relu, {0.5f, make_key(1, 2, Purpose::dropout), 3}};
    Dense<float> plain(70, 37), fused(70, 37);
    Dense<bf16> narrow(70, 37);
    bf16_gemm<bf16, float, float>(a, w, plain.view());
    apply_epilogue(plain.view(), epilogue);
    bf16_gemm<bf16, float, float>(a, w, fused.view(), Accumulate::no, epilogue);
    bf16_gemm<bf16, float, bf16>(a, w, narrow.view(), Accumulate::no, epilogue);
    CHECK(fused.same_bits(plain));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < 70; ++i) {
      for (std::size_t j = 0; j < 37; ++j) wrong += narrow(i, j).same_bits(bf16(plain(i, j))) ? 0u : 1u;
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("bf16 products do not read beyond their operands", "[bf16]") {
  at_every_level([] {
    // Gaps hold NaN: whatever is read there must not reach a sum.
    const std::size_t rows = 45, depth = 41, cols = 35, gap = 29;
    auto a = Dense<bf16>::random(rows, depth, 1, gap);
    auto b = Dense<float>::random(depth, cols, 2, gap);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < gap && (i + 1 < rows || j < gap); ++j)
        a.view().row(i).data()[depth + j] = bf16(NAN);
    }
    for (std::size_t i = 0; i < depth; ++i) {
      for (std::size_t j = 0; j < gap; ++j) b.view().row(i).data()[cols + j] = NAN;
    }
    Dense<float> c(rows, cols), dw(depth, depth);
    bf16_gemm<bf16, float, float>(a, b, c.view());
    bf16_gemm_tn<bf16, bf16>(a, a, dw.view());
    std::size_t bad = 0;
    for (std::size_t i = 0; i < rows; ++i) {
      for (const float x : c.view().row(i)) bad += std::isfinite(x) ? 0u : 1u;
    }
    for (std::size_t i = 0; i < depth; ++i) {
      for (const float x : dw.view().row(i)) bad += std::isfinite(x) ? 0u : 1u;
    }
    CHECK(bad == 0);
  });
}

TEST_CASE("bf16 products refuse extents that do not fit", "[bf16]") {
  Dense<bf16> a(3, 4);
  Dense<float> b(5, 2), c(3, 2);
  REQUIRE_THROWS_AS((bf16_gemm<bf16, float, float>(a, b, c.view())), ShapeError);
  REQUIRE_THROWS_AS((bf16_gemm_nt<bf16, float, float>(a, b, c.view())), ShapeError);
  REQUIRE_THROWS_AS((bf16_gemm_tn<bf16, float>(a, b, c.view())), ShapeError);
}

TEST_CASE("Bf16IsaScope restores the level and refuses what is not there", "[bf16]") {
  const Bf16Isa before = active_bf16_isa();
  {
    const Bf16IsaScope scope(Bf16Isa::portable);
    CHECK(active_bf16_isa() == Bf16Isa::portable);
  }
  CHECK(active_bf16_isa() == before);
  {
    const IsaScope narrow(Isa::baseline);
    CHECK(active_bf16_isa() == Bf16Isa::portable);
  }
  if (!has_bf16_isa(Bf16Isa::amx)) REQUIRE_THROWS_AS(Bf16IsaScope(Bf16Isa::amx), ConfigError);
}

TEST_CASE("convert_rows rounds as bf16 does and widens exactly", "[bf16]") {
  const auto x = Dense<float>::random(37, 53, 5, 2);
  Dense<bf16> half(37, 53, 1);
  Dense<float> back(37, 53), rounded(37, 53);
  convert_rows<float, bf16>(x, half.view());
  convert_rows<bf16, float>(half, back.view());
  round_to_bf16(x, rounded.view());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < 37; ++i) {
    for (std::size_t j = 0; j < 53; ++j) wrong += half(i, j).same_bits(bf16(x(i, j))) ? 0u : 1u;
  }
  CHECK(wrong == 0);
  CHECK(rounded.same_bits(back));
  CHECK(half.gaps_untouched());
}
