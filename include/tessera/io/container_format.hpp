// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/rng.hpp"
#include "tessera/io/crc32c.hpp"
#include "tessera/io/file_error.hpp"

// The native container, version 1.0: a header page, a section table, then sections at page boundaries, all
// little-endian. docs/container.md has the tables.

namespace tessera::io {

/// 128 bits that name the content of a container: its sections, not its provenance. Partitions, caches and
/// checkpoints carry it to say which graph they belong to.
struct ContentId {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend constexpr bool operator==(ContentId, ContentId) = default;
};

/// 32 hexadecimal digits.
inline std::string to_text(ContentId id) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const std::uint64_t half : {id.high, id.low}) {
    for (int shift = 60; shift >= 0; shift -= 4) out.push_back(kHex[half >> shift & 15]);
  }
  return out;
}

/// What the elements of a section are. The numbers are stored.
enum class SectionType : std::uint16_t {
  u8 = 1,
  i8 = 2,
  u16 = 3,
  i16 = 4,
  u32 = 5,
  i32 = 6,
  u64 = 7,
  i64 = 8,
  f16 = 9,
  bf16 = 10,
  f32 = 11,
  f64 = 12,
  bit = 13  ///< lowest bit first, rows padded to 8 bytes
};

/// Bytes of one element; 0 for `bit` and for numbers that are no type.
constexpr std::size_t bytes_of(SectionType type) noexcept {
  constexpr std::array<std::uint8_t, 14> kBytes = {0, 1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8, 0};
  const auto number = static_cast<std::size_t>(type);
  return number < kBytes.size() ? kBytes[number] : 0;
}

/// One entry of the section table.
///
/// Units    offset, bytes and row_stride count bytes; row_stride 0 means dense
struct Section {
  std::string name;
  SectionType type = SectionType::u8;
  std::uint8_t rank = 1;
  bool required = false;
  std::array<std::uint64_t, 4> dims{};
  std::uint64_t row_stride = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint32_t crc = 0;
};

/// What a container's flags say of its data.
struct ContainerFlags {
  static constexpr std::uint64_t kSymmetric = 1;
  static constexpr std::uint64_t kNoLoops = 2;
  static constexpr std::uint64_t kSortedRows = 4;
  static constexpr std::uint64_t kNoDuplicates = 8;
  static constexpr std::uint64_t kMultilabel = 16;
  static constexpr std::uint64_t kStandardised = 32;
  static constexpr std::uint64_t kChecked = 64;  ///< the writer checked every invariant of the matrices
  static constexpr std::uint64_t kTrainSymmetric = 128;
};

struct ContainerHeader {
  std::uint64_t file_bytes = 0;
  std::uint64_t nodes = 0;
  std::uint64_t edges = 0;
  std::uint32_t features = 0;
  std::uint32_t classes = 0;
  std::uint64_t flags = 0;
  ContentId content_id;
  std::vector<Section> sections;

  const Section* find(std::string_view name) const noexcept {
    for (const Section& s : sections) {
      if (s.name == name) return &s;
    }
    return nullptr;
  }
};

