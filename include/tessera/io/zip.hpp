// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/io/crc32.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/inflate.hpp"
#include "tessera/io/limits.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/npy_header.hpp"

namespace tessera::io {

/// One file in a zip archive, as the central directory describes it.
///
/// Units    sizes and offset in bytes
struct ZipMember {
  std::string name;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint32_t crc = 0;
  std::uint64_t compressed = 0;
  std::uint64_t size = 0;  ///< declared size once decompressed
  std::uint64_t header_offset = 0;
};

namespace detail {

/// Fields of zip records: little-endian at fixed offsets, bounds checked.
class ZipRecord {
 public:
  ZipRecord(std::span<const std::byte> bytes, const Place& place) : bytes_(bytes), place_(place) {}

  std::uint16_t u16(std::size_t at) const { return static_cast<std::uint16_t>(field(at, 2)); }
  std::uint32_t u32(std::size_t at) const { return static_cast<std::uint32_t>(field(at, 4)); }
  std::uint64_t u64(std::size_t at) const { return field(at, 8); }
  std::span<const std::byte> part(std::uint64_t at, std::uint64_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) {
      place_.fail("ZIP-01", "a record at byte ", grouped(at),
                  " runs past the end of the file: the download is incomplete");
    }
    return bytes_.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(size));
  }

 private:
  std::uint64_t field(std::size_t at, std::size_t size) const { return load_little(part(at, size)); }

  std::span<const std::byte> bytes_;
  const Place& place_;
};

inline constexpr std::uint32_t kZipLocal = 0x04034b50;
inline constexpr std::uint32_t kZipCentral = 0x02014b50;
inline constexpr std::uint32_t kZipEnd = 0x06054b50;
inline constexpr std::uint32_t kZip64End = 0x06064b50;
inline constexpr std::uint32_t kZip64Locator = 0x07064b50;

/// Where the central directory lies and how many members it lists.
struct ZipDirectory {
  std::uint64_t entries = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
};

inline ZipDirectory find_zip_directory(std::span<const std::byte> file, const Place& place) {
  constexpr std::size_t kEndSize = 22;
  constexpr std::size_t kMaxComment = 0xffff;
  const ZipRecord whole(file, place);
  const std::size_t lowest = file.size() > kEndSize + kMaxComment ? file.size() - kEndSize - kMaxComment : 0;
  for (std::size_t next = file.size() >= kEndSize ? file.size() - kEndSize + 1 : 0; next-- > lowest;) {
    const ZipRecord end(file.subspan(next), place);
    if (end.u32(0) != kZipEnd || next + kEndSize + end.u16(20) != file.size()) continue;
    if (end.u16(4) != end.u16(6))
      place.fail("ZIP-01", "this is one part of a split archive; join them first");
    ZipDirectory out{end.u16(10), end.u32(12), end.u32(16)};
    const bool wide = out.entries == 0xffff || out.size == 0xffffffff || out.offset == 0xffffffff;
    if (wide && next >= 20 && whole.u32(next - 20) == kZip64Locator) {
      const ZipRecord end64(whole.part(whole.u64(next - 12), 56), place);
      if (end64.u32(0) != kZip64End) place.fail("ZIP-01", "the ZIP64 end record is not where it should be");
      out = {end64.u64(32), end64.u64(40), end64.u64(48)};
    }
    return out;
  }
  if (!as_text(file).starts_with("PK")) refuse_wrong_kind(place, file, ".npz archive");
  place.fail("ZIP-01", "end of archive record missing: the download is incomplete");
}

}  // namespace detail

/// A zip archive opened for reading. The central directory is the only source of sizes; members are
/// decompressed on demand and their CRC-32 is always checked.
///
/// Only stored and deflated members can be read (the two methods numpy writes), with or without ZIP64.
/// Cost     opening O(members); the file itself is mapped
/// Errors   FormatError GEN-01..04, ZIP-01 (no directory, truncated), ZIP-05 (a name twice, or one that
///          leaves the archive), GEN-03 (too many members)
/// Threads  members may be read concurrently
class ZipArchive {
 public:
  explicit ZipArchive(const std::filesystem::path& path, const Limits& limits = {})
      : file_(path, {.max_bytes = limits.max_bytes}), bytes_(file_.bytes()), place_(path), limits_(limits) {
    read_directory();
  }
  /// An archive in bytes that outlive it; `name` stands for the path in messages.
  ZipArchive(std::span<const std::byte> bytes, std::string name, const Limits& limits = {})
      : bytes_(bytes), place_(std::move(name)), limits_(limits) {
    read_directory();
  }

