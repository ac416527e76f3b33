// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace tessera {

/// Root of every exception the library throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Extents of two arguments do not fit each other.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// An id or position lies outside its range.
class IndexError : public Error {
 public:
  using Error::Error;
};

/// An option has a value the algorithm cannot work with.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// A file is missing, damaged, hostile or of another kind than promised.
///
/// `what()` is one line, `error[CODE] <file>[: place]: <problem>. <advice>`; the parts are kept for programs.
class FormatError : public Error {
 public:
  FormatError(std::string code, std::string file, const std::string& problem)
      : Error("error[" + code + "] " + file + ": " + problem),
        code_(std::move(code)),
        file_(std::move(file)) {}

  /// The catalogue code, e.g. "NPY-05".
  const std::string& code() const noexcept { return code_; }
  /// The path of the offending file as it was given.
  const std::string& file() const noexcept { return file_; }

 private:
  std::string code_;
  std::string file_;
};

namespace detail {

inline void append(std::string& out, std::string_view s) { out.append(s); }
inline void append(std::string& out, char c) { out.push_back(c); }

template <class N>
  requires(std::is_arithmetic_v<N> && !std::same_as<N, char>)
void append(std::string& out, N value) {
  if constexpr (std::same_as<N, bool>) {
    out.append(value ? "true" : "false");
  } else {
    char buffer[64];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
    out.append(buffer, end.ptr);
  }
}

}  // namespace detail

/// Joins text and numbers into one string; numbers print in their shortest exact form.
///
///     throw ShapeError(message("gemm: a has ", a.cols(), " columns, want ", b.rows()));
template <class... Parts>
std::string message(const Parts&... parts) {
  std::string out;
  (detail::append(out, parts), ...);
  return out;
}

namespace detail {

/// Errors   ConfigError naming who asks and the option that is zero
inline void check_positive(std::string_view who, std::string_view option, std::size_t value) {
  if (value == 0) throw ConfigError(message(who, ": ", option, " is 0, want at least 1"));
}

}  // namespace detail

}  // namespace tessera
