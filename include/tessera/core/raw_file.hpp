// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tessera/core/error.hpp"

// Files that are read and written in place: positional writes whose failures (a full disk, too) are exceptions,
// and mappings.

namespace tessera::detail {

[[noreturn]] inline void fail_file(const std::filesystem::path& path, std::string_view doing, int error) {
  throw FormatError(error == ENOENT ? "GEN-01" : "GEN-04", path.string(),
                    message("cannot ", doing, ": ", std::generic_category().message(error)));
}

/// A file descriptor open for positional reads and writes.
class RawFile {
 public:
  RawFile() = default;
  RawFile(std::filesystem::path path, int flags) : path_(std::move(path)) {
    fd_ = ::open(path_.c_str(), flags | O_CLOEXEC, 0644);
    if (fd_ < 0) fail_file(path_, "open", errno);
  }
  RawFile(RawFile&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  RawFile& operator=(RawFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~RawFile() {
    if (fd_ >= 0) ::close(fd_);
  }

  const std::filesystem::path& path() const noexcept { return path_; }
  int fd() const noexcept { return fd_; }
  std::uint64_t size() const {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) fail_file(path_, "inspect", errno);
    return static_cast<std::uint64_t>(info.st_size);
  }

  void write_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t put = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail_file(path_, "write", errno);
      bytes = bytes.subspan(static_cast<std::size_t>(put));
      offset += static_cast<std::uint64_t>(put);
    }
  }
  /// False where the file ends before `bytes` is full.
  bool read_at(std::uint64_t offset, std::span<std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t got = ::pread(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_file(path_, "read", errno);
      if (got == 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(got));
      offset += static_cast<std::uint64_t>(got);
    }
    return true;
  }
  /// Takes the room now, so that a full disk is found before hours of work; file systems that cannot reserve
  /// just get the length.
  void reserve(std::uint64_t bytes) const {
    const int error = ::posix_fallocate(fd_, 0, static_cast<off_t>(bytes));
    if (error == ENOSPC || error == EFBIG || error == EDQUOT)
      fail_file(path_, message("reserve ", bytes, " bytes"), error);
    if (error != 0 && ::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) fail_file(path_, "enlarge", errno);
  }
  /// Lets the disk begin with bytes that were written, without waiting for it; advice only.
  void start_writing([[maybe_unused]] std::uint64_t offset,
                     [[maybe_unused]] std::uint64_t bytes) const noexcept {
#if defined(SYNC_FILE_RANGE_WRITE)
    static_cast<void>(::sync_file_range(fd_, static_cast<off64_t>(offset), static_cast<off64_t>(bytes),
                                        SYNC_FILE_RANGE_WRITE));
#endif
  }
  void sync() const {
    if (::fdatasync(fd_) != 0) fail_file(path_, "flush", errno);
  }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

/// Gives a finished file its name, durably.
inline void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  if (error) fail_file(to, "replace", error.value());
  const std::filesystem::path folder = to.has_parent_path() ? to.parent_path() : ".";
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    ::fsync(fd);  // some file systems cannot; the rename itself has happened
    ::close(fd);
  }
}

/// The first `bytes` of a file, mapped for reading and writing. They must be reserved: writing to a hole of a full disk
/// kills the process.
class WritableMapping {
 public:
  WritableMapping() = default;
  WritableMapping(const RawFile& file, std::size_t bytes) : size_(bytes) {
    if (size_ == 0) return;
    void* const at = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
    if (at == MAP_FAILED) fail_file(file.path(), "map", errno);
    data_ = static_cast<std::byte*>(at);
  }
  WritableMapping(WritableMapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  WritableMapping& operator=(WritableMapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~WritableMapping() {
    if (data_ != nullptr) ::munmap(data_, size_);
  }

  std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  /// Gives the pages back to the system; their content stays in the file.
  void release_pages() const noexcept {
    if (data_ != nullptr) ::madvise(data_, size_, MADV_DONTNEED);
  }
  /// Waits until what was written is on the disk.
  void flush(const RawFile& file) const {
    if (data_ != nullptr && ::msync(data_, size_, MS_SYNC) != 0) fail_file(file.path(), "flush", errno);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The bytes of a file, mapped read-only.
class Mapping {
 public:
  Mapping() = default;
  explicit Mapping(const RawFile& file) : size_(static_cast<std::size_t>(file.size())) {
    if (size_ == 0) return;
    void* const at = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.fd(), 0);
    if (at == MAP_FAILED) fail_file(file.path(), "map", errno);
    data_ = static_cast<const std::byte*>(at);
  }
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  }

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  /// How the bytes will be read; advice only.
  void advise(bool sequential) const noexcept {
    if (data_ != nullptr)
      ::madvise(const_cast<std::byte*>(data_), size_, sequential ? MADV_SEQUENTIAL : MADV_RANDOM);
  }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tessera::detail
