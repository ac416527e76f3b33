// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tessera/io/file_error.hpp"
#include "tessera/io/limits.hpp"

// The header of a .npy file: magic, version, and a Python dictionary in a small fixed grammar,
//
//     header = ws dict ws LF
//     dict   = "{" [pairs [","]] "}"      pair  = str ws ":" ws value
//     value  = str / bool / tuple         tuple = "()" / "(" int "," ")" / "(" ints [","] ")"
//
// with exactly the keys descr, fortran_order and shape in any order. Nothing is evaluated.

namespace tessera::io {

/// The element type of a .npy array, as its `descr` says.
///
/// Units    size in bytes of one element
struct NpyType {
  char kind = 'f';  ///< f float, i signed, u unsigned, b bool, S bytes, U text of UTF-32 units
  std::size_t size = 4;
  bool big_endian = false;
  std::string descr = "<f4";

  bool is_integer() const noexcept { return kind == 'i' || kind == 'u' || kind == 'b'; }
  bool is_text() const noexcept { return kind == 'S' || kind == 'U'; }
};

/// What the header of a .npy array declares.
///
/// Units    data_offset and data_bytes in bytes, from the first byte of the magic
struct NpyHeader {
  NpyType type;
  std::vector<std::uint64_t> shape;
  bool fortran_order = false;
  std::uint64_t count = 0;  ///< elements
  std::uint64_t data_offset = 0;
  std::uint64_t data_bytes = 0;

  std::size_t rank() const noexcept { return shape.size(); }
};

/// "(2708, 1433)", as Python prints it.
inline std::string shape_text(std::span<const std::uint64_t> shape) {
  std::string out = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) out += message(i == 0 ? "" : ", ", shape[i]);
  out += shape.size() == 1 ? ",)" : ")";
  return out;
}

namespace detail {

/// Reads the dictionary of a .npy header; a position in messages counts characters from 1.
class NpyDictionary {
 public:
  NpyDictionary(std::string_view text, const Place& place) : text_(text), place_(place) {}

  void parse(NpyHeader& out) {
    bool have_descr = false;
    bool have_order = false;
    bool have_shape = false;
    const auto once = [&](bool& have, std::string_view key) {
      if (std::exchange(have, true)) place_.fail("NPY-03", "header repeats the key '", key, "'");
    };
    expect('{');
    while (peek() != '}') {
      const std::string_view key = string();
      expect(':');
      if (key == "descr") {
        once(have_descr, key);
        descr(out.type);
      } else if (key == "fortran_order") {
        once(have_order, key);
        out.fortran_order = boolean();
      } else if (key == "shape") {
        once(have_shape, key);
        tuple(out.shape);
      } else {
        place_.fail("NPY-03", "header has the unknown key '", printable(key), "'");
      }
      if (peek() != '}') expect(',');
    }
    ++at_;
    skip_spaces();
    if (at_ + 1 != text_.size() || text_[at_] != '\n') unexpected("the end of the line");
    const auto missing = [&](bool have, std::string_view key) {
      if (!have) place_.fail("NPY-03", "header misses the key '", key, "'");
    };
    missing(have_descr, "descr");
    missing(have_order, "fortran_order");
    missing(have_shape, "shape");
  }

 private:
  static std::string printable(std::string_view text) {
    std::string out(text.substr(0, 40));
    std::replace_if(
        out.begin(), out.end(), [](char c) { return c < 32 || c > 126; }, '.');
    return out;
  }

  [[noreturn]] void unexpected(std::string_view wanted) const {
    const std::string found =
        at_ < text_.size() ? message("'", printable(text_.substr(at_, 1)), "'") : "the end of the header";
    place_.fail("NPY-03", "header is not the expected dictionary at column ", at_ + 1, ": found ", found,
                ", want ", wanted);
  }

  void skip_spaces() noexcept {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  char peek() noexcept {
    skip_spaces();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  void expect(char c) {
    if (peek() != c) unexpected(message("'", c, "'"));
    ++at_;
  }

  std::string_view string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') unexpected("a quoted string");
    const std::size_t begin = ++at_;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\' || text_[at_] == '\n') unexpected("a string without escapes");
      ++at_;
    }
    if (at_ == text_.size()) unexpected("a closing quote");
    return text_.substr(begin, at_++ - begin);
  }

  bool boolean() {
    skip_spaces();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    unexpected("True or False");
  }

  std::uint64_t integer() {
    skip_spaces();
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc()) unexpected("a size of at most 64 bits");
    at_ = static_cast<std::size_t>(end - text_.data());
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2 printed long integers so
    return value;
  }

  void tuple(std::vector<std::uint64_t>& out) {
    constexpr std::size_t kMaxRank = 64;  // numpy's own limit
    expect('(');
    while (peek() != ')') {
      if (out.size() == kMaxRank) unexpected("at most 64 dimensions");
      out.push_back(integer());
      if (peek() != ')') {
        expect(',');
      } else if (out.size() == 1) {
        unexpected("',' (a shape of one dimension is written (n,))");
      }
    }
    ++at_;
  }

