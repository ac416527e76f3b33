// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string_view>

#include "tessera/core/cpu_features.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/isa.hpp"

namespace tessera {

/// Instruction sets of integer products. All give the same integers.
enum class Int8Isa : int {
  baseline,     ///< plain loops
  avx2,         ///< products of 16-bit numbers: exact, while those of bytes would saturate
  avx_vnni,     ///< four products of bytes into 32 bits, 256 bits wide
  avx512_vnni,  ///< the same, 512 bits wide
  amx           ///< tiles of 16 x 64 bytes
};

constexpr std::string_view name(Int8Isa isa) noexcept {
  switch (isa) {
    case Int8Isa::amx:
      return "amx";
    case Int8Isa::avx512_vnni:
      return "avx512_vnni";
    case Int8Isa::avx_vnni:
      return "avx_vnni";
    case Int8Isa::avx2:
      return "avx2";
    case Int8Isa::baseline:
      break;
  }
  return "baseline";
}

/// Whether this processor, and its operating system, can run a level.
inline bool has_int8_isa(Int8Isa isa) noexcept {
#if defined(TESSERA_HAS_CPUID)
  const Isa wide = detected_isa();
  switch (isa) {
    case Int8Isa::amx: {
      static const bool granted = detail::amx_granted();
      return granted && wide == Isa::avx512;
    }
    case Int8Isa::avx512_vnni:
      return wide == Isa::avx512 && detail::cpuid_bit(7, 0, 'c', 11);
    case Int8Isa::avx_vnni:
      return wide >= Isa::avx2 && detail::cpuid_bit(7, 1, 'a', 4);
    case Int8Isa::avx2:
      return wide >= Isa::avx2;
    case Int8Isa::baseline:
      break;
  }
#endif
  return isa == Int8Isa::baseline;
}

/// The best level of this processor that is at most `limit`.
inline Int8Isa best_int8_isa(Int8Isa limit = Int8Isa::amx) noexcept {
  for (int level = static_cast<int>(limit); level > 0; --level) {
    if (has_int8_isa(static_cast<Int8Isa>(level))) return static_cast<Int8Isa>(level);
  }
  return Int8Isa::baseline;
}

namespace detail {

/// What TESSERA_ISA means for integers: a level of its own, or the best one that needs no wider vectors.
inline Int8Isa requested_int8_isa(const char* text) {
  if (text == nullptr || *text == '\0') return best_int8_isa();
  const std::string_view wanted(text);
  if (wanted == "avx512") return best_int8_isa(Int8Isa::avx512_vnni);
  for (const Int8Isa level :
       {Int8Isa::baseline, Int8Isa::avx2, Int8Isa::avx_vnni, Int8Isa::avx512_vnni, Int8Isa::amx}) {
    if (name(level) != wanted) continue;
    if (!has_int8_isa(level)) {
      throw ConfigError(message("TESSERA_ISA is ", text, ", which this processor or system lacks"));
    }
    return level;
  }
  requested_isa(text);  // has the words for an unknown level
  return best_int8_isa();
}

inline std::atomic<int>& chosen_int8_isa() {
  static std::atomic<int> level{static_cast<int>(requested_int8_isa(std::getenv("TESSERA_ISA")))};
  return level;
}

}  // namespace detail

/// The level integer products run at now: what TESSERA_ISA or an Int8IsaScope names, else the processor's best; never
/// wider vectors than active_isa() allows.
///
/// Errors   ConfigError at first use when TESSERA_ISA is unknown or beyond the processor
inline Int8Isa active_int8_isa() {
  const auto chosen = static_cast<Int8Isa>(detail::chosen_int8_isa().load(std::memory_order_relaxed));
  switch (active_isa()) {
    case Isa::avx512:
      return chosen;
    case Isa::avx2:
      return chosen <= Int8Isa::avx_vnni ? chosen : Int8Isa::avx2;
    case Isa::baseline:
      break;
  }
  return Int8Isa::baseline;
}

/// Forces a level while it lives; for tests and benchmarks. Everything else runs at the level below.
///
/// Errors   ConfigError if the processor lacks the level
/// Threads  affects every thread; do not change the level while kernels run
class Int8IsaScope {
 public:
  explicit Int8IsaScope(Int8Isa level)
      : before_(detail::chosen_int8_isa().load(std::memory_order_relaxed)), floats_(checked(level)) {
    detail::chosen_int8_isa().store(static_cast<int>(level), std::memory_order_relaxed);
  }
  ~Int8IsaScope() { detail::chosen_int8_isa().store(before_, std::memory_order_relaxed); }
  Int8IsaScope(const Int8IsaScope&) = delete;
  Int8IsaScope& operator=(const Int8IsaScope&) = delete;

 private:
  static Isa checked(Int8Isa level) {
    if (!has_int8_isa(level)) {
      throw ConfigError(message("Int8IsaScope: level is ", name(level), ", which this processor lacks"));
    }
    return level >= Int8Isa::avx512_vnni ? Isa::avx512 : level >= Int8Isa::avx2 ? Isa::avx2 : Isa::baseline;
  }

  int before_;
  IsaScope floats_;
};

}  // namespace tessera
