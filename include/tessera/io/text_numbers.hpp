// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>

#include "tessera/core/error.hpp"

// Numbers in lines of text. Every line ends in '\n', which ends every number too, so that scanning needs no
// other end check; nothing here depends on a locale.

namespace tessera::io::detail {

inline bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\r'; }
inline bool is_digit(char c) noexcept { return static_cast<unsigned char>(c - '0') < 10; }

inline const char* skip_blanks(const char* p) noexcept {
  while (is_blank(*p)) ++p;
  return p;
}

/// Reads digits; nullptr if there is none or the number does not fit.
inline const char* scan_unsigned(const char* p, std::uint64_t& value) noexcept {
  constexpr int kSafeDigits = 19;
  const char* const begin = p;
  std::uint64_t v = 0;
  for (; is_digit(*p); ++p) v = 10 * v + static_cast<std::uint64_t>(*p - '0');
  value = v;
  if (p == begin) return nullptr;
  if (p - begin <= kSafeDigits) return p;
  return std::from_chars(begin, p, value).ec == std::errc() ? p : nullptr;
}

/// Whether `d`, which is at most `error` steps of a double away from the number meant, may round to another float than
/// that number: it lies between two floats, or near or below the smallest normal one.
inline bool rounds_twice(double d, std::uint64_t error) noexcept {
  constexpr double kSafe = 2 * static_cast<double>(std::numeric_limits<float>::min());
  constexpr std::uint64_t kDropped = (std::uint64_t{1} << 29) - 1;
  constexpr std::uint64_t kHalf = std::uint64_t{1} << 28;
  std::uint64_t bits = 0;
  std::memcpy(&bits, &d, sizeof bits);
  return (bits & kDropped) - kHalf + error <= 2 * error || (d != 0 && std::abs(d) < kSafe);
}

inline const char* scan_float_slowly(const char* p, float& value) noexcept {
  constexpr std::size_t kLongest = 1 << 12;
  if (*p == '+' && (is_digit(p[1]) || p[1] == '.')) ++p;
  const char* last = p;
  const auto ends = [](char c) {
    return c == '\n' || c == ',' || c == ';' || c == ' ' || c == '\t' || c == '\r';
  };
  while (!ends(*last) && last - p < static_cast<std::ptrdiff_t>(kLongest)) ++last;
  const auto [end, error] = std::from_chars(p, last, value);
  if (error == std::errc()) return end;
  if (error != std::errc::result_out_of_range) return nullptr;
  double wide = 0;  // too small or too large for float: 0, or an infinity that the finite check will name
  const auto [wide_end, wide_error] = std::from_chars(p, last, wide);
  value = wide_error == std::errc() ? static_cast<float>(wide) : std::numeric_limits<float>::infinity();
  return wide_end;
}

/// Reads a decimal number, nan or inf, rounded correctly; nullptr if there is none.
inline const char* scan_float(const char* p, float& value) noexcept {
  static constexpr double kPower[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const char* const begin = p;
  const bool negative = *p == '-';
  if (negative) ++p;
  const char* const digits = p;
  std::uint64_t mantissa = 0;
  for (; is_digit(*p); ++p) mantissa = 10 * mantissa + static_cast<std::uint64_t>(*p - '0');
  std::ptrdiff_t count = p - digits;
  std::ptrdiff_t scale = 0;
  if (*p == '.') {
    const char* const fraction = ++p;
    for (; is_digit(*p); ++p) mantissa = 10 * mantissa + static_cast<std::uint64_t>(*p - '0');
    scale = p - fraction;
    count += scale;
  }
  if (count == 0 || count > 18 || (*p | 0x20) == 'e') return scan_float_slowly(begin, value);
  // Up to 2^53 the quotient alone is rounded, beyond it the mantissa too: together less than two steps.
  const std::uint64_t error = mantissa >> 53 != 0 ? 2 : 0;
  const double quotient = static_cast<double>(mantissa) / kPower[scale];
  if (rounds_twice(quotient, error)) return scan_float_slowly(begin, value);
  value = static_cast<float>(negative ? -quotient : quotient);
  return p;
}

/// Steps over what separates two cells: blanks, and one `separator` unless that is itself a blank. nullptr if
/// the separator is missing.
inline const char* skip_separator(const char* p, char separator) noexcept {
  const char* const after = skip_blanks(p);
  if (separator == ' ') return after == p ? nullptr : after;
  return *after == separator ? skip_blanks(after + 1) : nullptr;
}

/// The end of a line if only blanks are left of it; else nullptr.
inline const char* end_line(const char* p) noexcept {
  p = skip_blanks(p);
  return *p == '\n' ? p + 1 : nullptr;
}

/// A line as a message quotes it.
inline std::string quoted_line(std::string_view line) {
  constexpr std::size_t kShown = 40;
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  std::string out = "\"";
  for (const char c : line.substr(0, kShown)) {
    out.push_back(static_cast<unsigned char>(c) >= 32 && c != 127 ? c : '.');
  }
  return out + (line.size() > kShown ? "...\"" : "\"");
}

/// How many cells of a line are numbers, and the first that is not.
struct CellCount {
  std::size_t cells = 0;
  std::size_t numbers = 0;
  std::string bad;
};

inline CellCount count_cells(std::string_view line, char separator) {
  CellCount out;
  const auto is_gap = [&](char c) { return c == separator || (separator == ' ' && is_blank(c)); };
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  std::size_t at = 0;
  while (at <= line.size()) {
    std::size_t end = at;
    while (end < line.size() && !is_gap(line[end])) ++end;
    std::string cell(line.substr(at, end - at));
    const std::size_t first = cell.find_first_not_of(" \t");
    cell = first == cell.npos ? "" : cell.substr(first, cell.find_last_not_of(" \t") - first + 1);
    const bool gap_of_blanks = separator == ' ' && cell.empty();
    if (!gap_of_blanks) {
      ++out.cells;
      float ignored = 0;
      const std::string text = cell + '\n';
      const char* after = scan_float(text.c_str(), ignored);
      if (after != nullptr && *after == '\n') {
        ++out.numbers;
      } else if (out.bad.empty() && !cell.empty()) {
        out.bad = cell.substr(0, 40);
      }
    }
    at = end + 1;
  }
  return out;
}

/// Says what is wrong with a line that should hold `wanted` numbers: `"12," has 1 number, want 2`.
inline std::string describe_line(std::string_view line, char separator, std::size_t wanted,
                                 std::string_view kind = "number") {
  const CellCount count = count_cells(line, separator);
  const std::string quote = quoted_line(line);
  if (!count.bad.empty()) return message(quote, ": \"", count.bad, "\" is not a ", kind);
  if (count.numbers != wanted) {
    return message(quote, " has ", count.numbers, count.numbers == 1 ? " number" : " numbers", ", want ",
                   wanted);
  }
  return message(quote, " is not ", wanted, " ", kind, wanted == 1 ? "" : "s");
}

}  // namespace tessera::io::detail
