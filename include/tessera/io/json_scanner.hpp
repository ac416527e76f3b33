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
#include <utility>
#include <vector>

#include "tessera/core/assert.hpp"
#include "tessera/io/byte_source.hpp"
#include "tessera/io/file_error.hpp"

namespace tessera::io {

/// What the scanner met.
enum class JsonEvent : std::uint8_t {
  begin_object,
  end_object,
  begin_array,
  end_array,
  key,
  string,
  integer,
  real,
  boolean,
  null,
  end  ///< the document is over
};

/// Reads JSON as a stream of events, in constant memory and for files of any size.
///
///     JsonScanner json(ByteSource::file(path));
///     json.expect(JsonEvent::begin_object, "an object");
///     while (json.next() == JsonEvent::key) { ... json.text() ... json.skip_value(); }
///
/// A byte-order mark is skipped, once. Bare NaN and Infinity, which Python writes, pass where a value is
/// skipped and are refused where it is read. Skipped values are checked for matching brackets only.
/// Cost     one buffer of 4 MiB; 0.5 to 1.5 GB/s on one core
/// Errors   FormatError JSN-01 with the byte position for bad syntax, nesting deeper than 64, a string or
/// number
///          longer than 1 MiB
/// Threads  one reader at a time
class JsonScanner {
 public:
  static constexpr std::size_t kChunk = std::size_t{4} << 20;
  static constexpr std::size_t kMaxToken = std::size_t{1} << 20;
  static constexpr unsigned kMaxDepth = 64;

  /// `chunk` is the size of one read; anything from 1 works.
  explicit JsonScanner(ByteSource source, std::size_t chunk = kChunk) : source_(std::move(source)) {
    buffer_.resize(std::max<std::size_t>(chunk, 8) + 1);
    token_ = cur_ = end_ = buffer_.data();
    *end_ = '\0';
    while (end_ - cur_ < 3 && refill()) {
    }
    if (end_ - cur_ >= 3 && std::memcmp(cur_, "\xEF\xBB\xBF", 3) == 0) cur_ += 3;
    const char c = peek_visible();
    if (std::string_view("{[\"-0123456789tfn").find(c) == std::string_view::npos) {
      refuse_wrong_kind(Place(source_.name()), std::as_bytes(std::span(cur_, end_)), "JSON file");
    }
  }
  JsonScanner(const JsonScanner&) = delete;
  JsonScanner& operator=(const JsonScanner&) = delete;

  /// The next event; after `end`, `end` again.
  JsonEvent next();

  /// The key, string (decoded to UTF-8) or digits of the last event; valid until the next call.
  std::string_view text() const noexcept {
    return decoded_ ? std::string_view(scratch_) : std::string_view(token_ + text_begin_, text_size_);
  }
  /// The value of the last `integer`.
  std::int64_t integer() const noexcept { return integer_; }
  /// The value of the last `integer` or `real`.
  double number() const noexcept { return number_; }
  /// The value of the last `boolean`.
  bool boolean() const noexcept { return boolean_; }

  /// Steps over the value that comes next, whatever it is. Only where a value is due: after a key.
  void skip_value();

  /// Takes the next element of an array if it is an object of exactly this text, with an integer from 0 on
  /// for every '#', and lies in the buffer; otherwise takes nothing and returns false.
  ///
  /// For files of a million objects alike: about twice as fast as event by event.
  template <std::size_t kNumbers>
  bool take_like(std::string_view pattern, std::array<std::int64_t, kNumbers>& numbers);

  /// next(), which must be `wanted`; `what` completes "expected ..." in the message.
  void expect(JsonEvent wanted, std::string_view what) {
    if (next() != wanted) fail("JSN-01", message("expected ", what, ", found ", name_of(event_)));
  }
  JsonEvent last() const noexcept { return event_; }

  /// Name of the part of the document being read, for messages: "(in links)".
  void set_section(std::string_view section) { section_ = section; }
  /// Offset in the file of the first byte of the last event.
  std::uint64_t position() const noexcept {
    return offset_ + static_cast<std::uint64_t>(token_ - buffer_.data());
  }
  /// Offset in the file of the first byte not yet looked at.
  std::uint64_t next_position() const noexcept {
    return offset_ + static_cast<std::uint64_t>(cur_ - buffer_.data());
  }
  const std::string& file() const noexcept { return source_.name(); }
  /// Objects and arrays now open.
  unsigned depth() const noexcept { return depth_; }

