// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "tessera/core/rng.hpp"

namespace tessera {

namespace detail {

/// Floyd with a linear look-up: k draws, k^2 / 2 comparisons, no memory but the result.
inline void pick_few(std::uint32_t d, std::uint32_t k, CounterRng& rng, std::uint32_t* out) noexcept {
  for (std::uint32_t taken = 0; taken < k; ++taken) {
    const std::uint32_t last = d - k + taken;
    const auto draw = static_cast<std::uint32_t>(rng.below(std::uint64_t{last} + 1));
    bool repeated = false;
    for (std::uint32_t t = 0; t < taken; ++t) repeated |= out[t] == draw;
    out[taken] = repeated ? last : draw;
  }
}

/// Floyd with a small open-addressing set, for k up to kMost.
struct PickSet {
  static constexpr std::uint32_t kMost = 1024;
  static constexpr std::uint32_t kFree = 0xffffffffu;

  explicit PickSet(std::uint32_t k) noexcept : mask(std::bit_ceil(2 * k) - 1) {
    std::fill_n(slot.begin(), mask + 1, kFree);
  }
  bool insert(std::uint32_t value) noexcept {
    for (std::uint32_t at = (value * 0x9E3779B9u) >> 16 & mask;; at = (at + 1) & mask) {
      if (slot[at] == value) return false;
      if (slot[at] != kFree) continue;
      slot[at] = value;
      return true;
    }
  }

  std::uint32_t mask;
  std::array<std::uint32_t, 2 * kMost> slot;
};

}  // namespace detail

/// Chooses k of d positions, each set of k equally likely; the order means nothing.
///
/// Shapes   out [k] of positions in [0, d); k <= d, and k = d gives 0, 1, ... without a draw
/// Cost     k draws for small k or k < d / 8, otherwise one per position
/// Source   Bentley & Floyd, Programming pearls: a sample of brilliance, 1987 (small k); Knuth, The art of
///          computer programming 2, algorithm 3.4.2 S (large k)
inline void pick_without_replacement(std::uint32_t d, std::uint32_t k, CounterRng& rng,
                                     std::uint32_t* out) noexcept {
  if (k == d) {
    for (std::uint32_t t = 0; t < d; ++t) out[t] = t;
  } else if (k <= 32) {
    detail::pick_few(d, k, rng, out);
  } else if (k <= 64 || (k < d / 8 && k <= detail::PickSet::kMost)) {
    detail::PickSet taken(k);
    for (std::uint32_t last = d - k; last < d; ++last) {
      const auto draw = static_cast<std::uint32_t>(rng.below(std::uint64_t{last} + 1));
      const bool is_new = taken.insert(draw);
      if (!is_new) taken.insert(last);
      *out++ = is_new ? draw : last;
    }
  } else {
    std::uint32_t wanted = k;
    for (std::uint32_t t = 0; t < d && wanted > 0; ++t) {
      if (rng.below(d - t) >= wanted) continue;
      *out++ = t;
      --wanted;
    }
  }
}

}  // namespace tessera
