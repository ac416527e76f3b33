// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <concepts>
#include <string>
#include <string_view>

#include "tessera/core/error.hpp"

namespace tessera::bench {

/// Text as a JSON string.
inline std::string json_string(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out += '"';
}

/// Builds one JSON object, members in the order they are added.
class JsonObject {
 public:
  JsonObject& add(std::string_view key, std::string_view value) { return raw(key, json_string(value)); }
  JsonObject& add(std::string_view key, const char* value) { return add(key, std::string_view(value)); }
  template <class N>
  requires std::is_arithmetic_v<N> JsonObject& add(std::string_view key, N value) {
    if constexpr (std::floating_point<N>) {
      if (!std::isfinite(value)) return raw(key, "null");
    }
    return raw(key, message(value));
  }
  JsonObject& add(std::string_view key, const JsonObject& value) { return raw(key, value.text()); }
  /// `json` is JSON already.
  JsonObject& raw(std::string_view key, std::string_view json) {
    if (!body_.empty()) body_ += ", ";
    body_ += json_string(key);
    body_ += ": ";
    body_ += json;
    return *this;
  }
  std::string text() const { return "{" + body_ + "}"; }

 private:
  std::string body_;
};

}  // namespace tessera::bench
