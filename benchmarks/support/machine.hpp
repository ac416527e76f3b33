// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "support/timing.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/kernels/dispatch.hpp"

// What this machine can do, measured: the bounds a kernel is compared with.

namespace tessera::bench {

/// Bounds at the threads and instruction set of the moment.
struct Machine {
  double stream_read = 0;  ///< bytes per second, reading an array far larger than the caches
  double gather_read = 0;  ///< bytes per second, reading whole rows at random positions of such an array
  double peak_flops = 0;   ///< float multiply-adds out of registers, two operations each
};

namespace detail {

inline constexpr std::size_t kRepeats = 5;

/// Adds all of `values` in vectors; the sum is returned so that nothing is optimised away.
inline float sum_floats(Isa isa, const float* values, std::size_t count) {
  float total = 0;
  dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
    using tessera::detail::Simd;
    constexpr std::size_t W = decltype(level)::template lanes<float>();
    Simd<float, W> sum[4] = {};
    const float* const from = values;
    for (std::size_t i = 0; i + 4 * W <= count; i += 4 * W) {
      tessera::detail::unroll<4>([&](auto k) TESSERA_INLINE_LAMBDA {
        Simd<float, W> value;
        tessera::detail::simd_load<W, float>(value, from + i + k * W);
        sum[k] += value;
      });
    }
    sum[0] += sum[1] + sum[2] + sum[3];
    total = tessera::detail::simd_sum<W, float>(sum[0]);
  });
  return total;
}

/// `rounds` rounds of eight (sixteen on AVX-512) independent multiply-adds per register.
inline float multiply_add(Isa isa, std::size_t rounds, float start, std::size_t& flops) {
  float total = 0;
  dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
    using tessera::detail::Simd;
    constexpr std::size_t W = decltype(level)::template lanes<float>();
    constexpr std::size_t kChains = decltype(level)::kRegisters == 32 ? 16 : 10;
    Simd<float, W> sum[kChains];
    Simd<float, W> factor;
    tessera::detail::simd_fill<W, float>(factor, 0.999f);
    tessera::detail::unroll<kChains>([&](auto k) TESSERA_INLINE_LAMBDA {
      // Different starts: equal chains would be computed once.
      tessera::detail::simd_fill<W, float>(sum[k], static_cast<float>(k) * start);
    });
    for (std::size_t r = 0; r < rounds; ++r) {
      tessera::detail::unroll<kChains>([&](auto k)
                                           TESSERA_INLINE_LAMBDA { sum[k] = sum[k] * factor + factor; });
    }
    tessera::detail::unroll<kChains>(
        [&](auto k) TESSERA_INLINE_LAMBDA { total += tessera::detail::simd_sum<W, float>(sum[k]); });
    flops = rounds * kChains * W * 2;
  });
  return total;
}

}  // namespace detail

/// Measures the bounds with as many threads as loops may use here; `row_bytes` is the row size for gathering.
///
/// Cost     about a second; `bytes` of memory
inline Machine measure_machine(std::size_t row_bytes, std::size_t bytes, double& checksum) {
  const Isa isa = active_isa();
  const std::size_t threads = max_threads();
  Machine out;

  Array<float> values(bytes / sizeof(float));
  parallel_for(values.size(), std::size_t{1} << 20, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) values[i] = 1.0f;
  });
  const std::size_t block = std::size_t{1} << 16;
  double sink = 0;
  std::vector<double> seconds;
  for (std::size_t r = 0; r <= detail::kRepeats; ++r) {
    seconds.push_back(seconds_of([&] {
      sink += parallel_sum<double>(values.size(), block, [&](std::size_t begin, std::size_t end) {
        return static_cast<double>(detail::sum_floats(isa, values.data() + begin, end - begin));
      });
    }));
  }
  out.stream_read = static_cast<double>(bytes) / *std::min_element(seconds.begin(), seconds.end());

  const std::size_t row = std::max<std::size_t>(row_bytes / sizeof(float), 16);
  const std::size_t rows = std::max<std::size_t>(values.size() / row, 1);
  const std::size_t picks = std::min<std::size_t>(rows, std::size_t{1} << 21);
  Array<std::uint32_t> pick(picks);
  const RngKey key = make_key(1, 0, Purpose::generic);
  parallel_for(picks, 4096, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      pick[i] = static_cast<std::uint32_t>(CounterRng(key, 0, i).below(rows));
    }
  });
  seconds.clear();
  for (std::size_t r = 0; r <= detail::kRepeats; ++r) {
    seconds.push_back(seconds_of([&] {
      sink += parallel_sum<double>(picks, 4096, [&](std::size_t begin, std::size_t end) {
        double sum = 0;
        for (std::size_t i = begin; i < end; ++i) {
          const std::size_t ahead = std::min(i + 12, picks - 1);
          tessera::detail::prefetch_bytes(values.data() + pick[ahead] * row, row * sizeof(float));
          sum += static_cast<double>(detail::sum_floats(isa, values.data() + pick[i] * row, row));
        }
        return sum;
      });
    }));
  }
  out.gather_read =
      static_cast<double>(picks * row * sizeof(float)) / *std::min_element(seconds.begin(), seconds.end());

  seconds.clear();
  std::size_t flops = 0;
  for (std::size_t r = 0; r <= detail::kRepeats; ++r) {
    seconds.push_back(seconds_of([&] {
      Array<float> sums(4 * threads);
      Array<std::size_t> counts(4 * threads);
      parallel_blocks(4 * threads, [&](std::size_t t) {
        std::size_t count = 0;
        sums[t] = detail::multiply_add(isa, std::size_t{1} << 20, static_cast<float>(t + 1), count);
        counts[t] = count;
      });
      flops = 0;
      for (std::size_t t = 0; t < 4 * threads; ++t) {
        sink += static_cast<double>(sums[t]);
        flops += counts[t];
      }
    }));
  }
  out.peak_flops = static_cast<double>(flops) / *std::min_element(seconds.begin(), seconds.end());
  checksum += sink;
  return out;
}

/// The processor's name as the system gives it.
inline std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace tessera::bench