  void descr(NpyType& out) {
    if (peek() == '[' || peek() == '(') {
      place_.fail("NPY-04", "structured arrays are not supported (descr ", printable(balanced()),
                  "); save each field as its own array");
    }
    out.descr = string();
    if (out.descr.size() < 2 || std::string_view("<>|=").find(out.descr[0]) == std::string_view::npos) {
      unsupported(out, "");
    }
    out.kind = out.descr[1];
    out.big_endian = out.descr[0] == '>';
    if (out.kind == 'O') {
      place_.fail(
          "NPY-06", "pickled Python object array (descr '", printable(out.descr),
          "'). Pickles can run code and are never loaded. Re-save it as plain arrays, e.g. in Python: "
          "scipy.sparse.save_npz(\"adj.npz\", adj.item())");
    }
    const char* const begin = out.descr.data() + 2;
    const char* const end = out.descr.data() + out.descr.size();
    const auto [last, error] = std::from_chars(begin, end, out.size);
    const bool number = error == std::errc() && last == end && out.size < (std::size_t{1} << 40);
    const auto one_of = [&](std::initializer_list<std::size_t> sizes) {
      return number && std::find(sizes.begin(), sizes.end(), out.size) != sizes.end();
    };
    switch (out.kind) {
      case 'f':
        if (!one_of({2, 4, 8})) unsupported(out, " (long double)");
        return;
      case 'i':
      case 'u':
        if (!one_of({1, 2, 4, 8})) unsupported(out, "");
        return;
      case 'b':
        if (!one_of({1})) unsupported(out, "");
        return;
      case 'U':
        if (!number) unsupported(out, "");
        out.size *= 4;
        return;
      case 'S':
        if (!number) unsupported(out, "");
        return;
      case 'c':
        unsupported(out, " (complex)");
      case 'M':
      case 'm':
        unsupported(out, " (date or time)");
      default:
        unsupported(out, "");
    }
  }

  [[noreturn]] void unsupported(const NpyType& type, std::string_view what) const {
    place_.fail("NPY-04", "descr '", printable(type.descr), "'", what,
                " is not supported; expected one of f2 f4 f8 i1..i8 u1..u8 b1");
  }

  /// The text from an opening bracket to its partner, for a message.
  std::string_view balanced() const noexcept {
    std::size_t depth = 0;
    std::size_t end = at_;
    do {
      depth += text_[end] == '[' || text_[end] == '(' ? 1u : 0u;
      depth -= text_[end] == ']' || text_[end] == ')' ? 1u : 0u;
      ++end;
    } while (depth > 0 && end < text_.size());
    return text_.substr(at_, end - at_);
  }

  std::string_view text_;
  const Place& place_;
  std::size_t at_ = 0;
};

inline std::uint64_t load_little(std::span<const std::byte> bytes) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  return value;
}

/// Elements and bytes of the declared shape; a zero anywhere makes it empty, whatever the rest.
inline void size_npy_array(NpyHeader& header, const Place& place) {
  const bool empty = std::find(header.shape.begin(), header.shape.end(), 0u) != header.shape.end();
  header.count = empty ? 0 : 1;
  bool overflow = false;
  if (!empty) {
    for (const std::uint64_t n : header.shape)
      overflow |= __builtin_mul_overflow(header.count, n, &header.count);
  }
  overflow |= __builtin_mul_overflow(header.count, std::uint64_t{header.type.size}, &header.data_bytes);
  if (overflow || header.data_bytes > std::uint64_t{1} << 62) {
    place.fail("NPY-05", "shape ", shape_text(header.shape), " of ", header.type.descr,
               " needs more bytes than any file can have");
  }
}

}  // namespace detail

/// Bytes of a .npy file up to its array; `bytes` holds the beginning, at least 12 bytes or all there are.
///
/// Errors   FormatError NPY-01 (magic), NPY-02 (version), NPY-03 (length over the limit), NPY-05 (too
///          short), GEN-02
inline std::size_t npy_preamble_size(std::span<const std::byte> bytes, const Place& place,
                                     const Limits& limits = {}) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  if (!detail::as_text(bytes).starts_with(kMagic)) {
    refuse_wrong_kind(place, bytes, ".npy array");
    place.fail("NPY-01", "not a .npy file: starts with ", first_bytes(bytes));
  }
  const auto truncated = [&] {
    place.fail("NPY-05", "the header is cut off after ", bytes.size(), " bytes; download again");
  };
  if (bytes.size() < 8) truncated();
  const auto major = std::to_integer<unsigned>(bytes[6]);
  const auto minor = std::to_integer<unsigned>(bytes[7]);
  if (major < 1 || major > 3 || minor != 0) {
    place.fail("NPY-02", "npy version ", major, ".", minor, "; versions 1.0, 2.0, 3.0 are known");
  }
  const std::size_t prefix = major == 1 ? 10 : 12;
  if (bytes.size() < prefix) truncated();
  const std::uint64_t length = detail::load_little(bytes.subspan(8, prefix - 8));
  if (length > limits.max_npy_header) {
    place.fail("NPY-03", "header length is ", grouped(length), ", limit is ", grouped(limits.max_npy_header));
  }
  return prefix + static_cast<std::size_t>(length);
}

/// Reads the header of a .npy file; `bytes` holds at least npy_preamble_size bytes or all there are.
///
/// Errors   FormatError NPY-01..06, GEN-02
inline NpyHeader parse_npy_header(std::span<const std::byte> bytes, const Place& place,
                                  const Limits& limits = {}) {
  const std::size_t preamble = npy_preamble_size(bytes, place, limits);
  if (bytes.size() < preamble) {
    place.fail("NPY-05", "the header needs ", preamble, " bytes, the file has ", bytes.size(),
               "; download again");
  }
  const std::size_t prefix = bytes[6] == std::byte{1} ? 10 : 12;
  NpyHeader header;
  header.data_offset = preamble;
  detail::NpyDictionary(detail::as_text(bytes.subspan(prefix, preamble - prefix)), place).parse(header);
  detail::size_npy_array(header, place);
  return header;
}

}  // namespace tessera::io
