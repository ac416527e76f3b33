// SPDX-License-Identifier: MIT
#include "peers/spmm_peers.hpp"

#include <Eigen/Core>
#include <Eigen/SparseCore>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace tessera::bench {

int set_peer_threads(int threads) {
#if defined(_OPENMP)
  omp_set_num_threads(threads);
  Eigen::setNbThreads(threads);
  return Eigen::nbThreads();
#else
  static_cast<void>(threads);
  return 1;
#endif
}

void spmm_eigen(const SpmmProblem& p) {
  using Sparse = Eigen::SparseMatrix<float, Eigen::RowMajor, std::int32_t>;
  using Dense = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Sparse> a(p.rows, p.cols, p.row_ptr[p.rows], p.row_ptr, p.col, p.weight);
  const Eigen::Map<const Dense> x(p.x, p.cols, p.features);
  Eigen::Map<Dense> y(p.y, p.rows, p.features);
  y.noalias() = a * x;
}

void spmm_raw_loop(const SpmmProblem& p) {
  const auto width = static_cast<std::size_t>(p.features);
#if defined(_OPENMP)
#pragma omp parallel for schedule(dynamic, 256)
#endif
  for (std::int32_t i = 0; i < p.rows; ++i) {
    float* const y = p.y + static_cast<std::size_t>(i) * width;
    for (std::size_t f = 0; f < width; ++f) y[f] = 0;
    for (std::int32_t e = p.row_ptr[i]; e < p.row_ptr[i + 1]; ++e) {
      const float w = p.weight[e];
      const float* const x = p.x + static_cast<std::size_t>(p.col[e]) * width;
      for (std::size_t f = 0; f < width; ++f) y[f] += w * x[f];
    }
  }
}

}  // namespace tessera::bench
