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
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/limits.hpp"

namespace tessera::io {

namespace detail {

/// Owns a POSIX file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Descriptor() { close(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  void close() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

inline Descriptor open_for_reading(const std::filesystem::path& path) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) fail_system(path, "open", errno);
  return fd;
}

}  // namespace detail

/// How the bytes of a mapped file will be visited; advice to the operating system.
enum class Access { sequential, random };

/// The bytes of a file, read-only: mapped where the system can, read into memory where it cannot.
///
/// The size is taken once, on opening. A file that another process shortens while it is mapped raises
/// SIGBUS on access; pass `.map = false` for files on network systems that may do so.
/// Cost     O(1) when mapped
/// Errors   FormatError GEN-01 (no such file), GEN-02 (a folder), GEN-03 (larger than the limit, when
///          read), GEN-04 (system error)
class MappedFile {
 public:
  struct Options {
    Access access = Access::sequential;
    bool map = true;  ///< false: read everything into memory
    std::uint64_t max_bytes = Limits{}.max_bytes;
  };

  MappedFile() = default;
  explicit MappedFile(std::filesystem::path path) : MappedFile(std::move(path), Options{}) {}
  MappedFile(std::filesystem::path path, const Options& options) : path_(std::move(path)) {
    const detail::Descriptor fd = detail::open_for_reading(path_);
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) fail_system(path_, "inspect", errno);
    if (S_ISDIR(info.st_mode)) Place(path_).fail("GEN-02", "this is a folder, want a file");
    const auto size = static_cast<std::size_t>(info.st_size);
    // Pipes have no size, and files the kernel makes up (/proc) say 0: both are read to their end.
    if (!options.map || !S_ISREG(info.st_mode) || size == 0 || !map(fd.get(), size, options.access)) {
      read_all(fd.get(), S_ISREG(info.st_mode) ? size : 0, options.max_bytes);
    }
  }
  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)),
        copy_(std::move(other.copy_)),
        mapping_(std::exchange(other.mapping_, nullptr)),
        bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    if (this != &other) {
      unmap();
      path_ = std::move(other.path_);
      copy_ = std::move(other.copy_);
      mapping_ = std::exchange(other.mapping_, nullptr);
      bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
  }
  ~MappedFile() { unmap(); }

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return bytes_.size(); }
  const std::filesystem::path& path() const noexcept { return path_; }
  /// Asks the system to bring the whole file into memory, unless it would fill half of it; advice only.
  void read_ahead() const noexcept {
    if (mapping_ != nullptr && bytes_.size() <= Limits{}.max_bytes / 2)
      ::madvise(mapping_, bytes_.size(), MADV_WILLNEED);
  }
  /// Whether the bytes are the file's own pages rather than a copy.
  bool mapped() const noexcept { return mapping_ != nullptr; }

 private:
  bool map(int fd, std::size_t size, Access access) noexcept {
    void* at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) return false;
    ::madvise(at, size, access == Access::random ? MADV_RANDOM : MADV_SEQUENTIAL);  // advice only
    mapping_ = at;
    bytes_ = {static_cast<const std::byte*>(at), size};
    return true;
  }

  void read_all(int fd, std::size_t expected, std::uint64_t limit) {
    constexpr std::size_t kChunk = std::size_t{1} << 20;
    require_within(Place(path_), expected, limit);
    copy_.resize(expected + 1);  // one more, so that the end shows without growing
    std::size_t have = 0;
    for (;;) {
      if (have == copy_.size()) {
        require_within(Place(path_), have + kChunk, limit);
        copy_.resize(2 * have + kChunk);
      }
      const ssize_t got = ::read(fd, copy_.data() + have, copy_.size() - have);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_system(path_, "read", errno);
      if (got == 0) break;
      have += static_cast<std::size_t>(got);
    }
    copy_.resize(have);
    bytes_ = copy_.span();
  }

  void unmap() noexcept {
    if (mapping_ != nullptr) ::munmap(std::exchange(mapping_, nullptr), bytes_.size());
  }

  std::filesystem::path path_;
  Array<std::byte> copy_;
  void* mapping_ = nullptr;
  std::span<const std::byte> bytes_;
};

}  // namespace tessera::io
