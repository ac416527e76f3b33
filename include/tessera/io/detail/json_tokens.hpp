// SPDX-License-Identifier: MIT
#pragma once

// How JsonScanner reads strings, numbers and words, token by token; the last part of json_scanner.hpp.

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tessera/io/json_scanner.hpp"

namespace tessera::io {

// At the opening quote. Strings without escapes stay where they are in the buffer.
inline void JsonScanner::scan_string() {
  decoded_ = false;
  char* p = cur_ + 1;
  for (;;) {
    while (*p != '"' && *p != '\\' && static_cast<unsigned char>(*p) >= 0x20) ++p;
    if (*p == '"') break;
    if (*p == '\\') return decode_string(p);
    cur_ = p;
    if (p != end_) fail_expected("'\"' (control characters must be escaped)", *p);
    check_token_size(p);
    if (!refill()) fail_expected("'\"'", '\0');
    p = cur_;
  }
  check_token_size(p);
  text_begin_ = 1;
  text_size_ = static_cast<std::size_t>(p - token_) - 1;
  cur_ = p + 1;
}

// A string with escapes goes through scratch_; `p` is at the first backslash.
inline void JsonScanner::decode_string(char* p) {
  scratch_.assign(token_ + 1, p);
  decoded_ = true;
  std::uint32_t high = 0;  // a high surrogate waiting for its partner
  const auto put = [&](std::uint32_t code) {
    if (high != 0 && code >= 0xDC00 && code < 0xE000) {
      append_utf8(scratch_, 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00));
      high = 0;
      return;
    }
    if (high != 0) append_utf8(scratch_, std::exchange(high, 0u));  // kept as Python keeps a lone surrogate
    if (code >= 0xD800 && code < 0xDC00) {
      high = code;
    } else {
      append_utf8(scratch_, code);
    }
  };
  const auto flush = [&] {
    if (high != 0) append_utf8(scratch_, std::exchange(high, 0u));
  };
  // From here on bytes are taken one at a time; token_ moves along, so a refill keeps nothing.
  const std::uint64_t started = position();
  const auto take = [&]() -> char {
    if (p == end_) {
      token_ = cur_ = p;
      if (!refill()) fail_expected("'\"'", '\0');
      p = cur_;
    }
    return *p++;
  };
  for (;;) {
    if (scratch_.size() > kMaxToken) fail_at(started, "JSN-01", "a string or number longer than 1 MiB");
    const char c = take();
    if (c == '"') break;
    if (static_cast<unsigned char>(c) < 0x20) {
      cur_ = p - 1;
      fail_expected("'\"' (control characters must be escaped)", c);
    }
    if (c != '\\') {
      flush();
      scratch_.push_back(c);
      continue;
    }
    const char escape = take();
    constexpr std::string_view kFrom = "\"\\/bfnrt";
    constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
    if (escape == 'u') {
      std::uint32_t code = 0;
      for (int i = 0; i < 4; ++i) {
        const char h = take();
        const char lower = static_cast<char>(h | 0x20);
        const bool letter = lower >= 'a' && lower <= 'f';
        if (!is_digit(h) && !letter) {
          cur_ = p - 1;
          fail_expected("four hexadecimal digits after \\u", h);
        }
        code = code * 16 + static_cast<std::uint32_t>(letter ? lower - 'a' + 10 : h - '0');
      }
      put(code);
    } else if (const auto at = kFrom.find(escape); at != std::string_view::npos) {
      flush();
      scratch_.push_back(kTo[at]);
    } else {
      cur_ = p - 1;
      fail_expected("an escape character", escape);
    }
  }
  flush();
  token_ = cur_ = p;
}

