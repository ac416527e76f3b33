// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "tessera/core/bf16.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/feature_tile.hpp"
#include "tessera/kernels/dispatch.hpp"

namespace tessera::detail {

/// What multiplies a feature row before it is added.
enum class Weighting {
  none,
  entry,  ///< one number per stored entry
  source  ///< one number per column
};

/// Tiles of at most so many units are narrow: what is done once for an entry is felt.
inline constexpr std::size_t kNarrowUnits = 4;

/// Everything the row loop of a sum reads; copied once per chunk.
template <class X, class Y>
struct SumInput {
  const NodeId* col = nullptr;
  const float* entry_weight = nullptr;
  const Y* source_weight = nullptr;
  const X* x = nullptr;
  std::size_t stride = 0;
  std::size_t cols = 0;
  bool far = false;  ///< see lies_far
};

/// Consecutive rows, or one part of a row, and what happens to their sums.
template <class Y>
struct SumOutput {
  const EdgeId* bounds = nullptr;  ///< row r holds entries [bounds[r], bounds[r + 1])
  std::size_t first = 0;
  std::size_t last = 0;
  Y* y = nullptr;  ///< of row `first`
  std::size_t stride = 0;
  bool mean = false;         ///< divide by the number of entries
  std::size_t readable = 0;  ///< the last entry it makes sense to look ahead to
};

template <class Unit, std::size_t V, Weighting kWeighting, class X, class Y>
TESSERA_ALWAYS_INLINE void sum_tile(const SumInput<X, Y>& in, const UnitOffsets<V, Unit::kWidth>& offset,
                                    std::size_t tile, std::size_t first, std::size_t last,
                                    std::size_t readable, Y divisor, Y* y) {
  const NodeId* const col = in.col;
  const X* const x = in.x + tile;
  const std::size_t stride = in.stride;
  typename Unit::Registers sum[V];
  unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA { Unit::clear(sum[k]); });
  const auto add_entries = [&](auto far) TESSERA_INLINE_LAMBDA {
    // Narrow rows of pairs keep a core busy for so long that it sees few rows ahead, even of near ones.
    constexpr bool kAsksNear = Unit::kRegisters > 1 && V <= kNarrowUnits;
    for (std::size_t e = first; e < last; ++e) {
      const X* const ahead = x + std::size_t{col[std::min(e + kPrefetchEntries, readable)]} * stride;
      if (far) {
        prefetch_tile<kSecondCache>(ahead, offset);
      } else if constexpr (kAsksNear) {
        prefetch_tile<kFirstCache>(ahead, offset);
      }
      const std::size_t j = col[e];
      const X* const row = x + j * stride;
      if constexpr (kWeighting == Weighting::none) {
        unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA { Unit::add(sum[k], row + offset.template at<k>()); });
      } else {
        Y weight;
        if constexpr (kWeighting == Weighting::entry) {
          weight = static_cast<Y>(in.entry_weight[e]);
        } else {
          weight = in.source_weight[j];
        }
        unroll<V>([&](auto k)
                      TESSERA_INLINE_LAMBDA { Unit::add(sum[k], row + offset.template at<k>(), weight); });
      }
    }
  };
  if constexpr (V > kNarrowUnits) {
    add_entries(in.far);  // a branch for each entry is lost among so many loads
  } else if (in.far) {
    add_entries(std::true_type{});
  } else {
    add_entries(std::false_type{});
  }
  if (divisor != Y{1}) {
    unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA { Unit::divide(sum[k], divisor); });
  }
  unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA { Unit::store(sum[k], y + tile + offset.template at<k>()); });
}

template <class Unit, std::size_t V, Weighting kWeighting, class X, class Y>
TESSERA_ALWAYS_INLINE void sum_rows_tiled(const SumInput<X, Y>& input, const SumOutput<Y>& output,
                                          const TilePlan& plan) {
  const SumInput<X, Y> in = input;
  const SumOutput<Y> out = output;
  for (std::size_t r = out.first; r < out.last; ++r) {
    const auto first = static_cast<std::size_t>(out.bounds[r]);
    const auto last = static_cast<std::size_t>(out.bounds[r + 1]);
    Y* const y = out.y + (r - out.first) * out.stride;
    const Y divisor = out.mean && last > first ? static_cast<Y>(last - first) : Y{1};
    for (std::size_t t = 0; t < plan.tiles; ++t) {
      const UnitOffsets<V, Unit::kWidth> offset(plan.span(t));
      sum_tile<Unit, V, kWeighting>(in, offset, plan.start(t), first, last, out.readable, divisor, y);
    }
  }
}

template <class Unit, std::size_t kMaxUnits, Weighting kWeighting, class X, class Y>
TESSERA_ALWAYS_INLINE void sum_rows_by(const SumInput<X, Y>& in, const SumOutput<Y>& out) {
  // Far rows are best read from end to end, near ones in pieces (measured at 400 columns).
  constexpr std::size_t kNearUnits = std::min(kMaxUnits, 16 / Unit::kRegisters);
  const TilePlan plan(in.cols, Unit::kWidth, in.far ? kMaxUnits : kNearUnits);
  with_at_least(plan.units, typename TileSizes<kMaxUnits>::type{},
                [&](auto v) TESSERA_INLINE_LAMBDA { sum_rows_tiled<Unit, v(), kWeighting>(in, out, plan); });
}

/// Rows of fewer columns than two registers hold: the widest power of two that fits, at most two units.
template <std::size_t W, Weighting kWeighting, class X, class Y>
TESSERA_ALWAYS_INLINE void sum_rows_narrow(const SumInput<X, Y>& in, const SumOutput<Y>& out) {
  if (in.cols >= W) {
    sum_rows_by<PlainUnit<X, Y, W>, 2, kWeighting>(in, out);
  } else if constexpr (W > 1) {
    sum_rows_narrow<W / 2, kWeighting>(in, out);
  }
}

/// Sums of rows [out.first, out.last) at one instruction-set level.
template <class L, Weighting kWeighting, class X, class Y>
TESSERA_ALWAYS_INLINE void sum_rows(L, const SumInput<X, Y>& in, const SumOutput<Y>& out) {
  constexpr std::size_t W = L::template lanes<Y>();
  constexpr std::size_t kUnits = L::kRegisters == 32 ? 25 : 12;
  constexpr std::size_t kPairUnits = (kUnits + 1) / 2;
  constexpr bool kPairs = std::is_same_v<X, bf16> && std::endian::native == std::endian::little;
  if (in.cols < 2 * W) {
    sum_rows_narrow<W, kWeighting>(in, out);
  } else if constexpr (kPairs) {
    sum_rows_by<PairUnit<W>, kPairUnits, kWeighting>(in, out);
  } else {
    sum_rows_by<PlainUnit<X, Y, W>, kUnits, kWeighting>(in, out);
  }
}

}  // namespace tessera::detail
