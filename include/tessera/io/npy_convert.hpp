// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/finite.hpp"
#include "tessera/io/limits.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/io/read_options.hpp"

// From the elements of a .npy array, of whatever type and order, to arrays of ours.

namespace tessera::io {

/// The float a binary16 stands for; every one is exact.
constexpr float half_to_float(std::uint16_t half) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t magnitude = half & 0x7fffu;
  if (magnitude >= 0x7c00u) {  // infinity or NaN: the payload moves up
    return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  }
  if (magnitude >= 0x0400u) return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
  const float subnormal = static_cast<float>(magnitude) * 0x1p-24f;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(subnormal) | sign);
}

namespace detail {

struct Half {
  std::uint16_t bits;
};
struct Bool {
  std::uint8_t byte;
};

/// Reads elements of type T at any alignment.
template <class T>
struct Elements {
  const std::byte* data;

  auto operator()(std::size_t i) const noexcept {
    T value;
    std::memcpy(&value, data + i * sizeof(T), sizeof(T));
    if constexpr (std::same_as<T, Half>) {
      return half_to_float(value.bits);
    } else if constexpr (std::same_as<T, Bool>) {
      return static_cast<std::uint8_t>(value.byte != 0);
    } else {
      return value;
    }
  }
};

/// Calls body(Elements<T>) for the T that elements of this type at `data` have.
///
/// Errors   FormatError NPY-04 for text
template <class F>
void with_integers(const NpyType& type, const std::byte* data, const Place& place, F&& body) {
  const std::size_t size = type.size;
  switch (type.kind) {
    case 'b':
      return body(Elements<Bool>{data});
    case 'i':
      if (size == 1) return body(Elements<std::int8_t>{data});
      if (size == 2) return body(Elements<std::int16_t>{data});
      if (size == 4) return body(Elements<std::int32_t>{data});
      return body(Elements<std::int64_t>{data});
    case 'u':
      if (size == 1) return body(Elements<std::uint8_t>{data});
      if (size == 2) return body(Elements<std::uint16_t>{data});
      if (size == 4) return body(Elements<std::uint32_t>{data});
      return body(Elements<std::uint64_t>{data});
    default:
      place.fail("NPY-04", "descr '", type.descr, "' found, want integers");
  }
}
template <class F>
void with_integers(const NpyArray& array, F&& body) {
  with_integers(array.type(), array.bytes().data(), array.place(), body);
}

template <class F>
void with_numbers(const NpyType& type, const std::byte* data, const Place& place, F&& body) {
  if (type.is_text()) place.fail("NPY-04", "descr '", type.descr, "' (text) found, want numbers");
  if (type.kind != 'f') return with_integers(type, data, place, body);
  if (type.size == 2) return body(Elements<Half>{data});
  if (type.size == 4) return body(Elements<float>{data});
  return body(Elements<double>{data});
}
template <class F>
void with_numbers(const NpyArray& array, F&& body) {
  with_numbers(array.type(), array.bytes().data(), array.place(), body);
}

/// Where logical element k (row-major) lies in the file.
struct FileOrder {
  std::size_t rows = 1;
  std::size_t cols = 1;
  bool fortran = false;

  explicit FileOrder(const NpyArray& array) : fortran(array.header().fortran_order && array.rank() > 1) {
    if (!fortran) return;
    array.require_rank(2, "in Fortran order");
    rows = array.dim(0);
    cols = array.dim(1);
  }
  std::size_t operator()(std::size_t k) const noexcept { return fortran ? k % cols * rows + k / cols : k; }
};

inline constexpr std::size_t kNpyBlock = std::size_t{1}
                                         << 16;  // elements per task: large enough to amortise one

}  // namespace detail

