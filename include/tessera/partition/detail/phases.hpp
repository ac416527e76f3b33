// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>

namespace tessera::detail::multilevel {

/// The steps whose time is worth knowing.
enum class Phase { cluster, contract, split, balance, labels, loose, search };

inline constexpr std::array<const char*, 7> kPhaseNames{"cluster", "contract", "split", "balance",
                                                        "labels",  "loose",    "search"};

/// Seconds spent in each phase, all levels together.
struct PhaseSeconds {
  std::array<double, kPhaseNames.size()> seconds{};
};

/// Adds the time it lives to a phase; does nothing without a place to add to.
class PhaseTimer {
 public:
  PhaseTimer(PhaseSeconds* to, Phase phase) noexcept : to_(to), phase_(phase) {
    if (to_ != nullptr) start_ = std::chrono::steady_clock::now();
  }
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;
  ~PhaseTimer() {
    if (to_ == nullptr) return;
    to_->seconds[static_cast<std::size_t>(phase_)] +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  PhaseSeconds* to_;
  Phase phase_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace tessera::detail::multilevel