namespace detail {

inline constexpr std::array<unsigned char, 8> kContainerMagic = {0x89, 'G', 'N', 'N', '\r', '\n', 0x1A, '\n'};
inline constexpr std::size_t kContainerPage = 4096;
inline constexpr std::size_t kSectionEntry = 128;
inline constexpr std::size_t kMaxSections = 64;
/// Header page and the largest table: where the first section starts.
inline constexpr std::size_t kContainerFront = kContainerPage + kMaxSections * kSectionEntry;
inline constexpr std::size_t kSectionName = 32;
inline constexpr std::uint32_t kByteOrder = 0x01020304u;
inline constexpr std::uint16_t kContainerMajor = 1;

template <class T>
T load_as(std::span<const std::byte> bytes, std::size_t offset) noexcept {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}
template <class T>
void store_as(std::span<std::byte> bytes, std::size_t offset, T value) noexcept {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

/// Bytes a section of these extents takes; false where they do not fit 64 bits or contradict the stride.
inline bool section_bytes(const Section& s, std::uint64_t& out) noexcept {
  std::uint64_t rows = 1;
  for (std::size_t d = 0; d + 1 < s.rank; ++d) {
    if (__builtin_mul_overflow(rows, s.dims[d], &rows)) return false;
  }
  const std::uint64_t cols = s.rank == 0 ? 1 : s.dims[s.rank - 1];
  std::uint64_t row = 0;
  if (s.type == SectionType::bit) {
    row = (cols / 64 + (cols % 64 != 0 ? 1 : 0)) * 8;
  } else if (__builtin_mul_overflow(cols, std::uint64_t{bytes_of(s.type)}, &row)) {
    return false;
  }
  if (s.row_stride != 0 && s.row_stride < row) return false;
  return !__builtin_mul_overflow(rows, s.row_stride != 0 ? s.row_stride : row, &out);
}

/// Mixes what makes up the content: names, types, extents and checksums, in the order of the names.
inline ContentId content_id_of(const std::vector<Section>& sections) {
  std::vector<const Section*> order;
  for (const Section& s : sections) {
    if (s.name != "meta" && !s.name.starts_with("part.")) order.push_back(&s);
  }
  std::sort(order.begin(), order.end(), [](const Section* a, const Section* b) { return a->name < b->name; });
  ContentId id{0x6A09E667F3BCC908u, 0xBB67AE8584CAA73Bu};  // fractions of square roots of 2 and 3
  const auto mix = [&](std::uint64_t word) {
    id.low = tessera::detail::split_mix64(id.low ^ word);
    id.high = tessera::detail::split_mix64(id.high + word * 0x9E3779B97F4A7C15u + id.low);
  };
  for (const Section* s : order) {
    for (const char c : s->name) mix(static_cast<unsigned char>(c));
    mix(static_cast<std::uint64_t>(s->type) << 8 | s->rank);
    for (const std::uint64_t d : s->dims) mix(d);
    mix(s->row_stride);
    mix(s->crc);
  }
  return id;
}

/// Header page and section table as bytes.
inline std::vector<std::byte> container_front(const ContainerHeader& header) {
  std::vector<std::byte> out(kContainerFront);
  const std::span<std::byte> page(out.data(), kContainerPage);
  std::memcpy(page.data(), kContainerMagic.data(), kContainerMagic.size());
  store_as<std::uint16_t>(page, 8, kContainerMajor);
  store_as<std::uint32_t>(page, 12, kByteOrder);
  store_as<std::uint32_t>(page, 16, kContainerPage);
  store_as<std::uint32_t>(page, 20, static_cast<std::uint32_t>(header.sections.size()));
  store_as(page, 24, header.file_bytes);
  store_as(page, 32, header.nodes);
  store_as(page, 40, header.edges);
  store_as(page, 48, header.features);
  store_as(page, 52, header.classes);
  store_as(page, 56, header.flags);
  store_as(page, 64, header.content_id.low);
  store_as(page, 72, header.content_id.high);
  store_as<std::uint64_t>(page, 80, kContainerPage);
  const std::span<std::byte> table(out.data() + kContainerPage, header.sections.size() * kSectionEntry);
  for (std::size_t i = 0; i < header.sections.size(); ++i) {
    const Section& s = header.sections[i];
    const std::span<std::byte> entry = table.subspan(i * kSectionEntry, kSectionEntry);
    std::memcpy(entry.data(), s.name.data(), std::min(s.name.size(), kSectionName - 1));
    store_as(entry, 32, static_cast<std::uint16_t>(s.type));
    store_as(entry, 34, s.rank);
    store_as<std::uint32_t>(entry, 36, s.required ? 1u : 0u);
    for (std::size_t d = 0; d < 4; ++d) store_as(entry, 40 + 8 * d, s.dims[d]);
    store_as(entry, 72, s.row_stride);
    store_as(entry, 80, s.offset);
    store_as(entry, 88, s.bytes);
    store_as(entry, 96, s.crc);
  }
  store_as(page, 4092, crc32c(table));
  store_as(page, 4088, crc32c(page.first(4088)));
  return out;
}

inline Section parse_section(std::span<const std::byte> entry, std::uint64_t file_bytes, const Place& file) {
  Section s;
  const std::string_view name(reinterpret_cast<const char*>(entry.data()), kSectionName);
  const std::size_t length = std::min(name.find('\0'), kSectionName - 1);
  s.name = std::string(name.substr(0, length));
  const auto visible = [](char c) { return c > ' ' && c < 0x7F; };
  if (s.name.empty() || !std::all_of(s.name.begin(), s.name.end(), visible))
    file.fail("NAT-03", "a section has no readable name");
  const Place place = file.at(message("section '", s.name, "'"));
  s.type = static_cast<SectionType>(load_as<std::uint16_t>(entry, 32));
  s.rank = load_as<std::uint8_t>(entry, 34);
  s.required = (load_as<std::uint32_t>(entry, 36) & 1u) != 0;
  for (std::size_t d = 0; d < 4; ++d) s.dims[d] = load_as<std::uint64_t>(entry, 40 + 8 * d);
  s.row_stride = load_as<std::uint64_t>(entry, 72);
  s.offset = load_as<std::uint64_t>(entry, 80);
  s.bytes = load_as<std::uint64_t>(entry, 88);
  s.crc = load_as<std::uint32_t>(entry, 96);
  if (load_as<std::uint8_t>(entry, 35) != 0) place.fail("NAT-01", "is compressed by an unknown codec");
  if (s.rank > 4 || (bytes_of(s.type) == 0 && s.type != SectionType::bit))
    place.fail("NAT-03", "has type ", static_cast<unsigned>(s.type), " and rank ", unsigned{s.rank});
  std::uint64_t needed = 0;
  if (!section_bytes(s, needed) || needed != s.bytes)
    place.fail("NAT-03", "declares ", grouped(s.bytes), " bytes, which its extents do not give");
  if (s.offset % 64 != 0 || s.offset < kContainerPage || s.offset > file_bytes ||
      s.bytes > file_bytes - s.offset) {
    place.fail("NAT-03", "bytes ", grouped(s.offset), " + ", grouped(s.bytes), " lie outside the file of ",
               grouped(file_bytes));
  }
  return s;
}

}  // namespace detail

/// Whether a file starts as a container does.
inline bool is_container(std::span<const std::byte> first_bytes) noexcept {
  return first_bytes.size() >= detail::kContainerMagic.size() &&
         std::memcmp(first_bytes.data(), detail::kContainerMagic.data(), detail::kContainerMagic.size()) == 0;
}

/// Reads and checks header and section table: magic, version, checksums, sizes against the file, overlaps.
///
/// Cost     O(sections), whatever the size of the file
/// Errors   FormatError GEN-02 (another kind of file), NAT-01 (version), NAT-02 (checksum), NAT-03 (sizes),
/// NAT-04
///          (overlap)
inline ContainerHeader parse_container(std::span<const std::byte> file, const Place& place) {
  using namespace detail;
  if (!is_container(file)) {
    refuse_wrong_kind(place, file, "container");
    place.fail("GEN-02", "this is no container; it starts with ", first_bytes(file));
  }
  if (file.size() < kContainerPage)
    place.fail("NAT-03", "the file has ", file.size(), " bytes, less than a header");
  const std::span<const std::byte> page = file.first(kContainerPage);
  const auto major = load_as<std::uint16_t>(page, 8);
  if (load_as<std::uint32_t>(page, 12) != kByteOrder || major != kContainerMajor) {
    place.fail("NAT-01", "container version ", major, ", this program reads version ", kContainerMajor,
               "; convert again");
  }
  if (load_as<std::uint32_t>(page, 4088) != crc32c(page.first(4088)))
    place.fail("NAT-02", "header checksum mismatch: file damaged after writing; convert again");
  ContainerHeader out;
  out.file_bytes = load_as<std::uint64_t>(page, 24);
  if (out.file_bytes != file.size()) {
    place.fail("NAT-03", "the header says ", grouped(out.file_bytes), " bytes, the file has ",
               grouped(file.size()), "; copy it again");
  }
  out.nodes = load_as<std::uint64_t>(page, 32);
  out.edges = load_as<std::uint64_t>(page, 40);
  out.features = load_as<std::uint32_t>(page, 48);
  out.classes = load_as<std::uint32_t>(page, 52);
  out.flags = load_as<std::uint64_t>(page, 56);
  out.content_id = {load_as<std::uint64_t>(page, 64), load_as<std::uint64_t>(page, 72)};
  const auto count = load_as<std::uint32_t>(page, 20);
  const auto table_at = load_as<std::uint64_t>(page, 80);
  if (count > kMaxSections || table_at < kContainerPage || table_at > file.size() ||
      count * kSectionEntry > file.size() - table_at) {
    place.fail("NAT-03", "a table of ", count, " sections at byte ", grouped(table_at), " does not fit");
  }
  const std::span<const std::byte> table = file.subspan(table_at, count * kSectionEntry);
  if (load_as<std::uint32_t>(page, 4092) != crc32c(table))
    place.fail("NAT-02", "section table checksum mismatch: file damaged after writing; convert again");
  for (std::size_t i = 0; i < count; ++i) {
    Section s = parse_section(table.subspan(i * kSectionEntry, kSectionEntry), file.size(), place);
    if (out.find(s.name) != nullptr) place.fail("NAT-04", "two sections are named '", s.name, "'");
    out.sections.push_back(std::move(s));
  }
  struct Extent {
    std::uint64_t begin;
    std::uint64_t end;
    const std::string* name;
  };
  const std::string table_name = "section table";
  std::vector<Extent> extents = {{table_at, table_at + table.size(), &table_name}};
  for (const Section& s : out.sections) {
    if (s.bytes != 0) extents.push_back({s.offset, s.offset + s.bytes, &s.name});
  }
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].begin < extents[i - 1].end)
      place.fail("NAT-04", "sections '", *extents[i - 1].name, "' and '", *extents[i].name, "' overlap");
  }
  return out;
}

}  // namespace tessera::io