/// The elements of an integer or boolean array as T, row-major, each in [lowest, highest].
///
/// Calls on_bad(position, value as text) for the first element outside, and expects it to throw. Only the
/// first `count` elements are read.
/// Cost     one pass, in parallel
/// Errors   FormatError NPY-04 (not integers), NPY-07 (Fortran order with
///          more than two dimensions); what on_bad throws
template <std::integral T, class OnBad>
Array<T> to_integers(const NpyArray& array, T lowest, T highest, OnBad&& on_bad,
                     std::size_t count = std::numeric_limits<std::size_t>::max()) {
  const detail::FileOrder file_order(array);
  count = std::min(count, array.size());
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  const std::size_t blocks = (count + detail::kNpyBlock - 1) / detail::kNpyBlock;
  Array<std::size_t> first_bad(blocks, kNone);
  Array<T> out(count);
  detail::with_integers(array, [&](const auto element) {
    parallel_for(count, detail::kNpyBlock, [&](std::size_t begin, std::size_t end) {
      for (std::size_t k = begin; k < end; ++k) {
        const auto value = element(file_order(k));
        if (std::cmp_less(value, lowest) || std::cmp_greater(value, highest)) {
          first_bad[begin / detail::kNpyBlock] = k;
          return;
        }
        out[k] = static_cast<T>(value);
      }
    });
    for (const std::size_t k : first_bad) {
      if (k != kNone) on_bad(k, message(element(file_order(k))));
    }
  });
  return out;
}

/// The elements of an integer or boolean array as T, row-major.
///
/// Errors   FormatError NPY-04 (not integers, or a value T cannot hold), NPY-07
template <std::integral T>
Array<T> to_integers(const NpyArray& array) {
  return to_integers<T>(array, std::numeric_limits<T>::lowest(), std::numeric_limits<T>::max(),
                        [&](std::size_t position, const std::string& value) {
                          array.place().fail("NPY-04", "element ", grouped(position), " is ", value,
                                             ", which does not fit ", 8 * sizeof(T),
                                             std::is_signed_v<T> ? " signed bits" : " unsigned bits");
                        });
}

/// Warns about bytes of a boolean array that are neither 0 nor 1; they count as true.
inline void check_bools(const NpyArray& array, std::vector<std::string>& warnings) {
  if (array.type().kind != 'b') return;
  const auto odd = std::count_if(array.bytes().begin(), array.bytes().end(),
                                 [](std::byte b) { return std::to_integer<int>(b) > 1; });
  if (odd > 0) {
    warnings.push_back(array.place().warning("NPY-04", grouped(static_cast<std::uint64_t>(odd)),
                                             " boolean bytes are neither 0 nor 1, read as true"));
  }
}

namespace detail {

/// Fills rows [begin, end) of `out`; the source is row-major or column-major.
template <class Element>
void narrow_rows(const Element element, bool fortran, std::size_t begin, std::size_t end,
                 MatrixView<float> out) {
  const std::size_t cols = out.cols();
  if (!fortran) {
    for (std::size_t i = begin; i < end; ++i) {
      float* const row = out.row(i).data();
      for (std::size_t j = 0; j < cols; ++j) row[j] = static_cast<float>(element(i * cols + j));
    }
    return;
  }
  for (std::size_t j = 0; j < cols; ++j) {
    for (std::size_t i = begin; i < end; ++i) out(i, j) = static_cast<float>(element(j * out.rows() + i));
  }
}

/// Throws for the first finite double that became an infinite float.
inline void require_no_overflow(const NpyArray& array, MatrixView<const float> narrowed) {
  if (array.type().kind != 'f' || array.type().size != 8) return;
  const Elements<double> element{array.bytes().data()};
  const FileOrder file_order(array);
  for (std::size_t i = 0; i < narrowed.rows(); ++i) {
    if (count_not_finite(narrowed.row(i)) == 0) continue;
    for (std::size_t j = 0; j < narrowed.cols(); ++j) {
      const double value = element(file_order(i * narrowed.cols() + j));
      if (std::isinf(narrowed(i, j)) && !std::isinf(value)) {
        array.place().fail("FEA-01", "value ", value, " at row ", grouped(i), " column ", j,
                           " does not fit 32-bit floats; rescale the features");
      }
    }
  }
}

}  // namespace detail

