// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/edge_rows.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/edge_dropout.hpp"

namespace tessera {

/// Adds messages whose elements are dropped one by one: y_if = sum over the entries (i, j) of w_ij k_ijf x_jf, k_ijf
/// = 0 with probability p and else 1 / (1 - p).
///
/// The draw of element f of entry (i, j) is that of head f in kernels/edge_dropout.hpp, so the transposed matrix
/// draws it again and no mask is kept. Entries stored twice share their draws.
/// Shapes   a CSR [N, M] with E stored, x [M, F] -> y [N, F]; with `transposed`, a holds the transpose
/// Cost     work O(E F), one block of Philox for eight elements
/// Errors   ShapeError if the extents do not fit, ConfigError for a probability outside [0, 1]
/// Threads  safe to call concurrently on distinct y; result independent of T
/// Source   Fang, Xiao, Wang, Xu, Yang & Yang, DropMessage: unifying random dropping for graph neural networks, AAAI
///          2023
template <Real T>
void spmm_drop_messages(CsrView<> a, std::type_identity_t<MatrixView<const T>> x, const DropoutMask& mask,
                        bool transposed, MatrixView<T> y) {
  constexpr std::string_view kName = "spmm_drop_messages";
  constexpr std::size_t kElements = 8;
  detail::check_csr(kName, "a", a);
  check_dropout(mask, kName);
  detail::check_extent(kName, "x.rows()", x.rows(), a.num_cols);
  detail::check_shape(kName, "y", y, a.num_rows, x.cols());
  const KernelScope profile =
      detail::entry_scope(kName, a, x.cols(), detail::dense_bytes(x, y) + detail::entry_bytes(a, true), 3);
  const std::size_t cols = x.cols();
  detail::for_each_entry_row(a, [&](auto, std::size_t i) TESSERA_INLINE_LAMBDA {
    T* const to = y.data() + i * y.stride();
    std::fill_n(to, cols, T{0});
    T factor[detail::kDropoutLanes * kElements];
    for (std::size_t e = a.begin(i); e < a.end(i); e += detail::kDropoutLanes) {
      const std::size_t lanes = std::min<std::size_t>(detail::kDropoutLanes, a.end(i) - e);
      for (std::size_t f = 0; f < cols; f += kElements) {
        detail::edge_dropout_factors<kElements>(mask, f / kElements, static_cast<NodeId>(i), a.col.data() + e,
                                                lanes, transposed, factor);
        const std::size_t width = std::min(kElements, cols - f);
        for (std::size_t l = 0; l < lanes; ++l) {
          const T* const from = x.data() + std::size_t{a.col[e + l]} * x.stride() + f;
          const T* const keep = factor + l * kElements;
          const T w = a.weighted() ? static_cast<T>(a.weight[e + l]) : T{1};
          if (width == kElements) {
            for (std::size_t k = 0; k < kElements; ++k) to[f + k] += w * keep[k] * from[k];
          } else {
            for (std::size_t k = 0; k < width; ++k) to[f + k] += w * keep[k] * from[k];
          }
        }
      }
    }
  });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void spmm_drop_messages<float>(CsrView<>, MatrixView<const float>, const DropoutMask&,
                                                   bool, MatrixView<float>);
TESSERA_INSTANTIATE void spmm_drop_messages<double>(CsrView<>, MatrixView<const double>, const DropoutMask&,
                                                    bool, MatrixView<double>);
#endif

}  // namespace tessera
