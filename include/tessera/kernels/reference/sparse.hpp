// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/epilogue.hpp"

// The sparse kernels as their definitions say, one entry after the other. Sums are kept in the type of the
// output, so a double output gives a double result for any input. Arguments are trusted.

namespace tessera::reference {

/// y_i = dropout(activation(y_i + bias)), one element at a time.
template <Real T>
void finish(MatrixView<T> y, const Epilogue<T>& epilogue) {
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t f = 0; f < y.cols(); ++f) {
      T z = y(i, f);
      if (!epilogue.bias.empty()) z += epilogue.bias[f];
      if (epilogue.activation == Activation::relu && z < T{0}) z = T{0};
      if (epilogue.activation == Activation::elu && z < T{0}) z = std::expm1(z);
      if (epilogue.dropout.probability > 0) {
        z = dropout_keeps(epilogue.dropout, i, f) ? z * dropout_scale<T>(epilogue.dropout) : T{0};
      }
      y(i, f) = z;
    }
  }
}

/// y_i = sum of w_ij x_j.
template <Scalar X, Real Y>
void spmm_sum(CsrView<> a, MatrixView<const X> x, MatrixView<Y> y, const Epilogue<Y>& epilogue = {}) {
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (std::size_t f = 0; f < y.cols(); ++f) y(i, f) = Y{0};
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
      const Y w = a.weighted() ? static_cast<Y>(a.weight[e]) : Y{1};
      for (std::size_t f = 0; f < y.cols(); ++f) y(i, f) += w * static_cast<Y>(x(a.col[e], f));
    }
  }
  finish(y, epilogue);
}

/// y_i = (1 / n_i) sum of x_j, weights ignored, 0 without entries.
template <Scalar X, Real Y>
void spmm_mean(CsrView<> a, MatrixView<const X> x, MatrixView<Y> y, const Epilogue<Y>& epilogue = {}) {
  CsrView<> unweighted = a;
  unweighted.weight = {};
  reference::spmm_sum(unweighted, x, y);
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    if (a.degree(i) == 0) continue;
    for (std::size_t f = 0; f < y.cols(); ++f) y(i, f) /= static_cast<Y>(a.degree(i));
  }
  finish(y, epilogue);
}

/// grad_x_j = sum over the entries (i, j) of a of grad_y_i / n_i, scattered entry by entry.
template <Real T>
void spmm_mean_backward(CsrView<> a, MatrixView<const T> grad_y, MatrixView<T> grad_x) {
  for (std::size_t j = 0; j < grad_x.rows(); ++j) {
    for (std::size_t f = 0; f < grad_x.cols(); ++f) grad_x(j, f) = T{0};
  }
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (const NodeId j : a.neighbors(i)) {
      for (std::size_t f = 0; f < grad_x.cols(); ++f) {
        grad_x(j, f) += grad_y(i, f) / static_cast<T>(a.degree(i));
      }
    }
  }
}

/// y_if = max of x_jf over the row, arg_if the column of the first entry that has it; a NaN wins over
/// numbers.
template <Scalar X, Real Y>
void spmm_max(CsrView<> a, MatrixView<const X> x, MatrixView<Y> y, MatrixView<std::int32_t> arg) {
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (std::size_t f = 0; f < y.cols(); ++f) {
      Y best{0};
      std::int32_t from = -1;
      for (const NodeId j : a.neighbors(i)) {
        const Y value = static_cast<Y>(x(j, f));
        const bool better = value > best || (std::isnan(value) && !std::isnan(best));
        if (from >= 0 && !better) continue;
        best = value;
        from = static_cast<std::int32_t>(j);
      }
      y(i, f) = best;
      arg(i, f) = from;
    }
  }
}

/// grad_x[arg_if, f] += grad_y_if.
template <Real T>
void spmm_max_backward(MatrixView<const std::int32_t> arg, MatrixView<const T> grad_y, MatrixView<T> grad_x) {
  for (std::size_t j = 0; j < grad_x.rows(); ++j) {
    for (std::size_t f = 0; f < grad_x.cols(); ++f) grad_x(j, f) = T{0};
  }
  for (std::size_t i = 0; i < grad_y.rows(); ++i) {
    for (std::size_t f = 0; f < grad_y.cols(); ++f) {
      if (arg(i, f) >= 0) grad_x(static_cast<std::size_t>(arg(i, f)), f) += grad_y(i, f);
    }
  }
}

/// s_e = <u_i, v_j> for every entry e = (i, j).
template <Real T, Real S>
void sddmm_dot(CsrView<> a, MatrixView<const T> u, MatrixView<const T> v, std::span<S> s) {
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
      S sum{0};
      for (std::size_t f = 0; f < u.cols(); ++f) {
        sum += static_cast<S>(u(i, f)) * static_cast<S>(v(a.col[e], f));
      }
      s[e] = sum;
    }
  }
}

/// s_e = u_i + v_j for every entry e = (i, j).
template <Real T>
void sddmm_add(CsrView<> a, std::span<const T> u, std::span<const T> v, std::span<T> s) {
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) s[e] = u[i] + v[a.col[e]];
  }
}

/// z_i = sum of s_e over row i.
template <Real T, Real S>
void segment_sum(CsrView<> a, std::span<const T> s, std::span<S> z) {
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    z[i] = S{0};
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) z[i] += static_cast<S>(s[e]);
  }
}

/// alpha_e = exp(s_e - m_i) / sum over row i of exp(s - m_i), m_i the largest of the row. A row of -inf alone
/// gives zeros; +inf and NaN make the row NaN.
template <Real T, Real S>
void segment_softmax(CsrView<> a, std::span<const T> s, std::span<S> alpha) {
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    S largest = -std::numeric_limits<S>::infinity();
    bool broken = false;
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
      const S value = static_cast<S>(s[e]);
      broken = broken || std::isnan(value) || value == std::numeric_limits<S>::infinity();
      if (value > largest) largest = value;
    }
    S sum{0};
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
      const S value = static_cast<S>(s[e]);
      alpha[e] = std::isinf(value) ? S{0} : std::exp(value - largest);
      sum += alpha[e];
    }
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
      alpha[e] = broken ? std::numeric_limits<S>::quiet_NaN() : sum > S{0} ? alpha[e] / sum : S{0};
    }
  }
}

/// grad_s_e = alpha_e (grad_alpha_e - sum over row i of alpha grad_alpha).
template <Real T, Real S>
void segment_softmax_backward(CsrView<> a, std::span<const T> alpha, std::span<const T> grad_alpha,
                              std::span<S> grad_s) {
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    S inner{0};
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
      inner += static_cast<S>(alpha[e]) * static_cast<S>(grad_alpha[e]);
    }
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
      grad_s[e] = static_cast<S>(alpha[e]) * (static_cast<S>(grad_alpha[e]) - inner);
    }
  }
}

}  // namespace tessera::reference