/// A two-dimensional array of any numeric type as float, every value finite or treated by the policy.
///
/// Shapes   (N, F) in either order -> [N, F]
/// Cost     one pass, in parallel by row blocks; reads the file's pages directly, so no second copy
///          exists
/// Errors   FormatError NPY-07 (not two-dimensional), NPY-04 (text), GEN-03 (limit), FEA-01 (NaN,
///          infinite, or too large for float)
inline Tensor<float> to_matrix(const NpyArray& array, NanPolicy nan = NanPolicy::error,
                               std::vector<std::string>* warnings = nullptr, const Limits& limits = {}) {
  array.require_rank(2, "(N, F)");
  const std::size_t rows = array.dim(0);
  const std::size_t cols = array.dim(1);
  require_within(array.place(), saturating_product(array.size(), sizeof(float)), limits.max_bytes);
  Tensor<float> out(rows, cols);
  if (array.size() == 0) return out;
  const std::size_t grain = std::max<std::size_t>(1, detail::kNpyBlock / cols);
  Array<std::size_t> bad((rows + grain - 1) / grain);
  detail::with_numbers(array, [&](const auto element) {
    parallel_for(rows, grain, [&](std::size_t begin, std::size_t end) {
      detail::narrow_rows(element, array.header().fortran_order, begin, end, out);
      std::size_t sum = 0;
      for (std::size_t i = begin; i < end; ++i) sum += count_not_finite(out.row(i));
      bad[begin / grain] = sum;
    });
  });
  if (std::any_of(bad.begin(), bad.end(), [](std::size_t n) { return n > 0; })) {
    detail::require_no_overflow(array, out);
    settle_not_finite(out, array.place(), nan, warnings);
  }
  return out;
}

/// The first `count` elements of a numeric array as float, row-major; NaN and infinite values pass.
///
/// Errors   FormatError NPY-04 (text), NPY-07 (Fortran order with more than two dimensions)
inline Array<float> to_floats(const NpyArray& array,
                              std::size_t count = std::numeric_limits<std::size_t>::max()) {
  const detail::FileOrder file_order(array);
  Array<float> out(std::min(count, array.size()));
  detail::with_numbers(array, [&](const auto element) {
    parallel_for(out.size(), detail::kNpyBlock, [&](std::size_t begin, std::size_t end) {
      for (std::size_t k = begin; k < end; ++k) out[k] = static_cast<float>(element(file_order(k)));
    });
  });
  return out;
}

/// Element `i` of an array of text, as UTF-8 without padding.
///
/// Errors   FormatError NPY-04 if the array holds no text
inline std::string to_text(const NpyArray& array, std::size_t i) {
  const NpyType& type = array.type();
  if (!type.is_text()) array.place().fail("NPY-04", "descr '", type.descr, "' found, want text");
  if (i >= array.size()) array.place().fail("NPY-07", "text ", i, " is wanted of ", array.size());
  const std::span<const std::byte> bytes = array.bytes().subspan(i * type.size, type.size);
  std::string out;
  if (type.kind == 'S') {
    out = std::string(detail::as_text(bytes));
    out.erase(out.find_last_not_of('\0') + 1);
    return out;
  }
  for (std::size_t at = 0; at < bytes.size(); at += 4) {
    auto c = static_cast<std::uint32_t>(detail::load_little(bytes.subspan(at, 4)));
    if (c == 0) break;
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) c = 0xfffd;  // not a character: the replacement sign
    if (c < 0x80) {
      out.push_back(static_cast<char>(c));
      continue;
    }
    const int tail_bytes = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    constexpr std::uint32_t kLead[] = {0, 0xc0, 0xe0, 0xf0};
    out.push_back(static_cast<char>(kLead[tail_bytes] | c >> (6 * tail_bytes)));
    for (int k = tail_bytes; k-- > 0;) out.push_back(static_cast<char>(0x80u | (c >> (6 * k) & 0x3fu)));
  }
  return out;
}

}  // namespace tessera::io
