// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"

namespace tessera::detail {

/// A 64-bit number that changes when any of the data it was shown changes. Guards against mix-ups, not
/// malice.
///
/// Cost     memory speed, in parallel over fixed blocks; the number does not depend on the thread count
class Fingerprint {
 public:
  template <class T>
  requires std::is_trivially_copyable_v<T> Fingerprint& add(std::span<const T> values) {
    constexpr std::size_t kBlock = (std::size_t{1} << 20) / sizeof(T);
    mix(values.size());
    mix(parallel_reduce(
        values.size(), kBlock, std::uint64_t{0},
        [&](std::size_t begin, std::size_t end) {
          return hash(values.data() + begin, (end - begin) * sizeof(T));
        },
        [](std::uint64_t a, std::uint64_t b) { return split_mix64(a * 0x9E3779B97F4A7C15u ^ b); }));
    return *this;
  }
  /// Rows only: what lies between them is nobody's.
  template <class T>
  Fingerprint& add(MatrixView<const T> x) {
    mix(x.rows());
    mix(x.cols());
    mix(parallel_reduce(
        x.rows(), 256, std::uint64_t{0},
        [&](std::size_t begin, std::size_t end) {
          std::uint64_t h = 0;
          for (std::size_t i = begin; i < end; ++i)
            h = split_mix64(h ^ hash(x.row(i).data(), x.cols() * sizeof(T)));
          return h;
        },
        [](std::uint64_t a, std::uint64_t b) { return split_mix64(a * 0x9E3779B97F4A7C15u ^ b); }));
    return *this;
  }
  Fingerprint& add(std::uint64_t number) {
    mix(number);
    return *this;
  }

  std::uint64_t value() const noexcept { return state_; }
  /// Sixteen hexadecimal digits.
  std::string text() const {
    std::string out(16, '0');
    for (std::size_t i = 0; i < 16; ++i) out[15 - i] = "0123456789abcdef"[(state_ >> (4 * i)) & 15u];
    return out;
  }

 private:
  void mix(std::uint64_t number) noexcept { state_ = split_mix64(state_ ^ split_mix64(number)); }

  // Four independent multiply-rotate lanes hide the latency of the multiplication.
  static std::uint64_t hash(const void* data, std::size_t bytes) noexcept {
    const char* p = static_cast<const char*>(data);
    std::uint64_t lane[4] = {bytes, 1, 2, 3};
    std::size_t i = 0;
    for (; i + 32 <= bytes; i += 32) {
      for (std::size_t l = 0; l < 4; ++l) lane[l] = round(lane[l], word(p + i + 8 * l, 8));
    }
    for (; i < bytes; i += 8) lane[0] = round(lane[0], word(p + i, bytes - i < 8 ? bytes - i : 8));
    return split_mix64(lane[0] ^ split_mix64(lane[1] ^ split_mix64(lane[2] ^ split_mix64(lane[3]))));
  }
  static std::uint64_t word(const char* p, std::size_t bytes) noexcept {
    std::uint64_t w = 0;
    std::memcpy(&w, p, bytes);
    return w;
  }
  static std::uint64_t round(std::uint64_t h, std::uint64_t w) noexcept {
    h = (h ^ w) * 0x9FB21C651E98DF25u;
    return h ^ (h >> 29);
  }

  std::uint64_t state_ = 0;
};

}  // namespace tessera::detail
