// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/kernels/bf16_gemm.hpp"
#include "tessera/kernels/detail/bf16_dropout_row.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/rows.hpp"

namespace tessera {

/// dropout into rows kept as bf16: the mask that floats get, the product rounded once. Also its gradient.
///
/// Shapes   x [N, F] bf16 or float, y [N, F]; y may be x
/// Cost     work O(N F), one row of floats per block from the pool
/// Errors   ShapeError if the extents differ, ConfigError if the probability is outside [0, 1]
/// Threads  safe to call concurrently on distinct y; result independent of T
template <Bf16Storage X>
void bf16_dropout(MatrixView<const X> x, MatrixView<bf16> y, const DropoutMask& mask) {
  check_dropout(mask, "bf16_dropout");
  detail::check_shape("bf16_dropout", "x", x, y.rows(), y.cols());
  if (y.empty()) return;
  const KernelScope profile("bf16_dropout", static_cast<double>(y.size() * (2 + sizeof(X))), 0);
  const std::size_t cols = y.cols();
  const Isa isa = active_isa();
  parallel_for(y.rows(), detail::rows_per_block(cols), [&](std::size_t begin, std::size_t end) {
#if defined(TESSERA_TARGET_AVX512)
    if constexpr (std::is_same_v<X, bf16>) {
      if (isa == Isa::avx512 && detail::dropout_threshold(mask) > 0) {
        for (std::size_t i = begin; i < end; ++i) {
          detail::bf16_dropout_row_avx512(x.data() + i * x.stride(), y.data() + i * y.stride(), cols, i,
                                          mask);
        }
        return;
      }
    }
#endif
    Array<float> row(cols);
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      for (std::size_t i = begin; i < end; ++i) {
        detail::convert_run(level, x.data() + i * x.stride(), cols, row.data());
        detail::dropout_row(row.data(), cols, i, mask);
        detail::convert_run(level, row.data(), cols, y.data() + i * y.stride());
      }
    });
  });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void bf16_dropout<bf16>(MatrixView<const bf16>, MatrixView<bf16>, const DropoutMask&);
TESSERA_INSTANTIATE void bf16_dropout<float>(MatrixView<const float>, MatrixView<bf16>, const DropoutMask&);
#endif

}  // namespace tessera
