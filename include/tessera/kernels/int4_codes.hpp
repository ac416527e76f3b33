// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/detail/dense_support.hpp"

// Codes of four bits, two to a byte, low nibble first: signed ones in two's complement. They are stored this way and
// computed with as bytes.

namespace tessera {

/// Bytes of a row of `cols` codes of four bits.
constexpr std::size_t int4_row_bytes(std::size_t cols) noexcept { return (cols + 1) / 2; }

/// Packs codes of [-8, 7] (int8_t) or [0, 15] (uint8_t); higher bits are lost.
///
/// Shapes   codes [N, F] -> packed [N, ceil(F / 2)]; a last odd code has zeros beside it
/// Errors   ShapeError if extents do not fit
template <class Code>
void pack_int4(MatrixView<const Code> codes, MatrixView<std::uint8_t> packed) {
  static_assert(std::is_same_v<Code, std::int8_t> || std::is_same_v<Code, std::uint8_t>);
  detail::check_shape("pack_int4", "packed", packed, codes.rows(), int4_row_bytes(codes.cols()));
  parallel_for(codes.rows(), detail::rows_per_block(codes.cols()), [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      const Code* const q = codes.row(i).data();
      for (std::size_t b = 0; b < packed.cols(); ++b) {
        const unsigned low = static_cast<unsigned>(q[2 * b]) & 15u;
        const unsigned high = 2 * b + 1 < codes.cols() ? static_cast<unsigned>(q[2 * b + 1]) & 15u : 0u;
        packed(i, b) = static_cast<std::uint8_t>(low | high << 4);
      }
    }
  });
}

namespace detail {

template <class Code>
void unpack_int4_row(const std::uint8_t* from, std::size_t cols, Code* to) noexcept {
  constexpr unsigned kSign = std::is_signed_v<Code> ? 8u : 0u;
  for (std::size_t f = 0; f < cols; ++f) {
    const unsigned nibble = (from[f / 2] >> (f % 2 == 0 ? 0 : 4)) & 15u;
    to[f] = static_cast<Code>(static_cast<int>(nibble ^ kSign) - static_cast<int>(kSign));
  }
}

}  // namespace detail

/// The codes of rows `rows` of a packed matrix; without `rows`, of all.
///
/// Shapes   packed [M, ceil(F / 2)], rows [N] with values in [0, M) -> codes [N, F]
/// Errors   ShapeError if extents do not fit; ids are trusted
template <class Code>
void unpack_int4(MatrixView<const std::uint8_t> packed, std::span<const NodeId> rows,
                 MatrixView<Code> codes) {
  detail::check_shape("unpack_int4", "packed", packed, packed.rows(), int4_row_bytes(codes.cols()));
  detail::check_size("unpack_int4", "rows", rows.size(), codes.rows());
  parallel_for(codes.rows(), detail::rows_per_block(codes.cols()), [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i)
      detail::unpack_int4_row(packed.row(rows[i]).data(), codes.cols(), codes.row(i).data());
  });
}
template <class Code>
void unpack_int4(MatrixView<const std::uint8_t> packed, MatrixView<Code> codes) {
  detail::check_shape("unpack_int4", "packed", packed, codes.rows(), int4_row_bytes(codes.cols()));
  parallel_for(codes.rows(), detail::rows_per_block(codes.cols()), [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) detail::unpack_int4_row(packed.row(i).data(), codes.cols(), codes.row(i).data());
  });
}

}  // namespace tessera
