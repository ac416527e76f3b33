// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

namespace tessera {

/// One call of a kernel while profiling was on.
///
/// Units    seconds since `KernelProfile::start`; bytes that must move at least, each operand once; flops as
///          multiplications and additions
struct KernelCall {
  std::string_view name;
  double start = 0;
  double seconds = 0;
  double bytes = 0;
  double flops = 0;
  std::uint32_t thread = 0;  ///< the calling thread, numbered from 0
  std::uint32_t depth = 0;   ///< how many recorded calls it lies in
  bool narrow = false;       ///< its products are of bf16
};

/// The calls of kernels between `start` and `stop`. Off it costs a call one test of a flag; on, two readings of the clock
/// and a lock. It records calls, not blocks: a kernel's seconds are those its caller waits.
///
/// Threads  safe to record from several; start, stop and calls while no kernel runs
class KernelProfile {
 public:
  static KernelProfile& global() {
    static KernelProfile profile;
    return profile;
  }

  bool on() const noexcept { return on_.load(std::memory_order_relaxed); }

  /// Forgets what was recorded and records from now on.
  void start() {
    const std::lock_guard lock(mutex_);
    calls_.clear();
    calls_.reserve(1 << 14);
    begin_ = Clock::now();
    on_.store(true, std::memory_order_relaxed);
  }
  void stop() noexcept { on_.store(false, std::memory_order_relaxed); }

  const std::vector<KernelCall>& calls() const noexcept { return calls_; }
  double now() const noexcept { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  void add(const KernelCall& call) {
    const std::lock_guard lock(mutex_);
    calls_.push_back(call);
  }

  /// A small number of the calling thread's own.
  static std::uint32_t thread_number() {
    static std::atomic<std::uint32_t> next{0};
    static thread_local const std::uint32_t number = next.fetch_add(1);
    return number;
  }
  /// How many recorded calls the calling thread is in.
  static std::uint32_t& depth() {
    static thread_local std::uint32_t depth = 0;
    return depth;
  }

 private:
  using Clock = std::chrono::steady_clock;

  std::atomic<bool> on_{false};
  std::mutex mutex_;
  std::vector<KernelCall> calls_;
  Clock::time_point begin_ = Clock::now();
};

/// Records the time from its construction to its end as one call, where profiling is on.
class KernelScope {
 public:
  KernelScope(std::string_view name, double bytes, double flops, bool narrow = false) noexcept
      : recording_(KernelProfile::global().on()) {
    if (!recording_) return;
    call_ = {name,
             KernelProfile::global().now(),
             0,
             bytes,
             flops,
             KernelProfile::thread_number(),
             KernelProfile::depth()++,
             narrow};
  }
  ~KernelScope() {
    if (!recording_) return;
    --KernelProfile::depth();
    call_.seconds = KernelProfile::global().now() - call_.start;
    KernelProfile::global().add(call_);
  }
  KernelScope(const KernelScope&) = delete;
  KernelScope& operator=(const KernelScope&) = delete;

 private:
  bool recording_;
  KernelCall call_;
};

}  // namespace tessera
