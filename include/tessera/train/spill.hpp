// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <list>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "tessera/core/buffer_pool.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/raw_file.hpp"
#include "tessera/core/resident_block.hpp"

namespace tessera {

/// While it lives, large matrices lie in mapped files instead of memory: computations stay what they are, bit for bit,
/// and the system may write their pages out.
///
/// A thread gives pages back whenever more than the budget is mapped in; they return from the page cache or the disk
/// when they are touched again. Sums over neighbours, which read rows in no order, copy some columns at a time to memory,
/// five eighths of the budget at the most. Files have no name, so a killed process leaves nothing behind.
///
///     SpillScope spill("/scratch", 2_GiB, estimate);
///     Tensor<float> y = big();
///     spill.stop();                               // from here on matrices are in memory again
///     Tensor<float> kept = Tensor<float>::copy_of(y.view());   // y must go before `spill` does
/// Units    bytes
/// Cost     page faults: 0.1 to 0.3 us per 4 KiB that comes back
/// Errors   FormatError GEN-04 naming the bytes wanted where the folder's file system has fewer than `estimate`, or
///          later where a matrix does not fit
/// Threads  one at a time in a process
class SpillScope final : BufferPool::LargeBlocks {
 public:
  SpillScope(std::filesystem::path folder, std::size_t budget, std::size_t estimate)
      : folder_(std::move(folder)), budget_(budget) {
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    const std::filesystem::space_info space = std::filesystem::space(folder_, error);
    if (error) detail::fail_file(folder_, "inspect", error.value());
    if (space.available < estimate) {
      throw FormatError("GEN-04", folder_.string(),
                        message("spilling takes about ", estimate, " bytes, ", std::uint64_t{space.available},
                                " are free. Name another folder, or raise the memory budget"));
    }
    before_ = mapped_in();
    ResidentBlock::set_limit(budget_ / 8 * 5);
    watcher_ = std::thread([this] { watch(); });
    BufferPool::global().set_large_blocks(this, kFrom);
  }
  SpillScope(const SpillScope&) = delete;
  SpillScope& operator=(const SpillScope&) = delete;
  ~SpillScope() override {
    ResidentBlock::set_limit(0);
    BufferPool::global().set_large_blocks(nullptr, BufferPool::kNoLargeBlocks);
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    wake_.notify_one();
    watcher_.join();
  }

  /// No more matrices are put here; those that are stay until they go, their pages given back once more.
  void stop() noexcept {
    BufferPool::global().set_large_blocks(this, BufferPool::kNoLargeBlocks);
    ResidentBlock::set_limit(0);
    const std::lock_guard lock(mutex_);
    for (const File& f : files_) f.mapping.release_pages();
  }

  /// Of all files, those kept for reuse included.
  std::size_t file_bytes() const {
    const std::lock_guard lock(mutex_);
    std::size_t sum = 0;
    for (const File& f : files_) sum += f.mapping.size();
    return sum;
  }

 private:
  static constexpr std::size_t kFrom = std::size_t{8} << 20;

  struct File {
    detail::RawFile file;
    detail::WritableMapping mapping;
    bool used = true;
  };

  std::byte* acquire(std::size_t bytes) override {
    {
      const std::lock_guard lock(mutex_);
      for (File& f : files_) {
        if (f.used || f.mapping.size() != bytes) continue;
        f.used = true;
        return f.mapping.data();
      }
    }
    const std::string name =
        (folder_ / message("tessera-spill-", static_cast<std::int64_t>(::getpid()), "-", count_.fetch_add(1)))
            .string();
    File made{detail::RawFile(name, O_RDWR | O_CREAT | O_EXCL), {}, true};
    ::unlink(name.c_str());
    made.file.reserve(bytes);
    made.mapping = detail::WritableMapping(made.file, bytes);
    const std::lock_guard lock(mutex_);
    files_.push_back(std::move(made));
    return files_.back().mapping.data();
  }

  bool release(BufferPool::Block block) noexcept override {
    const std::lock_guard lock(mutex_);
    for (File& f : files_) {
      if (f.mapping.data() != block.data) continue;
      f.used = false;
      f.mapping.release_pages();
      return true;
    }
    return false;
  }

  /// Bytes of files that are mapped in now; 0 where the system does not say.
  static std::size_t mapped_in() {
    unsigned long long size = 0, resident = 0, shared = 0;
    if (std::FILE* statm = std::fopen("/proc/self/statm", "r")) {
      if (std::fscanf(statm, "%llu %llu %llu", &size, &resident, &shared) != 3) shared = 0;
      std::fclose(statm);
    }
    return static_cast<std::size_t>(shared) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  }

  void watch() {
    std::unique_lock lock(mutex_);
    while (!closing_) {
      wake_.wait_for(lock, std::chrono::milliseconds(1));
      // Dropping everything costs less than asking which pages are cold.
      const std::size_t held = ResidentBlock::held();
      if (mapped_in() + held <= before_ + budget_ - budget_ / (held == 0 ? 4 : 8)) continue;
      for (const File& f : files_) f.mapping.release_pages();
    }
  }

  std::filesystem::path folder_;
  std::size_t budget_;
  std::size_t before_ = 0;
  std::atomic<std::uint64_t> count_{0};
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool closing_ = false;
  std::list<File> files_;
  std::thread watcher_;
};

}  // namespace tessera
