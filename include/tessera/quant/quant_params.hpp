// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>

#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"

namespace tessera {

/// Which integers stand for real numbers: x ~ scale (q - zero_point) with q of `bits` bits.
struct QuantFormat {
  int bits = 8;            ///< 2 to 16
  bool is_signed = true;   ///< codes from -2^(bits - 1), else from 0
  bool symmetric = false;  ///< zero is the middle code, so that a product needs no correction for it
  bool narrow_range =
      false;  ///< leave out the lowest signed code; the largest magnitude is then a code itself

  std::int32_t qmin() const noexcept {
    return is_signed ? -(std::int32_t{1} << (bits - 1)) + (narrow_range ? 1 : 0) : 0;
  }
  std::int32_t qmax() const noexcept { return (std::int32_t{1} << (bits - (is_signed ? 1 : 0))) - 1; }

  friend constexpr bool operator==(const QuantFormat&, const QuantFormat&) = default;
};

/// Throws ConfigError unless the format is one that exists.
inline void check_format(const QuantFormat& format, const char* operation) {
  if (format.bits < 2 || format.bits > 16) {
    throw ConfigError(message(operation, ": bits is ", format.bits, ", want 2 to 16"));
  }
  if (format.narrow_range && !(format.is_signed && format.symmetric)) {
    throw ConfigError(
        message(operation, ": narrow_range is set for a format that is not signed and symmetric"));
  }
}

/// One quantiser, frozen: x ~ scale (q - zero_point), q in [qmin, qmax]. Zero has a code of its own.
struct QuantParams {
  float scale = 1.0f;
  std::int32_t zero_point = 0;
  std::int32_t qmin = -128;
  std::int32_t qmax = 127;

  /// What a real number is multiplied with; one rounding of the stored scale.
  float inverse() const noexcept { return 1.0f / scale; }

  friend constexpr bool operator==(const QuantParams&, const QuantParams&) = default;
};

/// The smallest scale a range gives; below it all numbers collapse to zero's code.
inline constexpr double kSmallestScale = 1.1920929e-7;

/// The quantiser of a range, which is first widened to hold 0.
///
/// Computed in double and stored once rounded. A range of 0 alone has scale 1. A symmetric one of unsigned codes has
/// its zero at 2^(bits - 1).
/// Errors   ConfigError for a format that does not exist, or a range that is empty or not finite
/// Source   Tailor et al., Degree-Quant, 2021, with the released code's rounding; differs: the middle code is
///          2^(bits - 1) for every width, there 128
inline QuantParams quant_params(double min, double max, const QuantFormat& format) {
  check_format(format, "quant_params");
  if (!(std::isfinite(min) && std::isfinite(max) && min <= max)) {
    throw ConfigError(message("quant_params: the range is [", min, ", ", max, "], want finite and ordered"));
  }
  min = std::min(min, 0.0);
  max = std::max(max, 0.0);
  QuantParams p{.qmin = format.qmin(), .qmax = format.qmax()};
  const auto middle = format.is_signed ? 0 : std::int32_t{1} << (format.bits - 1);
  if (min == max) {
    p.zero_point = format.symmetric ? middle : std::clamp(0, p.qmin, p.qmax);
    return p;
  }
  const double codes = static_cast<double>(p.qmax) - p.qmin;
  if (format.symmetric) {
    p.scale = static_cast<float>(std::max(2 * std::max(-min, max) / codes, kSmallestScale));
    p.zero_point = middle;
    return p;
  }
  const double scale = std::max((max - min) / codes, kSmallestScale);
  const double zero = static_cast<double>(p.qmin) - std::nearbyint(min / scale);
  p.scale = static_cast<float>(scale);
  p.zero_point =
      static_cast<std::int32_t>(std::clamp(zero, static_cast<double>(p.qmin), static_cast<double>(p.qmax)));
  return p;
}

/// The code of x: clamp(rne(x / scale) + zero_point); halves go to the even code. NaN gives qmin.
template <Real T>
std::int32_t quantize(T x, const QuantParams& p) noexcept {
  const T rounded = std::nearbyint(x * static_cast<T>(p.inverse())) + static_cast<T>(p.zero_point);
  const T low = static_cast<T>(p.qmin);
  return static_cast<std::int32_t>(std::min(static_cast<T>(p.qmax), rounded > low ? rounded : low));
}

/// The number a code stands for.
template <Real T = float>
T dequantize(std::int32_t q, const QuantParams& p) noexcept {
  return static_cast<T>(q - p.zero_point) * static_cast<T>(p.scale);
}

/// The number a quantiser makes of x.
template <Real T>
T fake_quantize(T x, const QuantParams& p) noexcept {
  return dequantize<T>(quantize(x, p), p);
}

/// Codes of a matrix, one by one: the twin of the fast ones.
///
/// Shapes   x [N, F] -> q [N, F], whose type holds the codes
/// Errors   ShapeError if the shapes differ
template <Real T, std::integral Code>
void quantize(MatrixView<const T> x, const QuantParams& p, MatrixView<Code> q) {
  if (x.rows() != q.rows() || x.cols() != q.cols()) {
    throw ShapeError(
        message("quantize: q is [", q.rows(), ", ", q.cols(), "], want [", x.rows(), ", ", x.cols(), "]"));
  }
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t f = 0; f < x.cols(); ++f) q(i, f) = static_cast<Code>(quantize(x(i, f), p));
  }
}

/// The numbers of a matrix of codes.
///
/// Shapes   q [N, F] -> x [N, F]
/// Errors   ShapeError if the shapes differ
template <Real T, std::integral Code>
void dequantize(MatrixView<const Code> q, const QuantParams& p, MatrixView<T> x) {
  if (x.rows() != q.rows() || x.cols() != q.cols()) {
    throw ShapeError(
        message("dequantize: x is [", x.rows(), ", ", x.cols(), "], want [", q.rows(), ", ", q.cols(), "]"));
  }
  for (std::size_t i = 0; i < q.rows(); ++i) {
    for (std::size_t f = 0; f < q.cols(); ++f) x(i, f) = dequantize<T>(q(i, f), p);
  }
}

}  // namespace tessera
