// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

namespace examples {

/// Bytes this process has read and written so far, as the system counts them; 0 where it does not.
inline std::uint64_t bytes_moved() {
  std::uint64_t read = 0;
  std::uint64_t written = 0;
  if (std::FILE* io = std::fopen("/proc/self/io", "r")) {
    unsigned long long r = 0;
    unsigned long long w = 0;
    if (std::fscanf(io, "rchar: %llu wchar: %llu", &r, &w) == 2) {
      read = r;
      written = w;
    }
    std::fclose(io);
  }
  return read + written;
}

/// Bytes of a file, or of the files in a folder.
inline std::uint64_t bytes_at(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    const auto size = std::filesystem::file_size(path, ignored);
    return ignored ? 0 : static_cast<std::uint64_t>(size);
  }
  std::uint64_t sum = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path, ignored)) {
    if (entry.is_regular_file(ignored)) sum += static_cast<std::uint64_t>(entry.file_size(ignored));
  }
  return sum;
}

/// One step of a long job: a bar on stderr while it runs (on a terminal), a line when it is done.
class Stage {
 public:
  /// `expected` bytes will be moved, about; 0 shows the time alone.
  Stage(std::string what, std::uint64_t expected, bool quiet)
      : what_(std::move(what)), expected_(expected), quiet_(quiet), before_(bytes_moved()) {
    if (!quiet_ && ::isatty(STDERR_FILENO) != 0) watcher_ = std::thread([this] { watch(); });
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() {
    if (watcher_.joinable()) {
      {
        const std::lock_guard lock(mutex_);
        done_ = true;
      }
      wake_.notify_one();
      watcher_.join();
    }
    if (watching_) std::fprintf(stderr, "\r\033[K");
    if (!quiet_ && std::uncaught_exceptions() == 0)
      std::fprintf(stderr, "%s: %.2f s\n", what_.c_str(), seconds());
  }

  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  void watch() {
    constexpr int kWidth = 30;
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, std::chrono::milliseconds(200), [this] { return done_; })) {
      watching_ = true;
      const auto moved = static_cast<double>(bytes_moved() - before_);
      const double share = expected_ == 0 ? 0 : moved / static_cast<double>(expected_);
      std::string bar(kWidth, '.');
      for (int k = 0; k < kWidth && k < static_cast<int>(share * kWidth); ++k)
        bar[static_cast<std::size_t>(k)] = '#';
      std::fprintf(stderr, "\r%s [%s] %.0f MB, %.1f s", what_.c_str(), bar.c_str(), moved / 1e6, seconds());
      std::fflush(stderr);
    }
  }

  std::string what_;
  std::uint64_t expected_;
  bool quiet_;
  std::uint64_t before_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::atomic<bool> watching_ = false;
  std::thread watcher_;
};

}  // namespace examples
