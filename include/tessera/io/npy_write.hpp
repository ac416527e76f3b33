// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tessera/core/matrix_view.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/npy_header.hpp"

namespace tessera::io {

/// Element types numpy knows under the same name.
template <class T>
concept NpyElement = std::same_as<T, bool> || std::same_as<T, float> || std::same_as<T, double> ||
    (std::integral<T> && sizeof(T) <= 8);

/// numpy's name of T, e.g. "<f4".
template <NpyElement T>
std::string npy_descr() {
  const char kind = std::same_as<T, bool>         ? 'b'
                    : std::is_floating_point_v<T> ? 'f'
                    : std::is_signed_v<T>         ? 'i'
                                                  : 'u';
  return message(sizeof(T) == 1 ? "|" : "<", kind, sizeof(T));
}

/// The bytes before the array, exactly as numpy writes them: version 1.0, sorted keys, room for the first
/// extent to grow, padded to 64 bytes.
///
/// Errors   ShapeError if the header would not fit version 1.0 (more than about 3000 dimensions)
inline std::string npy_preamble(std::string_view descr, std::span<const std::uint64_t> shape) {
  constexpr std::size_t kGrowth = 21;  // digits numpy reserves for the first extent
  constexpr std::size_t kPrefix = 10;
  std::string text =
      message("{'descr': '", descr, "', 'fortran_order': False, 'shape': ", shape_text(shape), ", }");
  if (!shape.empty()) text.append(kGrowth - message(shape[0]).size(), ' ');
  text.append(64 - (kPrefix + text.size() + 1) % 64, ' ');
  text.push_back('\n');
  if (text.size() > 0xffff)
    throw ShapeError(message("npy_preamble: shape has ", shape.size(), " dimensions"));
  std::string out = "\x93NUMPY";
  out.append({'\1', '\0', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)});
  return out + text;
}

namespace detail {

/// Hands an array's bytes to `sink` piece by piece: the preamble, then the rows.
template <NpyElement T, class Sink>
void emit_npy(MatrixView<const T> values, std::span<const std::uint64_t> shape, Sink&& sink) {
  const std::string preamble = npy_preamble(npy_descr<T>(), shape);
  sink(std::as_bytes(std::span(preamble)));
  if (values.empty()) return;
  if (values.contiguous()) {
    sink(std::as_bytes(std::span(values.data(), values.size())));
    return;
  }
  for (std::size_t i = 0; i < values.rows(); ++i) sink(std::as_bytes(values.row(i)));
}

}  // namespace detail

/// Writes a matrix as a two-dimensional .npy file, whole or not at all.
///
/// Errors   FormatError GEN-01, GEN-04
template <NpyElement T>
void write_npy(const std::filesystem::path& path, MatrixView<const T> values) {
  AtomicFile file(path);
  const std::uint64_t shape[] = {values.rows(), values.cols()};
  detail::emit_npy(values, shape, [&](std::span<const std::byte> bytes) { file.write(bytes); });
  file.commit();
}

/// Writes values as a one-dimensional .npy file, whole or not at all.
///
/// Errors   FormatError GEN-01, GEN-04
template <NpyElement T>
void write_npy(const std::filesystem::path& path, std::span<const T> values) {
  AtomicFile file(path);
  const std::uint64_t shape[] = {values.size()};
  detail::emit_npy(MatrixView<const T>(values.data(), 1, values.size()), shape,
                   [&](std::span<const std::byte> bytes) { file.write(bytes); });
  file.commit();
}

}  // namespace tessera::io
