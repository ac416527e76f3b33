// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/json_scanner.hpp"

namespace tessera::io {

/// Finds short texts again: each gets the number of its first appearance.
///
/// Cost     add and find O(length), without a table while the texts are "0", "1", "2", ... in this order; memory the
///          texts, 8 bytes and about 8 bytes of table per text
class TextIndex {
 public:
  static constexpr std::uint32_t kAbsent = 0xFFFF'FFFFu;

  std::size_t size() const noexcept { return begin_.size() - 1; }
  std::string_view operator[](std::size_t number) const noexcept {
    return {text_.data() + begin_[number], static_cast<std::size_t>(begin_[number + 1] - begin_[number])};
  }
  std::uint32_t find(std::string_view text) const noexcept {
    if (counting_) return counted(text) < size() ? counted(text) : kAbsent;
    return table_[slot(text)];
  }
  /// The number of `text` and whether it is new.
  std::pair<std::uint32_t, bool> add(std::string_view text) {
    const auto number = static_cast<std::uint32_t>(size());
    if (counting_) {
      const std::uint32_t value = counted(text);
      if (value < number) return {value, false};
      counting_ = value == number;
      if (!counting_) make_table(std::bit_ceil(2 * (size() + 1)));
    }
    if (!counting_) {
      if (2 * (size() + 1) > table_.size()) make_table(2 * table_.size());
      std::uint32_t& entry = table_[slot(text)];
      if (entry != kAbsent) return {entry, false};
      entry = number;
    }
    const std::size_t old = text_.size();
    if (old + text.size() > text_.capacity()) text_.resize(2 * old + text.size() + 4096);
    text_.resize(old + text.size());
    std::copy(text.begin(), text.end(), text_.data() + old);
    begin_.push_back(text_.size());
    return {number, true};
  }

 private:
  /// The number that `text` is the decimal form of; kAbsent where it is none.
  static std::uint32_t counted(std::string_view text) noexcept {
    constexpr std::size_t kMost = 9;
    if (text.empty() || text.size() > kMost || (text.size() > 1 && text.front() == '0')) return kAbsent;
    std::uint32_t value = 0;
    for (const char c : text) {
      const auto digit = static_cast<std::uint32_t>(static_cast<unsigned char>(c)) - '0';
      if (digit > 9) return kAbsent;
      value = 10 * value + digit;
    }
    return value;
  }
  std::size_t slot(std::string_view text) const noexcept {
    const std::size_t mask = table_.size() - 1;
    std::size_t at = hash(text) & mask;
    while (table_[at] != kAbsent && (*this)[table_[at]] != text) at = (at + 1) & mask;
    return at;
  }
  static std::size_t hash(std::string_view text) noexcept {
    std::uint64_t h = 0xCBF2'9CE4'8422'2325u;  // FNV-1a, finished with a multiply-xor for the low bits
    for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100'0000'01B3u;
    h = (h ^ (h >> 32)) * 0x9E37'79B9'7F4A'7C15u;
    return static_cast<std::size_t>(h ^ (h >> 29));
  }
  void make_table(std::size_t entries) {
    table_.assign(std::max<std::size_t>(16, entries), kAbsent);
    for (std::size_t i = 0; i < size(); ++i) table_[slot((*this)[i])] = static_cast<std::uint32_t>(i);
  }

  Array<char> text_;
  Array<std::uint64_t> begin_{1, std::uint64_t{0}};
  Array<std::uint32_t> table_;  // a power of two, at most half full
  bool counting_ = true;        // text k is k in decimal, so there is no table
};

/// Which row a node id of the files stands for. Ids are text: the JSON integer 5 and the string "5" are one
/// id.
///
/// Shapes   a bijection of the ids onto [0, size())
class IdMap {
 public:
  IdMap() = default;
  /// `row_of[k]` is the row of text k.
  IdMap(TextIndex ids, Array<NodeId> row_of) : ids_(std::move(ids)), row_of_(std::move(row_of)) {
    number_of_.resize(row_of_.size());
    identity_ = true;
    for (std::size_t k = 0; k < row_of_.size(); ++k) {
      number_of_[row_of_[k]] = static_cast<NodeId>(k);
      identity_ = identity_ && ids_[k] == decimal(row_of_[k]).view();
    }
    if (identity_) *this = rows(row_of_.size());
  }
  /// The map whose ids are the row numbers themselves.
  static IdMap rows(std::size_t size) {
    IdMap map;
    map.implied_ = size;
    map.identity_ = true;
    return map;
  }

