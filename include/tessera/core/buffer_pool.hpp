// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "tessera/core/assert.hpp"

namespace tessera {

/// Hands out aligned blocks and keeps what is given back, so that a loop that repeats its sizes allocates
/// nothing.
///
/// Units    bytes; blocks start on 64-byte boundaries, on 2 MiB ones (advised for huge pages) from 4 MiB up
/// Cost     O(1) under one mutex; a block is at most 1/4 larger than asked for
/// Threads  every member may be called concurrently
class BufferPool {
 public:
  /// A block; `bytes` is its real capacity.
  struct Block {
    std::byte* data = nullptr;
    std::size_t bytes = 0;
  };

  struct Stats {
    std::uint64_t system_allocations =
        0;                       ///< times the operating system was asked, since the program started
    std::size_t held_bytes = 0;  ///< in use or kept for reuse
    std::size_t used_bytes = 0;  ///< in use
  };

  /// Another place for large blocks, such as a file.
  struct LargeBlocks {
    virtual ~LargeBlocks() = default;
    /// A block of exactly `bytes`; throws where there is no room.
    virtual std::byte* acquire(std::size_t bytes) = 0;
    /// False if the block is not from here.
    virtual bool release(Block block) noexcept = 0;
  };
  /// Takes blocks of at least `from` bytes from `place` until told otherwise; with kNoLargeBlocks none are, but those
  /// that are out still return there. The place must outlive its blocks.
  void set_large_blocks(LargeBlocks* place, std::size_t from) noexcept {
    const std::lock_guard lock(mutex_);
    large_ = place;
    large_from_ = from;
  }
  static constexpr std::size_t kNoLargeBlocks = static_cast<std::size_t>(-1);

  /// The pool all tensors share. It is never destroyed: tensors of static lifetime may outlive everything
  /// else.
  static BufferPool& global() {
    static BufferPool* const pool = new BufferPool;
    return *pool;
  }

  BufferPool() = default;
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool() { trim(); }

  /// A block of at least `bytes` with unspecified content; no block for 0.
  ///
  /// Errors   std::bad_alloc if memory is exhausted
  Block acquire(std::size_t bytes) {
    if (bytes == 0) return {};
    const int size_class = class_of(bytes);
    const std::size_t capacity = class_bytes(size_class);
    LargeBlocks* large = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (capacity >= large_from_) large = large_;
    }
    if (large != nullptr) return {large->acquire(capacity), capacity};
    {
      const std::lock_guard lock(mutex_);
      stats_.used_bytes += capacity;
      if (Link* link = free_[static_cast<std::size_t>(size_class)]) {
        unpoison(link, capacity);
        free_[static_cast<std::size_t>(size_class)] = link->next;
        return {reinterpret_cast<std::byte*>(link), capacity};
      }
      ++stats_.system_allocations;
      stats_.held_bytes += capacity;
    }
    void* data = system_allocate(capacity);
    if (data == nullptr) {
      const std::lock_guard lock(mutex_);
      stats_.used_bytes -= capacity;
      stats_.held_bytes -= capacity;
      throw std::bad_alloc();
    }
    return {static_cast<std::byte*>(data), capacity};
  }

  /// Takes back a block that `acquire` returned.
  void release(Block block) noexcept {
    if (block.data == nullptr) return;
    const auto size_class = static_cast<std::size_t>(class_of(block.bytes));
    TESSERA_ASSERT(light, class_bytes(static_cast<int>(size_class)) == block.bytes);
    const std::lock_guard lock(mutex_);
    if (large_ != nullptr && large_->release(block)) return;
    stats_.used_bytes -= block.bytes;
    Link* link = ::new (block.data) Link{free_[size_class]};
    free_[size_class] = link;
    poison(link, block.bytes);
  }

  /// Returns everything that is not in use to the operating system.
  void trim() noexcept {
    const std::lock_guard lock(mutex_);
    for (std::size_t c = 0; c < kClasses; ++c) {
      const std::size_t bytes = class_bytes(static_cast<int>(c));
      while (Link* link = free_[c]) {
        unpoison(link, bytes);
        free_[c] = link->next;
        stats_.held_bytes -= bytes;
        system_free(link, bytes);
      }
    }
  }

  Stats stats() const {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  struct Link {
    Link* next;
  };

  static constexpr std::size_t kAlignment = 64;
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
  static constexpr std::size_t kHugeFrom = std::size_t{4} << 20;
  static constexpr std::size_t kClasses = 4 * 58;  // four steps per power of two, 64 bytes up to 2^63

  // Class 4k + s holds 64 * 2^k * (4 + s) / 4 bytes: four steps per doubling waste at most a quarter.
  static int class_of(std::size_t bytes) noexcept {
    bytes =
        (bytes + kAlignment - 1) / kAlignment * kAlignment;  // so that class_of(class_bytes(c)) is one class
    if (bytes <= kAlignment) return 0;
    const int exponent =
        static_cast<int>(std::bit_width(bytes - 1)) - 1;  // 2^exponent <= bytes - 1 < 2^(exponent + 1)
    const int step = static_cast<int>(((bytes - 1) >> (exponent - 2)) & 3) + 1;
    return 4 * (exponent - 6) + step;
  }
  static std::size_t class_bytes(int size_class) noexcept {
    const std::size_t bytes = (kAlignment / 4 * static_cast<std::size_t>(4 + size_class % 4))
                              << (size_class / 4);
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  static void* system_allocate(std::size_t bytes) noexcept {
    const bool huge = bytes >= kHugeFrom;
    const std::size_t alignment = huge ? kHugePage : kAlignment;
    void* data = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (huge && data != nullptr) ::madvise(data, bytes, MADV_HUGEPAGE);  // advice: failing costs speed only
#endif
    return data;
  }
  static void system_free(void* data, std::size_t) noexcept { std::free(data); }

  static void poison([[maybe_unused]] Link* link, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__SANITIZE_ADDRESS__)
    // The link stays readable: the leak checker follows it to the blocks behind.
    __asan_poison_memory_region(link + 1, bytes - sizeof(Link));
#endif
  }
  static void unpoison([[maybe_unused]] Link* link, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(link, bytes);
#endif
  }

  mutable std::mutex mutex_;
  std::array<Link*, kClasses> free_{};
  Stats stats_;
  LargeBlocks* large_ = nullptr;
  std::size_t large_from_ = kNoLargeBlocks;
};

}  // namespace tessera
