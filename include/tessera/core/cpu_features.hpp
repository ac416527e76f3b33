// SPDX-License-Identifier: MIT
// What a processor says of itself beyond the levels of core/isa.hpp: extensions single kernels ask for.
#pragma once

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <cpuid.h>
#define TESSERA_HAS_CPUID 1
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace tessera {

namespace detail {

#if defined(TESSERA_HAS_CPUID)
/// A bit of what the processor says of itself; reg is 'a', 'b', 'c' or 'd'.
inline bool cpuid_bit(unsigned leaf, unsigned subleaf, char reg, unsigned bit) noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(leaf, subleaf, &a, &b, &c, &d) == 0) return false;
  const unsigned value = reg == 'a' ? a : reg == 'b' ? b : reg == 'c' ? c : d;
  return (value >> bit & 1u) != 0;
}

/// Asks Linux for the tile registers, which it grants per process.
inline bool amx_granted() noexcept {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  return cpuid_bit(7, 0, 'd', 24) && cpuid_bit(7, 0, 'd', 25) &&
         ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

}  // namespace detail

}  // namespace tessera