  /// Throws FormatError `code`, saying where the last event stood.
  [[noreturn]] void fail(std::string code, std::string_view problem) const {
    fail_at(position(), code, problem);
  }

  static std::string_view name_of(JsonEvent event) noexcept {
    constexpr std::string_view kNames[] = {"an object",     "the end of the object",
                                           "an array",      "the end of the array",
                                           "a key",         "a string",
                                           "an integer",    "a number",
                                           "true or false", "null",
                                           "end of file"};
    return kNames[static_cast<std::size_t>(event)];
  }

 private:
  enum class Expect : std::uint8_t { value, value_or_end, key, key_or_end, comma_or_end, done };

  bool refill();
  char peek_visible(bool keep_token = false);
  JsonEvent close(char bracket);
  JsonEvent open(char bracket);
  JsonEvent scan_value(char c);
  void scan_string();
  void decode_string(char* p);
  JsonEvent scan_number();
  JsonEvent scan_general_number();
  JsonEvent scan_word();
  void skip_string();
  void skip_word();

  bool in_object() const noexcept { return depth_ != 0 && ((objects_ >> (depth_ - 1)) & 1u) != 0; }
  Expect after_value() const noexcept { return depth_ == 0 ? Expect::done : Expect::comma_or_end; }
  void push(bool object);
  void check_token_size(const char* end) const {
    if (static_cast<std::size_t>(end - token_) > kMaxToken)
      fail("JSN-01", "a string or number longer than 1 MiB");
  }
  static void append_utf8(std::string& out, std::uint32_t code);
  static bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
  std::string found(char c) const;
  [[noreturn]] void fail_expected(std::string_view what, char c) const {
    fail_at(offset_ + static_cast<std::uint64_t>(cur_ - buffer_.data()), "JSN-01",
            message("expected ", what, ", found ", found(c)));
  }
  [[noreturn]] void fail_at(std::uint64_t position, const std::string& code, std::string_view problem) const {
    std::string place = message("byte ", grouped(position));
    if (!section_.empty()) place += message(" (in ", section_, ")");
    throw FormatError(code, source_.name(), message(place, ": ", problem));
  }

  ByteSource source_;
  std::vector<char> buffer_;  // [0, end_) holds bytes, *end_ is 0, so that most loops need no end check
  char* token_ = nullptr;     // first byte that must survive a refill
  char* cur_ = nullptr;       // first byte not yet read
  char* end_ = nullptr;
  std::uint64_t offset_ = 0;   // file offset of buffer_[0]
  std::uint64_t objects_ = 0;  // bit i: level i is an object, not an array
  unsigned depth_ = 0;
  Expect expect_ = Expect::value;
  JsonEvent event_ = JsonEvent::null;
  bool decoded_ = false;
  bool boolean_ = false;
  std::size_t text_begin_ = 0;  // from token_
  std::size_t text_size_ = 0;
  std::int64_t integer_ = 0;
  double number_ = 0;
  std::string scratch_;
  std::string section_;
};

// Moves [token_, end_) to the front and reads behind it; pointers into the buffer other than token_, cur_ and
// end_ are void. False at the end of the source.
inline bool JsonScanner::refill() {
  const std::size_t kept = static_cast<std::size_t>(end_ - token_);
  const std::size_t unread = static_cast<std::size_t>(end_ - cur_);
  char* const start = buffer_.data();
  if (kept != 0 && token_ != start) std::memmove(start, token_, kept);
  offset_ += static_cast<std::uint64_t>(token_ - start);
  if (2 * kept >= buffer_.size()) {
    if (kept > kMaxToken) {
      token_ = start;
      fail("JSN-01", "a string, number or run of blanks longer than 1 MiB");
    }
    buffer_.resize(2 * buffer_.size());
  }
  token_ = buffer_.data();
  end_ = token_ + kept;
  const std::size_t got = source_.read({end_, buffer_.size() - 1 - kept});
  cur_ = end_ - unread;
  end_ += got;
  *end_ = '\0';
  return got != 0;
}

// The next byte that is not blank, without taking it; 0 at the end of the file. Blanks are forgotten, and so
// is the text of the last token unless it is to be kept.
inline char JsonScanner::peek_visible(bool keep_token) {
  for (;;) {
    const char c = *cur_;
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
      ++cur_;
    } else if (c != '\0' || cur_ != end_) {
      return c;
    } else {
      if (!keep_token) token_ = cur_;
      if (!refill()) return '\0';
    }
  }
}

inline std::string JsonScanner::found(char c) const {
  if (c == '\0' && cur_ == end_) return "end of file: truncated";
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x20 && byte < 0x7F) return message("'", c, "'");
  return message("byte value ", static_cast<unsigned>(byte));
}

