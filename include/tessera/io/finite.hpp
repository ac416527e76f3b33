// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// How many values are NaN or infinite.
inline std::size_t count_not_finite(std::span<const float> values) noexcept {
  std::size_t bad = 0;
  for (const float v : values) bad += std::fabs(v) <= std::numeric_limits<float>::max() ? 0u : 1u;
  return bad;
}

/// Applies the policy to a matrix that is known to hold NaN or infinite values.
///
/// Errors   FormatError FEA-01 under NanPolicy::error: the first place, and the numbers of values and
///          columns
inline void settle_not_finite(MatrixView<float> x, const Place& place, NanPolicy policy,
                              std::vector<std::string>* warnings = nullptr) {
  std::size_t nans = 0;
  std::size_t infinities = 0;
  std::size_t first_row = 0;
  std::size_t first_col = 0;
  bool first_is_nan = false;
  std::vector<bool> column(x.cols(), false);
  std::size_t columns = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const std::span<float> row = x.row(i);
    if (count_not_finite(row) == 0) continue;
    for (std::size_t j = 0; j < row.size(); ++j) {
      if (std::isfinite(row[j])) continue;
      const bool is_nan = std::isnan(row[j]);
      if (nans + infinities == 0) {
        first_row = i;
        first_col = j;
        first_is_nan = is_nan;
      }
      ++(is_nan ? nans : infinities);
      if (!column[j]) ++columns;
      column[j] = true;
      if (policy == NanPolicy::zero) row[j] = 0.0f;
    }
  }
  if (nans + infinities == 0) return;
  const std::string what =
      message(first_is_nan ? "NaN" : "infinite value", " at row ", grouped(first_row), " column ", first_col,
              "; ", grouped(nans), " NaN and ", grouped(infinities), " infinite values in ", columns,
              columns == 1 ? " column" : " columns");
  if (policy == NanPolicy::error) place.fail("FEA-01", what, ". Use --nan=zero to replace them");
  if (warnings != nullptr) warnings->push_back(place.warning("FEA-01", what, ", replaced by 0"));
}

/// Makes sure that a feature matrix holds finite values only, or zeros where the policy says so.
///
/// Cost     one pass over x, in parallel
/// Errors   FormatError FEA-01 under NanPolicy::error
inline void check_finite(MatrixView<float> x, const Place& place, NanPolicy policy,
                         std::vector<std::string>* warnings = nullptr) {
  constexpr std::size_t kRows = 1024;
  const std::size_t bad = parallel_sum<std::size_t>(x.rows(), kRows, [&](std::size_t begin, std::size_t end) {
    std::size_t sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += count_not_finite(x.row(i));
    return sum;
  });
  if (bad > 0) settle_not_finite(x, place, policy, warnings);
}

}  // namespace tessera::io
