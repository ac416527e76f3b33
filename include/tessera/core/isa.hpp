// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"

namespace tessera {

/// Instruction-set levels kernels are compiled for. The level is chosen when the program runs, not when it is
/// compiled.
enum class Isa : int {
  baseline,  ///< what the compiler was told it may use everywhere (SSE2 on plain x86-64); the portable
             ///< fallback
  avx2,      ///< AVX2 and FMA
  avx512     ///< AVX-512 F, BW, DQ, VL
};

constexpr std::string_view name(Isa isa) noexcept {
  switch (isa) {
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    case Isa::baseline:
      break;
  }
  return "baseline";
}

/// The highest level this processor has.
inline Isa detected_isa() noexcept {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::baseline;
}

namespace detail {

/// Reads the level a user asked for in TESSERA_ISA.
inline Isa requested_isa(const char* text) {
  const Isa best = detected_isa();
  if (text == nullptr || *text == '\0') return best;
  for (const Isa level : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (name(level) != text) continue;
    if (level > best) {
      throw ConfigError(message("TESSERA_ISA is ", text, ", this processor has at most ", name(best)));
    }
    return level;
  }
  // Extensions only integer kernels know (kernels/int8_isa.hpp); everything else runs at the level below.
  for (const auto& [extension, level] : {std::pair{std::string_view("avx_vnni"), Isa::avx2},
                                         std::pair{std::string_view("avx512_vnni"), Isa::avx512},
                                         std::pair{std::string_view("amx"), Isa::avx512}}) {
    if (extension == text) return requested_isa(name(level).data());
  }
  throw ConfigError(
      message("TESSERA_ISA is \"", text, "\", want baseline, avx2, avx_vnni, avx512, avx512_vnni or amx"));
}

inline std::atomic<int>& active_isa() {
  static std::atomic<int> level{static_cast<int>(requested_isa(std::getenv("TESSERA_ISA")))};
  return level;
}

}  // namespace detail

/// The level kernels run at now: the processor's best, or what the environment variable TESSERA_ISA names.
///
/// Errors   ConfigError at first use when TESSERA_ISA is unknown or beyond the processor
inline Isa active_isa() { return static_cast<Isa>(detail::active_isa().load(std::memory_order_relaxed)); }

/// Forces a level while it lives; for tests and benchmarks that compare levels in one process.
///
/// Errors   ConfigError if the processor lacks the level
/// Threads  affects every thread; do not change the level while kernels run
class IsaScope {
 public:
  explicit IsaScope(Isa level) : before_(active_isa()) {
    if (level > detected_isa()) {
      throw ConfigError(
          message("IsaScope: level is ", name(level), ", this processor has at most ", name(detected_isa())));
    }
    detail::active_isa().store(static_cast<int>(level), std::memory_order_relaxed);
  }
  ~IsaScope() { detail::active_isa().store(static_cast<int>(before_), std::memory_order_relaxed); }
  IsaScope(const IsaScope&) = delete;
  IsaScope& operator=(const IsaScope&) = delete;

 private:
  Isa before_;
};

}  // namespace tessera