inline void JsonScanner::append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&out](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

// The common case: up to 18 digits that end inside the buffer.
inline JsonEvent JsonScanner::scan_number() {
  const char* p = cur_;
  const bool negative = *p == '-';
  if (negative) ++p;
  const char* const digits = p;
  std::int64_t value = 0;
  while (is_digit(*p) && p - digits < 18) value = value * 10 + (*p++ - '0');
  const auto count = p - digits;
  const bool plain = count >= 1 && p != end_ && !is_digit(*p) && *p != '.' && *p != 'e' && *p != 'E' &&
                     (digits[0] != '0' || count == 1);
  if (!plain) return scan_general_number();
  integer_ = negative ? -value : value;
  number_ = static_cast<double>(integer_);
  decoded_ = false;
  text_begin_ = 0;
  text_size_ = static_cast<std::size_t>(p - cur_);
  cur_ += text_size_;
  expect_ = after_value();
  return JsonEvent::integer;
}

// Any number: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
inline JsonEvent JsonScanner::scan_general_number() {
  decoded_ = false;
  const auto peek = [this]() -> char {
    if (cur_ == end_) {
      check_token_size(cur_);
      refill();
    }
    return *cur_;
  };
  const auto take_digits = [&] {
    if (!is_digit(peek())) fail_expected("a digit", *cur_);
    while (is_digit(peek())) ++cur_;
  };
  bool integral = true;
  if (peek() == '-') ++cur_;
  if (peek() == '0') {
    ++cur_;
  } else {
    take_digits();
  }
  if (peek() == '.') {
    integral = false;
    ++cur_;
    take_digits();
  }
  if (peek() == 'e' || *cur_ == 'E') {
    integral = false;
    ++cur_;
    if (peek() == '+' || *cur_ == '-') ++cur_;
    take_digits();
  }
  if (is_digit(peek())) fail_expected("a number without leading zeros", *cur_);
  check_token_size(cur_);
  text_begin_ = 0;
  text_size_ = static_cast<std::size_t>(cur_ - token_);
  expect_ = after_value();
  number_ = 0;
  const auto real = std::from_chars(token_, cur_, number_);
  const bool tiny =
      text().find("e-") != std::string_view::npos || text().find("E-") != std::string_view::npos;
  if (real.ec == std::errc::result_out_of_range && !tiny) {
    fail("JSN-01", message("the number ", text().substr(0, 40), " does not fit a double"));
  }
  if (integral && std::from_chars(token_, cur_, integer_).ec == std::errc{}) return JsonEvent::integer;
  return JsonEvent::real;
}

inline JsonEvent JsonScanner::scan_word() {
  const char first = *cur_;
  const std::string_view word = first == 't' ? "true" : first == 'f' ? "false" : "null";
  for (const char want : word) {
    if (cur_ == end_) refill();
    if (*cur_ != want) fail_expected(message("'", word, "'"), *cur_);
    ++cur_;
  }
  boolean_ = first == 't';
  expect_ = after_value();
  return first == 'n' ? JsonEvent::null : JsonEvent::boolean;
}

inline void JsonScanner::skip_string() {
  for (++cur_;;) {
    while (*cur_ != '"' && *cur_ != '\\' && *cur_ != '\0') ++cur_;
    const bool escape = *cur_ == '\\';
    if (*cur_ == '\0' && cur_ == end_) {
      token_ = cur_;
      if (!refill()) fail_expected("'\"'", '\0');
      continue;
    }
    const bool quote = *cur_ == '"';
    ++cur_;
    if (quote) return;
    if (!escape) continue;
    if (cur_ == end_) {
      token_ = cur_;
      if (!refill()) fail_expected("'\"'", '\0');
    }
    ++cur_;
  }
}

// A number or a bare word such as NaN.
inline void JsonScanner::skip_word() {
  const auto part = [](char c) {
    const char lower = static_cast<char>(c | 0x20);
    return is_digit(c) || (lower >= 'a' && lower <= 'z') || c == '-' || c == '+' || c == '.';
  };
  if (!part(*cur_)) fail_expected("a value", *cur_);
  for (;;) {
    while (part(*cur_)) ++cur_;
    if (cur_ != end_) return;
    token_ = cur_;
    if (!refill()) return;
  }
}

}  // namespace tessera::io
