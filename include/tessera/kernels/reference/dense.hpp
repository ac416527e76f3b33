// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/accumulate.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/epilogue.hpp"
#include "tessera/kernels/loss_sum.hpp"

// The dense kernels as their definitions say: one thread, one element after the other, no blocking. In double
// they are the yardstick tests hold the fast kernels to. Arguments are trusted.

namespace tessera::reference {

/// One output of apply_epilogue.
template <Real T>
T finished(T z, std::size_t i, std::size_t j, const Epilogue<T>& epilogue) {
  if (!epilogue.bias.empty()) z += epilogue.bias[j];
  if (epilogue.activation == Activation::relu && z < T{0}) z = T{0};
  if (epilogue.activation == Activation::elu && z < T{0}) z = std::expm1(z);
  if (!dropout_keeps(epilogue.dropout, i, j)) return T{0};
  return epilogue.dropout.probability > 0 ? z * dropout_scale<T>(epilogue.dropout) : z;
}

template <Real T>
void apply_epilogue(MatrixView<T> y, const Epilogue<T>& epilogue) {
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t j = 0; j < y.cols(); ++j) y(i, j) = finished(y(i, j), i, j, epilogue);
  }
}

/// grad_pre from the input z of the epilogue (before the bias), not from its output.
template <Real T>
void epilogue_backward(MatrixView<const T> z, MatrixView<const T> grad_y, const Epilogue<T>& epilogue,
                       MatrixView<T> grad_pre, std::span<T> grad_bias) {
  for (std::size_t i = 0; i < z.rows(); ++i) {
    for (std::size_t j = 0; j < z.cols(); ++j) {
      const T x = z(i, j) + (epilogue.bias.empty() ? T{0} : epilogue.bias[j]);
      const bool open = epilogue.activation != Activation::relu || x > T{0};
      const bool kept = dropout_keeps(epilogue.dropout, i, j);
      grad_pre(i, j) = open && kept ? grad_y(i, j) * dropout_scale<T>(epilogue.dropout) : T{0};
      if (epilogue.activation == Activation::elu && x < T{0}) grad_pre(i, j) *= std::exp(x);
      if (!grad_bias.empty()) grad_bias[j] += grad_pre(i, j);
    }
  }
}

/// C = (A or A^T) (B or B^T), with the element of the left and right operand given by callables.
template <Real T, class Left, class Right>
void multiply_add(std::size_t depth, Left left, Right right, MatrixView<T> c, Accumulate accumulate) {
  for (std::size_t i = 0; i < c.rows(); ++i) {
    for (std::size_t j = 0; j < c.cols(); ++j) {
      T sum = accumulate == Accumulate::yes ? c(i, j) : T{0};
      for (std::size_t k = 0; k < depth; ++k) sum += left(i, k) * right(k, j);
      c(i, j) = sum;
    }
  }
}

template <Real T>
void gemm(MatrixView<const T> a, MatrixView<const T> b, MatrixView<T> c, Accumulate accumulate,
          const Epilogue<T>& epilogue = {}) {
  multiply_add(
      a.cols(), [&](auto i, auto k) { return a(i, k); }, [&](auto k, auto j) { return b(k, j); }, c,
      accumulate);
  reference::apply_epilogue(c, epilogue);
}

template <Real T>
void gemm_nt(MatrixView<const T> a, MatrixView<const T> b, MatrixView<T> c, Accumulate accumulate) {
  multiply_add(
      a.cols(), [&](auto i, auto k) { return a(i, k); }, [&](auto k, auto j) { return b(j, k); }, c,
      accumulate);
}

template <Real T>
void gemm_tn(MatrixView<const T> a, MatrixView<const T> b, MatrixView<T> c, Accumulate accumulate) {
  multiply_add(
      a.rows(), [&](auto i, auto k) { return a(k, i); }, [&](auto k, auto j) { return b(k, j); }, c,
      accumulate);
}

template <Real T>
void dropout(MatrixView<const T> x, MatrixView<T> y, const DropoutMask& mask) {
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) {
      y(i, j) = dropout_keeps(mask, i, j) ? x(i, j) * dropout_scale<T>(mask) : T{0};
    }
  }
}

template <Scalar X, Scalar Y>
void gather_rows(MatrixView<const X> x, std::span<const NodeId> rows, MatrixView<Y> y) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) y(i, j) = static_cast<Y>(static_cast<float>(x(rows[i], j)));
  }
}

template <Real T>
void scatter_add_rows(MatrixView<const T> z, std::span<const NodeId> rows, MatrixView<T> y) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < z.cols(); ++j) y(rows[i], j) += z(i, j);
  }
}

template <Real T>
void row_scale(MatrixView<const T> x, std::span<const float> factor, MatrixView<T> y) {
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) y(i, j) = static_cast<T>(factor[i]) * x(i, j);
  }
}

