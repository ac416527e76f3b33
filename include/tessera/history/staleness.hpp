// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace tessera {

/// How old the rows were that were pulled from a table.
///
/// Units    steps since a row was written; ages of kLongest and more are counted as that
struct StalenessCount {
  static constexpr std::size_t kLongest = 511;

  std::array<std::uint64_t, kLongest + 1> rows{};  ///< pulled rows of each age
  std::uint64_t never_written = 0;                 ///< pulled rows that were still zero

  void add(std::uint32_t age) noexcept { ++rows[std::min<std::size_t>(age, kLongest)]; }
  StalenessCount& operator+=(const StalenessCount& other) noexcept {
    for (std::size_t a = 0; a < rows.size(); ++a) rows[a] += other.rows[a];
    never_written += other.never_written;
    return *this;
  }

  std::uint64_t pulled() const noexcept {
    std::uint64_t sum = 0;
    for (const std::uint64_t n : rows) sum += n;
    return sum;
  }
  double mean() const noexcept {
    double sum = 0;
    for (std::size_t a = 0; a < rows.size(); ++a)
      sum += static_cast<double>(a) * static_cast<double>(rows[a]);
    const std::uint64_t count = pulled();
    return count == 0 ? 0 : sum / static_cast<double>(count);
  }
  /// The smallest age that at least a share of the pulled rows does not exceed.
  std::size_t quantile(double share) const noexcept {
    const double want = share * static_cast<double>(pulled());
    double seen = 0;
    for (std::size_t a = 0; a < rows.size(); ++a) {
      seen += static_cast<double>(rows[a]);
      if (seen >= want && seen > 0) return a;
    }
    return 0;
  }
  std::size_t max() const noexcept {
    for (std::size_t a = rows.size(); a-- > 0;) {
      if (rows[a] != 0) return a;
    }
    return 0;
  }
};

/// What is known of one table since its counters were last reset.
struct HistoryLayerReport {
  std::size_t layer = 0;  ///< whose outputs it keeps
  std::size_t width = 0;
  StalenessCount age;
  double error =
      0;  ///< of the table before the latest refresh: root of sum |T - H|^2 / sum |H|^2; NaN before any
  std::uint64_t pulled_bytes = 0;  ///< as stored
  std::uint64_t pushed_bytes = 0;
};

/// Where the time of a history went.
///
/// Units    seconds
struct HistoryTimes {
  double pull = 0;  ///< reading tables, on whatever thread
  double push = 0;
  double wait = 0;  ///< the step standing still for either
};

}  // namespace tessera
