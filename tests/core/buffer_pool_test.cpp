// SPDX-License-Identifier: MIT
#include "tessera/core/buffer_pool.hpp"

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using tessera::BufferPool;

TEST_CASE("Blocks are large enough, aligned and at most a quarter too large", "[buffer_pool]") {
  BufferPool pool;
  for (std::size_t bytes = 1; bytes < 200000; bytes = bytes * 9 / 8 + 1) {
    const BufferPool::Block block = pool.acquire(bytes);
    CHECK(block.bytes >= bytes);
    CHECK(block.bytes <= bytes + bytes / 4 + 64);
    CHECK(reinterpret_cast<std::uintptr_t>(block.data) % 64 == 0);
    std::memset(block.data, 1, block.bytes);
    pool.release(block);
  }
}

TEST_CASE("A loop that repeats its sizes asks the system once", "[buffer_pool]") {
  BufferPool pool;
  const auto bytes = GENERATE(as<std::size_t>{}, 1, 64, 65, 80, 128, 129, 1000, 70000, 5u << 20);
  for (int i = 0; i < 10; ++i) pool.release(pool.acquire(bytes));
  CHECK(pool.stats().system_allocations == 1);
  CHECK(pool.stats().used_bytes == 0);
  CHECK(pool.stats().held_bytes >= bytes);
  pool.trim();
  CHECK(pool.stats().held_bytes == 0);
}

TEST_CASE("Nothing is held for nothing", "[buffer_pool]") {
  BufferPool pool;
  const BufferPool::Block none = pool.acquire(0);
  CHECK(none.data == nullptr);
  pool.release(none);
  CHECK(pool.stats().system_allocations == 0);
}

TEST_CASE("Threads may take and give at the same time", "[buffer_pool]") {
  BufferPool pool;
  std::vector<std::thread> threads;
  for (unsigned char t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      for (std::size_t i = 0; i < 2000; ++i) {
        const BufferPool::Block block = pool.acquire(64 + (i * 37 + t) % 4000);
        std::memset(block.data, t, block.bytes);
        if (block.data[block.bytes - 1] != std::byte{t}) std::abort();
        pool.release(block);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(pool.stats().used_bytes == 0);
}