  /// In order of their names.
  std::span<const ZipMember> members() const noexcept { return members_; }
  const Place& place() const noexcept { return place_; }
  const Limits& limits() const noexcept { return limits_; }

  /// The member of that name, or none.
  const ZipMember* find(std::string_view name) const noexcept {
    const auto at = std::lower_bound(members_.begin(), members_.end(), name,
                                     [](const ZipMember& m, std::string_view n) { return m.name < n; });
    return at != members_.end() && at->name == name ? &*at : nullptr;
  }

  /// The bytes of a member as they lie in the file, compressed or not.
  ///
  /// Errors   FormatError ZIP-01 (outside the file), ZIP-02 (encryption, method), ZIP-04 (impossible
  ///          size)
  std::span<const std::byte> payload(const ZipMember& member) const {
    const Place place = place_of(member);
    if ((member.flags & 1u) != 0) place.fail("ZIP-02", "the member is encrypted; save it without a password");
    if (member.method != kStored && member.method != kDeflated) {
      place.fail("ZIP-02", "uses method ", member.method, method_name(member.method),
                 "; only stored and deflate are supported");
    }
    const detail::ZipRecord whole(bytes_, place);
    const detail::ZipRecord local(whole.part(member.header_offset, 30), place);
    if (local.u32(0) != detail::kZipLocal)
      place.fail("ZIP-01", "its local header is missing: the file is damaged");
    const std::uint64_t data = member.header_offset + 30 + local.u16(26) + local.u16(28);
    const std::span<const std::byte> payload = whole.part(data, member.compressed);
    if (member.method == kStored && member.compressed != member.size) {
      place.fail("ZIP-04", "is stored in ", grouped(member.compressed), " bytes but declares ",
                 grouped(member.size));
    }
    // Deflate codes at most 258 bytes in two bits, so a larger claim is a lie whatever the content.
    if (member.method == kDeflated && member.size / 1032 > member.compressed) {
      place.fail("ZIP-04", "declares ", human_bytes(member.size), ", more than its ",
                 grouped(member.compressed), " compressed bytes can hold");
    }
    return payload;
  }

  /// Decompresses the first bytes of a member, without checking it; fewer than `count` if it has fewer.
  Array<std::byte> read_front(const ZipMember& member, std::size_t count) const {
    const std::span<const std::byte> in = payload(member);
    const Place place = place_of(member);
    if (member.method == kStored) return Array<std::byte>::copy_of(in.first(std::min(count, in.size())));
    Array<std::byte> out(count);
    out.resize(detail::Inflater(in, place).read(out));
    return out;
  }

  /// The whole content of a member, checked.
  ///
  /// Cost     one pass to decompress, one for the CRC; serial: read several members at once instead
  /// Errors   as payload; ZIP-03 (CRC, damaged stream), ZIP-04 (another size than declared), GEN-03
  Array<std::byte> read(const ZipMember& member) const {
    const std::span<const std::byte> in = payload(member);
    const Place place = place_of(member);
    require_within(place, member.size, limits_.max_bytes);
    if (member.method == kStored) {
      verify(member, in);
      return Array<std::byte>::copy_of(in);
    }
    Array<std::byte> out(static_cast<std::size_t>(member.size));
    detail::Inflater inflater(in, place);
    const std::size_t got = inflater.read(out);
    if (got < out.size()) {
      place.fail("ZIP-04", "inflates to ", grouped(got), " bytes, declared are ", grouped(member.size));
    }
    std::byte more{};
    if (inflater.read({&more, 1}) != 0) {
      place.fail("ZIP-04", "inflates beyond its declared ", grouped(member.size), " bytes");
    }
    verify(member, out);
    return out;
  }

  /// The content of a stored member where it lies, checked; its lifetime is the archive's.
  ///
  /// Errors   as read
  std::span<const std::byte> view(const ZipMember& member) const {
    const std::span<const std::byte> in = payload(member);
    verify(member, in);
    return in;
  }

  /// Compares the CRC-32 of a member's content with the directory's.
  ///
  /// Errors   FormatError ZIP-03
  void require_crc(const ZipMember& member, std::uint32_t crc) const {
    if (crc == member.crc) return;
    place_of(member).fail("ZIP-03", "is damaged: CRC-32 is ", hex(crc), ", directory says ", hex(member.crc),
                          "; download again");
  }

