// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <cstdlib>

// TESSERA_ASSERT(level, condition) states what the library promises itself, never what a user gave us.
//   light  O(1) per call        on when TESSERA_ASSERT_LEVEL >= 1  (default of builds without NDEBUG)
//   heavy  O(N) or O(E)         on when TESSERA_ASSERT_LEVEL >= 2  (default of sanitizer builds)
#if !defined(TESSERA_ASSERT_LEVEL)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TESSERA_ASSERT_LEVEL 2
#elif !defined(NDEBUG)
#define TESSERA_ASSERT_LEVEL 1
#else
#define TESSERA_ASSERT_LEVEL 0
#endif
#endif

namespace tessera::detail {

inline constexpr int kAssert_light = 1;
inline constexpr int kAssert_heavy = 2;

[[noreturn]] inline void assertion_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "%s:%d: tessera assertion failed: %s (a bug in the library, please report it)\n", file,
               line, condition);
  std::abort();
}

}  // namespace tessera::detail

#define TESSERA_ASSERT(level, condition)                                                     \
  do {                                                                                       \
    if constexpr (::tessera::detail::kAssert_##level <= TESSERA_ASSERT_LEVEL) {              \
      if (!(condition)) ::tessera::detail::assertion_failed(#condition, __FILE__, __LINE__); \
    }                                                                                        \
  } while (false)
