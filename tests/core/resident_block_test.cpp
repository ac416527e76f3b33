// SPDX-License-Identifier: MIT
#include "tessera/core/resident_block.hpp"

#include <cstring>
#include <vector>

#include "support/catch.hpp"

using namespace tessera;

namespace {

/// Puts large blocks elsewhere, as a SpillScope does.
struct Elsewhere final : BufferPool::LargeBlocks {
  std::vector<std::byte> memory = std::vector<std::byte>(1 << 20);
  std::size_t asked = 0;
  std::byte* acquire(std::size_t) override {
    ++asked;
    return memory.data();
  }
  bool release(BufferPool::Block block) noexcept override { return block.data == memory.data(); }
};

}  // namespace

TEST_CASE("A resident block is memory of its own while large matrices lie elsewhere", "[resident]") {
  constexpr std::size_t kBytes = 300'000;
  CHECK(ResidentBlock::limit() == 0);
  CHECK(ResidentBlock::held() == 0);
  Elsewhere elsewhere;
  const std::size_t before = BufferPool::global().stats().held_bytes;
  BufferPool::global().set_large_blocks(&elsewhere, 1 << 16);
  {
    const ResidentBlock one(kBytes);
    CHECK(ResidentBlock::held() >= kBytes);
    const std::size_t held = ResidentBlock::held();
    {
      const ResidentBlock two(kBytes);
      CHECK(ResidentBlock::held() == 2 * held);
      CHECK(two.data() != one.data());
      std::memset(two.data(), 1, kBytes);
    }
    CHECK(ResidentBlock::held() == held);
    std::memset(one.data(), 2, kBytes);
    CHECK(one.data()[kBytes - 1] == std::byte{2});
  }
  BufferPool::global().set_large_blocks(nullptr, BufferPool::kNoLargeBlocks);
  CHECK(elsewhere.asked == 0);
  CHECK(ResidentBlock::held() == 0);
  CHECK(BufferPool::global().stats().held_bytes == before);
  ResidentBlock::set_limit(77);
  CHECK(ResidentBlock::limit() == 77);
  ResidentBlock::set_limit(0);
}
