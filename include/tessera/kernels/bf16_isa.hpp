// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdlib>
#include <string_view>

#include "tessera/core/cpu_features.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/isa.hpp"

namespace tessera {

/// Instruction sets of products of bf16 numbers. All round operands the same way; sums differ by rounding.
enum class Bf16Isa : int {
  portable,     ///< operands are widened, the product is the one of floats
  avx512_bf16,  ///< two products into each of 16 floats
  amx           ///< tiles of 16 x 32 numbers
};

constexpr std::string_view name(Bf16Isa isa) noexcept {
  switch (isa) {
    case Bf16Isa::amx:
      return "amx";
    case Bf16Isa::avx512_bf16:
      return "avx512_bf16";
    case Bf16Isa::portable:
      break;
  }
  return "portable";
}

/// Whether this processor, and its operating system, can run a level.
inline bool has_bf16_isa(Bf16Isa isa) noexcept {
#if defined(TESSERA_HAS_CPUID)
  if (isa == Bf16Isa::portable) return true;
  static const bool pairs = detected_isa() == Isa::avx512 && detail::cpuid_bit(7, 1, 'a', 5);
  if (isa == Bf16Isa::avx512_bf16) return pairs;
  static const bool tiles = pairs && detail::cpuid_bit(7, 0, 'd', 22) && detail::amx_granted();
  return tiles;
#else
  return isa == Bf16Isa::portable;
#endif
}

namespace detail {

/// What TESSERA_ISA means for bf16: "amx" or nothing allow every level, any other name no tiles.
inline Bf16Isa requested_bf16_isa(const char* text) {
  const bool tiles = text == nullptr || *text == '\0' || std::string_view(text) == "amx";
  if (tiles && has_bf16_isa(Bf16Isa::amx)) return Bf16Isa::amx;
  return has_bf16_isa(Bf16Isa::avx512_bf16) ? Bf16Isa::avx512_bf16 : Bf16Isa::portable;
}

inline std::atomic<int>& chosen_bf16_isa() {
  static std::atomic<int> level{static_cast<int>(requested_bf16_isa(std::getenv("TESSERA_ISA")))};
  return level;
}

}  // namespace detail

/// The level products of bf16 numbers run at now: the processor's best, or what TESSERA_ISA or a Bf16IsaScope allow;
/// portable below AVX-512.
inline Bf16Isa active_bf16_isa() {
  if (active_isa() != Isa::avx512) return Bf16Isa::portable;
  return static_cast<Bf16Isa>(detail::chosen_bf16_isa().load(std::memory_order_relaxed));
}

/// Forces a level while it lives; for tests and benchmarks.
///
/// Errors   ConfigError if the processor lacks the level
/// Threads  affects every thread; do not change the level while kernels run
class Bf16IsaScope {
 public:
  explicit Bf16IsaScope(Bf16Isa level) : before_(detail::chosen_bf16_isa().load(std::memory_order_relaxed)) {
    if (!has_bf16_isa(level)) {
      throw ConfigError(message("Bf16IsaScope: level is ", name(level), ", which this processor lacks"));
    }
    detail::chosen_bf16_isa().store(static_cast<int>(level), std::memory_order_relaxed);
  }
  ~Bf16IsaScope() { detail::chosen_bf16_isa().store(before_, std::memory_order_relaxed); }
  Bf16IsaScope(const Bf16IsaScope&) = delete;
  Bf16IsaScope& operator=(const Bf16IsaScope&) = delete;

 private:
  int before_;
};

}  // namespace tessera
