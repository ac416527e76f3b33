// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/kernels/batch_norm.hpp"
#include "tessera/nn/ops/column_norm.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

// y = f (x - mean) with one factor f, a function of x or (mean subtraction) 1.
template <Real T>
struct PairNormOp {
  static constexpr std::string_view kName = "pair_norm";
  Var x;
  Array<T> mean;
  Array<T> inv;  ///< 1 / q in every column; all 0 where f is a constant
  T factor;      ///< scale / q, or 1

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 1> reads() const noexcept { return {x}; }
  bool reads_output() const noexcept { return false; }

  // With n = (x - mean) / q: dx = f (G - mean(G) - n <n, G> / N), a symmetric product, so vjp and jvp are one.
  void apply(MatrixView<const T> value, MatrixView<T> g) const {
    const ColumnMeans<T> means(g, value, mean, inv);
    double along = 0;
    for (const T product : means.gn) along += static_cast<double>(product);
    const Array<T> scale(value.cols(), factor);
    const Array<T> same(value.cols(), static_cast<T>(along));
    project_columns<T>(g, value, mean, inv, scale, means.g, same);
  }
  void vjp(Tape<T>& tape, Var self) const {
    apply(tape.value(x), tape.grad(self));
    tape.add_grad(x, tape.take_grad(self));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    copy_or_zero(tape.tangent(x), t);
    apply(tape.value(x), t);
  }
};

// y_i = scale c_i / (eps + |c_i|); dc_i = scale (G_i - c_i <c_i, G_i> / (|c_i| (eps + |c_i|))) / (eps + |c_i|), symmetric too.
template <Real T>
struct ScaleRowsOp {
  static constexpr std::string_view kName = "scale_rows";
  Var c;
  Array<T> norm;
  T scale;
  T eps;

  std::array<Var, 1> inputs() const noexcept { return {c}; }
  std::array<Var, 1> reads() const noexcept { return {c}; }
  bool reads_output() const noexcept { return false; }

  void apply(MatrixView<const T> value, MatrixView<T> g) const {
    parallel_for(g.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const T floored = eps + norm[i];
        T along{0};
        for (std::size_t j = 0; j < g.cols(); ++j) along += value(i, j) * g(i, j);
        along = norm[i] > T{0} ? along / norm[i] / floored : T{0};
        for (std::size_t j = 0; j < g.cols(); ++j)
          g(i, j) = scale * (g(i, j) - value(i, j) * along) / floored;
      }
    });
  }
  void vjp(Tape<T>& tape, Var self) const {
    apply(tape.value(c), tape.grad(self));
    tape.add_grad(c, tape.take_grad(self));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    copy_or_zero(tape.tangent(c), t);
    apply(tape.value(c), t);
  }
};

inline void check_pair_norm(const char* name, double scale, double eps) {
  if (!(std::isfinite(scale)))
    throw ConfigError(message(name, ": scale is ", scale, ", want a finite number"));
  if (!(eps > 0)) throw ConfigError(message(name, ": eps is ", eps, ", want a number > 0"));
}

}  // namespace detail

/// Every column less its mean over the rows.
///
/// Shapes   x [N, F] -> y [N, F]
/// Cost     O(N F); keeps x
/// Source   Yang et al., Revisiting over-smoothing in deep GCNs, 2020, eq. (9)
template <class Ctx>
Var subtract_mean(Ctx& ctx, Var x) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  Array<T> mean(value.cols());
  column_sum(value, mean.span());
  for (T& m : mean) m /= static_cast<T>(std::max<std::size_t>(1, value.rows()));
  const Array<T> one(value.cols(), T{1});
  Tensor<T> y(value.rows(), value.cols());
  batch_norm(value, {}, {}, mean, one, y.view());
  return ctx.record(std::move(y),
                    detail::PairNormOp<T>{x, std::move(mean), Array<T>(value.cols(), T{0}), T{1}});
}

/// Columns less their means, then all rows by one factor that sets their mean square length: with c = x - mean(x),
/// y = scale c / sqrt(mean_i |c_i|^2 + eps).
///
/// Shapes   x [N, F] -> y [N, F]
/// Cost     O(N F), three passes; keeps x
/// Errors   ConfigError if eps is not positive or scale not finite
/// Source   Zhao & Akoglu, PairNorm: tackling oversmoothing in GNNs, ICLR 2020, eq. (10)-(11)
template <class Ctx>
Var pair_norm(Ctx& ctx, Var x, double scale, double eps) {
  using T = typename Ctx::Scalar;
  detail::check_pair_norm("pair_norm", scale, eps);
  const MatrixView<const T> value = ctx.value(x);
  Array<T> mean(value.cols()), variance(value.cols());
  column_statistics(value, mean.span(), variance.span());
  double square = eps;
  for (const T v : variance) square += static_cast<double>(v);
  const double q = std::sqrt(square);
  const T factor = static_cast<T>(scale / q);
  std::fill(variance.begin(), variance.end(), factor);
  Tensor<T> y(value.rows(), value.cols());
  batch_norm(value, {}, {}, mean, variance, y.view());
  std::fill(variance.begin(), variance.end(), static_cast<T>(1 / q));
  return ctx.record(std::move(y), detail::PairNormOp<T>{x, std::move(mean), std::move(variance), factor});
}

/// Columns less their means, then every row to nearly the same length: y_i = scale c_i / (eps + |c_i|).
///
/// Shapes   x [N, F] -> y [N, F]
/// Cost     O(N F); keeps x and c
/// Errors   ConfigError if eps is not positive or scale not finite
/// Source   Zhao & Akoglu, PairNorm, ICLR 2020, section 3.3 (PairNorm-SI)
template <class Ctx>
Var pair_norm_individually(Ctx& ctx, Var x, double scale, double eps) {
  using T = typename Ctx::Scalar;
  detail::check_pair_norm("pair_norm_individually", scale, eps);
  const Var c = subtract_mean(ctx, x);
  const MatrixView<const T> value = ctx.value(c);
  const T s = static_cast<T>(scale), e = static_cast<T>(eps);
  Tensor<T> y(value.rows(), value.cols());
  Array<T> norm(value.rows());
  parallel_for(value.rows(), detail::kRowGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      T squares{0};
      for (const T element : value.row(i)) squares += element * element;
      norm[i] = std::sqrt(squares);
      const T by = s / (e + norm[i]);
      for (std::size_t j = 0; j < value.cols(); ++j) y(i, j) = value(i, j) * by;
    }
  });
  const Var out = ctx.record(std::move(y), detail::ScaleRowsOp<T>{c, std::move(norm), s, e});
  ctx.forget(c);
  return out;
}

}  // namespace tessera
