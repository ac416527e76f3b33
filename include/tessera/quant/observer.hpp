// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/kernels/quantized_messages.hpp"
#include "tessera/quant/percentile.hpp"
#include "tessera/quant/quant_settings.hpp"

namespace tessera {

/// What an observer remembers, as rows of a parameter block's state: row 0 the least, row 1 the largest, row 2 whether
/// there was anything yet (0 or 1). One column, or one per channel.
///
/// Shapes   [3, 1] or [3, F]
template <Real T>
using ObserverState = MatrixView<T>;

namespace detail {

/// One number of an observer moved towards, or widened by, what a step saw.
template <Real T>
void follow(ObserverState<T> state, std::size_t channel, T min, T max, RangeRule rule, double momentum) {
  if (!(min <= max)) return;
  T& low = state(0, channel);
  T& high = state(1, channel);
  if (state(2, channel) == T{0}) {
    low = min;
    high = max;
    state(2, channel) = T{1};
  } else if (rule == RangeRule::moving) {
    low += static_cast<T>(momentum) * (min - low);
    high += static_cast<T>(momentum) * (max - high);
  } else {
    low = std::min(low, min);
    high = std::max(high, max);
  }
}

/// Draws which rows a percentile looks at: all, or so many that about `sample` numbers remain.
class RowSample {
 public:
  RowSample() = default;
  RowSample(std::size_t numbers, std::size_t sample, RngKey key, std::uint32_t tensor) noexcept
      : key_(key), tensor_(tensor) {
    if (sample != 0 && numbers > sample) share_ = static_cast<double>(sample) / static_cast<double>(numbers);
  }
  bool takes(std::size_t row) const noexcept {
    if (share_ >= 1) return true;
    CounterRng rng(key_, 0x51000000u + tensor_, row);
    return rng.uniform() < share_;
  }

 private:
  RngKey key_{};
  std::uint32_t tensor_ = 0;
  double share_ = 1;
};

/// The numbers of a matrix's rows that are not kept, times their factor.
template <Real T>
struct RowValues {
  static constexpr std::size_t kRows = 1024;
  MatrixView<const T> x;
  QuantRows rows;
  RowSample sample;

  std::size_t num_blocks() const noexcept { return (x.rows() + kRows - 1) / kRows; }
  template <class Visit>
  void for_block(std::size_t block, Visit&& visit) const {
    const std::size_t end = std::min(x.rows(), (block + 1) * kRows);
    for (std::size_t i = block * kRows; i < end; ++i) {
      if ((!rows.keep.empty() && rows.keep[i] != 0) || !sample.takes(i)) continue;
      const T factor = rows.row_factor.empty() ? T{1} : static_cast<T>(rows.row_factor[i]);
      for (const T v : x.row(i)) visit(factor * v);
    }
  }
};

/// The numbers of a matrix given by its entries, in rows that are not kept; all others of these rows are 0.
template <Real T>
struct EntryValues {
  static constexpr std::size_t kRows = 1024;
  const CsrView<>& entries;
  std::span<const std::uint8_t> keep;
  RowSample sample;

  bool takes(std::size_t row) const noexcept { return (keep.empty() || keep[row] == 0) && sample.takes(row); }
  std::size_t num_blocks() const noexcept { return (entries.num_rows + kRows - 1) / kRows; }
  template <class Visit>
  void for_block(std::size_t block, Visit&& visit) const {
    const std::size_t end = std::min(entries.num_rows, (block + 1) * kRows);
    for (std::size_t i = block * kRows; i < end; ++i) {
      if (!takes(i)) continue;
      for (auto e = entries.begin(i); e < entries.end(i); ++e) {
        visit(entries.weighted() ? static_cast<T>(entries.weight[e]) : T{1});
      }
    }
  }
  std::uint64_t zeros() const {
    return parallel_sum<std::uint64_t>(entries.num_rows, 4096, [&](std::size_t i, std::size_t end) {
      std::uint64_t sum = 0;
      for (; i < end; ++i) sum += takes(i) ? entries.num_cols - entries.degree(i) : 0;
      return sum;
    });
  }
};

/// The messages a_ij x_j of entries whose source is not kept.
template <Real T>
struct MessageValues {
  static constexpr std::size_t kRows = 1024;
  const CsrView<>& a;
  MatrixView<const T> x;
  std::span<const std::uint8_t> keep;
  RowSample sample;

