// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>

#include "tessera/core/buffer_pool.hpp"

namespace tessera {

/// Memory that stays memory while a SpillScope puts large matrices into files: what an operator copies its input to
/// before it reads that in no order.
///
/// Units    bytes
/// Threads  the counters are safe to read from any thread
class ResidentBlock {
 public:
  /// The most that is to be held so; 0 where no matrices lie in files.
  static std::size_t limit() noexcept { return counters().limit.load(std::memory_order_relaxed); }
  static void set_limit(std::size_t bytes) noexcept {
    counters().limit.store(bytes, std::memory_order_relaxed);
  }
  /// Of all blocks there are.
  static std::size_t held() noexcept { return counters().held.load(std::memory_order_relaxed); }

  /// Errors   std::bad_alloc if memory is exhausted
  explicit ResidentBlock(std::size_t bytes) : block_(own_.acquire(bytes)) {
    counters().held.fetch_add(block_.bytes, std::memory_order_relaxed);
  }
  ResidentBlock(const ResidentBlock&) = delete;
  ResidentBlock& operator=(const ResidentBlock&) = delete;
  ~ResidentBlock() {
    counters().held.fetch_sub(block_.bytes, std::memory_order_relaxed);
    own_.release(block_);
  }

  std::byte* data() const noexcept { return block_.data; }

 private:
  struct Counters {
    std::atomic<std::size_t> limit{0};
    std::atomic<std::size_t> held{0};
  };
  static Counters& counters() noexcept {
    static Counters counters;
    return counters;
  }

  BufferPool own_;  // the shared pool would put the block into a file
  BufferPool::Block block_;
};

}  // namespace tessera
