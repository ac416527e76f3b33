// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/detail/epilogue_row.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/sparse_checks.hpp"
#include "tessera/kernels/detail/spmm_rows.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/edge_ranges.hpp"
#include "tessera/kernels/epilogue.hpp"
#include "tessera/kernels/rows.hpp"

namespace tessera {

/// Element types an aggregation of X may write: what it sums in (float for float and bf16, double for double), and bf16
/// for bf16.
template <class X, class Y>
concept SummedIn = Scalar<X> && !std::integral<X> &&
                   (std::same_as<Accumulator<X>, Y> || (std::same_as<X, bf16> && std::same_as<Y, bf16>));

namespace detail {

/// Finishes rows [first, last) of y at one instruction-set level.
template <class Y>
void finish_rows(Isa isa, MatrixView<Y> y, std::size_t first, std::size_t last, const Epilogue<Y>& epilogue) {
  dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
    for (std::size_t i = first; i < last; ++i) apply_epilogue_row(level, y.row(i), i, epilogue);
  });
}

/// Finishes rows of sums in place and copies them to where they go, rounded.
template <class Y, class Out>
void finish_rows_into(Isa isa, MatrixView<Y> sums, MatrixView<Out> y, std::size_t first,
                      const Epilogue<Y>& epilogue) {
  dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
    for (std::size_t i = 0; i < sums.rows(); ++i) {
      apply_epilogue_row(level, sums.row(i), first + i, epilogue);
      convert_run(level, sums.row(i).data(), y.cols(), y.row(first + i).data());
    }
  });
}

/// All rows: chunks write y at once, parts of hub rows write partial rows that are added in part order. Rows that are
/// kept narrower than they are summed pass through a few rows of scratch.
template <Weighting kWeighting, class X, class Y, class Out>
void sum_all_rows(const CsrView<>& a, const SumInput<X, Y>& in, MatrixView<Out> y, bool mean,
                  const Epilogue<Y>& epilogue) {
  constexpr std::size_t kWarmRows = 32;  // finished while they still lie in the nearest caches
  constexpr bool kDirect = std::is_same_v<Y, Out>;
  const Isa isa = tessera::active_isa();
  const bool plain = is_identity(epilogue);
  const EdgeRanges ranges(a.row_ptr);
  Tensor<Y> partial(ranges.num_parts(), y.cols());
  const auto sum = [&](const SumOutput<Y>& out) {
    dispatch(isa, [&](auto level)
                      TESSERA_INLINE_LAMBDA { sum_rows<decltype(level), kWeighting>(level, in, out); });
  };
  ranges.for_each(
      [&](std::size_t first, std::size_t last) {
        const auto end = static_cast<std::size_t>(a.end(last - 1));
        const std::size_t readable = end == 0 ? 0 : end - 1;
        const std::size_t step = kDirect && plain ? last - first : kWarmRows;
        Tensor<Y> room(kDirect ? 0 : kWarmRows, y.cols());
        for (std::size_t begin = first; begin < last; begin += step) {
          const std::size_t stop = std::min(last, begin + step);
          if constexpr (kDirect) {
            sum({a.row_ptr.data(), begin, stop, y.row(begin).data(), y.stride(), mean, readable});
            if (!plain) finish_rows(isa, y, begin, stop, epilogue);
          } else {
            sum({a.row_ptr.data(), begin, stop, room.data(), room.view().stride(), mean, readable});
            finish_rows_into(isa, room.view().middle_rows(0, stop - begin), y, begin, epilogue);
          }
        }
      },
      [&](const HubRow&, std::size_t part, EdgeRanges::Entries entries) {
        const EdgeId bounds[2] = {entries.first, entries.last};
        sum({bounds, 0, 1, partial.row(part).data(), 0, false, entries.last - 1});
      });
  parallel_blocks(ranges.hubs().size(), [&](std::size_t h) {
    const HubRow& hub = ranges.hubs()[h];
    const MatrixView<Y> out = partial.view().middle_rows(hub.first_part, 1);
    for (std::size_t p = 1; p < hub.num_parts; ++p) {
      const std::span<const Y> more = partial.row(hub.first_part + p);
      for (std::size_t f = 0; f < y.cols(); ++f) out(0, f) += more[f];
    }
    if (mean) {
      for (Y& value : out.row(0)) value /= static_cast<Y>(a.degree(hub.row));
    }
    finish_rows_into(isa, out, y, hub.row, epilogue);
  });
}

template <class Y>
void check_epilogue(std::string_view operation, const Epilogue<Y>& epilogue, std::size_t cols) {
  if (!epilogue.bias.empty()) check_extent(operation, "epilogue.bias.size()", epilogue.bias.size(), cols);
  check_dropout(epilogue.dropout, operation);
}

}  // namespace detail

/// Sums each row's neighbours: y_i = sum over entries (i, j) of w_ij x_j, then the epilogue on its way out.
///
/// Shapes   a CSR [N, M] with E stored (no weights: every w is 1), x [M, F] -> y [N, F]; y may not alias x; bf16 is summed
///          in float and written as float or bf16
/// Cost     work O(E F), reads E F elements of x at worst; scratch of F per 4096 entries of rows beyond 8192
/// Errors   ShapeError if the extents do not fit, ConfigError for a dropout probability outside [0, 1];
///          nothing is thrown once y is touched
/// Threads  safe to call concurrently on distinct y; a row's bits depend on its own entries and the
///          instruction set only
/// Source   row, then feature tile in registers, then entries; prefetch by column ids: Rahman et al.,
/// FusedMM,
///          IPDPS 2021, section IV; differs: long rows are split at fixed places and summed in order
template <class X, class Y>
  requires SummedIn<X, Y>
