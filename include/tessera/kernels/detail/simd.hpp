// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "tessera/core/bf16.hpp"

// Fixed-width vectors as the compiler's own vector types: one spelling for every instruction set, ordinary
// operators (`acc += w * x` becomes a fused multiply-add where the target has one), no intrinsics.
//
// Two rules keep a body usable inside functions of any target:
//   - every helper is always inlined, so it takes the target of the function it lands in;
//   - vectors are passed by reference and never returned, because how a wide vector travels through a call
//     depends on the target and compilers warn (GCC) or refuse (Clang) when caller and callee differ.

#define TESSERA_ALWAYS_INLINE inline __attribute__((always_inline))
/// For lambdas: `[&](auto level) TESSERA_INLINE_LAMBDA { ... }`.
#define TESSERA_INLINE_LAMBDA __attribute__((always_inline))

namespace tessera::detail {

template <class T, std::size_t W>
struct SimdType {
  typedef T type __attribute__((vector_size(W * sizeof(T))));
};
template <class T>
struct SimdType<T, 1> {
  using type = T;
};

/// W lanes of T; the plain scalar for W = 1. Operators work lane by lane, comparisons give lanes of 0 and -1.
///
/// Shapes   W is a power of two
template <class T, std::size_t W>
using Simd = typename SimdType<T, W>::type;

/// The signed integer as wide as T, for masks and positions.
template <class T>
using SameWidthInt = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;

/// out[l] = from[l]; any alignment. bf16 and float widen to the lanes of `out`.
template <std::size_t W, class T, class S>
TESSERA_ALWAYS_INLINE void simd_load(Simd<T, W>& out, const S* from) noexcept {
  if constexpr (W == 1) {
    out = static_cast<T>(*from);
  } else if constexpr (std::is_same_v<T, S>) {
    __builtin_memcpy(&out, from, sizeof out);
  } else if constexpr (std::is_same_v<S, bf16>) {
    Simd<std::uint16_t, W> half;
    __builtin_memcpy(&half, from, sizeof half);
    // A bf16 is the upper half of a float.
    const Simd<std::uint32_t, W> wide = __builtin_convertvector(half, Simd<std::uint32_t, W>) << 16;
    if constexpr (std::is_same_v<T, float>) {
      out = reinterpret_cast<Simd<float, W>>(wide);
    } else {
      out = __builtin_convertvector(reinterpret_cast<Simd<float, W>>(wide), Simd<T, W>);
    }
  } else {
    Simd<S, W> narrow;
    __builtin_memcpy(&narrow, from, sizeof narrow);
    out = __builtin_convertvector(narrow, Simd<T, W>);
  }
}

/// to[l] = value[l]; any alignment. Floats narrow to bf16 as bf16's own constructor does.
template <std::size_t W, class T, class S>
TESSERA_ALWAYS_INLINE void simd_store(S* to, const Simd<T, W>& value) noexcept {
  if constexpr (W == 1) {
    *to = static_cast<S>(value);
  } else if constexpr (std::is_same_v<T, S>) {
    __builtin_memcpy(to, &value, sizeof value);
  } else if constexpr (std::is_same_v<S, bf16>) {
    static_assert(std::is_same_v<T, float>, "bf16 is written from float lanes");
    using Bits = Simd<std::uint32_t, W>;
    const Bits u = reinterpret_cast<Bits>(value);
    const Bits rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const Bits quiet = (u >> 16) | 0x40u;
    const Bits not_a_number = reinterpret_cast<Bits>(value != value);
    const Bits bits = (rounded & ~not_a_number) | (quiet & not_a_number);
    const auto half = __builtin_convertvector(bits, Simd<std::uint16_t, W>);
    __builtin_memcpy(static_cast<void*>(to), &half, sizeof half);
  } else {
    const auto narrow = __builtin_convertvector(value, Simd<S, W>);
    __builtin_memcpy(to, &narrow, sizeof narrow);
  }
}

/// Every lane becomes `value`.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void simd_fill(Simd<T, W>& out, T value) noexcept {
  if constexpr (W == 1) {
    out = value;
  } else {
    out = value - Simd<T, W>{};  // the operator broadcasts; -0 and NaN survive subtracting +0
  }
}

/// The sum of all lanes, by halves: (l0 + l8) + ..., the same tree at every instruction set of this width.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE T simd_sum(const Simd<T, W>& value) noexcept {
  if constexpr (W == 1) {
    return value;
  } else {
    Simd<T, W / 2> low, high;
    const T* lanes = reinterpret_cast<const T*>(&value);
    __builtin_memcpy(&low, lanes, sizeof low);
    __builtin_memcpy(&high, lanes + W / 2, sizeof high);
    low += high;
    return simd_sum<W / 2, T>(low);
  }
}

