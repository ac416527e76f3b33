// SPDX-License-Identifier: MIT
#include "peers/gemm_peers.hpp"

#include <Eigen/Core>

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

void gemm_eigen(const GemmProblem& p) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Stride = Eigen::OuterStride<>;
  using Input = Eigen::Map<const Matrix, 0, Stride>;
  const auto map = [](const float* data, std::size_t rows, std::size_t cols, std::size_t stride) {
    return Input(data, static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(cols),
                 Stride(static_cast<Eigen::Index>(stride)));
  };
  Eigen::Map<Matrix, 0, Stride> c(p.c, static_cast<Eigen::Index>(p.rows), static_cast<Eigen::Index>(p.cols),
                                  Stride(static_cast<Eigen::Index>(p.c_stride)));
  switch (p.product) {
    case Product::nn:
      c.noalias() = map(p.a, p.rows, p.depth, p.a_stride) * map(p.b, p.depth, p.cols, p.b_stride);
      break;
    case Product::nt:
      c.noalias() = map(p.a, p.rows, p.depth, p.a_stride) * map(p.b, p.cols, p.depth, p.b_stride).transpose();
      break;
    case Product::tn:
      c.noalias() = map(p.a, p.depth, p.rows, p.a_stride).transpose() * map(p.b, p.depth, p.cols, p.b_stride);
      break;
  }
}

}  // namespace tessera::bench