  std::size_t num_blocks() const noexcept { return (a.num_rows + kRows - 1) / kRows; }
  template <class Visit>
  void for_block(std::size_t block, Visit&& visit) const {
    const std::size_t last = std::min(a.num_rows, (block + 1) * kRows);
    for (auto e = a.begin(block * kRows); e < a.end(last - 1); ++e) {
      if ((!keep.empty() && keep[a.col[e]] != 0) || !sample.takes(e)) continue;
      const T w = static_cast<T>(a.weight[e]);
      for (const T v : x.row(a.col[e])) visit(w * v);
    }
  }
};

/// Percentiles, or the extremes where percentiles leave nothing but zero: features of which fewer than a share p are
/// anything else would have no range.
template <class Values>
ValueRange<float> covered_range(const Values& values, double p) {
  const ValueRange<float> seen = percentile_range(values, p);
  const bool nothing = seen.min == 0.0f && seen.max == 0.0f && p > 0;
  return nothing ? percentile_range(values, 0) : seen;
}

}  // namespace detail

/// Takes in one step's tensor: its rows but the kept ones, as a whole.
///
/// Nothing changes where there is nothing to see. NaN is not seen.
/// Shapes   x [N, F], state [3, 1]
/// Cost     one pass over x; three for percentiles, over about `settings.sample` numbers
/// Threads  result independent of T
/// Source   Tailor et al., Degree-Quant, 2021: ABS, MOM and PER of the released code
template <Real T>
void observe(ObserverState<T> state, MatrixView<const T> x, const QuantRows& rows,
             const QuantSettings& settings, RngKey key = {}, std::uint32_t tensor = 0) {
  if (settings.range != RangeRule::percentile) {
    const ValueRange<T> seen = value_range(x, rows);
    return detail::follow(state, 0, seen.min, seen.max, settings.range, settings.momentum);
  }
  const detail::RowValues<T> values{x, rows, {x.size(), settings.sample, key, tensor}};
  const ValueRange<float> seen = detail::covered_range(values, settings.percentile);
  detail::follow(state, 0, static_cast<T>(seen.min), static_cast<T>(seen.max), settings.range, 0);
}

/// Takes in the messages a_ij x_j of entries whose source is not kept.
///
/// Shapes   a [N_dst, N_src] with weights, x [N_src, F], state [3, 1]
template <Real T>
void observe_messages(ObserverState<T> state, const CsrView<>& a, MatrixView<const T> x,
                      std::span<const std::uint8_t> keep, const QuantSettings& settings, RngKey key = {},
                      std::uint32_t tensor = 0) {
  if (settings.range != RangeRule::percentile) {
    const ValueRange<T> seen = message_range(a, x, keep);
    return detail::follow(state, 0, seen.min, seen.max, settings.range, settings.momentum);
  }
  const detail::MessageValues<T> values{a, x, keep, {a.num_edges() * x.cols(), settings.sample, key, tensor}};
  const ValueRange<float> seen = detail::covered_range(values, settings.percentile);
  detail::follow(state, 0, static_cast<T>(seen.min), static_cast<T>(seen.max), settings.range, 0);
}

/// Takes in a matrix given by its entries, but the kept rows, as `observe` takes in the same matrix with its zeros.
///
/// Shapes   entries [N, F] by row, keep [N] or empty, state [3, 1]
/// Cost     one pass over the entries; three for percentiles, over those of about `settings.sample` numbers
/// Threads  result independent of T
template <Real T>
void observe_entries(ObserverState<T> state, const CsrView<>& entries, std::span<const std::uint8_t> keep,
                     const QuantSettings& settings, RngKey key = {}, std::uint32_t tensor = 0) {
  const std::size_t numbers = entries.num_rows * entries.num_cols;
  const bool ranks = settings.range == RangeRule::percentile;
  const detail::EntryValues<T> values{
      entries, keep, ranks ? detail::RowSample(numbers, settings.sample, key, tensor) : detail::RowSample()};
  if (ranks) {
    const ValueRange<float> seen = detail::covered_range(values, settings.percentile);
    return detail::follow(state, 0, static_cast<T>(seen.min), static_cast<T>(seen.max), settings.range, 0);
  }
  ValueRange<T> seen = parallel_reduce(
      values.num_blocks(), 1, ValueRange<T>{},
      [&](std::size_t block, std::size_t end) {
        ValueRange<T> part;
        for (; block < end; ++block) {
          values.for_block(block, [&](T v) { part = join(part, ValueRange<T>{v, v}); });
        }
        return part;
      },
      [](const ValueRange<T>& p, const ValueRange<T>& q) { return join(p, q); });
  if (values.zeros() > 0) seen = join(seen, ValueRange<T>{T{0}, T{0}});
  detail::follow(state, 0, seen.min, seen.max, settings.range, settings.momentum);
}

/// Takes in every column by itself. Percentiles of a column are its extremes: a column is short.
///
/// Shapes   x [N, F], state [3, F]
template <Real T>
void observe_columns(ObserverState<T> state, MatrixView<const T> x, const QuantSettings& settings) {
  Array<T> min(x.cols());
  Array<T> max(x.cols());
  column_ranges(x, min.span(), max.span());
  for (std::size_t c = 0; c < x.cols(); ++c) {
    detail::follow(state, c, min[c], max[c], settings.range, settings.momentum);
  }
}

/// The quantiser of one channel of an observer.
///
/// Errors   ConfigError if the observer never saw anything
template <Real T>
QuantParams observed_params(MatrixView<const T> state, const QuantFormat& format, std::string_view name,
                            std::size_t channel = 0) {
  if (state(2, channel) == T{0}) {
    throw ConfigError(
        message("quantizer ", name,
                " has never observed a tensor: train the model, or calibrate it, before using it"));
  }
  return quant_params(static_cast<double>(state(0, channel)), static_cast<double>(state(1, channel)), format);
}

/// The numbers of a quantiser in the form of kernels, owned: [4, channels].
template <Real T>
class OwnedGrid {
 public:
  OwnedGrid() = default;
  OwnedGrid(MatrixView<const T> state, const QuantFormat& format, std::string_view name)
      : channels_(state.cols()), numbers_(4 * state.cols()) {
    for (std::size_t c = 0; c < channels_; ++c) {
      const QuantParams p = observed_params(state, format, name, c);
      numbers_[c] = static_cast<T>(p.scale);
      numbers_[channels_ + c] = static_cast<T>(p.inverse());
      numbers_[2 * channels_ + c] = static_cast<T>(p.qmin - p.zero_point);
      numbers_[3 * channels_ + c] = static_cast<T>(p.qmax - p.zero_point);
    }
  }
  QuantGrid<T> view() const noexcept {
    const std::span<const T> all = numbers_.span();
    return {all.subspan(0, channels_), all.subspan(channels_, channels_),
            all.subspan(2 * channels_, channels_), all.subspan(3 * channels_, channels_)};
  }

 private:
  std::size_t channels_ = 0;
  Array<T> numbers_;
};

}  // namespace tessera