/// Calls body(integral_constant<0>) ... body(integral_constant<N - 1>) without a loop, so that arrays indexed
/// by them become registers. Compilers leave such loops rolled at -O2.
template <std::size_t N, class Body>
TESSERA_ALWAYS_INLINE void unroll(Body&& body) {
  [&]<std::size_t... K>(std::index_sequence<K...>) TESSERA_INLINE_LAMBDA {
    (body(std::integral_constant<std::size_t, K>{}), ...);
  }
  (std::make_index_sequence<N>{});
}

/// Calls body.template operator()<W>(j) for vectors of so many bytes, then element by element: a loop over a row that is
/// vectors at -O2 too, where compilers leave those alone whose pointers may overlap.
template <class T, std::size_t Bytes = 64, class Body>
TESSERA_ALWAYS_INLINE void for_vectors(std::size_t count, Body&& body) {
  constexpr std::size_t W = Bytes / sizeof(T);
  std::size_t j = 0;
  for (; j + W <= count; j += W) body.template operator()<W>(j);
  for (; j < count; ++j) body.template operator()<1>(j);
}

/// body(out, from[j]...) on W elements from j on.
template <std::size_t W, class T, class Body, class... From>
TESSERA_ALWAYS_INLINE void apply_to_vectors(std::size_t j, Simd<T, W>& out, Body&& body,
                                            const From*... from) {
  const auto load = [j]<class S>(const S* p, Simd<T, W>& in)
                        TESSERA_INLINE_LAMBDA { simd_load<W, T>(in, p + j); };
  [&]<std::size_t... K>(std::index_sequence<K...>) TESSERA_INLINE_LAMBDA {
    Simd<T, W> in[sizeof...(From)];
    (load(from, in[K]), ...);
    body(out, in[K]...);
  }
  (std::index_sequence_for<From...>{});
}

/// body(to[j], from[j]...) for vectors of elements: what it leaves in its first argument is stored. Give `to` among
/// `from` to start from what it holds.
///
/// Shapes   every run has `count` elements; runs are the same or apart
template <class T, class Body, class... From>
TESSERA_ALWAYS_INLINE void map_vectors(std::size_t count, T* to, Body&& body, const From*... from) {
  for_vectors<T>(count, [&]<std::size_t W>(std::size_t j) TESSERA_INLINE_LAMBDA {
    Simd<T, W> out;
    apply_to_vectors<W, T>(j, out, body, from...);
    simd_store<W, T>(to + j, out);
  });
}

/// to[j] = from[j], without a call and in few vectors: the last one of each width overlaps the one before it.
///
/// Shapes   the runs may not overlap
template <class T, std::size_t W = 64 / sizeof(T)>
TESSERA_ALWAYS_INLINE void copy_vectors(const T* from, std::size_t count, T* to) noexcept {
  if (count < W) {
    if constexpr (W > 1) copy_vectors<T, W / 2>(from, count, to);
    return;
  }
  const auto copy = [=](std::size_t j) TESSERA_INLINE_LAMBDA {
    Simd<T, W> value;
    simd_load<W, T>(value, from + j);
    simd_store<W, T>(to + j, value);
  };
  for (std::size_t j = 0; j + W < count; j += W) copy(j);
  copy(count - W);
}

/// to[j] += from[j].
template <class T>
TESSERA_ALWAYS_INLINE void add_vectors(const T* from, std::size_t count, T* to) {
  map_vectors(
      count, to, [](auto& sum, const auto& old, const auto& term) TESSERA_INLINE_LAMBDA { sum = old + term; },
      to, from);
}

/// Where lines that are asked for go. A core can wait for more lines on their way to its second cache than to its first,
/// so rows out of memory are asked for there (measured on Zen 4).
inline constexpr int kFirstCache = 3;
inline constexpr int kSecondCache = 2;

/// Asks for the cache lines of [from, from + bytes) to be read soon. Never faults.
template <int kCache = kSecondCache>
TESSERA_ALWAYS_INLINE void prefetch_bytes(const void* from, std::size_t bytes) noexcept {
  const char* line = static_cast<const char*>(from);
  for (std::size_t b = 0; b < bytes; b += 64) __builtin_prefetch(line + b, 0, kCache);
}

}  // namespace tessera::detail
