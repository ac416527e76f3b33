// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

#include "tessera/core/assert.hpp"

namespace tessera {

/// A borrowed row-major matrix: pointer, extents and the distance between rows. Copying it copies no data.
///
/// Shapes   [rows, cols]; element (i, j) lies at data()[i * stride() + j], stride() >= cols()
/// Units    extents and stride count elements
template <class T>
class MatrixView {
 public:
  using value_type = std::remove_const_t<T>;

  constexpr MatrixView() = default;
  constexpr MatrixView(T* data, std::size_t rows, std::size_t cols) noexcept
      : MatrixView(data, rows, cols, cols) {}
  constexpr MatrixView(T* data, std::size_t rows, std::size_t cols, std::size_t stride) noexcept
      : data_(data), rows_(rows), cols_(cols), stride_(stride) {
    TESSERA_ASSERT(light, stride >= cols);
  }

  /// A view of mutable elements reads as a view of constant ones.
  constexpr operator MatrixView<const T>() const noexcept requires(!std::is_const_v<T>) {
    return {data_, rows_, cols_, stride_};
  }

  constexpr T* data() const noexcept { return data_; }
  constexpr std::size_t rows() const noexcept { return rows_; }
  constexpr std::size_t cols() const noexcept { return cols_; }
  constexpr std::size_t stride() const noexcept { return stride_; }
  constexpr std::size_t size() const noexcept { return rows_ * cols_; }
  constexpr bool empty() const noexcept { return size() == 0; }
  constexpr bool contiguous() const noexcept { return stride_ == cols_ || rows_ <= 1; }

  constexpr T& operator()(std::size_t i, std::size_t j) const noexcept {
    TESSERA_ASSERT(light, i < rows_ && j < cols_);
    return data_[i * stride_ + j];
  }
  constexpr std::span<T> row(std::size_t i) const noexcept {
    TESSERA_ASSERT(light, i < rows_);
    return {data_ + i * stride_, cols_};
  }

  /// Rows [first, first + count), sharing the elements.
  constexpr MatrixView middle_rows(std::size_t first, std::size_t count) const noexcept {
    TESSERA_ASSERT(light, first + count <= rows_);
    return {data_ + first * stride_, count, cols_, stride_};
  }
  /// Columns [first, first + count), sharing the elements.
  constexpr MatrixView middle_cols(std::size_t first, std::size_t count) const noexcept {
    TESSERA_ASSERT(light, first + count <= cols_);
    return {data_ + first, rows_, count, stride_};
  }

 private:
  T* data_ = nullptr;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t stride_ = 0;
};

}  // namespace tessera
