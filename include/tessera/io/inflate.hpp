// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <utility>

#if defined(TESSERA_HAS_ISAL)
#include <isa-l/igzip_lib.h>
#elif defined(TESSERA_HAS_ZLIB)
#include <zlib.h>
#endif

#include "tessera/io/file_error.hpp"

namespace tessera::io {

/// Whether compressed files can be read: the library was built with ISA-L or zlib.
#if defined(TESSERA_HAS_ISAL) || defined(TESSERA_HAS_ZLIB)
inline constexpr bool kReadsDeflate = true;
#else
inline constexpr bool kReadsDeflate = false;
#endif

/// Whether these are the first bytes of a gzip file.
inline bool is_gzip(std::span<const std::byte> bytes) noexcept {
  return detail::as_text(bytes).starts_with("\x1F\x8B");
}

namespace detail {

/// What stands around compressed data: nothing (RFC 1951), or the header and checksum of gzip (RFC 1952).
enum class Wrapper { none, gzip };

/// One call of a decompressor: how far it came, and what is wrong if anything is.
struct InflateStep {
  std::size_t read = 0;
  std::size_t written = 0;
  bool ended = false;
  const char* damage = nullptr;
};

#if defined(TESSERA_HAS_ISAL)

/// ISA-L's igzip: two to three times as fast as zlib.
class InflateEngine {
 public:
  explicit InflateEngine(Wrapper wrapper)
      : state_(std::make_unique<inflate_state>()),
        flag_(wrapper == Wrapper::gzip ? ISAL_GZIP : ISAL_DEFLATE) {
    reset();
  }

  void reset() noexcept {
    ::isal_inflate_init(state_.get());
    state_->crc_flag = static_cast<std::uint32_t>(flag_);
  }

  InflateStep run(std::span<const std::byte> in, std::span<std::byte> out) {
    inflate_state& s = *state_;
    s.next_in = const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(in.data()));
    s.avail_in = static_cast<std::uint32_t>(in.size());
    s.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    s.avail_out = static_cast<std::uint32_t>(out.size());
    const int result = ::isal_inflate(&s);
    return {in.size() - s.avail_in, out.size() - s.avail_out, s.block_state == ISAL_BLOCK_FINISH,
            damage_of(result)};
  }

 private:
  static const char* damage_of(int result) noexcept {
    switch (result) {
      case ISAL_INVALID_BLOCK:
        return "invalid block";
      case ISAL_INVALID_SYMBOL:
        return "invalid symbol";
      case ISAL_INVALID_LOOKBACK:
        return "invalid distance";
      case ISAL_INVALID_WRAPPER:
        return "invalid header";
      case ISAL_UNSUPPORTED_METHOD:
        return "unknown compression method";
      case ISAL_INCORRECT_CHECKSUM:
        return "incorrect checksum or length";
      default:
        return result < 0 ? "no detail" : nullptr;
    }
  }

  std::unique_ptr<inflate_state> state_;
  int flag_;
};

#elif defined(TESSERA_HAS_ZLIB)

class InflateEngine {
 public:
  explicit InflateEngine(Wrapper wrapper) : stream_(new z_stream{}) {
    constexpr int kGzip = 16;
    const int bits = wrapper == Wrapper::gzip ? MAX_WBITS + kGzip : -MAX_WBITS;
    if (::inflateInit2(stream_.get(), bits) != Z_OK) throw std::bad_alloc();
  }

  void reset() noexcept { ::inflateReset(stream_.get()); }

  InflateStep run(std::span<const std::byte> in, std::span<std::byte> out) {
    z_stream& s = *stream_;
    s.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
    s.avail_in = static_cast<uInt>(in.size());
    s.next_out = reinterpret_cast<Bytef*>(out.data());
    s.avail_out = static_cast<uInt>(out.size());
    const int result = ::inflate(&s, Z_NO_FLUSH);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    InflateStep step{in.size() - s.avail_in, out.size() - s.avail_out, result == Z_STREAM_END, nullptr};
    if (result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END) {
      step.damage = s.msg == nullptr ? "no detail" : s.msg;
    }
    return step;
  }

 private:
  struct End {
    void operator()(z_stream* stream) const noexcept {
      ::inflateEnd(stream);
      delete stream;
    }
  };
  std::unique_ptr<z_stream, End> stream_;  // zlib keeps a pointer to it
};

#endif

/// Decompresses piece by piece: a raw deflate stream, or a gzip file of any number of members, each checked against
/// its checksum.
///
/// Cost     constant memory; 250 MB/s of text on one core with zlib, 700 with ISA-L
/// Errors   FormatError ZIP-03 if the data is damaged, ends early or (gzip) is followed by something else; ZIP-02 if
///          the library was built without either
/// Threads  one reader at a time
class Inflater {
 public:
#if defined(TESSERA_HAS_ISAL) || defined(TESSERA_HAS_ZLIB)
  /// `compressed` must outlive it.
  Inflater(std::span<const std::byte> compressed, Place place, Wrapper wrapper = Wrapper::none)
      : rest_(compressed), place_(std::move(place)), wrapper_(wrapper), engine_(wrapper) {}

  /// Fills `out` from the front; returns how much there was, less than out.size() only at the end.
  std::size_t read(std::span<std::byte> out) {
    constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
    std::size_t filled = 0;
    while (filled < out.size() && !ended_) {
      const std::span<std::byte> space = out.subspan(filled, std::min(out.size() - filled, kMost));
      const InflateStep step = engine_.run(rest_.first(std::min(rest_.size(), kMost)), space);
      rest_ = rest_.subspan(step.read);
      filled += step.written;
      if (step.damage != nullptr) {
        place_.fail("ZIP-03", "the compressed data is damaged (", step.damage, "); download again");
      }
      if (step.ended) {
        next_member();
      } else if (rest_.empty() && step.written < space.size()) {
        place_.fail("ZIP-03", "the compressed data ends early; download again");
      }
    }
    return filled;
  }

 private:
  void next_member() {
    ended_ = wrapper_ == Wrapper::none || rest_.empty();
    if (ended_) return;
    if (!is_gzip(rest_)) {
      place_.fail("ZIP-03", grouped(rest_.size()), " bytes after the compressed data are no gzip member");
    }
    engine_.reset();
  }

  std::span<const std::byte> rest_;
  Place place_;
  Wrapper wrapper_;
  InflateEngine engine_;
  bool ended_ = false;
#else
  Inflater(std::span<const std::byte>, const Place& place, Wrapper = Wrapper::none) {
    place.fail("ZIP-02",
               "this is compressed, and the program was built without zlib and ISA-L; build with "
               "TESSERA_WITH_ZLIB, unpack the file with gunzip, or save with numpy.savez instead of "
               "savez_compressed");
  }
  std::size_t read(std::span<std::byte>) { return 0; }
#endif
};

}  // namespace detail
}  // namespace tessera::io
