// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"

namespace tessera {

/// An owned row-major matrix from the pool.
///
/// Shapes   [rows, cols]. Rows of 64 bytes and more start on cache lines: the stride is rounded up to 64
/// bytes, so no
///          row shares a line with the next. Narrower rows are packed.
/// Units    extents and stride count elements
/// Cost     construction O(1) once the pool holds a block of the size; elements are unspecified until written
/// Errors   ShapeError if rows * stride * sizeof(T) does not fit 64 bits
template <Scalar T>
class Tensor {
 public:
  using value_type = T;

  Tensor() = default;
  Tensor(std::size_t rows, std::size_t cols) { resize(rows, cols); }
  Tensor(Tensor&& other) noexcept
      : data_(std::move(other.data_)),
        rows_(std::exchange(other.rows_, 0)),
        cols_(std::exchange(other.cols_, 0)),
        stride_(std::exchange(other.stride_, 0)) {}
  Tensor& operator=(Tensor&& other) noexcept {
    data_ = std::move(other.data_);
    rows_ = std::exchange(other.rows_, 0);
    cols_ = std::exchange(other.cols_, 0);
    stride_ = std::exchange(other.stride_, 0);
    return *this;
  }

  static Tensor zeros(std::size_t rows, std::size_t cols) { return filled(rows, cols, T{}); }
  static Tensor filled(std::size_t rows, std::size_t cols, T value) {
    Tensor out(rows, cols);
    out.fill(value);
    return out;
  }
  /// A copy of any view; copying is never implicit.
  static Tensor copy_of(MatrixView<const T> source) {
    Tensor out(source.rows(), source.cols());
    for (std::size_t i = 0; i < source.rows(); ++i) {
      std::copy(source.row(i).begin(), source.row(i).end(), out.row(i).begin());
    }
    return out;
  }

  /// Changes the extents and forgets the content; the block is reused when it is large enough.
  void resize(std::size_t rows, std::size_t cols) {
    constexpr std::size_t kLine = 64 / sizeof(T);
    const std::size_t stride = cols < kLine ? cols : (cols + kLine - 1) / kLine * kLine;
    std::size_t count = 0;
    std::size_t bytes = 0;
    if (stride < cols || __builtin_mul_overflow(rows, stride, &count) ||
        __builtin_mul_overflow(count, sizeof(T), &bytes)) {
      throw ShapeError(message("Tensor: [", rows, ", ", cols, "] is larger than the address space"));
    }
    data_.clear();
    data_.resize(count);
    rows_ = rows;
    cols_ = cols;
    stride_ = stride;
  }
  void fill(T value) { std::fill(data_.begin(), data_.end(), value); }

  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return cols_; }
  std::size_t stride() const noexcept { return stride_; }
  std::size_t size() const noexcept { return rows_ * cols_; }
  bool empty() const noexcept { return size() == 0; }
  T* data() noexcept { return data_.data(); }
  const T* data() const noexcept { return data_.data(); }

  T& operator()(std::size_t i, std::size_t j) noexcept { return view()(i, j); }
  const T& operator()(std::size_t i, std::size_t j) const noexcept { return view()(i, j); }
  std::span<T> row(std::size_t i) noexcept { return view().row(i); }
  std::span<const T> row(std::size_t i) const noexcept { return view().row(i); }

  MatrixView<T> view() noexcept { return {data(), rows_, cols_, stride_}; }
  MatrixView<const T> view() const noexcept { return {data(), rows_, cols_, stride_}; }
  operator MatrixView<T>() noexcept { return view(); }
  operator MatrixView<const T>() const noexcept { return view(); }

 private:
  Array<T> data_;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t stride_ = 0;
};

}  // namespace tessera
