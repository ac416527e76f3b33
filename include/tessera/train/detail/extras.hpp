// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tessera/train/concepts.hpp"
#include "tessera/train/fit_run.hpp"
#include "tessera/train/records.hpp"

// How Trainer::fit tells its extras apart and calls hooks: by what they can do.

namespace tessera::detail {

/// The learning rate stays as it is; what `fit` does without a schedule.
struct KeepRate {
  double factor(std::uint64_t) const noexcept { return 1; }
};

/// Leaves gradients alone; what `fit` does without a clipper.
struct KeepGradient {
  template <Real T>
  void operator()(ParameterBlock<T>&) const noexcept {}
};

struct IsStopping {
  template <class X>
  static constexpr bool kHolds = EarlyStopping<X>;
};
struct IsSchedule {
  template <class X>
  static constexpr bool kHolds = Schedule<X>;
};
template <Real T>
struct IsClipper {
  template <class X>
  static constexpr bool kHolds = Clipper<X, T>;
};

/// The one extra the test holds for, or `fallback`.
template <class Test, class Fallback>
constexpr const Fallback& pick(const Fallback& fallback) noexcept {
  return fallback;
}
template <class Test, class Fallback, class First, class... Rest>
constexpr const auto& pick(const Fallback& fallback, const First& first, const Rest&... rest) noexcept {
  if constexpr (Test::template kHolds<First>) {
    static_assert(
        !(Test::template kHolds<Rest> || ...),
        "fit was given two extras of one kind: one stopping rule, one schedule, one clipper at most");
    return first;
  } else {
    return pick<Test>(fallback, rest...);
  }
}

template <class H, class Run>
void call_restore(H& hook, Run& run) {
  if constexpr (requires { hook.on_restore(run); }) hook.on_restore(run);
}
template <class H, class Run>
void call_fit_begin(H& hook, Run& run) {
  if constexpr (requires { hook.on_fit_begin(run); }) hook.on_fit_begin(run);
}
template <class H, class Run>
void call_batch(H& hook, Run& run, const BatchRecord& batch) {
  if constexpr (requires { hook.on_batch(run, batch); }) hook.on_batch(run, batch);
}
template <class H, class Run>
void call_epoch_end(H& hook, Run& run) {
  if constexpr (requires { hook.on_epoch_end(run); }) hook.on_epoch_end(run);
}
template <class H, class Run>
void call_fit_end(H& hook, Run& run, const FitReport& report) {
  if constexpr (requires { hook.on_fit_end(run, report); }) hook.on_fit_end(run, report);
}

template <class H, class Run>
inline constexpr bool kIsHook = requires(H& hook, Run& run) {
  hook.on_restore(run);
}
|| requires(H& hook, Run& run) { hook.on_fit_begin(run); }
|| requires(H& hook, Run& run, const BatchRecord& batch) { hook.on_batch(run, batch); }
|| requires(H& hook, Run& run) { hook.on_epoch_end(run); }
|| requires(H& hook, Run& run, const FitReport& report) { hook.on_fit_end(run, report); };

template <class X, class T, class Run>
inline constexpr bool kIsExtra = EarlyStopping<X> || Schedule<X> || Clipper<X, T> || kIsHook<X, Run>;

}  // namespace tessera::detail
