// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/detail/row_ranges.hpp"
#include "tessera/kernels/spmm.hpp"

namespace tessera::detail {

/// Rows [first, last) of a matrix as a matrix of their own, without a copy of their entries.
class RowSlice {
 public:
  RowSlice(CsrView<> a, std::size_t first, std::size_t last) : row_ptr_(last - first + 1) {
    const EdgeId base = a.row_ptr[first];
    for (std::size_t i = 0; i < row_ptr_.size(); ++i) row_ptr_[i] = a.row_ptr[first + i] - base;
    const auto begin = static_cast<std::size_t>(base);
    const auto count = static_cast<std::size_t>(row_ptr_[last - first]);
    view_ = {last - first, a.num_cols, row_ptr_, a.col.subspan(begin, count),
             a.weighted() ? a.weight.subspan(begin, count) : a.weight};
  }
  CsrView<> view() const noexcept { return view_; }

 private:
  Array<EdgeId> row_ptr_;
  CsrView<> view_;
};

/// Rows plus entries of one block: its sums stay in a core's second-level cache until they are finished.
inline constexpr std::size_t kBlockWork = std::size_t{1} << 16;

/// Sums neighbours block by block and hands the sums of each block over while they are warm:
/// finish(first, last, sums) with sums [last - first, F] = rows [first, last) of A x.
///
/// Where `into` is not empty the sums are those rows of it, else scratch. Blocks depend on the matrix alone and
/// a row's bits on its own entries, so nothing here shows in a result.
template <class X, Real T, class Finish>
void aggregate_blocks(CsrView<> a, MatrixView<const X> x, MatrixView<T> into, Finish&& finish) {
  if (a.num_rows == 0 || x.cols() == 0) return;
  const std::size_t blocks =
      std::clamp<std::size_t>((a.num_rows + a.num_edges()) / kBlockWork, 1, std::size_t{1} << 13);
  parallel_blocks(blocks, [&](std::size_t k) {
    const std::size_t first = range_row(a.row_ptr, k, blocks);
    const std::size_t last = range_row(a.row_ptr, k + 1, blocks);
    if (first >= last) return;
    const RowSlice block(a, first, last);
    if (into.empty()) {
      Tensor<T> sums(last - first, x.cols());
      spmm_sum<X, T>(block.view(), x, sums.view());
      finish(first, last, sums.view());
    } else {
      const MatrixView<T> sums = into.middle_rows(first, last - first);
      spmm_sum<X, T>(block.view(), x, sums);
      finish(first, last, sums);
    }
  });
}

}  // namespace tessera::detail
