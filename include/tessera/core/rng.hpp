// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <utility>

namespace tessera {

/// What random numbers are drawn for. Part of the key, so two uses never share numbers. Values are stable:
/// stored results depend on them.
enum class Purpose : std::uint8_t {
  generic = 0,
  partition = 1,
  shuffle = 2,
  pick = 3,
  walk = 4,
  dropout = 5,
  init = 6,
  generate = 7,
  split = 8,
  noise = 9,
};

/// 64-bit key of the counter generator.
struct RngKey {
  std::uint32_t lo = 0;
  std::uint32_t hi = 0;
  friend constexpr bool operator==(RngKey, RngKey) = default;
};

namespace detail {

/// One output of SplitMix64 started at `state`.
constexpr std::uint64_t split_mix64(std::uint64_t state) noexcept {
  std::uint64_t z = state + 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

__extension__ using uint128 = unsigned __int128;

}  // namespace detail

/// The block function Philox-4x32-10: four uniform 32-bit words for one counter under one key.
///
/// Source   Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011; as published (known answers
/// tested)
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, RngKey key) noexcept {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key.lo, static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key.hi, static_cast<std::uint32_t>(p0)};
    key.lo += 0x9E3779B9u;
    key.hi += 0xBB67AE85u;
  }
  return counter;
}

/// The key for everything drawn for one purpose in one epoch of one run.
constexpr RngKey make_key(std::uint64_t seed, std::uint64_t epoch, Purpose purpose) noexcept {
  const std::uint64_t k = detail::split_mix64(
      detail::split_mix64(seed) ^ detail::split_mix64(epoch * 256 + static_cast<std::uint64_t>(purpose)));
  return {static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(k >> 32)};
}

/// The numbers one entity (a node, edge slot, walk, trial) consumes: a pure function of (key, batch, entity,
/// draw).
///
/// There is no generator per thread: whoever handles the entity makes this object and gets the same numbers.
/// Cost     ten rounds of two multiplications per four 32-bit draws; 32 bytes of state, no allocation
class CounterRng {
 public:
  constexpr CounterRng(RngKey key, std::uint32_t batch, std::uint64_t entity) noexcept
      : key_(key), batch_(batch), entity_(entity) {}

  /// The next 32 uniform bits.
  constexpr std::uint32_t next32() noexcept {
    const std::uint32_t lane = draw_ & 3u;
    if (lane == 0) {
      words_ = philox4x32({draw_ >> 2, batch_, static_cast<std::uint32_t>(entity_),
                           static_cast<std::uint32_t>(entity_ >> 32)},
                          key_);
    }
    ++draw_;
    return words_[lane];
  }

  /// The next 64 uniform bits: two words, low half first.
  constexpr std::uint64_t next64() noexcept {
    const std::uint64_t low = next32();
    return low | (std::uint64_t{next32()} << 32);
  }

  /// Uniform in [0, 1), a multiple of 2^-53.
  constexpr double uniform() noexcept { return static_cast<double>(next64() >> 11) * 0x1p-53; }

  /// Uniform in (0, 1), for logarithms and divisions.
  constexpr double uniform_open() noexcept { return (static_cast<double>(next64() >> 11) + 0.5) * 0x1p-53; }

  /// Uniform integer in [0, bound) without bias; 0 when bound is 0 or 1.
  constexpr std::uint64_t below(std::uint64_t bound) noexcept {
    if (bound <= 1) return 0;
    if (bound <= 0xffffffffu) {
      const auto n = static_cast<std::uint32_t>(bound);
      std::uint64_t m = std::uint64_t{next32()} * n;
      if (static_cast<std::uint32_t>(m) >= n) return m >> 32;  // most draws: no division
      const std::uint32_t reject = (0u - n) % n;
      while (static_cast<std::uint32_t>(m) < reject) m = std::uint64_t{next32()} * n;
      return m >> 32;
    }
    const std::uint64_t reject = (std::uint64_t{0} - bound) % bound;
    detail::uint128 m = static_cast<detail::uint128>(next64()) * bound;
    while (static_cast<std::uint64_t>(m) < reject) m = static_cast<detail::uint128>(next64()) * bound;
    return static_cast<std::uint64_t>(m >> 64);
  }

  /// Standard normal by Box and Muller; consumes four words.
  double normal() noexcept {
    const double radius = std::sqrt(-2.0 * std::log(uniform_open()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

 private:
  RngKey key_;
  std::uint32_t batch_;
  std::uint64_t entity_;
  std::uint32_t draw_ = 0;
  std::array<std::uint32_t, 4> words_{};
};

/// Puts `items` into a uniformly random order (Fisher and Yates), the same for the same stream.
template <class T>
constexpr void shuffle(std::span<T> items, CounterRng rng) noexcept {
  for (std::size_t i = items.size(); i > 1; --i) {
    std::swap(items[i - 1], items[static_cast<std::size_t>(rng.below(i))]);
  }
}

}  // namespace tessera
