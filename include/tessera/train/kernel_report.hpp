// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/bf16_gemm.hpp"
#include "tessera/kernels/column_sum.hpp"
#include "tessera/kernels/convert.hpp"
#include "tessera/kernels/gemm.hpp"
#include "tessera/train/detail/replace_file.hpp"
#include "tessera/train/json_writer.hpp"

namespace tessera {

/// What a machine sustains: bytes per second read from memory, operations per second of products of floats and of bf16.
struct KernelBounds {
  double bytes_per_second = 0;
  double flops_per_second = 0;
  double narrow_flops_per_second = 0;

  /// The least seconds a call can take.
  double seconds(const KernelCall& call) const noexcept {
    const double rate = call.narrow ? narrow_flops_per_second : flops_per_second;
    return std::max(bytes_per_second > 0 ? call.bytes / bytes_per_second : 0,
                    rate > 0 ? call.flops / rate : 0);
  }
};

namespace detail {

/// The shortest of five runs.
template <class F>
double best_seconds(F&& run) {
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = i == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

}  // namespace detail

/// Measures this machine at the threads of the moment: a sum over 256 MB, and square products of 1536.
///
/// Cost     about half a second and 300 MB
KernelBounds measure_kernel_bounds();

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
TESSERA_DEFINE KernelBounds measure_kernel_bounds() {
  KernelBounds out;
  {
    Tensor<float> x = Tensor<float>::zeros(1 << 16, 1024);
    Tensor<float> sums(1, 1024);
    const double seconds = detail::best_seconds([&] { column_sum<float>(x.view(), sums.row(0)); });
    out.bytes_per_second = static_cast<double>(x.size() * sizeof(float)) / seconds;
  }
  constexpr std::size_t n = 1536;
  const double flops = 2.0 * n * n * n;
  const Tensor<float> a = Tensor<float>::zeros(n, n);
  Tensor<float> c(n, n);
  out.flops_per_second = flops / detail::best_seconds([&] { gemm<float>(a.view(), a.view(), c.view()); });
  Tensor<bf16> half(n, n), half_c(n, n);
  convert_rows<float, bf16>(a.view(), half.view());
  out.narrow_flops_per_second =
      flops / detail::best_seconds(
                  [&] { bf16_gemm<bf16, float, bf16>(std::as_const(half).view(), a.view(), half_c.view()); });
  return out;
}
#endif

/// All calls of one kernel.
struct KernelTotal {
  std::string_view name;
  std::size_t calls = 0;
  double seconds = 0;  ///< of calls outside others only, so that kernels add up
  double bytes = 0;
  double flops = 0;
  double bound_seconds = 0;
};

/// Sums calls by name, the slowest kernel first. Calls inside other recorded calls count with these.
inline std::vector<KernelTotal> kernel_totals(const std::vector<KernelCall>& calls,
                                              const KernelBounds& bounds) {
  std::vector<KernelTotal> out;
  for (const KernelCall& call : calls) {
    if (call.depth > 0) continue;
    auto at = std::find_if(out.begin(), out.end(), [&](const KernelTotal& t) { return t.name == call.name; });
    if (at == out.end()) at = out.insert(out.end(), KernelTotal{.name = call.name});
    ++at->calls;
    at->seconds += call.seconds;
    at->bytes += call.bytes;
    at->flops += call.flops;
    at->bound_seconds += bounds.seconds(call);
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const KernelTotal& a, const KernelTotal& b) { return a.seconds > b.seconds; });
  return out;
}

/// A table of totals, one line per kernel.
inline std::string kernel_table(const std::vector<KernelTotal>& totals) {
  double all = 0;
  for (const KernelTotal& t : totals) all += t.seconds;
  char line[160];
  std::snprintf(line, sizeof line, "%-26s %8s %10s %7s %9s %9s %9s\n", "kernel", "calls", "seconds", "share",
                "GB/s", "GFLOP/s", "of bound");
  std::string out = line;
  for (const KernelTotal& t : totals) {
    const double per_second = t.seconds > 0 ? 1 / t.seconds : 0;
    std::snprintf(line, sizeof line, "%-26.*s %8zu %10.4f %6.1f%% %9.1f %9.1f %8.1f%%\n",
                  static_cast<int>(t.name.size()), t.name.data(), t.calls, t.seconds,
                  all > 0 ? 100 * t.seconds / all : 0, t.bytes * per_second * 1e-9,
                  t.flops * per_second * 1e-9, 100 * t.bound_seconds * per_second);
    out += line;
  }
  return out;
}

/// Calls in the trace event format of Chrome (chrome://tracing, Perfetto), with bytes, flops and the share of the bound.
inline std::string chrome_trace(const std::vector<KernelCall>& calls, const KernelBounds& bounds) {
  JsonWriter json;
  json.begin_object().key("traceEvents").begin_array();
  for (const KernelCall& call : calls) {
    json.begin_object()
        .member("name", call.name)
        .member("ph", "X")
        .member("pid", 1)
        .member("tid", call.thread);
    json.member("ts", call.start * 1e6).member("dur", call.seconds * 1e6);
    json.key("args").begin_object().member("bytes", call.bytes).member("flops", call.flops);
    json.member("of_bound", call.seconds > 0 ? bounds.seconds(call) / call.seconds : 0.0)
        .end_object()
        .end_object();
  }
  json.end_array().end_object();
  return json.text();
}

/// Writes chrome_trace to a file, beside it first.
///
/// Errors   FormatError GEN-04 if it cannot be written
inline void write_chrome_trace(const std::filesystem::path& path, const std::vector<KernelCall>& calls,
                               const KernelBounds& bounds) {
  detail::replace_file(path, chrome_trace(calls, bounds));
}

}  // namespace tessera
