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
#include "tessera/core/scalar.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/detail/epilogue_row.hpp"
#include "tessera/kernels/detail/sparse_checks.hpp"
#include "tessera/kernels/detail/spmm_rows.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/edge_ranges.hpp"
#include "tessera/kernels/epilogue.hpp"

namespace tessera {

/// Element types an aggregation may read when it sums in Y: float and bf16 into float, double into double.
template <class X, class Y>
concept SummedIn = Scalar<X> && Real<Y> && std::same_as<Accumulator<X>, Y> && !std::integral<X>;

namespace detail {

/// Finishes rows [first, last) of y at one instruction-set level.
template <class Y>
void finish_rows(Isa isa, MatrixView<Y> y, std::size_t first, std::size_t last, const Epilogue<Y>& epilogue) {
  dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
    for (std::size_t i = first; i < last; ++i) apply_epilogue_row(y.row(i), i, epilogue);
  });
}

/// All rows: chunks write y at once, parts of hub rows write partial rows that are added in part order.
template <Weighting kWeighting, class X, class Y>
void sum_all_rows(const CsrView<>& a, const SumInput<X, Y>& in, MatrixView<Y> y, bool mean,
                  const Epilogue<Y>& epilogue) {
  constexpr std::size_t kWarmRows = 32;  // finished while they still lie in the nearest caches
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
        const std::size_t step = plain ? last - first : kWarmRows;
        for (std::size_t begin = first; begin < last; begin += step) {
          const std::size_t stop = std::min(last, begin + step);
          sum({a.row_ptr.data(), begin, stop, y.row(begin).data(), y.stride(), mean, readable});
          if (!plain) finish_rows(isa, y, begin, stop, epilogue);
        }
      },
      [&](const HubRow&, std::size_t part, EdgeRanges::Entries entries) {
        const EdgeId bounds[2] = {entries.first, entries.last};
        sum({bounds, 0, 1, partial.row(part).data(), 0, false, entries.last - 1});
      });
  parallel_blocks(ranges.hubs().size(), [&](std::size_t h) {
    const HubRow& hub = ranges.hubs()[h];
    const std::span<Y> out = y.row(hub.row);
    const std::span<const Y> start = partial.row(hub.first_part);
    std::copy(start.begin(), start.end(), out.begin());
    for (std::size_t p = 1; p < hub.num_parts; ++p) {
      const std::span<const Y> more = partial.row(hub.first_part + p);
      for (std::size_t f = 0; f < out.size(); ++f) out[f] += more[f];
    }
    if (mean) {
      for (Y& value : out) value /= static_cast<Y>(a.degree(hub.row));
    }
    if (!plain) finish_rows(isa, y, hub.row, hub.row + 1, epilogue);
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
/// Shapes   a CSR [N, M] with E stored (no weights: every w is 1), x [M, F] -> y [N, F]; y may not alias x
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
void spmm_sum(CsrView<> a, MatrixView<const X> x, MatrixView<Y> y, const Epilogue<Y>& epilogue = {}) {
  detail::check_spmm("spmm_sum", a, x, y);
  detail::check_epilogue("spmm_sum", epilogue, y.cols());
  if (y.empty()) return;
  const detail::SumInput<X, Y> in{a.col.data(), a.weight.data(), nullptr, x.data(), x.stride(), x.cols()};
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
void spmm_mean(CsrView<> a, MatrixView<const X> x, MatrixView<Y> y, const Epilogue<Y>& epilogue = {}) {
  detail::check_spmm("spmm_mean", a, x, y);
  detail::check_epilogue("spmm_mean", epilogue, y.cols());
  if (y.empty()) return;
  const detail::SumInput<X, Y> in{a.col.data(), nullptr, nullptr, x.data(), x.stride(), x.cols()};
  detail::sum_all_rows<detail::Weighting::none>(a, in, y, true, epilogue);
}

/// The gradient of spmm_mean: grad_x_j = sum over entries (j, i) of the transpose of grad_y_i / n_i.
///
/// Shapes   a_transpose CSR [M, N], a CSR [N, M] (only its row lengths n_i are read), grad_y [N, F] ->
///          grad_x [M, F]; grad_x may not alias grad_y
/// Cost     as spmm_sum plus N divisions; scratch of N elements
/// Errors   ShapeError if the extents do not fit
/// Threads  as spmm_sum
template <Real T>
void spmm_mean_backward(CsrView<> a_transpose, CsrView<> a, MatrixView<const T> grad_y,
                        MatrixView<T> grad_x) {
  detail::check_spmm("spmm_mean_backward", a_transpose, grad_y, grad_x);
  detail::check_csr("spmm_mean_backward", "a", a);
  detail::check_extent("spmm_mean_backward", "a.num_rows", a.num_rows, a_transpose.num_cols);
  detail::check_extent("spmm_mean_backward", "a.num_cols", a.num_cols, a_transpose.num_rows);
  if (grad_x.empty()) return;
  Array<T> inverse(a.num_rows);
  parallel_for(a.num_rows, 4096, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t n = a.degree(i);
      inverse[i] = n == 0 ? T{0} : T{1} / static_cast<T>(n);
    }
  });
  const detail::SumInput<T, T> in{a_transpose.col.data(), nullptr,         inverse.data(),
                                  grad_y.data(),          grad_y.stride(), grad_y.cols()};
  detail::sum_all_rows<detail::Weighting::source>(a_transpose, in, grad_x, false, Epilogue<T>{});
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void spmm_sum<float, float>(CsrView<>, MatrixView<const float>, MatrixView<float>,
                                                const Epilogue<float>&);
TESSERA_INSTANTIATE void spmm_sum<bf16, float>(CsrView<>, MatrixView<const bf16>, MatrixView<float>,
                                               const Epilogue<float>&);
TESSERA_INSTANTIATE void spmm_sum<double, double>(CsrView<>, MatrixView<const double>, MatrixView<double>,
                                                  const Epilogue<double>&);
TESSERA_INSTANTIATE void spmm_mean<float, float>(CsrView<>, MatrixView<const float>, MatrixView<float>,
                                                 const Epilogue<float>&);
TESSERA_INSTANTIATE void spmm_mean<bf16, float>(CsrView<>, MatrixView<const bf16>, MatrixView<float>,
                                                const Epilogue<float>&);
TESSERA_INSTANTIATE void spmm_mean<double, double>(CsrView<>, MatrixView<const double>, MatrixView<double>,
                                                   const Epilogue<double>&);
TESSERA_INSTANTIATE void spmm_mean_backward<float>(CsrView<>, CsrView<>, MatrixView<const float>,
                                                   MatrixView<float>);
TESSERA_INSTANTIATE void spmm_mean_backward<double>(CsrView<>, CsrView<>, MatrixView<const double>,
                                                    MatrixView<double>);
#endif

}  // namespace tessera
