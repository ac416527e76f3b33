// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/fake_quantize.hpp"

namespace tessera {

/// Which of n sorted numbers, counted from 1, a percentile p and its mirror image are.
///
/// Both are rounded down, so where n p < 1 the first is the least number and the second the one before the largest.
/// Source   Tailor et al., Degree-Quant, 2021, the released code
struct PercentileRanks {
  std::uint64_t low;
  std::uint64_t high;

  PercentileRanks(std::uint64_t n, double p) noexcept
      : low(clamped(static_cast<double>(n) * p, n)), high(clamped(static_cast<double>(n) * (1 - p), n)) {}

 private:
  static std::uint64_t clamped(double rank, std::uint64_t n) noexcept {
    return std::clamp<std::uint64_t>(static_cast<std::uint64_t>(rank), 1, std::max<std::uint64_t>(n, 1));
  }
};

namespace detail {

/// Unsigned integers in the order of the floats; NaN of either sign lies outside of [kFirst, kLast].
struct FloatOrder {
  static constexpr std::uint32_t kFirst = 0x007fffffu;  // -inf
  static constexpr std::uint32_t kLast = 0xff800000u;   // +inf

  static std::uint32_t key(float x) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    return bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
  }
  static float value(std::uint32_t key) noexcept {
    return std::bit_cast<float>(key ^ ((key >> 31) != 0 ? 0x80000000u : 0xffffffffu));
  }
};

inline constexpr std::size_t kRadixBins = 2048;
using RadixCounts = std::array<std::uint64_t, 2 * kRadixBins>;

/// The bin that holds rank `rank` (from 1) of `counts`; what remains of the rank inside it.
inline std::pair<std::uint32_t, std::uint64_t> find_rank(const std::uint64_t* counts,
                                                         std::uint64_t rank) noexcept {
  std::uint32_t bin = 0;
  while (bin + 1 < kRadixBins && rank > counts[bin]) rank -= counts[bin++];
  return {bin, rank};
}

/// Counts by add(key, number, counts) for the two searches, over all blocks in a fixed order.
template <class Values, class Add>
void count_keys(const Values& values, RadixCounts& total, Add&& add) {
  using BlockCount = std::uint32_t;
  const std::size_t blocks = values.num_blocks();
  Array<BlockCount> part(blocks * total.size());
  parallel_blocks(blocks, [&](std::size_t block) {
    BlockCount* const counts = part.data() + block * total.size();
    std::fill_n(counts, total.size(), BlockCount{0});
    values.for_block(block, [&](auto x) {
      const std::uint32_t key = FloatOrder::key(static_cast<float>(x));
      if (key >= FloatOrder::kFirst && key <= FloatOrder::kLast) add(key, BlockCount{1}, counts);
    });
  });
  total.fill(0);
  for (std::size_t block = 0; block < blocks; ++block) {
    for (std::size_t k = 0; k < total.size(); ++k) total[k] += part[block * total.size() + k];
  }
  if constexpr (requires { values.zeros(); }) {
    add(FloatOrder::key(0.0f), std::uint64_t{values.zeros()}, total.data());
  }
}

}  // namespace detail

/// The percentiles p and 1 - p of some numbers, found by counting: exactly the elements a sort would put there (doubles
/// rounded to float).
///
/// `values` has num_blocks() and for_block(b, visit), which calls visit(x) for every number of block b; it may have
/// zeros(), how many more numbers there are that are 0.
/// Cost     three passes over the numbers, 16 KiB per block
/// Threads  result independent of T
template <class Values>
ValueRange<float> percentile_range(const Values& values, double p) {
  using detail::FloatOrder;
  using detail::kRadixBins;
  detail::RadixCounts counts;
  detail::count_keys(values, counts, [](std::uint32_t key, auto number, auto* c) { c[key >> 21] += number; });
  std::uint64_t n = 0;
  for (std::size_t k = 0; k < kRadixBins; ++k) n += counts[k];
  if (n == 0) return {};
  const PercentileRanks ranks(n, p);
  // What is known of both keys so far, and the rank among the numbers that share it.
  std::pair<std::uint32_t, std::uint64_t> low = detail::find_rank(counts.data(), ranks.low);
  std::pair<std::uint32_t, std::uint64_t> high = detail::find_rank(counts.data(), ranks.high);
  const auto refine = [&](unsigned known, unsigned bits) {
    const std::uint32_t low_prefix = low.first;
    const std::uint32_t high_prefix = high.first;
    const unsigned rest = 32 - known - bits;
    const std::uint32_t mask = (1u << bits) - 1;
    detail::count_keys(values, counts, [=](std::uint32_t key, auto number, auto* c) {
      const std::uint32_t prefix = key >> (32 - known);
      const std::uint32_t digit = (key >> rest) & mask;
      if (prefix == low_prefix) c[digit] += number;
      if (prefix == high_prefix) c[kRadixBins + digit] += number;
    });
    const auto of_low = detail::find_rank(counts.data(), low.second);
    const auto of_high = detail::find_rank(counts.data() + kRadixBins, high.second);
    low = {(low_prefix << bits) | of_low.first, of_low.second};
    high = {(high_prefix << bits) | of_high.first, of_high.second};
  };
  refine(11, 11);
  refine(22, 10);
  return {FloatOrder::value(low.first), FloatOrder::value(high.first)};
}

}  // namespace tessera