  std::size_t size() const noexcept { return implied_ != 0 ? implied_ : row_of_.size(); }
  /// Every id is the decimal number of its row.
  bool identity() const noexcept { return identity_; }

  /// The row of an id, kNoNode if there is none.
  NodeId find(std::string_view id) const noexcept {
    if (identity_) {
      std::uint64_t row = 0;
      const auto end = std::from_chars(id.data(), id.data() + id.size(), row);
      if (end.ec != std::errc{} || end.ptr != id.data() + id.size()) return kNoNode;
      if (id.size() > 1 && id.front() == '0') return kNoNode;
      return row < size() ? static_cast<NodeId>(row) : kNoNode;
    }
    const std::uint32_t number = ids_.find(id);
    return number == TextIndex::kAbsent ? kNoNode : row_of_[number];
  }
  NodeId find(std::int64_t id) const noexcept {
    if (!identity_) return find(decimal(id).view());
    return id >= 0 && static_cast<std::uint64_t>(id) < size() ? static_cast<NodeId>(id) : kNoNode;
  }
  /// The id of a row.
  std::string id(NodeId row) const { return identity_ ? message(row) : std::string(ids_[number_of_[row]]); }

 private:
  struct Decimal {
    std::array<char, 24> digits;
    std::size_t size;
    std::string_view view() const noexcept { return {digits.data(), size}; }
  };
  static Decimal decimal(std::int64_t value) noexcept {
    Decimal out{};
    const auto end = std::to_chars(out.digits.data(), out.digits.data() + out.digits.size(), value);
    out.size = static_cast<std::size_t>(end.ptr - out.digits.data());
    return out;
  }

  TextIndex ids_;
  Array<NodeId> row_of_;     // by order of appearance
  Array<NodeId> number_of_;  // its inverse
  std::size_t implied_ = 0;
  bool identity_ = false;
};

/// Reads `<p>-id_map.json`: one object from node id to row.
///
/// Errors   FormatError IDM-02 if the values are not 0..n-1, each once, or an id occurs twice; JSN-01
inline IdMap read_id_map(JsonScanner& json) {
  const Place place(json.file());
  TextIndex ids;
  Array<std::int64_t> rows;
  json.expect(JsonEvent::begin_object, "an object from node id to row number");
  while (json.next() == JsonEvent::key) {
    if (!ids.add(json.text()).second)
      place.fail("IDM-02", "id \"", json.text().substr(0, 80), "\" occurs twice");
    if (json.next() != JsonEvent::integer) {
      place.fail("IDM-02", "id \"", ids[ids.size() - 1].substr(0, 80), "\" has ",
                 JsonScanner::name_of(json.last()), " as its row; want an integer");
    }
    rows.push_back(json.integer());
  }
  json.expect(JsonEvent::end, "nothing after the object");
  if (rows.size() >= kNoNode)
    place.fail("EDG-03", grouped(rows.size()), " ids do not fit 32-bit node numbers");

  Array<NodeId> row_of(rows.size());
  Array<NodeId> owner(rows.size(), kNoNode);
  const auto wanted = [&] {
    return message("; numbers must be 0..", grouped(rows.size() - 1), ", each once");
  };
  for (std::size_t k = 0; k < rows.size(); ++k) {
    if (rows[k] < 0 || static_cast<std::uint64_t>(rows[k]) >= rows.size()) {
      place.fail("IDM-02", "id \"", ids[k].substr(0, 80), "\" has number ", rows[k], wanted());
    }
    const auto row = static_cast<NodeId>(rows[k]);
    if (owner[row] != kNoNode) {
      place.fail("IDM-02", "ids \"", ids[owner[row]].substr(0, 80), "\" and \"", ids[k].substr(0, 80),
                 "\" share number ", grouped(row), wanted());
    }
    owner[row] = static_cast<NodeId>(k);
    row_of[k] = row;
  }
  return {std::move(ids), std::move(row_of)};
}

inline IdMap read_id_map(const std::filesystem::path& path) {
  JsonScanner json(ByteSource::file(path));
  return read_id_map(json);
}

}  // namespace tessera::io
