// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/kernels/aggregator.hpp"
#include "tessera/kernels/detail/multi_rows.hpp"
#include "tessera/kernels/detail/simd_math.hpp"

// From the accumulators of a row (multi_rows.hpp) to its aggregates.

namespace tessera::detail {

template <class T>
TESSERA_ALWAYS_INLINE MultiRun<T> multi_input(const CsrView<>& a, MatrixView<const T> x, std::size_t row,
                                              std::size_t first, std::size_t last) noexcept {
  const T* const shift = first == last ? nullptr : x.data() + std::size_t{a.col[a.begin(row)]} * x.stride();
  return {a.col.data() + first,
          a.weighted() ? a.weight.data() + first : nullptr,
          last - first,
          a.num_edges() - first,
          x.data(),
          x.stride(),
          shift};
}

/// Calls body(integral_constant<lanes>, column) over all columns, W at a time and one by one at the end. Spelt out
/// because optimisers leave such loops scalar at -O2.
template <std::size_t W, class Body>
TESSERA_ALWAYS_INLINE void for_lanes(std::size_t cols, Body&& body) noexcept {
  std::size_t f = 0;
  for (; f + W <= cols; f += W) body(std::integral_constant<std::size_t, W>{}, f);
  for (; f < cols; ++f) body(std::integral_constant<std::size_t, 1>{}, f);
}

/// Redoes the extrema of a row whose sums are not finite.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void repair_extrema(const MultiRun<T>& run, std::size_t cols, const MultiRow<T>& row) {
  if (row.largest == nullptr && row.smallest == nullptr) return;
  const T* const witness = row.plain != nullptr ? row.plain : row.weighted;
  Simd<T, W> zeros{};
  T rest{0};
  for_lanes<W>(cols, [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
    Simd<T, w()> value;
    simd_load<w(), T>(value, witness + f);
    if constexpr (w() == W) {
      zeros += value * T{0};
    } else {
      rest += value * T{0};
    }
  });
  if (simd_sum<W, T>(zeros) + rest == T{0}) return;
  if (row.largest != nullptr) extremum_exact(run, cols, true, row.largest, row.arg_largest);
  if (row.smallest != nullptr) extremum_exact(run, cols, false, row.smallest, row.arg_smallest);
}

/// The averages of a row from its accumulators.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void average_multi(const MultiRow<T>& row, T n, const T* shift, std::size_t cols,
                                         T* to) noexcept {
  const T inverse = T{1} / n;
  for_lanes<W>(cols, [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
    Simd<T, w()> value;
    simd_load<w(), T>(value, row.plain + f);
    value *= inverse;
    if (shift != nullptr) {
      Simd<T, w()> start;
      simd_load<w(), T>(start, shift + f);
      value += start;
    }
    simd_store<w(), T>(to + f, value);
  });
}

/// The sums of a row from its accumulators.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void total_multi(const MultiRow<T>& row, T n, const T* shift, std::size_t cols,
                                       T* to) noexcept {
  for_lanes<W>(cols, [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
    Simd<T, w()> value;
    simd_load<w(), T>(value, row.plain + f);
    if (shift != nullptr) {
      Simd<T, w()> start;
      simd_load<w(), T>(start, shift + f);
      value += n * start;
    }
    simd_store<w(), T>(to + f, value);
  });
}

/// The variances of a row from its accumulators, or their roots; NaN stays.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void vary_multi(const MultiRow<T>& row, T n, std::size_t cols, bool root,
                                      T* to) noexcept {
  const T inverse = T{1} / n;
  for_lanes<W>(cols, [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
    Simd<T, w()> sum, square;
    simd_load<w(), T>(sum, row.plain + f);
    simd_load<w(), T>(square, row.square + f);
    square = (square - sum * sum * inverse) * inverse;
    square = square < T{0} ? Simd<T, w()>{} : square;
    if (root) {
      square += static_cast<T>(kStdEps);
      simd_sqrt_positive<w(), T>(square);
    }
    simd_store<w(), T>(to + f, square);
  });
}

/// The aggregates of a row from its accumulators; `count` entries, `shift` its first neighbour, `averaged` whether the
/// plain sums are averages already.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void finish_multi(std::span<const Aggregator> aggregators, bool shifted, bool averaged,
                                        std::size_t count, std::size_t cols, const T* shift,
                                        const MultiRow<T>& row, T* mean, T* y) noexcept {
  const T n = static_cast<T>(count);
  const T* const start = shifted ? shift : nullptr;
  if (mean != nullptr) {
    if (count == 0) {
      std::fill_n(mean, cols, T{0});
    } else {
      average_multi<W>(row, n, start, cols, mean);
    }
  }
  const auto copy = [cols](const T* from, T* to) {
    if (from != to) std::copy_n(from, cols, to);
  };
  for (std::size_t k = 0; k < aggregators.size(); ++k) {
    T* const to = y + k * cols;
    const Aggregator a = aggregators[k];
    if (count == 0) {
      std::fill_n(to, cols, a == Aggregator::std ? static_cast<T>(std::sqrt(kStdEps)) : T{0});
      continue;
    }
    if (a == Aggregator::symmetric) copy(row.weighted, to);
    if (a == Aggregator::sum) total_multi<W>(row, n, start, cols, to);
    if (a == Aggregator::mean && averaged) copy(row.plain, to);
    if (a == Aggregator::mean && !averaged) average_multi<W>(row, n, start, cols, to);
    if (a == Aggregator::max) copy(row.largest, to);
    if (a == Aggregator::min) copy(row.smallest, to);
    if (a == Aggregator::var || a == Aggregator::std) {
      vary_multi<W>(row, n, cols, a == Aggregator::std, to);
    }
  }
}

/// Adds the accumulators of a later part of a row.
template <class T>
void merge_multi(const MultiRow<T>& from, std::size_t cols, const MultiRow<T>& to) {
  const auto add = [&](const T* more, T* sum) {
    for (std::size_t f = 0; sum != nullptr && f < cols; ++f) sum[f] += more[f];
  };
  const auto take = [&](const T* next, const std::int32_t* next_arg, bool largest, T* best,
                        std::int32_t* arg) {
    for (std::size_t f = 0; best != nullptr && f < cols; ++f) {
      if (!(largest ? next[f] > best[f] : next[f] < best[f])) continue;
      best[f] = next[f];
      if (arg != nullptr) arg[f] = next_arg[f];
    }
  };
  add(from.weighted, to.weighted);
  add(from.plain, to.plain);
  add(from.square, to.square);
  take(from.largest, from.arg_largest, true, to.largest, to.arg_largest);
  take(from.smallest, from.arg_smallest, false, to.smallest, to.arg_smallest);
}

}  // namespace tessera::detail
