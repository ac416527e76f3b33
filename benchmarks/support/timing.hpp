// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace tessera::bench {

/// One thing to time. `run` does the work once.
struct Case {
  std::string name;
  std::function<void()> run;
};

/// Seconds of one case.
struct Timing {
  double median = 0;
  double fastest = 0;
  double slowest = 0;
  /// (slowest - fastest) / median
  double spread() const { return median > 0 ? (slowest - fastest) / median : 0; }
};

inline double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

inline Timing summarize(std::vector<double> seconds) {
  if (seconds.empty()) return {};
  std::sort(seconds.begin(), seconds.end());
  const std::size_t n = seconds.size();
  const double median = n % 2 == 1 ? seconds[n / 2] : (seconds[n / 2 - 1] + seconds[n / 2]) / 2;
  return {median, seconds.front(), seconds.back()};
}

/// Times cases in turns, A B C A B C ..., after one warm-up round: what slows the machine for a while slows
/// all of them, so ratios within one call can be trusted where absolute times cannot.
inline std::vector<Timing> time_interleaved(const std::vector<Case>& cases, std::size_t repeats) {
  std::vector<std::vector<double>> seconds(cases.size());
  for (const Case& c : cases) c.run();
  for (std::size_t r = 0; r < repeats; ++r) {
    for (std::size_t c = 0; c < cases.size(); ++c) seconds[c].push_back(seconds_of(cases[c].run));
  }
  std::vector<Timing> out;
  for (auto& s : seconds) out.push_back(summarize(std::move(s)));
  return out;
}

}  // namespace tessera::bench
