// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "tessera/core/error.hpp"

// How readers complain. Every message has the form
//
//     error[CODE] <file>[: <part>]: <what is wrong, with the numbers>. <what to do>
//
// and a code of the catalogue: GEN general, NPY arrays, ZIP archives, SPM sparse matrices, EDG edges, IDM id
// maps, JSN JSON, LBL labels, SPL splits, FEA features, STF safetensors.

namespace tessera::io {

/// The file, and the part of it ("member 'x.npy'", "line 12", ...), that a message is about.
struct Place {
  std::string file;
  std::string part = {};

  Place() = default;
  explicit Place(const std::filesystem::path& path, std::string part_of_it = {})
      : file(path.string()), part(std::move(part_of_it)) {}

  /// The same file, another part.
  Place at(std::string part_of_it) const {
    Place out = *this;
    out.part = std::move(part_of_it);
    return out;
  }

  /// Throws FormatError with the code and the joined `parts`.
  template <class... Parts>
  [[noreturn]] void fail(std::string_view code, const Parts&... parts) const {
    throw FormatError(std::string(code), file, text(parts...));
  }

  /// The line a provenance record keeps for something suspicious but usable.
  template <class... Parts>
  std::string warning(std::string_view code, const Parts&... parts) const {
    return message("warning[", code, "] ", file, ": ", text(parts...));
  }

 private:
  template <class... Parts>
  std::string text(const Parts&... parts) const {
    return part.empty() ? message(parts...) : message(part, ": ", parts...);
  }
};

/// 1959223200 -> "1,959,223,200".
inline std::string grouped(std::uint64_t value) {
  std::string digits = message(value);
  for (std::size_t end = digits.size(); end > 3;) {
    end -= 3;
    digits.insert(end, 1, ',');
  }
  return digits;
}

/// 112400000000 -> "112.4 GB" (decimal units).
inline std::string human_bytes(std::uint64_t bytes) {
  constexpr std::string_view kUnits[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
  std::size_t unit = 0;
  std::uint64_t tenths = bytes;  // of the unit, from kB on
  for (; unit + 1 < std::size(kUnits) && tenths >= (unit == 0 ? 1000u : 10'000u); ++unit) {
    tenths = unit == 0 ? tenths / 100 : tenths / 1000;
  }
  if (unit == 0) return message(bytes, " bytes");
  return message(tenths / 10, ".", tenths % 10, " ", kUnits[unit]);
}

/// The first bytes of a file as a message shows them: `3C 21 44 4F ("<!DO")`.
inline std::string first_bytes(std::span<const std::byte> bytes, std::size_t count = 4) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string hex;
  std::string text;
  for (const std::byte b : bytes.first(std::min(count, bytes.size()))) {
    const auto value = std::to_integer<unsigned>(b);
    if (!hex.empty()) hex.push_back(' ');
    hex.push_back(kHex[value >> 4]);
    hex.push_back(kHex[value & 15]);
    text.push_back(value >= 32 && value < 127 ? static_cast<char>(value) : '.');
  }
  return bytes.empty() ? "nothing (the file is empty)" : message(hex, " (\"", text, "\")");
}

/// a * b, or the largest number when it does not fit; compare with a limit before using it.
inline std::uint64_t saturating_product(std::uint64_t a, std::uint64_t b) noexcept {
  std::uint64_t out = 0;
  return __builtin_mul_overflow(a, b, &out) ? std::numeric_limits<std::uint64_t>::max() : out;
}

/// Refuses an allocation the limit does not cover.
///
/// Errors   GEN-03
inline void require_within(const Place& place, std::uint64_t bytes, std::uint64_t limit) {
  if (bytes > limit) {
    place.fail("GEN-03", "declares ", human_bytes(bytes), ", limit is ", human_bytes(limit),
               "; raise --max-bytes or convert on a larger machine");
  }
}

/// Reports that the operating system refused to open, read or write a file.
///
/// Errors   GEN-01 if there is no such file, with the name the folder does have; GEN-02 if a file stands where a folder
///          is named; GEN-04 otherwise
[[noreturn]] inline void fail_system(const std::filesystem::path& path, std::string_view doing, int error) {
  namespace fs = std::filesystem;
  const Place place(path);
  if (error != ENOENT && error != ENOTDIR) {
    place.fail("GEN-04", "cannot ", doing, ": ", std::generic_category().message(error));
  }
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code ignored;
  for (fs::path above = folder; above.has_relative_path(); above = above.parent_path()) {
    if (!fs::exists(above, ignored)) continue;
    if (!fs::is_directory(above, ignored)) place.fail("GEN-02", above.string(), " is a file, want a folder");
    break;
  }
  if (!fs::is_directory(folder, ignored)) {
    place.fail("GEN-01", "not found; the folder ", folder.string(), " does not exist");
  }
  const auto lower = [](std::string s) {
    std::transform(s.begin(), s.end(), s.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return s;
  };
  const std::string wanted = path.filename().string();
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (lower(name) == lower(wanted)) {
      place.fail("GEN-01", wanted, " not found in ", folder.string(), "; the folder has ", name);
    }
  }
  place.fail("GEN-01", wanted, " not found in ", folder.string());
}

namespace detail {

inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline bool starts_with_ignoring_case(std::string_view text, std::string_view lower_prefix) noexcept {
  return text.size() >= lower_prefix.size() &&
         std::equal(lower_prefix.begin(), lower_prefix.end(), text.begin(), [](char want, char got) {
           return want == static_cast<char>(std::tolower(static_cast<unsigned char>(got)));
         });
}

}  // namespace detail

/// Names the wrong files people really have by their first bytes; returns if `bytes` is none of them.
///
/// `wanted` is what the caller expected, e.g. ".npy array". Call it once the right magic was not found.
/// Errors   GEN-02
inline void refuse_wrong_kind(const Place& place, std::span<const std::byte> bytes, std::string_view wanted) {
  std::string_view text = detail::as_text(bytes.first(std::min<std::size_t>(bytes.size(), 512)));
  if (text.starts_with("version https://git-lfs")) {
    std::string size;
    if (const auto at = text.find("\nsize "); at != std::string_view::npos) {
      for (std::size_t i = at + 6; i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])); ++i)
        size.push_back(text[i]);
    }
    std::uint64_t real = 0;
    std::from_chars(size.data(), size.data() + size.size(), real);
    place.fail("GEN-02", "this is a Git LFS pointer for a ", grouped(real),
               "-byte file, not the data; fetch the file with git lfs pull");
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  if (detail::starts_with_ignoring_case(text, "<!doctype") ||
      detail::starts_with_ignoring_case(text, "<html")) {
    place.fail("GEN-02",
               "this is an HTML page, not the data; the download site probably showed a confirmation page");
  }
  const auto refuse_as = [&](std::string_view magic, std::string_view kind) {
    if (detail::as_text(bytes).starts_with(magic)) {
      place.fail("GEN-02", "this is ", kind, ", want a ", wanted);
    }
  };
  refuse_as("\x89HDF", "an HDF5 file, which no supported layout uses");
  refuse_as("\x1F\x8B", "a gzip file; unpack it first");
  refuse_as("\x93NUMPY", "a .npy array");
  refuse_as("PK\x03\x04", "a zip archive (.npz, or the download itself: extract it first)");
  refuse_as("PK\x05\x06", "an empty zip archive");
  for (const char protocol : {'\x02', '\x03', '\x04', '\x05'}) {
    refuse_as(std::string{'\x80', protocol}, "a Python pickle; pickles can run code and are never loaded");
  }
}

}  // namespace tessera::io
