// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/detail/sparse_checks.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/edge_ranges.hpp"
#include "tessera/kernels/sddmm.hpp"

// The draw behind dropout on the entries of a matrix. Entry (i, j), an edge j -> i, owns 16 random bits per head
// h (one head where there is one number per entry), kept iff (bits + 1/2) / 65536 >= p, with
//
//     words = philox4x32({j, call, h / 8, i}, key),   bits = half (h mod 2, low first) of words[h mod 8 / 2]
//
// The key is the pair of ids, not the position: the transposed matrix draws the same mask without knowing where
// its entries came from. Entries stored twice share their draw.

namespace tessera {

/// Whether dropout keeps head h of entry (i, j): the definition above, one at a time.
constexpr bool edge_dropout_keeps(const DropoutMask& mask, NodeId i, NodeId j, std::size_t h = 0) noexcept {
  const auto words = philox4x32({j, mask.call, static_cast<std::uint32_t>(h / 8), i}, mask.key);
  const std::uint32_t bits = (words[h % 8 / 2] >> (h % 2 == 0 ? 0 : 16)) & 0xffffu;
  return bits >= detail::dropout_threshold(mask);
}

namespace detail {

/// even[0], odd[0], even[1], ... of eight lanes each.
template <class T>
TESSERA_ALWAYS_INLINE void interleave(const Simd<T, 8>& even, const Simd<T, 8>& odd, Simd<T, 8>& low,
                                      Simd<T, 8>& high) noexcept {
  low = __builtin_shufflevector(even, odd, 0, 8, 1, 9, 2, 10, 3, 11);
  high = __builtin_shufflevector(even, odd, 4, 12, 5, 13, 6, 14, 7, 15);
}

/// Eight draws of `bits` as factors.
template <class T>
TESSERA_ALWAYS_INLINE void factors_of(const Simd<std::uint32_t, 8>& bits, std::uint32_t threshold, T scale,
                                      Simd<T, 8>& out) noexcept {
  using Mask = Simd<SameWidthInt<T>, 8>;
  const Mask kept = __builtin_convertvector(bits >= threshold, Mask);
  simd_fill<8, T>(out, scale);
  out = reinterpret_cast<Simd<T, 8>>(reinterpret_cast<Mask>(out) & kept);
}

/// factor[l * kHeads + h] for all lanes l of `words`. The words of a lane are brought side by side, then their halves.
template <std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void spread_factors(const DropoutWords& words, std::uint32_t threshold, T scale,
                                          T* factor) noexcept {
  static_assert(kHeads == 1 || kHeads == 4 || kHeads == 8);
  using Words = Simd<std::uint32_t, 8>;
  for (std::size_t first = 0; first < kDropoutLanes; first += 8) {
    T* const to = factor + first * kHeads;
    Words word[4], side[4];
    for (std::size_t k = 0; k < (kHeads + 1) / 2; ++k)
      simd_load<8, std::uint32_t>(word[k], words.word[k] + first);
    if constexpr (kHeads == 1) {
      Simd<T, 8> all;
      factors_of<T>(word[0] & 0xffffu, threshold, scale, all);
      simd_store<8, T>(to, all);
    } else {
      interleave<std::uint32_t>(word[0], word[1], side[0], side[1]);
      if constexpr (kHeads == 8) {
        interleave<std::uint32_t>(word[2], word[3], word[0], word[1]);
        side[2] = __builtin_shufflevector(side[1], word[1], 0, 1, 8, 9, 2, 3, 10, 11);
        side[3] = __builtin_shufflevector(side[1], word[1], 4, 5, 12, 13, 6, 7, 14, 15);
        side[1] = __builtin_shufflevector(side[0], word[0], 4, 5, 12, 13, 6, 7, 14, 15);
        side[0] = __builtin_shufflevector(side[0], word[0], 0, 1, 8, 9, 2, 3, 10, 11);
      }
      unroll<kHeads / 2>([&](auto k) TESSERA_INLINE_LAMBDA {
        Simd<T, 8> even, odd, low, high;
        factors_of<T>(side[k] & 0xffffu, threshold, scale, even);
        factors_of<T>(side[k] >> 16, threshold, scale, odd);
        interleave<T>(even, odd, low, high);
        simd_store<8, T>(to + 16 * k, low);
        simd_store<8, T>(to + 16 * k + 8, high);
      });
    }
  }
}

/// factor[k * heads + h] = kept ? 1 / (1 - p) : 0 for the entries of one row, or of one row of the transpose.
///
/// `own` is the row, col[k] the other end; `transposed` says that the row is the source. `group` counts eights
/// of heads.
template <std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void edge_dropout_factors(const DropoutMask& mask, std::size_t group, NodeId own,
                                                const NodeId* col, std::size_t count, bool transposed,
                                                T* factor) noexcept {
  const std::uint32_t threshold = dropout_threshold(mask);
  const T scale = dropout_scale<T>(mask);
  DropoutWords words = {};
  for (std::size_t first = 0; first < count; first += kDropoutLanes) {
    const std::size_t lanes = std::min(kDropoutLanes, count - first);
    fill_lanes(words.word[transposed ? 0 : 3], own);
    std::copy_n(col + first, lanes, words.word[transposed ? 3 : 0]);
    fill_lanes(words.word[1], mask.call);
    fill_lanes(words.word[2], static_cast<std::uint32_t>(group));
    philox_lanes(mask.key, words);
    T* const to = factor + first * kHeads;
    if (lanes == kDropoutLanes) {
      spread_factors<kHeads>(words, threshold, scale, to);
    } else {
      T all[kDropoutLanes * kHeads];
      spread_factors<kHeads>(words, threshold, scale, all);
      std::copy_n(all, lanes * kHeads, to);
    }
  }
}

}  // namespace detail

/// Drops entries of a matrix by giving them weight 0 and scales the others: w_e / (1 - p) where entry (i, j) is
/// kept.
///
/// Shapes   a CSR [N, M] with E stored (no weights: every w is 1) -> weight [E]. With `transposed`, a holds the
///          transpose and its entry (j, i) gets what entry (i, j) of the matrix gets
/// Cost     work O(E), one block of Philox per entry
/// Errors   ShapeError if weight has another length, ConfigError if the probability is outside [0, 1]
/// Threads  safe to call concurrently on distinct weight; result independent of T
inline void edge_dropout(CsrView<> a, const DropoutMask& mask, bool transposed, std::span<float> weight) {
  detail::check_csr("edge_dropout", "a", a);
  detail::check_extent("edge_dropout", "weight.size()", weight.size(), a.num_edges());
  check_dropout(mask, "edge_dropout");
  const KernelScope profile("edge_dropout",
                            detail::entry_bytes(a, true) + static_cast<double>(weight.size_bytes()), 0);
  const Isa isa = active_isa();
  detail::for_each_row_piece(
      a, EdgeRanges(a.row_ptr), [&](std::size_t i, std::size_t first, std::size_t last) {
        dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
          detail::edge_dropout_factors<1>(mask, 0, static_cast<NodeId>(i), a.col.data() + first, last - first,
                                          transposed, weight.data() + first);
          for (std::size_t e = first; a.weighted() && e < last; ++e) weight[e] *= a.weight[e];
        });
      });
}

}  // namespace tessera
