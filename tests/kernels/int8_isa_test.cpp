// SPDX-License-Identifier: MIT
#include "tessera/kernels/int8_isa.hpp"

#include "support/catch.hpp"
#include "support/int8_cases.hpp"

namespace tessera {
namespace {

TEST_CASE("TESSERA_ISA names a level of integer products", "[int8]") {
  CHECK(detail::requested_int8_isa(nullptr) == best_int8_isa());
  CHECK(detail::requested_int8_isa("baseline") == Int8Isa::baseline);
  CHECK(detail::requested_int8_isa("avx512") <= Int8Isa::avx512_vnni);
  for (const Int8Isa isa : test::int8_levels()) {
    CHECK(detail::requested_int8_isa(name(isa).data()) == isa);
    CHECK(detail::requested_isa(name(isa).data()) <= detected_isa());
  }
  CHECK_THROWS_AS(detail::requested_int8_isa("sse9"), ConfigError);
}

TEST_CASE("integer products never use wider vectors than everything else", "[int8]") {
  for (const Int8Isa isa : test::int8_levels()) {
    const Int8IsaScope scope(isa);
    CHECK(active_int8_isa() == isa);
    const IsaScope floor(Isa::baseline);
    CHECK(active_int8_isa() == Int8Isa::baseline);
  }
  if (detected_isa() == Isa::avx512) {
    const IsaScope narrow(Isa::avx2);
    CHECK(active_int8_isa() == Int8Isa::avx2);
  }
  for (const Int8Isa isa : {Int8Isa::avx2, Int8Isa::avx_vnni, Int8Isa::avx512_vnni, Int8Isa::amx}) {
    if (!has_int8_isa(isa)) CHECK_THROWS_AS(Int8IsaScope(isa), ConfigError);
  }
}

}  // namespace
}  // namespace tessera
