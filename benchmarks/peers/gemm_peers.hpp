// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

// Eigen's dense products, compiled for the machine that builds them and threaded by OpenMP.

namespace tessera::bench {

enum class Product { nn, nt, tn };

/// C [rows, cols] = A B, A B^T or A^T B, row-major; strides in elements, `depth` is the summed extent.
struct GemmProblem {
  Product product = Product::nn;
  std::size_t rows = 0;
  std::size_t depth = 0;
  std::size_t cols = 0;
  const float* a = nullptr;
  std::size_t a_stride = 0;
  const float* b = nullptr;
  std::size_t b_stride = 0;
  float* c = nullptr;
  std::size_t c_stride = 0;
};

/// Sets how many threads Eigen starts and returns how many it will use; 1 without OpenMP.
int set_peer_threads(int threads);

/// Eigen's product with as many threads as set.
void gemm_eigen(const GemmProblem& problem);

}  // namespace tessera::bench
