// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

#include "tessera/core/bf16.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/rows.hpp"

namespace tessera {

/// y = x, converted between float, bf16 and double; bf16 rounds to nearest, ties to even.
///
/// Shapes   x [N, F] -> y [N, F]; y may not overlap x
/// Cost     work O(N F), nothing allocated
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct y; result independent of T
template <Scalar X, Scalar Y>
void convert_rows(MatrixView<const X> x, MatrixView<Y> y) {
  detail::check_shape("convert_rows", "y", y, x.rows(), x.cols());
  const KernelScope profile("convert_rows", static_cast<double>(y.size() * (sizeof(X) + sizeof(Y))), 0);
  const Isa isa = active_isa();
  parallel_for(x.rows(), detail::rows_per_block(x.cols()), [&](std::size_t begin, std::size_t end) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      for (std::size_t i = begin; i < end; ++i) {
        detail::convert_run(level, x.data() + i * x.stride(), x.cols(), y.data() + i * y.stride());
      }
    });
  });
}

/// y = x, every number rounded to the nearest bf16.
///
/// Shapes   x [N, F] -> y [N, F]; y may be x
/// Cost     work O(N F), nothing allocated
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct y; result independent of T
inline void round_to_bf16(MatrixView<const float> x, MatrixView<float> y) {
  detail::check_shape("round_to_bf16", "y", y, x.rows(), x.cols());
  const KernelScope profile = detail::pass_scope("round_to_bf16", y, 2);
  parallel_for(x.rows(), detail::rows_per_block(x.cols()), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t j = 0; j < x.cols(); ++j) y(i, j) = static_cast<float>(bf16(x(i, j)));
    }
  });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void convert_rows<float, bf16>(MatrixView<const float>, MatrixView<bf16>);
TESSERA_INSTANTIATE void convert_rows<bf16, float>(MatrixView<const bf16>, MatrixView<float>);
TESSERA_INSTANTIATE void convert_rows<double, bf16>(MatrixView<const double>, MatrixView<bf16>);
TESSERA_INSTANTIATE void convert_rows<bf16, double>(MatrixView<const bf16>, MatrixView<double>);
#endif

}  // namespace tessera
