// SPDX-License-Identifier: MIT
#include "tessera/kernels/dispatch.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/core/rng.hpp"

namespace tessera {
namespace {

using detail::Simd;

TEST_CASE("dispatch runs the body of the level it is told", "[dispatch]") {
  for (const Isa isa : test::isa_levels()) {
    Isa seen = Isa::baseline;
    std::size_t lanes = 0;
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      seen = decltype(level)::isa;
      lanes = decltype(level)::template lanes<float>();
    });
    CHECK(seen == isa);
    CHECK(lanes == (isa == Isa::avx512 ? 16 : isa == Isa::avx2 ? 8 : 4));
  }
}

template <std::size_t W>
void check_lanes(Isa isa) {
  float from[W];
  bf16 halves[W];
  float sum = 0;
  for (std::size_t l = 0; l < W; ++l) {
    from[l] = static_cast<float>(l + 1) * 0.5f;
    halves[l] = bf16(from[l]);
    sum += from[l];
  }
  float copied[W];
  float widened[W];
  double as_double[W];
  float filled[W];
  float total = 0;
  dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
    Simd<float, W> v, h, c;
    Simd<double, W> d;
    detail::simd_load<W, float>(v, from);
    detail::simd_store<W, float>(copied, v);
    detail::simd_load<W, float>(h, halves);
    detail::simd_store<W, float>(widened, h);
    detail::simd_load<W, double>(d, from);
    detail::simd_store<W, double>(as_double, d);
    detail::simd_fill<W, float>(c, -0.0f);
    detail::simd_store<W, float>(filled, c);
    total = detail::simd_sum<W, float>(v);
  });
  for (std::size_t l = 0; l < W; ++l) {
    CHECK(copied[l] == from[l]);
    CHECK(widened[l] == from[l]);
    CHECK(as_double[l] == static_cast<double>(from[l]));
    CHECK(std::signbit(filled[l]));
  }
  CHECK(total == sum);  // multiples of 1/2: exact in any order
}

TEST_CASE("vectors load, widen, fill and sum at every level", "[dispatch]") {
  for (const Isa isa : test::isa_levels()) {
    CAPTURE(name(isa));
    check_lanes<1>(isa);
    check_lanes<2>(isa);
    check_lanes<4>(isa);
    check_lanes<8>(isa);
    check_lanes<16>(isa);
  }
}

TEST_CASE("vectors narrow to bf16 exactly as bf16 does", "[dispatch]") {
  constexpr std::size_t W = 16;
  std::vector<std::uint32_t> patterns{0x00000000u, 0x80000000u, 0x7f800000u, 0xff800000u,
                                      0x7fc00000u, 0x7f800001u, 0xffffffffu, 0x7f7fffffu,
                                      0x3f808000u, 0x3f818000u, 0x3f808001u, 0x00000001u};
  CounterRng rng(make_key(1, 0, Purpose::generate), 0, 0);
  while (patterns.size() < 4096) patterns.push_back(rng.next32());
  for (const Isa isa : test::isa_levels()) {
    std::size_t wrong = 0;
    for (std::size_t at = 0; at < patterns.size(); at += W) {
      float from[W];
      bf16 to[W];
      std::memcpy(from, patterns.data() + at, sizeof from);
      dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
        Simd<float, W> v;
        detail::simd_load<W, float>(v, from);
        detail::simd_store<W, float>(to, v);
      });
      for (std::size_t l = 0; l < W; ++l) wrong += !to[l].same_bits(bf16(from[l]));
    }
    CAPTURE(name(isa));
    CHECK(wrong == 0);
  }
}

TEST_CASE("unroll visits every index once and in order", "[dispatch]") {
  std::vector<std::size_t> seen;
  detail::unroll<5>([&](auto k) { seen.push_back(k); });
  CHECK(seen == std::vector<std::size_t>{0, 1, 2, 3, 4});
}

}  // namespace
}  // namespace tessera
