// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tessera/core/error.hpp"

namespace tessera {

/// Builds one JSON text: members in the order they are written, numbers in their shortest exact form.
///
///     JsonWriter json;
///     json.begin_object().member("epoch", 3).member("loss", 0.5).end_object();
///
/// JSON has no NaN and no infinity: they are written as null. Bytes that are not UTF-8 are replaced.
class JsonWriter {
 public:
  enum class Layout { line, indented };

  explicit JsonWriter(Layout layout = Layout::line) : layout_(layout) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }

  /// The name of the value that follows.
  JsonWriter& key(std::string_view name) {
    separate();
    quote(name);
    text_ += layout_ == Layout::line ? ":" : ": ";
    after_key_ = true;
    return *this;
  }
  template <class T>
  JsonWriter& member(std::string_view name, const T& value_of_it) {
    return key(name).value(value_of_it);
  }

  JsonWriter& null() { return raw("null"); }
  JsonWriter& value(std::string_view text) {
    separate();
    quote(text);
    return *this;
  }
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  template <class N>
  requires std::is_arithmetic_v<N> JsonWriter& value(N number) {
    if constexpr (std::floating_point<N>) {
      if (!std::isfinite(number)) return null();
    }
    return raw(message(number));
  }

  const std::string& text() const noexcept { return text_; }

 private:
  JsonWriter& raw(std::string_view text) {
    separate();
    text_ += text;
    return *this;
  }
  JsonWriter& open(char bracket) {
    separate();
    text_ += bracket;
    empty_.push_back(true);
    return *this;
  }
  JsonWriter& close(char bracket) {
    const bool was_empty = empty_.back();
    empty_.pop_back();
    if (!was_empty) new_line();
    text_ += bracket;
    return *this;
  }
  void separate() {
    if (after_key_) {
      after_key_ = false;
      return;
    }
    if (empty_.empty()) return;
    if (!empty_.back()) text_ += ',';
    empty_.back() = false;
    new_line();
  }
  void new_line() {
    if (layout_ == Layout::line) return;
    text_ += '\n';
    text_.append(2 * empty_.size(), ' ');
  }

  /// Length of the UTF-8 character at the front of `text`; 0 if it is none.
  static std::size_t character(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = byte(0);
    const std::size_t length = lead < 0x80   ? 1u
                               : lead < 0xc2 ? 0u
                               : lead < 0xe0 ? 2u
                               : lead < 0xf0 ? 3u
                               : lead < 0xf5 ? 4u
                                             : 0u;
    if (length == 0 || length > text.size()) return 0;
    std::uint32_t code = length == 1 ? lead : lead & (0xffu >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
      if ((byte(i) & 0xc0u) != 0x80u) return 0;
      code = (code << 6) | (byte(i) & 0x3fu);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    return overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : length;
  }

  void quote(std::string_view text) {
    text_ += '"';
    while (!text.empty()) {
      const std::size_t length = character(text);
      const char c = text.front();
      if (length == 0) {
        text_ += "\\ufffd";
      } else if (c == '"' || c == '\\') {
        text_ += '\\';
        text_ += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        text_ += "\\u00";
        text_ += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
        text_ += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
      } else {
        text_ += text.substr(0, length);
      }
      text.remove_prefix(length == 0 ? 1 : length);
    }
    text_ += '"';
  }

  Layout layout_;
  std::string text_;
  std::vector<bool> empty_;  // of each open bracket: nothing written yet
  bool after_key_ = false;
};

}  // namespace tessera