void spmm_sum(CsrView<> a, MatrixView<const X> x, MatrixView<Y> y,
              const Epilogue<Accumulator<X>>& epilogue = {}) {
  detail::check_spmm("spmm_sum", a, x, y);
  detail::check_epilogue("spmm_sum", epilogue, y.cols());
  if (y.empty()) return;
  const KernelScope profile = detail::aggregate_scope("spmm_sum", a, x, y);
  const detail::SumInput<X, Accumulator<X>> in{
      a.col.data(), a.weight.data(), nullptr, x.data(), x.stride(), x.cols(), detail::lies_far(x)};
  if (a.weighted()) {
    detail::sum_all_rows<detail::Weighting::entry>(a, in, y, false, epilogue);
  } else {
    detail::sum_all_rows<detail::Weighting::none>(a, in, y, false, epilogue);
  }
}

/// Averages each row's neighbours: y_i = (1 / n_i) sum over entries (i, j) of x_j, n_i the number of entries.
/// Weights are ignored; a row without entries gives 0, then the epilogue.
///
/// Shapes, cost, errors and threads as spmm_sum.
template <class X, class Y>
  requires SummedIn<X, Y>
void spmm_mean(CsrView<> a, MatrixView<const X> x, MatrixView<Y> y,
               const Epilogue<Accumulator<X>>& epilogue = {}) {
  detail::check_spmm("spmm_mean", a, x, y);
  detail::check_epilogue("spmm_mean", epilogue, y.cols());
  if (y.empty()) return;
  const KernelScope profile = detail::aggregate_scope("spmm_mean", a, x, y, false);
  const detail::SumInput<X, Accumulator<X>> in{
      a.col.data(), nullptr, nullptr, x.data(), x.stride(), x.cols(), detail::lies_far(x)};
  detail::sum_all_rows<detail::Weighting::none>(a, in, y, true, epilogue);
}

/// The gradient of spmm_mean: grad_x_j = sum over entries (j, i) of the transpose of grad_y_i / n_i.
///
/// Shapes   a_transpose CSR [M, N], a CSR [N, M] (only its row lengths n_i are read), grad_y [N, F] ->
///          grad_x [M, F]; grad_x may not alias grad_y
/// Cost     as spmm_sum plus N divisions; scratch of N elements
/// Errors   ShapeError if the extents do not fit
/// Threads  as spmm_sum
template <class T>
  requires SummedIn<T, T>
void spmm_mean_backward(CsrView<> a_transpose, CsrView<> a, MatrixView<const T> grad_y,
                        MatrixView<T> grad_x) {
  using Sum = Accumulator<T>;
  detail::check_spmm("spmm_mean_backward", a_transpose, grad_y, grad_x);
  detail::check_csr("spmm_mean_backward", "a", a);
  detail::check_extent("spmm_mean_backward", "a.num_rows", a.num_rows, a_transpose.num_cols);
  detail::check_extent("spmm_mean_backward", "a.num_cols", a.num_cols, a_transpose.num_rows);
  if (grad_x.empty()) return;
  const KernelScope profile =
      detail::aggregate_scope("spmm_mean_backward", a_transpose, grad_y, grad_x, false);
  Array<Sum> inverse(a.num_rows);
  parallel_for(a.num_rows, 4096, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t n = a.degree(i);
      inverse[i] = n == 0 ? Sum{0} : Sum{1} / static_cast<Sum>(n);
    }
  });
  const detail::SumInput<T, Sum> in{a_transpose.col.data(),  nullptr,         inverse.data(),
                                    grad_y.data(),           grad_y.stride(), grad_y.cols(),
                                    detail::lies_far(grad_y)};
  detail::sum_all_rows<detail::Weighting::source>(a_transpose, in, grad_x, false, Epilogue<Sum>{});
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void spmm_sum<float, float>(CsrView<>, MatrixView<const float>, MatrixView<float>,
                                                const Epilogue<float>&);
TESSERA_INSTANTIATE void spmm_sum<bf16, float>(CsrView<>, MatrixView<const bf16>, MatrixView<float>,
                                               const Epilogue<float>&);
TESSERA_INSTANTIATE void spmm_sum<bf16, bf16>(CsrView<>, MatrixView<const bf16>, MatrixView<bf16>,
                                              const Epilogue<float>&);
TESSERA_INSTANTIATE void spmm_sum<double, double>(CsrView<>, MatrixView<const double>, MatrixView<double>,
                                                  const Epilogue<double>&);
TESSERA_INSTANTIATE void spmm_mean<float, float>(CsrView<>, MatrixView<const float>, MatrixView<float>,
                                                 const Epilogue<float>&);
TESSERA_INSTANTIATE void spmm_mean<bf16, float>(CsrView<>, MatrixView<const bf16>, MatrixView<float>,
                                                const Epilogue<float>&);
TESSERA_INSTANTIATE void spmm_mean<bf16, bf16>(CsrView<>, MatrixView<const bf16>, MatrixView<bf16>,
                                               const Epilogue<float>&);
TESSERA_INSTANTIATE void spmm_mean<double, double>(CsrView<>, MatrixView<const double>, MatrixView<double>,
                                                   const Epilogue<double>&);
TESSERA_INSTANTIATE void spmm_mean_backward<float>(CsrView<>, CsrView<>, MatrixView<const float>,
                                                   MatrixView<float>);
TESSERA_INSTANTIATE void spmm_mean_backward<bf16>(CsrView<>, CsrView<>, MatrixView<const bf16>,
                                                  MatrixView<bf16>);
TESSERA_INSTANTIATE void spmm_mean_backward<double>(CsrView<>, CsrView<>, MatrixView<const double>,
                                                    MatrixView<double>);
#endif

}  // namespace tessera
