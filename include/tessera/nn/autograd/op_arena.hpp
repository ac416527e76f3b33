// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/assert.hpp"

namespace tessera::detail {

/// Memory for the operators of one tape: handed out front to back, taken back all at once, never returned.
///
/// It knows no types: whoever places objects here destroys them before `rewind`.
/// Cost     O(1) per request; one pooled block per 16 KiB of operators, kept over `rewind`
class OpArena {
 public:
  /// Room for `bytes` at a multiple of `alignment` (at most 64).
  void* allocate(std::size_t bytes, std::size_t alignment) {
    TESSERA_ASSERT(light, alignment <= 64);
    for (;; ++chunk_, used_ = 0) {
      if (chunk_ == chunks_.size()) chunks_.emplace_back(std::max(kChunkBytes, bytes));
      const std::size_t begin = (used_ + alignment - 1) / alignment * alignment;
      if (begin + bytes <= chunks_[chunk_].size()) {
        used_ = begin + bytes;
        return chunks_[chunk_].data() + begin;
      }
    }
  }

  /// Starts over in the first block; everything handed out before is void.
  void rewind() noexcept {
    chunk_ = 0;
    used_ = 0;
  }

 private:
  static constexpr std::size_t kChunkBytes = std::size_t{16} << 10;

  std::vector<Array<std::byte>> chunks_;
  std::size_t chunk_ = 0;
  std::size_t used_ = 0;
};

}  // namespace tessera::detail
