// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <span>

#if defined(TESSERA_HAS_ZLIB)
#include <zlib.h>
#endif

#include "tessera/io/file_error.hpp"

namespace tessera::io::detail {

/// Decompresses a raw deflate stream (RFC 1951) piece by piece.
///
/// Errors   FormatError ZIP-03 if the stream is damaged or ends early, ZIP-02 if the library was built
///          without zlib
class Inflater {
 public:
#if defined(TESSERA_HAS_ZLIB)
  Inflater(std::span<const std::byte> compressed, const Place& place) : rest_(compressed), place_(place) {
    constexpr int kRaw = -MAX_WBITS;
    if (::inflateInit2(&stream_, kRaw) != Z_OK) throw std::bad_alloc();
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { ::inflateEnd(&stream_); }

  /// Fills `out` from the front; returns how much there was, less than out.size() only at the end of the
  /// stream.
  std::size_t read(std::span<std::byte> out) {
    constexpr std::size_t kMost = std::numeric_limits<uInt>::max();
    std::size_t filled = 0;
    while (filled < out.size() && !ended_) {
      const std::span<const std::byte> in = rest_.first(std::min(rest_.size(), kMost));
      const std::span<std::byte> space = out.subspan(filled, std::min(out.size() - filled, kMost));
      stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
      stream_.avail_in = static_cast<uInt>(in.size());
      stream_.next_out = reinterpret_cast<Bytef*>(space.data());
      stream_.avail_out = static_cast<uInt>(space.size());
      const int result = ::inflate(&stream_, Z_NO_FLUSH);
      rest_ = rest_.subspan(in.size() - stream_.avail_in);
      filled += space.size() - stream_.avail_out;
      if (result == Z_MEM_ERROR) throw std::bad_alloc();
      ended_ = result == Z_STREAM_END;
      if (ended_) break;
      const bool stuck = result == Z_BUF_ERROR && rest_.empty();
      if (stuck) place_.fail("ZIP-03", "the compressed data ends early; download again");
      if (result != Z_OK && result != Z_BUF_ERROR) {
        place_.fail("ZIP-03", "the compressed data is damaged (",
                    stream_.msg == nullptr ? "no detail" : stream_.msg, "); download again");
      }
    }
    return filled;
  }

 private:
  z_stream stream_{};
  std::span<const std::byte> rest_;
  const Place& place_;
  bool ended_ = false;
#else
  Inflater(std::span<const std::byte>, const Place& place) {
    place.fail("ZIP-02",
               "this is compressed, and the program was built without zlib; build with "
               "TESSERA_WITH_ZLIB, or save with numpy.savez instead of savez_compressed");
  }
  std::size_t read(std::span<std::byte>) { return 0; }
#endif
};

}  // namespace tessera::io::detail
