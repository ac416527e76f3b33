// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/max_rows.hpp"
#include "tessera/kernels/detail/sparse_checks.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/edge_ranges.hpp"
#include "tessera/kernels/spmm.hpp"

namespace tessera {

/// Takes the elementwise largest of each row's neighbours and remembers whose it was.
///
/// y_if = max over entries (i, j) of x_jf; arg_if is the column j of the first entry that has it. A NaN beats
/// every number, the first one stays. A row without entries gives 0 and -1. Weights are ignored.
///
/// Shapes   a CSR [N, M] with E stored, x [M, F] -> y [N, F], arg [N, F]; y may not alias x
/// Cost     work O(E F); scratch of 2 F per 4096 entries of rows beyond 8192
/// Errors   ShapeError if the extents do not fit or M >= 2^31; nothing is thrown once y is touched
/// Threads  safe to call concurrently on distinct y and arg; exact, so independent of T and instruction set
template <class X, class Y>
  requires SummedIn<X, Y>
void spmm_max(CsrView<> a, MatrixView<const X> x, MatrixView<Y> y, MatrixView<std::int32_t> arg) {
  detail::check_spmm("spmm_max", a, x, y);
  detail::check_extent("spmm_max", "arg.rows()", arg.rows(), y.rows());
  detail::check_extent("spmm_max", "arg.cols()", arg.cols(), y.cols());
  if (a.num_cols > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw ShapeError(message("spmm_max: a.num_cols is ", a.num_cols, ", want less than 2^31"));
  }
  if (y.empty()) return;
  const KernelScope profile = detail::entry_scope("spmm_max", a, x.cols(),
                                                  detail::dense_bytes(x, y, arg) + detail::entry_bytes(a), 1);
  const Isa isa = active_isa();
  const EdgeRanges ranges(a.row_ptr);
  const detail::SumInput<X, Y> in{a.col.data(),       nullptr, nullptr, x.data(), x.stride(), x.cols(),
                                  detail::lies_far(x)};
  Tensor<Y> part_best(ranges.num_parts(), y.cols());
  Tensor<std::int32_t> part_arg(ranges.num_parts(), y.cols());
  const auto run = [&](const detail::MaxOutput<Y>& out) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      using L = decltype(level);
      detail::max_rows<L::template lanes<Y>(), L::kRegisters == 32 ? 8 : 4>(in, out);
    });
  };
  ranges.for_each(
      [&](std::size_t first, std::size_t last) {
        const auto end = static_cast<std::size_t>(a.end(last - 1));
        run({a.row_ptr.data(), first, last, y.row(first).data(), y.stride(), arg.row(first).data(),
             arg.stride(), end == 0 ? 0 : end - 1});
      },
      [&](const HubRow&, std::size_t part, EdgeRanges::Entries entries) {
        const EdgeId bounds[2] = {entries.first, entries.last};
        run({bounds, 0, 1, part_best.row(part).data(), 0, part_arg.row(part).data(), 0, entries.last - 1});
      });
  parallel_blocks(ranges.hubs().size(), [&](std::size_t h) {
    const HubRow& hub = ranges.hubs()[h];
    for (std::size_t p = 0; p < hub.num_parts; ++p) {
      for (std::size_t f = 0; f < y.cols(); ++f) {
        const Y value = part_best(hub.first_part + p, f);
        Y& best = y(hub.row, f);
        if (p > 0 && (value <= best || best != best)) continue;
        best = value;
        arg(hub.row, f) = part_arg(hub.first_part + p, f);
      }
    }
  });
}

/// The gradient of spmm_max: grad_x_jf = sum of grad_y_if over the rows i with arg_if = j. Every element of
/// grad_y goes to one entry, the first that had the maximum.
///
/// Shapes   a_transpose CSR [M, N], arg and grad_y [N, F] -> grad_x [M, F]; grad_x may not alias grad_y. Rows
///          of a_transpose are ascending at best; others are sorted on the way
/// Cost     work O(E F)
/// Errors   ShapeError if the extents do not fit
/// Threads  as spmm_sum
template <Real T>
void spmm_max_backward(CsrView<> a_transpose, MatrixView<const std::int32_t> arg, MatrixView<const T> grad_y,
                       MatrixView<T> grad_x) {
  detail::check_spmm("spmm_max_backward", a_transpose, grad_y, grad_x);
  detail::check_extent("spmm_max_backward", "arg.rows()", arg.rows(), grad_y.rows());
  detail::check_extent("spmm_max_backward", "arg.cols()", arg.cols(), grad_y.cols());
  if (grad_x.empty()) return;
  const KernelScope profile =
      detail::entry_scope("spmm_max_backward", a_transpose, grad_y.cols(),
                          detail::dense_bytes(arg, grad_y, grad_x) + detail::entry_bytes(a_transpose), 1);
  const Isa isa = active_isa();
  const EdgeRanges ranges(a_transpose.row_ptr);
  const detail::MaxBackwardInput<T> in{arg.data(), arg.stride(), grad_y.data(), grad_y.stride(), arg.cols()};
  parallel_blocks(ranges.num_chunks(), [&](std::size_t k) {
    const EdgeRanges::Rows rows = ranges.chunk(k);
    Array<NodeId> sorted;
    for (std::size_t j = rows.first; j < rows.last; ++j) {
      std::span<const NodeId> ids = a_transpose.neighbors(j);
      if (!std::is_sorted(ids.begin(), ids.end())) {
        sorted.resize(ids.size());
        std::copy(ids.begin(), ids.end(), sorted.begin());
        std::sort(sorted.begin(), sorted.end());
        ids = sorted.span();
      }
      dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
        detail::max_backward_row<decltype(level)::template lanes<T>()>(
            in, ids.data(), ids.size(), static_cast<std::int32_t>(j), grad_x.row(j).data());
      });
    }
  });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void spmm_max<float, float>(CsrView<>, MatrixView<const float>, MatrixView<float>,
                                                MatrixView<std::int32_t>);
TESSERA_INSTANTIATE void spmm_max<bf16, float>(CsrView<>, MatrixView<const bf16>, MatrixView<float>,
                                               MatrixView<std::int32_t>);
TESSERA_INSTANTIATE void spmm_max<double, double>(CsrView<>, MatrixView<const double>, MatrixView<double>,
                                                  MatrixView<std::int32_t>);
TESSERA_INSTANTIATE void spmm_max_backward<float>(CsrView<>, MatrixView<const std::int32_t>,
                                                  MatrixView<const float>, MatrixView<float>);
TESSERA_INSTANTIATE void spmm_max_backward<double>(CsrView<>, MatrixView<const std::int32_t>,
                                                   MatrixView<const double>, MatrixView<double>);
#endif

}  // namespace tessera
