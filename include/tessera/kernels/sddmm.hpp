// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/feature_tile.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/detail/sparse_checks.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/edge_ranges.hpp"

namespace tessera {

namespace detail {

/// <u, v> in four running sums of W lanes, the rest one by one.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE T dot(const T* u, const T* v, std::size_t cols) noexcept {
  Simd<T, W> sum[4] = {};
  std::size_t f = 0;
  for (; f + 4 * W <= cols; f += 4 * W) {
    unroll<4>([&](auto k) TESSERA_INLINE_LAMBDA {
      Simd<T, W> left, right;
      simd_load<W, T>(left, u + f + k * W);
      simd_load<W, T>(right, v + f + k * W);
      sum[k] += left * right;
    });
  }
  for (; f + W <= cols; f += W) {
    Simd<T, W> left, right;
    simd_load<W, T>(left, u + f);
    simd_load<W, T>(right, v + f);
    sum[0] += left * right;
  }
  sum[0] += sum[1];
  sum[2] += sum[3];
  sum[0] += sum[2];
  T total = simd_sum<W, T>(sum[0]);
  for (; f < cols; ++f) total += u[f] * v[f];
  return total;
}

/// Calls body(row, first_entry, last_entry) in parallel so that every entry is covered once; long rows come
/// in several pieces.
template <class Body>
void for_each_row_piece(const CsrView<>& a, const EdgeRanges& ranges, Body&& body) {
  ranges.for_each(
      [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i) {
          body(i, static_cast<std::size_t>(a.begin(i)), static_cast<std::size_t>(a.end(i)));
        }
      },
      [&](const HubRow& hub, std::size_t, EdgeRanges::Entries e) { body(hub.row, e.first, e.last); });
}

}  // namespace detail

/// Inner products along the edges: s_e = <u_i, v_j> for every entry e = (i, j). Weights are ignored.
///
/// With G = dL/dY and X this is the gradient of the weights of spmm_sum: gw_e = <G_i, x_j>.
/// Shapes   a CSR [N, M] with E stored, u [N, F], v [M, F] -> s [E] in the order of the entries
/// Cost     work O(E F), reads E F elements of v at worst; no scratch
/// Errors   ShapeError if the extents do not fit; nothing is thrown once s is touched
/// Threads  safe to call concurrently on distinct s; bits depend on u_i, v_j and the instruction set only
template <Real T>
void sddmm_dot(CsrView<> a, MatrixView<const T> u, MatrixView<const T> v, std::span<T> s) {
  detail::check_csr("sddmm_dot", "a", a);
  detail::check_extent("sddmm_dot", "u.rows()", u.rows(), a.num_rows);
  detail::check_extent("sddmm_dot", "v.rows()", v.rows(), a.num_cols);
  detail::check_extent("sddmm_dot", "v.cols()", v.cols(), u.cols());
  detail::check_extent("sddmm_dot", "s.size()", s.size(), a.num_edges());
  if (s.empty()) return;
  const KernelScope profile = detail::entry_scope(
      "sddmm_dot", a, u.cols(),
      detail::dense_bytes(u, v) + static_cast<double>(s.size() * sizeof(T)) + detail::entry_bytes(a), 2);
  const Isa isa = active_isa();
  const NodeId* const col = a.col.data();
  detail::for_each_row_piece(
      a, EdgeRanges(a.row_ptr), [&](std::size_t i, std::size_t first, std::size_t last) {
        dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
          constexpr std::size_t W = decltype(level)::template lanes<T>();
          const T* const left = u.data() + i * u.stride();
          const T* const right = v.data();
          const std::size_t stride = v.stride();
          const std::size_t cols = v.cols();
          const std::size_t readable = a.num_edges() - 1;
          T* const out = s.data();
          for (std::size_t e = first; e < last; ++e) {
            const std::size_t ahead = col[std::min(e + detail::kPrefetchEntries, readable)];
            detail::prefetch_bytes(right + ahead * stride, cols * sizeof(T));
            out[e] = detail::dot<W, T>(left, right + std::size_t{col[e]} * stride, cols);
          }
        });
      });
}

/// Sums along the edges: s_e = u_i + v_j for every entry e = (i, j). Weights are ignored.
///
/// Shapes   a CSR [N, M] with E stored, u [N], v [M] -> s [E]
/// Cost     work O(E); no scratch
/// Errors   ShapeError if the extents do not fit
/// Threads  safe to call concurrently on distinct s; result independent of T
template <Real T>
void sddmm_add(CsrView<> a, std::span<const T> u, std::span<const T> v, std::span<T> s) {
  detail::check_csr("sddmm_add", "a", a);
  detail::check_extent("sddmm_add", "u.size()", u.size(), a.num_rows);
  detail::check_extent("sddmm_add", "v.size()", v.size(), a.num_cols);
  detail::check_extent("sddmm_add", "s.size()", s.size(), a.num_edges());
  const KernelScope profile = detail::entry_scope(
      "sddmm_add", a, 1,
      static_cast<double>((s.size() + u.size() + v.size()) * sizeof(T)) + detail::entry_bytes(a), 1);
  const NodeId* const col = a.col.data();
  detail::for_each_row_piece(a, EdgeRanges(a.row_ptr),
                             [&](std::size_t i, std::size_t first, std::size_t last) {
                               const T left = u[i];
                               for (std::size_t e = first; e < last; ++e) s[e] = left + v[col[e]];
                             });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void sddmm_dot<float>(CsrView<>, MatrixView<const float>, MatrixView<const float>,
                                          std::span<float>);
TESSERA_INSTANTIATE void sddmm_dot<double>(CsrView<>, MatrixView<const double>, MatrixView<const double>,
                                           std::span<double>);
#endif

}  // namespace tessera
