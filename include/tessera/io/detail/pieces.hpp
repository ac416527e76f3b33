// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "tessera/core/parallel.hpp"

namespace tessera::io::detail {

/// Makes pieces in parallel and takes them in order: take(make(0)), take(make(1)), ..., so that what comes out does
/// not depend on the number of threads.
///
/// Cost     memory of 32 pieces
template <class Make, class Take>
void pieces_in_order(std::size_t count, Make&& make, Take&& take) {
  constexpr std::size_t kWave = 32;
  std::vector<decltype(make(std::size_t{0}))> wave(std::min(count, kWave));
  for (std::size_t first = 0; first < count; first += kWave) {
    const std::size_t now = std::min(kWave, count - first);
    parallel_blocks(now, [&](std::size_t k) { wave[k] = make(first + k); });
    for (std::size_t k = 0; k < now; ++k) take(wave[k]);
  }
}

/// Text of rows, format(row, text) for each, in pieces of `rows_per_piece`.
template <class Format, class Take>
void rows_in_order(std::size_t rows, std::size_t rows_per_piece, Format&& format, Take&& take) {
  pieces_in_order((rows + rows_per_piece - 1) / rows_per_piece,
                  [&](std::size_t piece) {
                    std::string text;
                    const std::size_t end = std::min(rows, (piece + 1) * rows_per_piece);
                    for (std::size_t row = piece * rows_per_piece; row < end; ++row) format(row, text);
                    return text;
                  },
                  take);
}

}  // namespace tessera::io::detail
