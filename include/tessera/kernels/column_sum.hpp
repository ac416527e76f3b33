// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/accumulate.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/dispatch.hpp"

namespace tessera {
namespace detail {

/// Rows per partial sum; depends on the extents alone.
constexpr std::size_t column_sum_rows(std::size_t cols) noexcept {
  return std::clamp<std::size_t>(65536 / std::max<std::size_t>(1, cols), 64, 4096);
}

/// Sums over rows in fixed blocks: rows_into(begin, end, sums) adds rows [begin, end) to the `width` values
/// at `sums`, which start at 0; the block sums are then added in order, in double, to (or into) `out`.
template <class T, class RowsInto>
void sum_row_blocks(std::size_t rows, std::size_t width, std::size_t block, std::span<T> out,
                    Accumulate accumulate, RowsInto&& rows_into) {
  const std::size_t blocks = (rows + block - 1) / block;
  Array<T> partial(blocks * width);
  parallel_for(rows, block, [&](std::size_t begin, std::size_t end) {
    T* const sums = partial.data() + begin / block * width;
    std::fill_n(sums, width, T{0});
    rows_into(begin, end, sums);
  });
  for (std::size_t j = 0; j < width; ++j) {
    double sum = 0;
    for (std::size_t b = 0; b < blocks; ++b) sum += static_cast<double>(partial[b * width + j]);
    out[j] = accumulate == Accumulate::yes ? out[j] + static_cast<T>(sum) : static_cast<T>(sum);
  }
}

}  // namespace detail

/// out_j = sum over rows of x_ij: the gradient of a bias.
///
/// Shapes   x [N, F] -> out [F]
/// Cost     work O(N F), one value per column and block of at least 64 rows from the pool
/// Errors   ShapeError if out has another length
/// Threads  safe to call concurrently on distinct out; result independent of T
template <Real T>
void column_sum(std::type_identity_t<MatrixView<const T>> x, std::span<T> out,
                Accumulate accumulate = Accumulate::no) {
  detail::check_size("column_sum", "out", out.size(), x.cols());
  if (out.empty()) return;
  const KernelScope profile = detail::pass_scope("column_sum", x, 1);
  const Isa isa = active_isa();
  detail::sum_row_blocks(x.rows(), x.cols(), detail::column_sum_rows(x.cols()), out, accumulate,
                         [&](std::size_t begin, std::size_t end, T* sums) {
                           dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
                             T* const to = sums;
                             const std::size_t cols = x.cols();
                             for (std::size_t i = begin; i < end; ++i) {
                               detail::add_vectors<T>(x.data() + i * x.stride(), cols, to);
                             }
                           });
                         });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void column_sum<float>(MatrixView<const float>, std::span<float>, Accumulate);
TESSERA_INSTANTIATE void column_sum<double>(MatrixView<const double>, std::span<double>, Accumulate);
#endif

}  // namespace tessera
