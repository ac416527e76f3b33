// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/resident_block.hpp"
#include "tessera/kernels/epilogue.hpp"

namespace tessera {

/// How many columns of x an operator that reads its rows in no order should take at a time: 0 for all, unless x lies
/// in a file and is more than may be held in memory.
template <class T>
std::size_t columns_at_once(MatrixView<const T> x) noexcept {
  constexpr std::size_t kStep = 32;  // whole vectors, and rows that do not share cache lines
  const std::size_t limit = ResidentBlock::limit();
  if (limit == 0 || x.rows() * x.stride() * sizeof(T) <= limit) return 0;
  const std::size_t columns = limit / (x.rows() * sizeof(T)) / kStep * kStep;
  return columns < x.cols() ? columns : 0;
}

/// Calls product(columns of x, columns of y, their epilogue) for tiles of `width` columns, those of x copied to memory:
/// one pass over the file for each, instead of a page for each row that is read.
///
/// Shapes   x [M, F], y [N, F]
/// Cost     holds M width numbers
/// Threads  the result is that of one call, if the product treats columns alike
template <class T, class F>
void in_column_tiles(MatrixView<const T> x, MatrixView<T> y, const Epilogue<T>& epilogue, std::size_t width,
                     F&& product) {
  const ResidentBlock memory(x.rows() * width * sizeof(T));
  for (std::size_t first = 0; first < x.cols(); first += width) {
    const std::size_t count = std::min(width, x.cols() - first);
    const MatrixView<T> tile(reinterpret_cast<T*>(memory.data()), x.rows(), count, width);
    parallel_for(x.rows(), 1024, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) std::copy_n(x.row(i).data() + first, count, tile.row(i).data());
    });
    Epilogue<T> part = epilogue;
    if (!part.bias.empty()) part.bias = part.bias.subspan(first, count);
    product(MatrixView<const T>(tile), y.middle_cols(first, count), part);
  }
}

}  // namespace tessera
