// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(TESSERA_HAS_ZLIB)
#include <zlib.h>
#endif

#include "tessera/io/atomic_file.hpp"

namespace tessera::io {

/// Whether text files are written with gzip, and so end in ".gz".
#if defined(TESSERA_HAS_ZLIB)
inline constexpr bool kWritesGzip = true;
#else
inline constexpr bool kWritesGzip = false;
#endif

/// A text file that appears whole on commit, compressed where the library has zlib: `path` gets the suffix ".gz" then.
///
/// Errors   FormatError GEN-01, GEN-04
class TextFile {
 public:
  explicit TextFile(std::filesystem::path path) : file_(kWritesGzip ? path += ".gz" : path) {
#if defined(TESSERA_HAS_ZLIB)
    constexpr int kGzip = 16;
    constexpr int kMemory = 8;
    if (::deflateInit2(&stream_, kLevel, Z_DEFLATED, MAX_WBITS + kGzip, kMemory, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
      throw std::bad_alloc();
    }
    packed_.resize(kBuffer);
#endif
    text_.reserve(kBuffer + 4096);
  }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;
#if defined(TESSERA_HAS_ZLIB)
  ~TextFile() { ::deflateEnd(&stream_); }
#endif

  /// Where to append; call `pass` now and then.
  std::string& text() noexcept { return text_; }
  /// Hands the text on once there is enough of it.
  void pass() {
    if (text_.size() >= kBuffer) push(false);
  }
  void commit() {
    push(true);
    file_.commit();
  }

 private:
  static constexpr std::size_t kBuffer = std::size_t{1} << 18;
  static constexpr int kLevel = 6;

  void push([[maybe_unused]] bool last) {
#if defined(TESSERA_HAS_ZLIB)
    stream_.next_in = reinterpret_cast<Bytef*>(text_.data());
    stream_.avail_in = static_cast<uInt>(text_.size());
    do {
      stream_.next_out = packed_.data();
      stream_.avail_out = static_cast<uInt>(packed_.size());
      ::deflate(&stream_, last ? Z_FINISH : Z_NO_FLUSH);
      file_.write(std::as_bytes(std::span(packed_.data(), packed_.size() - stream_.avail_out)));
    } while (stream_.avail_out == 0);
#else
    file_.write(text_);
#endif
    text_.clear();
  }

  AtomicFile file_;
  std::string text_;
#if defined(TESSERA_HAS_ZLIB)
  z_stream stream_{};
  std::vector<Bytef> packed_;
#endif
};

}  // namespace tessera::io
