// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/sparse_checks.hpp"
#include "tessera/kernels/edge_ranges.hpp"

// Numbers on entries, combined row by row. A segment is the entries of one row. Rows beyond
// EdgeRanges::kHubEntries are combined in fixed blocks by a fixed tree, others entry after entry.

namespace tessera {

namespace detail {

/// Calls row(i, reduce, each) for every row: reduce(identity, map, combine) folds map(first, last) over the
/// row's entries, each(body) calls body(first, last) on pieces that cover them; both in parallel for hubs.
template <class Row>
void for_each_segment(const CsrView<>& a, Row&& row) {
  const EdgeRanges ranges(a.row_ptr);
  ranges.for_each_rows([&](std::size_t first_row, std::size_t last_row) {
    for (std::size_t i = first_row; i < last_row; ++i) {
      const auto first = static_cast<std::size_t>(a.begin(i));
      const auto last = static_cast<std::size_t>(a.end(i));
      row(
          i, [&](auto, auto&& map, auto&&) { return map(first, last); },
          [&](auto&& body) { body(first, last); });
    }
  });
  for (const HubRow& hub : ranges.hubs()) {
    const auto start = static_cast<std::size_t>(a.begin(hub.row));
    row(
        hub.row,
        [&](auto identity, auto&& map, auto&& combine) {
          return parallel_reduce(
              a.degree(hub.row), EdgeRanges::kPartEntries, identity,
              [&](std::size_t first, std::size_t last) { return map(start + first, start + last); }, combine);
        },
        [&](auto&& body) {
          parallel_for(a.degree(hub.row), EdgeRanges::kPartEntries,
                       [&](std::size_t first, std::size_t last) { body(start + first, start + last); });
        });
  }
}

/// Larger of two numbers, NaN if either is.
template <class T>
constexpr T max_or_nan(T a, T b) noexcept {
  return a > b || a != a ? a : b;
}

}  // namespace detail

/// Sums the numbers of each row's entries: z_i = sum of s_e over row i; 0 without entries.
///
/// Shapes   a CSR [N, M] with E stored, s [E] -> z [N]
/// Cost     work O(E)
/// Errors   ShapeError if the extents do not fit
/// Threads  safe to call concurrently on distinct z; result independent of T
template <Real T>
void segment_sum(CsrView<> a, std::span<const T> s, std::span<T> z) {
  detail::check_csr("segment_sum", "a", a);
  detail::check_extent("segment_sum", "s.size()", s.size(), a.num_edges());
  detail::check_extent("segment_sum", "z.size()", z.size(), a.num_rows);
  const KernelScope profile(
      "segment_sum",
      static_cast<double>((s.size() + z.size()) * sizeof(T)) + static_cast<double>(a.row_ptr.size_bytes()),
      0);
  detail::for_each_segment(a, [&](std::size_t i, auto&& reduce, auto&&) {
    z[i] = reduce(
        T{0},
        [&](std::size_t first, std::size_t last) {
          T sum{0};
          for (std::size_t e = first; e < last; ++e) sum += s[e];
          return sum;
        },
        [](T l, T r) { return l + r; });
  });
}

/// Turns scores of entries into shares of their row: alpha_e = exp(s_e - m_i) / sum over row i of exp(s -
/// m_i), m_i the largest score of row i.
///
/// A score of -inf is masked: its share is 0, and a row of -inf alone gives zeros. A score of +inf or NaN
/// makes its row NaN. One entry alone gets exactly 1.
/// Shapes   a CSR [N, M] with E stored, s [E] -> alpha [E]; alpha may be s
/// Cost     work O(E), one exponential per entry
/// Errors   ShapeError if the extents do not fit
/// Threads  safe to call concurrently on distinct alpha; result independent of T
template <Real T>
void segment_softmax(CsrView<> a, std::span<const T> s, std::span<T> alpha) {
  detail::check_csr("segment_softmax", "a", a);
  detail::check_extent("segment_softmax", "s.size()", s.size(), a.num_edges());
  detail::check_extent("segment_softmax", "alpha.size()", alpha.size(), a.num_edges());
  const KernelScope profile(
      "segment_softmax",
      2.0 * static_cast<double>(s.size() * sizeof(T)) + static_cast<double>(a.row_ptr.size_bytes()), 0);
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  detail::for_each_segment(a, [&](std::size_t, auto&& reduce, auto&& each) {
    const T largest = reduce(
        -kInfinity,
        [&](std::size_t first, std::size_t last) {
          T m = -kInfinity;
          for (std::size_t e = first; e < last; ++e) m = detail::max_or_nan(m, s[e]);
          return m;
        },
        [](T l, T r) { return detail::max_or_nan(l, r); });
    if (largest == -kInfinity) {  // no entries, or masked ones only
      each([&](std::size_t first, std::size_t last) {
        for (std::size_t e = first; e < last; ++e) alpha[e] = T{0};
      });
      return;
    }
    const T total = reduce(
        T{0},
        [&](std::size_t first, std::size_t last) {
          T sum{0};
          for (std::size_t e = first; e < last; ++e) {
            alpha[e] = std::exp(s[e] - largest);
            sum += alpha[e];
          }
          return sum;
        },
        [](T l, T r) { return l + r; });
    each([&](std::size_t first, std::size_t last) {
      for (std::size_t e = first; e < last; ++e) alpha[e] /= total;
    });
  });
}

/// The gradient of segment_softmax: grad_s_e = alpha_e (grad_alpha_e - sum over row i of alpha grad_alpha).
///
/// Shapes   a CSR [N, M] with E stored, alpha and grad_alpha [E] -> grad_s [E]; grad_s may be grad_alpha
/// Cost     work O(E)
/// Errors   ShapeError if the extents do not fit
/// Threads  as segment_softmax
template <Real T>
void segment_softmax_backward(CsrView<> a, std::span<const T> alpha, std::span<const T> grad_alpha,
                              std::span<T> grad_s) {
  detail::check_csr("segment_softmax_backward", "a", a);
  detail::check_extent("segment_softmax_backward", "alpha.size()", alpha.size(), a.num_edges());
  detail::check_extent("segment_softmax_backward", "grad_alpha.size()", grad_alpha.size(), a.num_edges());
  detail::check_extent("segment_softmax_backward", "grad_s.size()", grad_s.size(), a.num_edges());
  const KernelScope profile(
      "segment_softmax_backward",
      3.0 * static_cast<double>(alpha.size() * sizeof(T)) + static_cast<double>(a.row_ptr.size_bytes()), 0);
  detail::for_each_segment(a, [&](std::size_t, auto&& reduce, auto&& each) {
    const T inner = reduce(
        T{0},
        [&](std::size_t first, std::size_t last) {
          T sum{0};
          for (std::size_t e = first; e < last; ++e) sum += alpha[e] * grad_alpha[e];
          return sum;
        },
        [](T l, T r) { return l + r; });
    each([&](std::size_t first, std::size_t last) {
      for (std::size_t e = first; e < last; ++e) grad_s[e] = alpha[e] * (grad_alpha[e] - inner);
    });
  });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void segment_softmax<float>(CsrView<>, std::span<const float>, std::span<float>);
TESSERA_INSTANTIATE void segment_softmax<double>(CsrView<>, std::span<const double>, std::span<double>);
TESSERA_INSTANTIATE void segment_softmax_backward<float>(CsrView<>, std::span<const float>,
                                                         std::span<const float>, std::span<float>);
TESSERA_INSTANTIATE void segment_softmax_backward<double>(CsrView<>, std::span<const double>,
                                                          std::span<const double>, std::span<double>);
#endif

}  // namespace tessera
