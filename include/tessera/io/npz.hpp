// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/limits.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/io/npy_header.hpp"
#include "tessera/io/zip.hpp"

namespace tessera::io {

/// The arrays of a .npz archive, by key (the member name without ".npy").
///
/// A stored array is used where it lies in the file, so arrays must not outlive their archive.
/// Cost     opening O(members); nothing is decompressed before it is asked for, and what nobody asks for
///          (names, pickled metadata) never is
/// Errors   as ZipArchive; GEN-02 for a zip that holds folders instead of arrays
/// Threads  every member function may be called concurrently
class NpzFile {
 public:
  explicit NpzFile(const std::filesystem::path& path, const Limits& limits = {}) : zip_(path, limits) {
    list();
  }
  /// An archive in bytes that outlive it; `name` stands for the path in messages.
  NpzFile(std::span<const std::byte> bytes, std::string name, const Limits& limits = {})
      : zip_(bytes, std::move(name), limits) {
    list();
  }

  /// In alphabetical order.
  const std::vector<std::string>& keys() const noexcept { return keys_; }
  bool has(std::string_view key) const { return zip_.find(member_name(key)) != nullptr; }
  const Place& place() const noexcept { return zip_.place(); }

  /// Checks that the archive has all of `wanted`.
  ///
  /// Errors   FormatError ZIP-05, naming the first that is missing and the keys there are
  void require(std::initializer_list<std::string_view> wanted) const {
    for (const std::string_view key : wanted) {
      if (!has(key)) fail_missing(key);
    }
  }

  /// The archive, and the member that holds an array; for readers that decompress piece by piece.
  ///
  /// Errors   FormatError ZIP-05
  const ZipArchive& archive() const noexcept { return zip_; }
  const ZipMember& member(std::string_view key) const {
    const ZipMember* member = zip_.find(member_name(key));
    if (member == nullptr) fail_missing(key);
    return *member;
  }

  /// One array.
  ///
  /// Errors   FormatError ZIP-05 (no such key), ZIP-01..04, NPY-01..06, GEN-03
  NpyArray read(std::string_view key) const {
    const ZipMember* member = zip_.find(member_name(key));
    if (member == nullptr) fail_missing(key);
    const Place part = place().at(message("member '", key, "'"));
    if (member->method == ZipArchive::kStored) {
      return NpyArray::borrow(zip_.view(*member), part, NpyArray::Tail::refuse, zip_.limits());
    }
    require_honest_size(*member, part);
    return NpyArray::own(zip_.read(*member), part, NpyArray::Tail::refuse, zip_.limits());
  }

  /// Several arrays, decompressed at the same time; their declared sizes together must respect the limit.
  std::vector<NpyArray> read(std::initializer_list<std::string_view> wanted) const {
    require(wanted);
    std::uint64_t total = 0;
    for (const std::string_view key : wanted) {
      const std::uint64_t size = zip_.find(member_name(key))->size;
      if (__builtin_add_overflow(total, size, &total)) total = ~std::uint64_t{0};
    }
    require_within(place(), total, zip_.limits().max_bytes);
    std::vector<NpyArray> out(wanted.size());
    parallel_blocks(wanted.size(), [&](std::size_t i) { out[i] = read(wanted.begin()[i]); });
    return out;
  }

 private:
  static constexpr std::string_view kSuffix = ".npy";

  static std::string member_name(std::string_view key) { return std::string(key).append(kSuffix); }

  void list() {
    bool folders = false;
    for (const ZipMember& member : zip_.members()) {
      if (member.name.ends_with(kSuffix))
        keys_.push_back(member.name.substr(0, member.name.size() - kSuffix.size()));
      folders |= member.name.ends_with('/');
    }
    if (folders) place().fail("GEN-02", "this is the download archive, extract it first");
  }

  [[noreturn]] void fail_missing(std::string_view key) const {
    constexpr std::size_t kShown = 20;
    std::string have;
    for (std::size_t i = 0; i < std::min(kShown, keys_.size()); ++i) have += (i == 0 ? "" : ", ") + keys_[i];
    if (keys_.size() > kShown) have += message(", and ", keys_.size() - kShown, " more");
    place().fail("ZIP-05", "needs '", key, "'; archive has: ", keys_.empty() ? "no arrays" : have);
  }

  /// Compares the directory with the array's own header before anything of that size is allocated:
  /// all-ones data really compresses 1000:1, so the size is the only thing that tells a bomb.
  void require_honest_size(const ZipMember& member, const Place& part) const {
    const Array<std::byte> first = zip_.read_front(member, 12);
    const std::size_t preamble = npy_preamble_size(first, part, zip_.limits());
    const NpyHeader header = parse_npy_header(zip_.read_front(member, preamble), part, zip_.limits());
    const std::uint64_t needed = header.data_offset + header.data_bytes;
    if (needed > zip_.limits().max_bytes) {
      part.fail("ZIP-04", "declares ", human_bytes(needed), " for shape ", shape_text(header.shape),
                ", limit is ", human_bytes(zip_.limits().max_bytes),
                "; raise --max-bytes or convert on a larger machine");
    }
    if (needed != member.size) {
      part.fail("ZIP-04", "shape ", shape_text(header.shape), " of ", header.type.descr, " needs ",
                grouped(needed), " bytes, the directory declares ", grouped(member.size));
    }
  }

  ZipArchive zip_;
  std::vector<std::string> keys_;
};

}  // namespace tessera::io
