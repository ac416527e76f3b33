// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>

#include "tessera/core/isa.hpp"
#include "tessera/kernels/detail/simd.hpp"

// One source per kernel. The body is a generic always-inlined callable over `level`; dispatch() lands it in
// one function per instruction-set level and calls the one asked for:
//
//     dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
//       constexpr std::size_t W = level.template lanes<float>();
//       ...
//     });
//
// Everything the body calls in its hot loop must be always-inlined too (TESSERA_ALWAYS_INLINE): a function
// that is called keeps its own target. Copy captured values into locals before a hot loop.

#if defined(__x86_64__) && defined(__GNUC__)
#define TESSERA_TARGET_AVX2 __attribute__((target("avx2,fma,f16c")))
#define TESSERA_TARGET_AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))
#endif

namespace tessera {

/// What a kernel body knows about its level while it is compiled.
template <Isa I>
struct Level {
  static constexpr Isa isa = I;
  /// Bytes of one vector register.
  static constexpr std::size_t kVectorBytes = I == Isa::avx512 ? 64 : I == Isa::avx2 ? 32 : 16;
  /// Vector registers of the level.
  static constexpr std::size_t kRegisters = I == Isa::avx512 ? 32 : 16;

  /// Lanes of T in one register.
  template <class T>
  static constexpr std::size_t lanes() noexcept {
    return kVectorBytes / sizeof(T);
  }
};

namespace detail {

template <class Body>
void run_baseline(Body& body) {
  body(Level<Isa::baseline>{});
}

#if defined(TESSERA_TARGET_AVX2)
template <class Body>
TESSERA_TARGET_AVX2 void run_avx2(Body& body) {
  body(Level<Isa::avx2>{});
}

template <class Body>
TESSERA_TARGET_AVX512 void run_avx512(Body& body) {
  body(Level<Isa::avx512>{});
}
#endif

}  // namespace detail

/// Runs body(Level<isa>{}) compiled for `isa`; read active_isa() once per kernel call and pass it to every
/// block.
///
/// Cost     one predictable branch and one call; three compiled copies of the body on x86-64, one elsewhere
/// Threads  safe to call concurrently
template <class Body>
void dispatch(Isa isa, Body&& body) {
#if defined(TESSERA_TARGET_AVX2)
  switch (isa) {
    case Isa::avx512:
      return detail::run_avx512(body);
    case Isa::avx2:
      return detail::run_avx2(body);
    case Isa::baseline:
      break;
  }
#else
  static_cast<void>(isa);
#endif
  detail::run_baseline(body);
}

}  // namespace tessera
