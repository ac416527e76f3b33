// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tessera/io/file_error.hpp"

namespace tessera::io {

/// Bytes read once, front to back: a file, or text in memory.
///
/// Errors   FormatError GEN-01 (no such file), GEN-02 (a folder), GEN-04 (system error)
/// Threads  one reader at a time
class ByteSource {
 public:
  static ByteSource file(const std::filesystem::path& path) {
    ByteSource source(path.string());
    source.file_.reset(std::fopen(path.c_str(), "rb"));
    if (!source.file_) fail_system(path, "open", errno);
    std::setvbuf(source.file_.get(), nullptr, _IONBF, 0);  // the reader has a buffer of its own
    return source;
  }
  /// `bytes` must outlive the source; `name` stands for the path in messages.
  static ByteSource memory(std::string_view bytes, std::string name) {
    ByteSource source(std::move(name));
    source.rest_ = bytes;
    return source;
  }

  /// Fills `out` from the front and returns how many bytes there were; 0 means the end.
  std::size_t read(std::span<char> out) {
    if (!file_) {
      const std::size_t count = std::min(out.size(), rest_.size());
      if (count != 0) std::memcpy(out.data(), rest_.data(), count);
      rest_.remove_prefix(count);
      return count;
    }
    const std::size_t count = std::fread(out.data(), 1, out.size(), file_.get());
    if (count == 0 && std::ferror(file_.get())) {
      if (errno == EISDIR) Place(name_).fail("GEN-02", "this is a folder, want a file");
      fail_system(name_, "read", errno);
    }
    return count;
  }

  const std::string& name() const noexcept { return name_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };

  explicit ByteSource(std::string name) : name_(std::move(name)) {}

  std::string name_;
  std::unique_ptr<std::FILE, Close> file_;
  std::string_view rest_;
};

}  // namespace tessera::io
