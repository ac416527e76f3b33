// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/kernels/int8_gemm.hpp"

namespace tessera {

/// Sums of neighbours' codes as real numbers: y_i = row_i sum over entries (i, j) of n_ij (x_j - zero_point) + bias +
/// own_factor (x_i - zero_point).
///
/// Shapes   a CSR [N, M], x [M, F] unsigned codes; weight [E] codes n, or empty (1); row [N], or empty (`factor`);
///          bias [F] or empty (0)
struct Int8Neighbors {
  MatrixView<const std::uint8_t> x;
  std::int32_t zero_point = 0;
  std::span<const std::uint8_t> weight{};
  std::span<const float> row{};
  float factor = 1;  ///< of rows where `row` is empty
  std::span<const float> bias{};
  float own_factor = 0;  ///< not 0: row i of x belongs to row i of y
};

/// Rows up to this degree have sums within 32 bits; longer ones (8 421 504 neighbours, 33 025 weighted) are added in 64
/// bits, part by part.
constexpr std::size_t int8_spmm_max_degree(bool weighted) noexcept {
  return weighted ? 2147483647u / (255u * 255u) : 2147483647u / 255u;
}

/// The codes of the sums in `range`, or their real numbers. Weights of `a` are not read.
///
/// Units    codes: row and bias are in steps of the output
/// Cost     E F bytes of x at worst; sums of up to 256 neighbours in 16 bits; scratch of F sums per thread and per 4096
///          entries of rows beyond 8192
/// Errors   ShapeError if the extents do not fit; ConfigError for codes outside [0, 255]
/// Threads  safe to call concurrently on distinct y; the same bits for any T and at every instruction set
/// Source   DegreeQuant's factorised normalisation: x holds d_j^(-1/2) x_j and row d_i^(-1/2), so that entries need no
///          weights
void int8_spmm(CsrView<> a, const Int8Neighbors& in, const CodeRange& range, MatrixView<std::uint8_t> y);
void int8_spmm(CsrView<> a, const Int8Neighbors& in, MatrixView<float> y);

}  // namespace tessera

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
#include "tessera/kernels/detail/int8_spmm.hpp"
#endif
