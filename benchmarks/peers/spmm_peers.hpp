// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

// Other ways to compute y = A x, compiled for the machine that builds them and threaded by OpenMP.

namespace tessera::bench {

/// A [rows, cols] in compressed sparse rows, x [cols, features] and y [rows, features] without gaps.
struct SpmmProblem {
  std::int32_t rows = 0;
  std::int32_t cols = 0;
  std::int32_t features = 0;
  const std::int32_t* row_ptr = nullptr;
  const std::int32_t* col = nullptr;
  const float* weight = nullptr;
  const float* x = nullptr;
  float* y = nullptr;
};

/// Sets the threads of both peers and returns how many they will use; 1 without OpenMP.
int set_peer_threads(int threads);

/// Eigen's row-major sparse times dense, with its own threads.
void spmm_eigen(const SpmmProblem& problem);

/// The three loops anyone would write, rows handed out dynamically.
void spmm_raw_loop(const SpmmProblem& problem);

}  // namespace tessera::bench
