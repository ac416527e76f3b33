// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "support/graph_factories.hpp"
#include "tessera/core/adjacency.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/nn/autograd/no_tape.hpp"
#include "tessera/nn/autograd/tape.hpp"

namespace tessera::testing {

/// Numbers in [-1, 1), a function of (seed, position).
template <class T>
Tensor<T> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  Tensor<T> out(rows, cols);
  const RngKey key = make_key(seed, 7, Purpose::generate);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      CounterRng rng(key, 0, i * cols + j);
      out(i, j) = static_cast<T>(2.0 * rng.uniform() - 1.0);
    }
  }
  return out;
}

/// A matrix and its transpose, owned: any bipartite level.
struct OwnedAdjacency {
  CsrGraph forward;
  TransposedGraph transpose;

  Adjacency view() const { return {forward.view(), transpose.graph.view(), transpose.edge.span()}; }
};

inline OwnedAdjacency own(CsrGraph graph) {
  OwnedAdjacency out;
  out.forward = std::move(graph);
  out.transpose = tessera::transpose(out.forward.view());
  return out;
}

/// `dst` rows with up to `degree` random sources below `src`, ascending, weighted in (0, 2]; every fifth row
/// is empty.
inline OwnedAdjacency random_block(std::size_t dst, std::size_t src, std::size_t degree, std::uint64_t seed) {
  CsrGraph graph;
  graph.num_cols = src;
  graph.symmetric = false;
  graph.row_ptr.clear();
  graph.row_ptr.push_back(0);
  for (std::size_t i = 0; i < dst; ++i) {
    CounterRng rng(make_key(seed, 3, Purpose::generate), 0, i);
    for (std::size_t j = 0; j < src && i % 5 != 4; ++j) {
      if (rng.below(src) >= degree) continue;
      graph.col.push_back(static_cast<NodeId>(j));
      graph.weight.push_back(static_cast<float>(1 + rng.below(64)) / 32.0f);
    }
    graph.row_ptr.push_back(graph.col.size());
  }
  return own(std::move(graph));
}

/// The matrix as dense double numbers.
inline Tensor<double> dense(CsrView<> a) {
  Tensor<double> out = Tensor<double>::zeros(a.num_rows, a.num_cols);
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (auto e = a.begin(i); e < a.end(i); ++e) {
      out(i, a.col[e]) += a.weighted() ? static_cast<double>(a.weight[e]) : 1.0;
    }
  }
  return out;
}

/// Three plain loops.
inline Tensor<double> multiply(MatrixView<const double> a, MatrixView<const double> b) {
  Tensor<double> out = Tensor<double>::zeros(a.rows(), b.cols());
  for (std::size_t i = 0; i < a.rows(); ++i) {
    for (std::size_t k = 0; k < a.cols(); ++k) {
      for (std::size_t j = 0; j < b.cols(); ++j) out(i, j) += a(i, k) * b(k, j);
    }
  }
  return out;
}

template <class T>
double max_difference(MatrixView<const T> a, MatrixView<const T> b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    for (std::size_t j = 0; j < a.cols(); ++j) {
      const double d = std::abs(static_cast<double>(a(i, j)) - static_cast<double>(b(i, j)));
      if (!(d <= worst)) worst = d;
    }
  }
  return worst;
}

template <class T>
bool same_bits(MatrixView<const T> a, MatrixView<const T> b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return false;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    if (a.cols() > 0 && std::memcmp(a.row(i).data(), b.row(i).data(), a.cols() * sizeof(T)) != 0)
      return false;
  }
  return true;
}

template <class T>
bool same_bits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

/// What a model makes of x without a tape.
template <class M>
Tensor<typename M::Scalar> run_model(const M& model, AdjacencyStack adjacencies,
                                     MatrixView<const typename M::Scalar> x, const auto& pass) {
  NoTape<typename M::Scalar> ctx;
  return Tensor<typename M::Scalar>::copy_of(ctx.value(model.forward(ctx, adjacencies, ctx.input(x), pass)));
}

}  // namespace tessera::testing
