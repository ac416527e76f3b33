// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera::detail {

/// Elements one task updates: 64 KiB of floats, so that a block of one array stays in the second-level cache.
inline constexpr std::size_t kSweepGrain = std::size_t{1} << 14;

/// Sixteen bytes: what every x86-64 has. An update reads and writes 28 bytes per element, so memory is the
/// bound long before wider vectors pay, and the same width everywhere means the same bits everywhere.
template <Real T>
inline constexpr std::size_t kSweepLanes = 16 / sizeof(T);

/// Calls body(begin, end, weight_decay_scale) for ranges of the flat block that cover every parameter once.
///
/// Blocks start on multiples of the lane count, so an element is updated by the same code whatever T is.
template <Real T, class F>
void sweep_parameters(const ParameterBlock<T>& block, F&& body) {
  const auto infos = block.parameters();
  parallel_for(block.values().size(), kSweepGrain, [&](std::size_t begin, std::size_t end) {
    auto info = std::partition_point(infos.begin(), infos.end(), [&](const ParameterInfo& p) {
      return p.offset + p.rows * p.cols <= begin;
    });
    for (; info != infos.end() && info->offset < end; ++info) {
      const std::size_t first = std::max(begin, info->offset);
      const std::size_t last = std::min(end, info->offset + info->rows * info->cols);
      if (first < last) body(first, last, info->weight_decay_scale);
    }
  });
}

/// Calls body.template operator()<W>(i) for whole vectors of W lanes, then element by element.
template <Real T, class Body>
TESSERA_ALWAYS_INLINE void for_lanes(std::size_t begin, std::size_t end, Body&& body) {
  constexpr std::size_t W = kSweepLanes<T>;
  std::size_t i = begin;
  for (; i + W <= end; i += W) body.template operator()<W>(i);
  for (; i < end; ++i) body.template operator()<1>(i);
}

/// x[l] = sqrt(x[l]), correctly rounded. std::sqrt in a loop stays scalar because it may set errno.
template <std::size_t W, Real T>
TESSERA_ALWAYS_INLINE void sqrt_lanes(Simd<T, W>& x) noexcept {
  if constexpr (W == 1) {
    x = std::sqrt(x);
  } else {
    static_assert(W * sizeof(T) == 16);
#if defined(__SSE2__)
    if constexpr (sizeof(T) == 4) {
      x = reinterpret_cast<Simd<T, W>>(_mm_sqrt_ps(reinterpret_cast<__m128>(x)));
    } else {
      x = reinterpret_cast<Simd<T, W>>(_mm_sqrt_pd(reinterpret_cast<__m128d>(x)));
    }
#else
    for (std::size_t l = 0; l < W; ++l) x[l] = std::sqrt(x[l]);
#endif
  }
}

/// Refuses gradients that hold NaN or infinity, before anything is touched.
///
/// Errors   Error naming `who`, the step about to be taken and the first offending parameter
template <Real T>
void check_finite_gradients(const ParameterBlock<T>& block, std::string_view who, std::uint64_t step) {
  const std::span<const T> grads = block.grads();
  const auto bad_in = [&](std::size_t begin, std::size_t end) {
    // x - x is 0 for finite x and NaN otherwise; eight sums in flight hide the latency of the addition.
    T sum[8] = {};
    std::size_t i = begin;
    for (; i + 8 <= end; i += 8) {
      for (std::size_t l = 0; l < 8; ++l) sum[l] += grads[i + l] - grads[i + l];
    }
    for (; i < end; ++i) sum[0] += grads[i] - grads[i];
    T all = 0;
    for (const T s : sum) all += s;
    return all == T{0} ? 0 : 1;
  };
  if (parallel_sum<int>(grads.size(), kSweepGrain, bad_in) == 0) return;
  for (const ParameterInfo& info : block.parameters()) {
    const auto part = grads.subspan(info.offset, info.rows * info.cols);
    const auto found = std::find_if(part.begin(), part.end(), [](T g) { return !std::isfinite(g); });
    if (found == part.end()) continue;
    const auto at = static_cast<std::size_t>(found - part.begin());
    throw Error(message(who, ": step ", step, ": the gradient of ", std::string_view(info.name), " at [",
                        at / info.cols, ", ", at % info.cols, "] is ", *found,
                        ", want finite numbers; nothing was updated. A smaller learning rate or gradient "
                        "clipping may help"));
  }
}

/// Refuses a hyper-parameter outside [low, high).
///
/// Errors   ConfigError naming `who` and `name`
inline void check_range(std::string_view who, std::string_view name, double value, double low, double high) {
  if (!(value >= low && value < high)) {
    throw ConfigError(message(who, ": ", name, " is ", value, ", want a number in [", low, ", ", high, ")"));
  }
}

}  // namespace tessera::detail
