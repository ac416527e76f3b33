// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "support/graph_factories.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/precompute/operator.hpp"

// Operators as dense matrices, straight from their formulas.

namespace tessera::testing {

using Matrix = Tensor<double>;

inline Matrix identity(std::size_t n, double value = 1) {
  Matrix out = Matrix::zeros(n, n);
  for (std::size_t i = 0; i < n; ++i) out(i, i) = value;
  return out;
}

inline Matrix multiply(const Matrix& a, const Matrix& b) { return multiply(a.view(), b.view()); }
inline double max_difference(const Matrix& a, const Matrix& b) {
  return max_difference<double>(a.view(), b.view());
}

inline Matrix power(const Matrix& a, std::size_t k) {
  Matrix out = identity(a.rows());
  for (; k > 0; --k) out = multiply(a, out);
  return out;
}

inline Matrix transposed(const Matrix& a) {
  Matrix out(a.cols(), a.rows());
  for (std::size_t i = 0; i < a.rows(); ++i) {
    for (std::size_t j = 0; j < a.cols(); ++j) out(j, i) = a(i, j);
  }
  return out;
}

/// D^(r-1) A D^-r with 1/0 = 0, after a loop of weight `loop` went where the diagonal is empty.
inline Matrix normalised(Matrix a, double loop, double r) {
  const std::size_t n = a.rows();
  for (std::size_t i = 0; i < n; ++i) a(i, i) = a(i, i) == 0 ? loop : a(i, i);
  std::vector<double> d(n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) d[i] += a(i, j);
  }
  const auto to = [&](std::size_t i, double exponent) {
    return d[i] > 0 ? std::pow(d[i], exponent) : exponent == 0 ? 1.0 : 0.0;
  };
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) a(i, j) *= to(i, r - 1) * to(j, -r);
  }
  return a;
}

/// The operator of `spec` on a graph whose neighbours are the ones wanted.
inline Matrix dense_operator(const CsrGraph& graph, const OperatorSpec& spec) {
  const Matrix a = dense(graph.view());
  const std::size_t n = a.rows();
  switch (spec.kind) {
    case OperatorKind::gcn:
      return normalised(dense(graph.view()), 1, 0.5);
    case OperatorKind::symmetric:
      return normalised(dense(graph.view()), 0, 0.5);
    case OperatorKind::row:
      return normalised(dense(graph.view()), 0, 0);
    case OperatorKind::column:
      return normalised(dense(graph.view()), 0, 1);
    case OperatorKind::row_loops:
      return normalised(dense(graph.view()), 1, 0);
    case OperatorKind::improved:
      return normalised(dense(graph.view()), 2, 0.5);
    case OperatorKind::general:
      return normalised(dense(graph.view()), 1, spec.exponent);
    case OperatorKind::ppr:
    case OperatorKind::heat: {
      const Matrix s = normalised(dense(graph.view()), 1, 0.5);
      Matrix term = identity(n, spec.kind == OperatorKind::ppr ? spec.alpha : std::exp(-spec.time));
      Matrix sum = Matrix::copy_of(std::as_const(term).view());
      for (std::size_t k = 1; k < 2000; ++k) {
        term = multiply(s, term);
        const double by =
            spec.kind == OperatorKind::ppr ? 1 - spec.alpha : spec.time / static_cast<double>(k);
        for (std::size_t i = 0; i < n; ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            term(i, j) *= by;
            sum(i, j) += term(i, j);
          }
        }
      }
      return sum;
    }
    case OperatorKind::triangle: {
      Matrix binary = Matrix::copy_of(std::as_const(a).view());
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) binary(i, j) = i != j && a(i, j) != 0 ? 1 : 0;
      }
      Matrix counts = multiply(binary, binary);
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) counts(i, j) *= binary(i, j);
      }
      return normalised(std::move(counts), 0, spec.triangle_symmetric ? 0.5 : 0);
    }
    case OperatorKind::bethe: {
      Matrix out = Matrix::zeros(n, n);
      double mean = static_cast<double>(graph.num_edges()) / static_cast<double>(n);
      if (spec.ratio > 0) mean = spec.ratio;
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
          out(i, j) += std::sqrt(mean) * a(i, j);
          out(i, i) -= a(i, j);
        }
        out(i, i) += 8 - (mean - 1);
      }
      return out;
    }
    case OperatorKind::sum:
      break;
  }
  return Matrix::copy_of(a.view());
}

/// Features to features through a factorised operator.
inline Matrix apply(const PropagationOperator& op, const Matrix& x) {
  Matrix in(x.rows(), x.cols()), out(x.rows(), x.cols()), scratch(op.is_series() ? x.rows() : 0, x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t f = 0; f < x.cols(); ++f) in(i, f) = x(i, f) * op.unscale(i);
  }
  op.apply<double>(std::as_const(in).view(), out.view(), scratch.view());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t f = 0; f < x.cols(); ++f) out(i, f) *= op.scale(i);
  }
  return out;
}

inline std::vector<OperatorSpec> all_operators() {
  std::vector<OperatorSpec> out;
  for (int k = 0; k <= static_cast<int>(OperatorKind::sum); ++k) {
    out.push_back({.kind = static_cast<OperatorKind>(k), .exponent = 0.3, .tolerance = 1e-16});
  }
  return out;
}

/// Undirected, some nodes isolated, some loops stored.
inline CsrGraph loopy_graph(std::size_t nodes, std::size_t links, std::uint64_t seed) {
  Links list = random_links(nodes - 3, links, seed);
  list.push_back({1, 1});
  list.push_back({static_cast<NodeId>(nodes - 1), static_cast<NodeId>(nodes - 1)});  // nothing but its loop
  return from_links(nodes, list, {.symmetrize = true, .self_loops = SelfLoops::keep});
}

}  // namespace tessera::testing
