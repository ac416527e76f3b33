// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"

namespace tessera {

/// The right side of an integer product: weight codes packed once for every instruction set.
///
/// Panels of 16 columns; in a panel, groups of 4 rows: [panel][row / 4][16][4] bytes, zeros beyond the matrix. A zero
/// point other than 0 costs one column of ones, whose sums correct for it.
///
/// A product of K rows may have sums up to K * 255 * (128 + |zero point|). Where they could pass 31 bits, the rows are
/// split into parts of `max_depth` of them, each packed by itself; their sums are exact in 32 bits and added in 64.
/// Shapes   codes [K, M]; depth K, columns M
/// Cost     K (M + 31) bytes at most, K rounded up to 64
/// Errors   ConfigError for a zero point outside [-128, 127]; ShapeError for 2^24 rows or more, whose column sums could
///          pass 31 bits
class Int8Weights {
 public:
  static constexpr std::size_t kPanel = 16;
  static constexpr std::size_t kDepthStep = 64;

  Int8Weights() = default;
  explicit Int8Weights(MatrixView<const std::int8_t> codes, std::int32_t zero_point = 0)
      : Int8Weights(
            codes.rows(), codes.cols(), [&](std::size_t k, std::size_t j) { return codes(k, j); },
            zero_point) {}
  /// Codes that are computed: code(k, j).
  template <class Code>
  Int8Weights(std::size_t depth, std::size_t cols, const Code& code, std::int32_t zero_point = 0)
      : depth_(depth), cols_(cols), zero_point_(zero_point) {
    check(depth, zero_point);
    const std::size_t most = max_depth(zero_point);
    if (depth <= most) {
      pack(0, code);
      return;
    }
    sums_.assign(cols, 0);
    for (std::size_t k = 0; k < depth; k += most) {
      Int8Weights& part = parts_.emplace_back();
      part.depth_ = std::min(most, depth - k);
      part.cols_ = cols;
      part.zero_point_ = zero_point;
      part.pack(k, code);
      for (std::size_t j = 0; j < cols; ++j) sums_[j] += part.sums_[j];
    }
  }

  std::size_t depth() const noexcept { return depth_; }
  std::size_t cols() const noexcept { return cols_; }
  std::int32_t zero_point() const noexcept { return zero_point_; }
  /// The sum of every column's codes.
  std::span<const std::int32_t> column_sums() const noexcept { return sums_.span(); }
  std::int8_t code(std::size_t k, std::size_t j) const noexcept {
    if (!deep()) return packed_[position(k, j)];
    const std::size_t most = max_depth(zero_point_);
    return parts_[k / most].code(k % most, j);
  }
  std::size_t bytes() const noexcept {
    std::size_t sum = packed_.size();
    for (const Int8Weights& part : parts_) sum += part.bytes();
    return sum;
  }

  /// Whether sums need 64 bits; then the codes lie in `parts`.
  bool deep() const noexcept { return !parts_.empty(); }
  /// The weights in the order of their rows, none of them deep.
  std::span<const Int8Weights> parts() const noexcept {
    return deep() ? std::span<const Int8Weights>(parts_) : std::span<const Int8Weights>(this, 1);
  }
  /// Rows of a part: 65 792, or 32 896 with the zero point -128.
  static constexpr std::size_t max_depth(std::int32_t zero_point) noexcept {
    const auto largest = 255 * (128 + static_cast<std::size_t>(zero_point < 0 ? -zero_point : zero_point));
    return static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) / largest / kDepthStep *
           kDepthStep;
  }

  // The packed codes; of weights that are not deep.
  const std::int8_t* data() const noexcept { return packed_.data(); }
  std::size_t panels() const noexcept { return panels_; }
  /// Groups of 64 rows.
  std::size_t steps() const noexcept { return steps_; }
  std::size_t padded_cols() const noexcept { return panels_ * kPanel; }

 private:
  /// Rows [first, first + depth) of the codes.
  template <class Code>
  void pack(std::size_t first, const Code& code) {
    steps_ = (depth_ + kDepthStep - 1) / kDepthStep;
    const std::size_t wanted = cols_ + (zero_point_ == 0 ? 0 : 1);
    panels_ = (wanted + 2 * kPanel - 1) / (2 * kPanel) * 2;
    packed_.assign(panels_ * steps_ * kDepthStep * kPanel, 0);
    sums_.assign(cols_, 0);
    for (std::size_t begin = 0; begin < cols_; begin += kPanel) {
      for (std::size_t k = 0; k < depth_; ++k) {
        for (std::size_t j = begin; j < std::min(cols_, begin + kPanel); ++j) {
          const auto value = static_cast<std::int8_t>(code(first + k, j));
          packed_[position(k, j)] = value;
          sums_[j] += value;
        }
      }
    }
    for (std::size_t k = 0; k < depth_ && zero_point_ != 0; ++k) packed_[position(k, cols_)] = 1;
  }
  static void check(std::size_t depth, std::int32_t zero_point) {
    if (zero_point < -128 || zero_point > 127) {
      throw ConfigError(message("Int8Weights: zero_point is ", zero_point, ", want -128 to 127"));
    }
    if (depth >= (std::size_t{1} << 24)) {
      throw ShapeError(message("Int8Weights: depth is ", depth, ", want less than 16777216 rows"));
    }
  }
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
  std::vector<Int8Weights> parts_;
};

}  // namespace tessera
