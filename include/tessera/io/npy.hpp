// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/limits.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/npy_header.hpp"

static_assert(std::endian::native == std::endian::little, "the readers assume a little-endian processor");

namespace tessera::io {

/// One array of a .npy file or of a member of a .npz file: its header, and its elements where they lie.
///
/// The elements are little-endian (big-endian files are swapped once, into a copy), in the order of the
/// file and at any alignment; npy_convert.hpp turns them into arrays of ours.
class NpyArray {
 public:
  /// What bytes after the array mean: several arrays in one .npy file, or a damaged .npz member.
  enum class Tail { allow, refuse };

  NpyArray() = default;

  /// An array in bytes that outlive it.
  ///
  /// Errors   FormatError NPY-01..06; ZIP-04 for a tail that is refused
  static NpyArray borrow(std::span<const std::byte> bytes, Place place, Tail tail,
                         const Limits& limits = {}) {
    NpyArray out;
    out.place_ = std::move(place);
    out.open(bytes, tail, limits);
    return out;
  }
  /// An array in bytes it takes over.
  static NpyArray own(Array<std::byte> bytes, Place place, Tail tail, const Limits& limits = {}) {
    NpyArray out;
    out.place_ = std::move(place);
    out.copy_ = std::move(bytes);
    out.open(out.copy_.span(), tail, limits);
    return out;
  }
  /// An array in a mapped file it takes over.
  static NpyArray own(MappedFile file, Tail tail, const Limits& limits = {}) {
    NpyArray out;
    out.place_ = Place(file.path());
    out.file_ = std::move(file);
    out.open(out.file_.bytes(), tail, limits);
    return out;
  }

  const NpyHeader& header() const noexcept { return header_; }
  const NpyType& type() const noexcept { return header_.type; }
  std::size_t rank() const noexcept { return header_.rank(); }
  std::size_t dim(std::size_t axis) const noexcept { return static_cast<std::size_t>(header_.shape[axis]); }
  /// Elements.
  std::size_t size() const noexcept { return static_cast<std::size_t>(header_.count); }
  /// The elements, size() * type().size bytes.
  std::span<const std::byte> bytes() const noexcept { return data_; }
  /// Bytes found after the array.
  std::size_t trailing_bytes() const noexcept { return trailing_; }
  const Place& place() const noexcept { return place_; }

  /// Checks the number of dimensions; `names` says what they are, e.g. "(N, F)".
  ///
  /// Errors   FormatError NPY-07
  void require_rank(std::size_t wanted, std::string_view names) const {
    if (rank() != wanted) {
      place_.fail("NPY-07", "expected ", wanted, wanted == 1 ? " dimension " : " dimensions ", names,
                  ", found ", shape_text(header_.shape));
    }
  }

 private:
  void open(std::span<const std::byte> bytes, Tail tail, const Limits& limits) {
    header_ = parse_npy_header(bytes, place_, limits);
    const std::uint64_t have = bytes.size() - header_.data_offset;
    const std::uint64_t complete = header_.data_offset + header_.data_bytes;
    if (have < header_.data_bytes) {
      const auto percent =
          static_cast<int>(100.0 * static_cast<double>(bytes.size()) / static_cast<double>(complete));
      place_.fail("NPY-05", "shape ", shape_text(header_.shape), " of ", header_.type.descr, " needs ",
                  grouped(header_.data_bytes), " bytes at offset ", header_.data_offset, ", file has ",
                  grouped(bytes.size()), " (", percent, " %): failed to read all data for array, expected ",
                  grouped(header_.count), " elements, could only read ", grouped(have / header_.type.size),
                  ". Download again; complete file is ", grouped(complete), " bytes");
    }
    trailing_ = static_cast<std::size_t>(have - header_.data_bytes);
    if (trailing_ > 0 && tail == Tail::refuse) {
      place_.fail("ZIP-04", "shape ", shape_text(header_.shape), " of ", header_.type.descr, " needs ",
                  grouped(complete), " bytes, the member holds ", grouped(bytes.size()));
    }
    data_ = bytes.subspan(static_cast<std::size_t>(header_.data_offset),
                          static_cast<std::size_t>(header_.data_bytes));
    const std::size_t unit = header_.type.kind == 'U' ? 4 : header_.type.size;
    if (header_.type.big_endian && header_.type.kind != 'S' && unit > 1) swap_to_little(unit, limits);
  }

  void swap_to_little(std::size_t unit, const Limits& limits) {
    require_within(place_, data_.size(), limits.max_bytes);
    Array<std::byte> swapped = Array<std::byte>::copy_of(data_);
    for (std::size_t at = 0; at < swapped.size(); at += unit)
      std::reverse(swapped.data() + at, swapped.data() + at + unit);
    copy_ = std::move(swapped);
    file_ = {};
    data_ = copy_.span();
  }

  Place place_;
  NpyHeader header_;
  MappedFile file_;
  Array<std::byte> copy_;
  std::span<const std::byte> data_;
  std::size_t trailing_ = 0;
};

/// Opens a .npy file; the elements stay in the file until they are asked for.
///
/// Cost     O(1)
/// Errors   FormatError GEN-01..04, NPY-01..06
inline NpyArray read_npy(const std::filesystem::path& path, const Limits& limits = {},
                         std::vector<std::string>* warnings = nullptr) {
  NpyArray out =
      NpyArray::own(MappedFile(path, {.max_bytes = limits.max_bytes}), NpyArray::Tail::allow, limits);
  if (out.trailing_bytes() > 0 && warnings != nullptr) {
    warnings->push_back(
        out.place().warning("NPY-05", grouped(out.trailing_bytes()), " bytes after the array are ignored"));
  }
  return out;
}

}  // namespace tessera::io
