// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace tessera::io {

/// Four fifths of the machine's memory: what one file may make us allocate unless the caller says
/// otherwise.
///
/// Units    bytes
inline std::uint64_t default_max_bytes() noexcept {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_bytes = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_bytes <= 0) return std::numeric_limits<std::uint64_t>::max() / 2;
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes) / 5 * 4;
}

/// What a hostile or damaged file may cost us before it is refused.
///
/// Units    bytes, counts
struct Limits {
  std::uint64_t max_bytes = default_max_bytes();     ///< allocated on behalf of one file
  std::size_t max_npy_header = 65'536;               ///< real headers have about 120 bytes
  std::size_t max_zip_members = 4'096;               ///< real archives have about a dozen
  std::size_t max_safetensors_header = 100'000'000;  ///< the limit of the reference implementation
};

}  // namespace tessera::io
