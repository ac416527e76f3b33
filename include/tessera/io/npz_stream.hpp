// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/io/crc32.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/finite.hpp"
#include "tessera/io/inflate.hpp"
#include "tessera/io/npy_convert.hpp"
#include "tessera/io/npy_header.hpp"
#include "tessera/io/npz.hpp"
#include "tessera/io/zip.hpp"

namespace tessera::io {

/// The elements of one array of an archive, read once, front to back, without inflating the member whole.
///
/// The archive must outlive the stream. Elements come in the order of the file.
/// Cost     one buffer of 1 MiB
/// Errors   FormatError ZIP-01..05, NPY-01..06 when opened; ZIP-03 (CRC, damaged) and ZIP-04 (another size than
///          declared) by `finish`, which must be called
/// Threads  one reader at a time; different members may be read at the same time
class NpyStream {
 public:
  NpyStream(const NpzFile& npz, std::string_view key)
      : archive_(npz.archive()),
        member_(npz.member(key)),
        place_(npz.place().at(message("member '", key, "'"))),
        payload_(npz.archive().payload(member_)) {
    if (member_.method == ZipArchive::kDeflated) inflater_.emplace(payload_, place_);
    Array<std::byte> front(12);
    front.resize(take(front.span()));
    const std::size_t preamble = npy_preamble_size(front, place_, npz.archive().limits());
    const std::size_t have = front.size();
    front.resize(std::max(have, preamble));
    if (preamble > have) front.resize(have + take(front.span().subspan(have)));
    header_ = parse_npy_header(front, place_, npz.archive().limits());
    const std::uint64_t needed = header_.data_offset + header_.data_bytes;
    if (needed != member_.size || front.size() > needed) {
      place_.fail("ZIP-04", "shape ", shape_text(header_.shape), " of ", header_.type.descr, " needs ",
                  grouped(needed), " bytes, the directory declares ", grouped(member_.size));
    }
    left_ = header_.count;
  }
  NpyStream(const NpyStream&) = delete;
  NpyStream& operator=(const NpyStream&) = delete;

  const NpyHeader& header() const noexcept { return header_; }
  const Place& place() const noexcept { return place_; }

  /// The next out.size() elements, each in [lowest, highest]; on_bad(position in this call's, value) must throw.
  ///
  /// Errors   FormatError NPY-04 (not integers), ZIP-04 if there are not so many
  template <class T, class OnBad>
  void integers(std::span<T> out, T lowest, T highest, OnBad&& on_bad) {
    std::size_t at = 0;
    pieces(out.size(), [&](const std::byte* data, std::size_t count) {
      detail::with_integers(header_.type, data, place_, [&](const auto element) {
        for (std::size_t k = 0; k < count; ++k, ++at) {
          const auto value = element(k);
          if (std::cmp_less(value, lowest) || std::cmp_greater(value, highest)) on_bad(at, message(value));
          out[at] = static_cast<T>(value);
        }
      });
    });
  }

  /// Hands the next `count` elements as floats to body(span) piece by piece.
  ///
  /// Errors   FormatError NPY-04 (text), ZIP-04 if there are not so many
  template <class F>
  void floats(std::size_t count, F&& body) {
    std::vector<float> piece;
    pieces(count, [&](const std::byte* data, std::size_t size) {
      piece.resize(size);
      detail::with_numbers(header_.type, data, place_, [&](const auto element) {
        for (std::size_t k = 0; k < size; ++k) piece[k] = static_cast<float>(element(k));
      });
      body(std::span<const float>(piece));
    });
  }

  /// Reads what is left and checks the whole member against its CRC.
  void finish() {
    pieces(static_cast<std::size_t>(left_), [](const std::byte*, std::size_t) {});
    std::byte more{};
    if (inflater_ && inflater_->read({&more, 1}) != 0) {
      place_.fail("ZIP-04", "inflates beyond its declared ", grouped(member_.size), " bytes");
    }
    archive_.require_crc(member_, crc_);
  }

 private:
  static constexpr std::size_t kPiece = std::size_t{1} << 20;

  std::size_t take(std::span<std::byte> out) {
    std::size_t got = 0;
    if (inflater_) {
      got = inflater_->read(out);
    } else {
      got = std::min(out.size(), payload_.size());
      std::copy_n(payload_.begin(), got, out.begin());
      payload_ = payload_.subspan(got);
    }
    crc_ = crc32(out.first(got), crc_);
    return got;
  }

  template <class F>
  void pieces(std::size_t count, F&& body) {
    const std::size_t width = header_.type.size;
    if (count > left_) place_.fail("ZIP-04", "has ", grouped(left_), " elements left, want ", grouped(count));
    while (count > 0) {
      const std::size_t now = std::min(count, std::max<std::size_t>(1, kPiece / width));
      buffer_.resize(now * width);
      const std::size_t got = take(buffer_.span());
      if (got < buffer_.size()) {
        place_.fail("ZIP-04", "inflates to less than its declared ", grouped(member_.size), " bytes");
      }
      const bool swap =
          header_.type.big_endian && width > 1 && header_.type.kind != 'S' && header_.type.kind != 'U';
      for (std::size_t k = 0; swap && k < now; ++k) {
        std::reverse(buffer_.begin() + k * width, buffer_.begin() + (k + 1) * width);
      }
      body(buffer_.data(), now);
      count -= now;
      left_ -= now;
    }
  }

  const ZipArchive& archive_;
  const ZipMember& member_;
  Place place_;
  std::span<const std::byte> payload_;
  std::optional<detail::Inflater> inflater_;
  NpyHeader header_;
  std::uint64_t left_ = 0;
  std::uint32_t crc_ = 0;
  Array<std::byte> buffer_;
};

/// A two-dimensional array of an archive as float, without a second copy of it where it is compressed.
///
/// Shapes   (N, F) -> [N, F]
/// Errors   as to_matrix and NpyStream
inline Tensor<float> stream_matrix(const NpzFile& npz, std::string_view key, NanPolicy nan,
                                   std::vector<std::string>* warnings = nullptr) {
  const Limits& limits = npz.archive().limits();
  const bool stored = npz.member(key).method == ZipArchive::kStored;
  if (!stored) {
    NpyStream stream(npz, key);
    const NpyHeader& header = stream.header();
    if (header.rank() == 2 && !header.fortran_order) {
      require_within(stream.place(), saturating_product(header.count, sizeof(float)), limits.max_bytes);
      Tensor<float> out(header.shape[0], header.shape[1]);
      bool finite = true;
      std::size_t row = 0;
      std::size_t col = 0;
      stream.floats(header.count, [&](std::span<const float> values) {
        finite = finite && count_not_finite(values) == 0;
        while (!values.empty()) {
          const std::size_t now = std::min(values.size(), out.cols() - col);
          std::copy_n(values.begin(), now, out.row(row).begin() + static_cast<std::ptrdiff_t>(col));
          values = values.subspan(now);
          col += now;
          row += col == out.cols() ? 1u : 0u;
          col = col == out.cols() ? 0 : col;
        }
      });
      stream.finish();
      if (finite) return out;
    }
  }
  return to_matrix(npz.read(key), nan, warnings,
                   limits);  // in place, transposed, or with something to report
}

}  // namespace tessera::io
