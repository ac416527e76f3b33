// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"

namespace tessera {

/// The right side of an integer product: weight codes packed once for every instruction set.
///
/// Panels of 16 columns; in a panel, groups of 4 rows: [panel][row / 4][16][4] bytes, zeros beyond the matrix. A zero
/// point other than 0 costs one column of ones, whose sums correct for it.
/// Shapes   codes [K, M]; depth K, columns M
/// Cost     K (M + 31) bytes at most, K rounded up to 64
/// Errors   ShapeError if a sum of K products could pass 31 bits: K * 255 * (128 + |zero point|) >= 2^31
class Int8Weights {
 public:
  static constexpr std::size_t kPanel = 16;
  static constexpr std::size_t kDepthStep = 64;

  Int8Weights() = default;
  explicit Int8Weights(MatrixView<const std::int8_t> codes, std::int32_t zero_point = 0)
      : depth_(codes.rows()), cols_(codes.cols()), zero_point_(zero_point) {
    check_depth(depth_, zero_point);
    steps_ = (depth_ + kDepthStep - 1) / kDepthStep;
    const std::size_t wanted = cols_ + (zero_point == 0 ? 0 : 1);
    panels_ = (wanted + 2 * kPanel - 1) / (2 * kPanel) * 2;
    packed_.assign(panels_ * steps_ * kDepthStep * kPanel, 0);
    sums_.assign(cols_, 0);
    for (std::size_t k = 0; k < depth_; ++k) {
      for (std::size_t j = 0; j < cols_; ++j) {
        packed_[position(k, j)] = codes(k, j);
        sums_[j] += codes(k, j);
      }
      if (zero_point != 0) packed_[position(k, cols_)] = 1;
    }
  }

  std::size_t depth() const noexcept { return depth_; }
  std::size_t cols() const noexcept { return cols_; }
  std::int32_t zero_point() const noexcept { return zero_point_; }
  /// The sum of every column's codes.
  std::span<const std::int32_t> column_sums() const noexcept { return sums_.span(); }
  std::int8_t code(std::size_t k, std::size_t j) const noexcept { return packed_[position(k, j)]; }

  const std::int8_t* data() const noexcept { return packed_.data(); }
  std::size_t panels() const noexcept { return panels_; }
  /// Groups of 64 rows.
  std::size_t steps() const noexcept { return steps_; }
  std::size_t padded_cols() const noexcept { return panels_ * kPanel; }
  std::size_t bytes() const noexcept { return packed_.size(); }

  static void check_depth(std::size_t depth, std::int32_t zero_point) {
    const auto largest =
        static_cast<std::size_t>(255) * (128 + static_cast<std::size_t>(std::abs(std::int64_t{zero_point})));
    const std::size_t most = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) / largest;
    if (depth > most) {
      throw ShapeError(
          message("Int8Weights: depth is ", depth, ", sums stay within 32 bits up to ", most, " rows"));
    }
  }

 private:
  std::size_t position(std::size_t k, std::size_t j) const noexcept {
    const std::size_t panel = j / kPanel * steps_ * kDepthStep * kPanel;
    return panel + k / 4 * (4 * kPanel) + j % kPanel * 4 + k % 4;
  }

  std::size_t depth_ = 0;
  std::size_t cols_ = 0;
  std::int32_t zero_point_ = 0;
  std::size_t steps_ = 0;
  std::size_t panels_ = 0;
  Array<std::int8_t> packed_;
  Array<std::int32_t> sums_;
};

}  // namespace tessera
