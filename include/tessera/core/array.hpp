// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include "tessera/core/assert.hpp"
#include "tessera/core/buffer_pool.hpp"

namespace tessera {

/// A growable array of plain values from the pool. Growing leaves new elements unspecified; shrinking keeps
/// the block.
///
/// Use it for the buffers of one run, which change size from batch to batch but must not allocate each time.
/// A contiguous range, so it converts to std::span by itself.
/// Units    sizes count elements; data() is 64-byte aligned
/// Threads  as a standard container
template <class T>
class Array {
  static_assert(std::is_trivially_copyable_v<T>, "Array moves its elements as bytes");

 public:
  using value_type = T;

  Array() = default;
  /// `size` unspecified elements.
  explicit Array(std::size_t size) { resize(size); }
  Array(std::size_t size, T value) {
    resize(size);
    std::fill(begin(), end(), value);
  }
  Array(Array&& other) noexcept
      : block_(std::exchange(other.block_, {})), size_(std::exchange(other.size_, 0)) {}
  Array& operator=(Array&& other) noexcept {
    if (this != &other) {
      BufferPool::global().release(block_);
      block_ = std::exchange(other.block_, {});
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  ~Array() { BufferPool::global().release(block_); }

  /// A copy of `values`; copying is never implicit.
  static Array copy_of(std::span<const T> values) {
    Array out(values.size());
    std::copy(values.begin(), values.end(), out.begin());
    return out;
  }

  /// Changes the size; the first min(old, new) elements keep their values, others are unspecified.
  void resize(std::size_t size) {
    if (size > capacity()) grow(size);
    size_ = size;
  }
  /// Changes the size and sets every element.
  void assign(std::size_t size, T value) {
    if (size > capacity()) size_ = 0;  // nothing worth moving
    resize(size);
    std::fill(begin(), end(), value);
  }
  /// Makes room for `size` elements without changing the size.
  void reserve(std::size_t size) {
    if (size > capacity()) grow(size);
  }
  void push_back(T value) {
    if (size_ == capacity()) grow(std::max<std::size_t>(16, 2 * size_));
    data()[size_++] = value;
  }
  void clear() noexcept { size_ = 0; }

  T* data() noexcept { return reinterpret_cast<T*>(block_.data); }
  const T* data() const noexcept { return reinterpret_cast<const T*>(block_.data); }
  std::size_t size() const noexcept { return size_; }
  std::size_t capacity() const noexcept { return block_.bytes / sizeof(T); }
  bool empty() const noexcept { return size_ == 0; }

  T& operator[](std::size_t i) noexcept {
    TESSERA_ASSERT(light, i < size_);
    return data()[i];
  }
  const T& operator[](std::size_t i) const noexcept {
    TESSERA_ASSERT(light, i < size_);
    return data()[i];
  }
  T* begin() noexcept { return data(); }
  T* end() noexcept { return data() + size_; }
  const T* begin() const noexcept { return data(); }
  const T* end() const noexcept { return data() + size_; }

  std::span<T> span() noexcept { return {data(), size_}; }
  std::span<const T> span() const noexcept { return {data(), size_}; }

 private:
  void grow(std::size_t capacity) {
    BufferPool::Block next = BufferPool::global().acquire(capacity * sizeof(T));
    std::copy(begin(), end(), reinterpret_cast<T*>(next.data));
    BufferPool::global().release(std::exchange(block_, next));
  }

  BufferPool::Block block_;
  std::size_t size_ = 0;
};

}  // namespace tessera