template <Real T>
void column_sum(MatrixView<const T> x, std::span<T> out, Accumulate accumulate) {
  for (std::size_t j = 0; j < x.cols(); ++j) {
    T sum = accumulate == Accumulate::yes ? out[j] : T{0};
    for (std::size_t i = 0; i < x.rows(); ++i) sum += x(i, j);
    out[j] = sum;
  }
}

/// The mean and 1 / sqrt(variance + epsilon) of one row.
template <Real T>
void row_statistics(std::span<const T> row, double epsilon, T& mean, T& inv_std) {
  T sum{0};
  for (const T value : row) sum += value;
  mean = row.empty() ? T{0} : sum / static_cast<T>(row.size());
  T square{0};
  for (const T value : row) square += (value - mean) * (value - mean);
  const T variance = row.empty() ? T{0} : square / static_cast<T>(row.size());
  inv_std = T{1} / std::sqrt(variance + static_cast<T>(epsilon));
}

template <Real T>
void layer_norm(MatrixView<const T> x, std::span<const T> gamma, std::span<const T> beta, MatrixView<T> y,
                double epsilon) {
  for (std::size_t i = 0; i < x.rows(); ++i) {
    T mean, inv_std;
    row_statistics<T>(x.row(i), epsilon, mean, inv_std);
    for (std::size_t j = 0; j < x.cols(); ++j) {
      y(i, j) =
          (gamma.empty() ? T{1} : gamma[j]) * (x(i, j) - mean) * inv_std + (beta.empty() ? T{0} : beta[j]);
    }
  }
}

/// exp(x_ij - max) / sum, or its logarithm; a row of only -inf gives zeros.
template <Real T>
void softmax(MatrixView<const T> x, MatrixView<T> y, bool logarithm = false) {
  for (std::size_t i = 0; i < x.rows(); ++i) {
    T top = -std::numeric_limits<T>::infinity();
    for (const T z : x.row(i)) top = z > top ? z : top;
    T sum{0};
    for (const T z : x.row(i)) sum += std::exp(z - top);
    for (std::size_t j = 0; j < x.cols(); ++j) {
      if (logarithm) {
        y(i, j) = x(i, j) - top - std::log(sum);
      } else {
        y(i, j) = top == -std::numeric_limits<T>::infinity() ? T{0} : std::exp(x(i, j) - top) / sum;
      }
    }
  }
}

/// The weighted loss without gradient; smoothing eta, class weights [C] or empty.
template <Real T>
LossSum softmax_cross_entropy(MatrixView<const T> logits, std::span<const std::int32_t> labels,
                              std::span<const float> row_weight, double eta,
                              std::span<const float> class_weight) {
  LossSum out;
  const std::size_t classes = logits.cols();
  const auto weight_of_class = [&](std::size_t c) {
    return class_weight.empty() ? 1.0 : static_cast<double>(class_weight[c]);
  };
  for (std::size_t i = 0; i < logits.rows(); ++i) {
    if (labels[i] == kUnlabelled) continue;
    const auto label = static_cast<std::size_t>(labels[i]);
    const double weight = row_weight.empty() ? 1.0 : static_cast<double>(row_weight[i]);
    double top = -std::numeric_limits<double>::infinity();
    for (const T z : logits.row(i)) top = std::fmax(top, static_cast<double>(z));
    double sum = 0;
    for (const T z : logits.row(i)) sum += std::exp(static_cast<double>(z) - top);
    for (std::size_t c = 0; c < classes; ++c) {
      const double minus_log_p = top + std::log(sum) - static_cast<double>(logits(i, c));
      const double target = (c == label ? 1 - eta : 0) + eta / static_cast<double>(classes);
      out.loss_sum += weight * target * weight_of_class(c) * minus_log_p;
    }
    out.weight_sum += weight * weight_of_class(label);
  }
  return out;
}

/// The weighted loss without gradient, straight from -t log sigmoid(z) q - (1 - t) log(1 - sigmoid(z)).
template <Real T>
LossSum binary_cross_entropy(MatrixView<const T> logits, MatrixView<const float> targets,
                             std::span<const float> row_weight, std::span<const float> pos_weight) {
  LossSum out;
  for (std::size_t i = 0; i < logits.rows(); ++i) {
    const double weight = row_weight.empty() ? 1.0 : static_cast<double>(row_weight[i]);
    for (std::size_t j = 0; j < logits.cols(); ++j) {
      const double t = static_cast<double>(targets(i, j));
      if (std::isnan(t)) continue;
      const double z = static_cast<double>(logits(i, j));
      const double q = pos_weight.empty() ? 1.0 : static_cast<double>(pos_weight[j]);
      const double log_yes = z < 0 ? z - std::log1p(std::exp(z)) : -std::log1p(std::exp(-z));
      const double log_no = log_yes - z;
      out.loss_sum -= weight * (q * t * log_yes + (1 - t) * log_no);
      out.weight_sum += weight;
    }
  }
  return out;
}

}  // namespace tessera::reference
