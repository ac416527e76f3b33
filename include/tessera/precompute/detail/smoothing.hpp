// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/precompute/operator.hpp"

namespace tessera::detail {

/// What happens to a row after e <- alpha M e + (1 - alpha) e0.
template <Real T>
struct SmoothingRule {
  double alpha = 0.9;
  std::size_t iterations = 50;
  bool clip = true;
  T low = 0;
  T high = 1;
  std::span<const std::uint8_t> held{};  ///< [N]: rows that go back to e0 after each step; empty for none
};

/// The iteration above from e = e0.
///
/// Shapes   e0 [N, C] -> [N, C]
template <Real T>
Tensor<T> smooth_labels(const PropagationOperator& op, MatrixView<const T> e0, const SmoothingRule<T>& how) {
  if (how.iterations == 0) return Tensor<T>::copy_of(e0);
  // Two panels, both factorised (divided by D^r) until the last step: rows without edges then hold zeros, which
  // nobody reads.
  Tensor<T> now(e0.rows(), e0.cols());
  Tensor<T> next(e0.rows(), e0.cols());
  const std::size_t cols = e0.cols();
  parallel_for(e0.rows(), 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const T by = static_cast<T>(op.unscale(i));
      for (std::size_t c = 0; c < cols; ++c) now(i, c) = e0(i, c) * by;
    }
  });
  for (std::size_t step = 1; step <= how.iterations; ++step) {
    const bool last = step == how.iterations;
    op.template for_products<T>(
        std::as_const(now), next.view(), [&](std::size_t i, T* row) TESSERA_INLINE_LAMBDA {
          const T keep = static_cast<T>(how.alpha * op.scale(i));
          const T back = static_cast<T>(1 - how.alpha);
          const T* const start = e0.data() + i * e0.stride();
          const T out = static_cast<T>(last ? 1.0 : op.unscale(i));
          if (!how.held.empty() && how.held[i] != 0) {
            for (std::size_t c = 0; c < cols; ++c) row[c] = start[c] * out;
            return;
          }
          const T low = how.clip ? how.low : -std::numeric_limits<T>::infinity();
          const T high = how.clip ? how.high : std::numeric_limits<T>::infinity();
          for_vectors<T>(cols, [=]<std::size_t W>(std::size_t c) TESSERA_INLINE_LAMBDA {
            Simd<T, W> value, first;
            simd_load<W, T>(value, row + c);
            simd_load<W, T>(first, start + c);
            value = keep * value + back * first;
            value = value < low ? low - Simd<T, W>{} : value;
            value = value > high ? high - Simd<T, W>{} : value;
            value *= out;
            simd_store<W, T>(row + c, value);
          });
        });
    std::swap(now, next);
  }
  return now;
}

/// Labels as the algorithms here need them.
///
/// Errors   ConfigError for no labelled row; IndexError for a row or class outside its range
inline void check_labelled(std::string_view who, std::size_t nodes, std::span<const std::int32_t> classes,
                           std::span<const NodeId> labelled, std::size_t num_classes) {
  if (classes.size() != nodes) {
    throw ShapeError(
        message(who, ": classes has ", classes.size(), " entries, want ", nodes, " as the operator"));
  }
  if (labelled.empty()) throw ConfigError(message(who, ": labelled is empty, want at least one row"));
  for (const NodeId row : labelled) {
    if (row >= nodes) throw IndexError(message(who, ": labelled holds ", row, ", want below ", nodes));
    const std::int32_t c = classes[row];
    if (c < 0 || static_cast<std::size_t>(c) >= num_classes) {
      throw IndexError(message(who, ": the class of row ", row, " is ", c, ", want 0 to ", num_classes - 1));
    }
  }
}

inline void check_smoothing(std::string_view who, const PropagationOperator& op, double alpha) {
  if (!(alpha >= 0 && alpha <= 1)) throw ConfigError(message(who, ": alpha is ", alpha, ", want 0 to 1"));
  if (op.is_series()) {
    throw ConfigError(message(who, ": operator ", op.name(), " is a series, want symmetric, row or column"));
  }
}

}  // namespace tessera::detail