inline void JsonScanner::push(bool object) {
  if (depth_ == kMaxDepth)
    fail("JSN-01", message("more than ", kMaxDepth, " objects and arrays inside each other"));
  const std::uint64_t bit = std::uint64_t{1} << depth_;
  objects_ = object ? objects_ | bit : objects_ & ~bit;
  ++depth_;
}

inline JsonEvent JsonScanner::open(char bracket) {
  push(bracket == '{');
  ++cur_;
  expect_ = bracket == '{' ? Expect::key_or_end : Expect::value_or_end;
  return bracket == '{' ? JsonEvent::begin_object : JsonEvent::begin_array;
}

inline JsonEvent JsonScanner::close(char bracket) {
  ++cur_;
  --depth_;
  expect_ = after_value();
  return bracket == '}' ? JsonEvent::end_object : JsonEvent::end_array;
}

inline JsonEvent JsonScanner::next() {
  token_ = cur_;
  char c = peek_visible();
  token_ = cur_;
  if (expect_ == Expect::comma_or_end) {
    const char closing = in_object() ? '}' : ']';
    if (c == closing) return event_ = close(c);
    if (c != ',') fail_expected(in_object() ? "',' or '}'" : "',' or ']'", c);
    token_ = ++cur_;
    c = peek_visible();
    token_ = cur_;
    expect_ = in_object() ? Expect::key : Expect::value;
  }
  switch (expect_) {
    case Expect::key_or_end:
      if (c == '}') return event_ = close(c);
      [[fallthrough]];
    case Expect::key:
      if (c != '"') fail_expected("a key in quotes", c);
      scan_string();
      c = peek_visible(true);
      if (c != ':') fail_expected("':'", c);
      ++cur_;
      expect_ = Expect::value;
      return event_ = JsonEvent::key;
    case Expect::value_or_end:
      if (c == ']') return event_ = close(c);
      [[fallthrough]];
    case Expect::value:
      return event_ = scan_value(c);
    default:
      if (c != '\0' || cur_ != end_) fail_expected("end of file", c);
      return event_ = JsonEvent::end;
  }
}

template <std::size_t kNumbers>
bool JsonScanner::take_like(std::string_view pattern, std::array<std::int64_t, kNumbers>& numbers) {
  if (in_object() || (expect_ != Expect::comma_or_end && expect_ != Expect::value_or_end)) return false;
  char* p = cur_;
  if (expect_ == Expect::comma_or_end) {
    if (*p++ != ',') return false;
    while (*p == ' ' || *p == '\n') ++p;
  }
  std::size_t number = 0;
  for (const char want : pattern) {  // the 0 at the end of the buffer matches nothing
    if (want != '#') {
      if (*p != want) return false;
      ++p;
      continue;
    }
    const char* const digits = p;
    std::int64_t value = 0;
    while (is_digit(*p) && p - digits < 18) value = value * 10 + (*p++ - '0');
    if (p == digits || (*digits == '0' && p - digits > 1)) return false;
    numbers[number++] = value;
  }
  token_ = cur_ = p;
  expect_ = Expect::comma_or_end;
  event_ = JsonEvent::end_object;
  return true;
}

inline JsonEvent JsonScanner::scan_value(char c) {
  if (is_digit(c) || c == '-') return scan_number();
  switch (c) {
    case '{':
    case '[':
      return open(c);
    case '"':
      scan_string();
      expect_ = after_value();
      return JsonEvent::string;
    case 't':
    case 'f':
    case 'n':
      return scan_word();
    default:
      fail_expected("a value", c);
  }
}

inline void JsonScanner::skip_value() {
  TESSERA_ASSERT(light, expect_ == Expect::value);
  const unsigned base = depth_;
  do {
    token_ = cur_;
    const char c = peek_visible();
    token_ = cur_;
    switch (c) {
      case '"':
        skip_string();
        break;
      case '{':
      case '[':
        push(c == '{');
        ++cur_;
        break;
      case '}':
      case ']':
        if (depth_ == base || in_object() != (c == '}')) fail_expected("a value", c);
        --depth_;
        ++cur_;
        break;
      case ',':
      case ':':
        if (depth_ == base) fail_expected("a value", c);
        ++cur_;
        break;
      default:
        skip_word();
    }
  } while (depth_ != base);
  expect_ = after_value();
}

}  // namespace tessera::io

#include "tessera/io/detail/json_tokens.hpp"
