// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tessera/io/file_error.hpp"
#include "tessera/io/mapped_file.hpp"

namespace tessera::io {

/// A file that appears whole or not at all: written under a temporary name beside its own, flushed to the
/// disk, then renamed.
///
/// Without `commit` the destructor removes the temporary file and the old file, if any, stays as it was;
/// readers that have the old one mapped keep it in any case.
/// Errors   FormatError GEN-04 (system error), GEN-01 (no such folder)
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
    static std::atomic<std::uint64_t> counter{0};
    temporary_ = path_;
    temporary_ += message(".tmp-", static_cast<std::int64_t>(::getpid()), "-", counter++);
    fd_ = detail::Descriptor(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd_) fail_system(path_, "create", errno);
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    fd_.close();
    if (!committed_) ::unlink(temporary_.c_str());
  }

  /// Appends; small pieces are gathered first.
  void write(std::span<const std::byte> bytes) {
    constexpr std::size_t kBuffer = std::size_t{1} << 16;
    written_ += bytes.size();
    if (buffer_.size() + bytes.size() > kBuffer) flush();
    if (bytes.size() > kBuffer) {
      write_through(bytes);
    } else {
      buffer_.append(detail::as_text(bytes));
    }
  }
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Replaces bytes written before, e.g. a header that could not be known yet.
  void overwrite(std::uint64_t offset, std::span<const std::byte> bytes) {
    flush();
    while (!bytes.empty()) {
      const ssize_t put = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail_system(temporary_, "write", errno);
      offset += static_cast<std::uint64_t>(put);
      bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
  }

  /// Bytes appended so far.
  std::uint64_t size() const noexcept { return written_; }

  /// Makes the file durable and gives it its name. Nothing may be written afterwards.
  void commit() {
    flush();
    if (::fsync(fd_.get()) != 0) fail_system(temporary_, "flush", errno);
    fd_.close();
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail_system(path_, "replace", errno);
    committed_ = true;
    const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
    const detail::Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory) ::fsync(directory.get());  // some file systems cannot; the rename itself has happened
  }

 private:
  void flush() {
    write_through(std::as_bytes(std::span(buffer_)));
    buffer_.clear();
  }
  void write_through(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::write(fd_.get(), bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail_system(temporary_, "write", errno);
      bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
  }

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  detail::Descriptor fd_;
  std::string buffer_;
  std::uint64_t written_ = 0;
  bool committed_ = false;
};

/// Replaces the file by `text`, whole or not at all; see AtomicFile.
inline void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace tessera::io