  static constexpr std::uint16_t kStored = 0;
  static constexpr std::uint16_t kDeflated = 8;

  /// What messages call a member.
  Place place_of(const ZipMember& member) const { return place_.at(message("member '", member.name, "'")); }

 private:
  static std::string_view method_name(unsigned method) noexcept {
    switch (method) {
      case 9:
        return " (deflate64)";
      case 12:
        return " (bzip2)";
      case 14:
        return " (lzma)";
      case 93:
        return " (zstd)";
      case 95:
        return " (xz)";
      default:
        return "";
    }
  }

  void verify(const ZipMember& member, std::span<const std::byte> content) const {
    require_crc(member, crc32(content));
  }
  static std::string hex(std::uint32_t value) {
    std::string out(8, '0');
    for (std::size_t i = 8; i-- > 0; value >>= 4) out[i] = "0123456789abcdef"[value & 15];
    return out;
  }

  void read_directory() {
    const detail::ZipDirectory directory = detail::find_zip_directory(bytes_, place_);
    if (directory.entries > limits_.max_zip_members) {
      place_.fail("GEN-03", "declares ", grouped(directory.entries), " members, limit is ",
                  grouped(limits_.max_zip_members));
    }
    const detail::ZipRecord whole(bytes_, place_);
    const std::span<const std::byte> listing = whole.part(directory.offset, directory.size);
    const detail::ZipRecord record(listing, place_);
    std::size_t at = 0;
    for (std::uint64_t i = 0; i < directory.entries; ++i) at = read_entry(record, at);
    std::sort(members_.begin(), members_.end(),
              [](const ZipMember& a, const ZipMember& b) { return a.name < b.name; });
    const auto twice =
        std::adjacent_find(members_.begin(), members_.end(),
                           [](const ZipMember& a, const ZipMember& b) { return a.name == b.name; });
    if (twice != members_.end()) place_.fail("ZIP-05", "two members are called '", twice->name, "'");
  }

  /// Reads the entry at `at`; returns where the next begins.
  std::size_t read_entry(const detail::ZipRecord& record, std::size_t at) {
    if (record.u32(at) != detail::kZipCentral)
      place_.fail("ZIP-01", "the directory is damaged; download again");
    ZipMember member{.name = {},
                     .flags = record.u16(at + 8),
                     .method = record.u16(at + 10),
                     .crc = record.u32(at + 16),
                     .compressed = record.u32(at + 20),
                     .size = record.u32(at + 24),
                     .header_offset = record.u32(at + 42)};
    const std::size_t name_size = record.u16(at + 28);
    const std::size_t extra_size = record.u16(at + 30);
    const std::size_t comment_size = record.u16(at + 32);
    member.name = std::string(detail::as_text(record.part(at + 46, name_size)));
    check_name(member.name);
    widen(member, record.part(at + 46 + name_size, extra_size));
    record.part(at + 46 + name_size + extra_size, comment_size);
    members_.push_back(std::move(member));
    return at + 46 + name_size + extra_size + comment_size;
  }

  void check_name(std::string_view name) const {
    const bool leaves = name.starts_with('/') || name.starts_with("../") || name.find("/../") != name.npos ||
                        name.find('\\') != name.npos || name.find('\0') != name.npos;
    if (leaves) place_.fail("ZIP-05", "the member name '", name.substr(0, 80), "' leaves the archive");
  }

  /// Replaces sizes and offset that did not fit 32 bits by those of the ZIP64 extra field.
  void widen(ZipMember& member, std::span<const std::byte> extra) const {
    constexpr std::uint64_t kElsewhere = 0xffffffff;
    const detail::ZipRecord fields(extra, place_);
    for (std::size_t at = 0; at + 4 <= extra.size();) {
      const std::size_t size = fields.u16(at + 2);
      const std::span<const std::byte> body = fields.part(at + 4, size);
      if (fields.u16(at) == 1) {
        const detail::ZipRecord wide(body, place_);
        std::size_t next = 0;
        for (std::uint64_t* value : {&member.size, &member.compressed, &member.header_offset}) {
          if (*value != kElsewhere) continue;
          *value = wide.u64(next);
          next += 8;
        }
        return;
      }
      at += 4 + size;
    }
  }

  MappedFile file_;
  std::span<const std::byte> bytes_;
  Place place_;
  Limits limits_;
  std::vector<ZipMember> members_;
};

}  // namespace tessera::io
