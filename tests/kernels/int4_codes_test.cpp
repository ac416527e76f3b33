// SPDX-License-Identifier: MIT
#include "tessera/kernels/int4_codes.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "support/int8_cases.hpp"
#include "support/sparse_cases.hpp"

namespace tessera {
namespace {

template <class Code>
void check_round_trip(int low, int high) {
  for (const std::size_t cols : {1u, 2u, 7u, 64u, 129u}) {
    const auto codes = test::random_codes<Code>(70, cols, low, high, cols);
    Tensor<std::uint8_t> packed(70, int4_row_bytes(cols));
    pack_int4<Code>(codes, packed);
    Tensor<Code> back(70, cols);
    unpack_int4<Code>(packed, back);
    CHECK(test::same_bits(back, codes));
    const std::vector<NodeId> rows{69, 0, 3, 3};
    Tensor<Code> some(4, cols);
    unpack_int4<Code>(packed, rows, some);
    for (std::size_t i = 0; i < 4; ++i) {
      CHECK(std::equal(some.row(i).begin(), some.row(i).end(), codes.row(rows[i]).begin()));
    }
  }
}

TEST_CASE("codes of four bits survive packing", "[int4]") {
  check_round_trip<std::int8_t>(-8, 7);
  check_round_trip<std::uint8_t>(0, 15);
}

TEST_CASE("the low nibble comes first, in two's complement", "[int4]") {
  Tensor<std::int8_t> codes(1, 3);
  codes(0, 0) = -8;
  codes(0, 1) = 7;
  codes(0, 2) = -1;
  Tensor<std::uint8_t> packed(1, 2), wrong(1, 3);
  pack_int4<std::int8_t>(codes, packed);
  CHECK(packed(0, 0) == 0x78);
  CHECK(packed(0, 1) == 0x0f);
  CHECK_THROWS_AS(pack_int4<std::int8_t>(codes, wrong), ShapeError);
  CHECK_THROWS_AS(unpack_int4<std::int8_t>(wrong, codes), ShapeError);
}

}  // namespace
}  // namespace tessera
