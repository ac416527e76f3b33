// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#if defined(TESSERA_HAS_ZLIB)
#include <zlib.h>
#endif

#include "tessera/io/atomic_file.hpp"
#include "tessera/io/crc32.hpp"
#include "tessera/io/detail/pieces.hpp"

namespace tessera::io {

/// Whether text files are written with gzip, and so end in ".gz".
#if defined(TESSERA_HAS_ZLIB)
inline constexpr bool kWritesGzip = true;
#else
inline constexpr bool kWritesGzip = false;
#endif

/// A text file that appears whole on commit, compressed where the library has zlib: `path` gets the suffix ".gz" then.
///
/// Pieces of the text are compressed by themselves and joined to one gzip member: the same rows give the same bytes.
/// Cost     80 MB/s of text per core
/// Errors   FormatError GEN-01, GEN-04
/// Threads  rows are formatted and compressed in parallel
class TextFile {
 public:
  explicit TextFile(std::filesystem::path path) : file_(kWritesGzip ? path += ".gz" : path) {
    if (kWritesGzip) file_.write(std::as_bytes(std::span(kHeader)));
  }

  /// Appends format(row, text) for every row; `rows_per_piece` of them are about a megabyte.
  template <class Format>
  void rows(std::size_t count, std::size_t rows_per_piece, Format&& format) {
#if defined(TESSERA_HAS_ZLIB)
    detail::pieces_in_order((count + rows_per_piece - 1) / rows_per_piece,
                            [&](std::size_t k) {
                              std::string text;
                              const std::size_t end = std::min(count, (k + 1) * rows_per_piece);
                              for (std::size_t row = k * rows_per_piece; row < end; ++row) format(row, text);
                              return compress(text);
                            },
                            [&](const Piece& piece) {
                              file_.write(piece.packed);
                              crc_ = static_cast<std::uint32_t>(
                                  ::crc32_combine(crc_, piece.crc, static_cast<z_off_t>(piece.bytes)));
                              bytes_ += piece.bytes;
                            });
#else
    detail::rows_in_order(count, rows_per_piece, format, [&](const std::string& text) { file_.write(text); });
#endif
  }

  void commit() {
    if (kWritesGzip) {
      file_.write(std::string_view("\x03\x00", 2));  // an empty last block
      const std::array<std::uint32_t, 2> trailer = {crc_, static_cast<std::uint32_t>(bytes_)};
      file_.write(std::as_bytes(std::span(trailer)));
    }
    file_.commit();
  }

 private:
  static constexpr std::array<unsigned char, 10> kHeader = {0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255};

#if defined(TESSERA_HAS_ZLIB)
  struct Piece {
    std::string packed;
    std::uint32_t crc = 0;
    std::size_t bytes = 0;
  };

  /// Deflate blocks that end at a byte and refer to nothing before them.
  static Piece compress(std::string& text) {
    constexpr int kFastest = 1;  // a fifth of the time of 6 for a tenth more bytes, on numbers
    constexpr int kMemory = 8;
    z_stream stream{};
    if (::deflateInit2(&stream, kFastest, Z_DEFLATED, -MAX_WBITS, kMemory, Z_DEFAULT_STRATEGY) != Z_OK) {
      throw std::bad_alloc();
    }
    Piece out;
    out.bytes = text.size();
    out.crc = crc32(std::as_bytes(std::span(text)));
    constexpr std::size_t kFlush = 16;
    out.packed.resize(::deflateBound(&stream, static_cast<uLong>(text.size())) + kFlush);
    stream.next_in = reinterpret_cast<Bytef*>(text.data());
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.packed.data());
    stream.avail_out = static_cast<uInt>(out.packed.size());
    ::deflate(&stream, Z_SYNC_FLUSH);
    out.packed.resize(out.packed.size() - stream.avail_out);
    ::deflateEnd(&stream);
    return out;
  }
#endif

  AtomicFile file_;
  std::uint32_t crc_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace tessera::io
