// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/concepts.hpp"
#include "tessera/distill/detail/rows.hpp"
#include "tessera/distill/detail/unit_rows.hpp"

namespace tessera {

namespace detail {

/// f_i = |x_i|^2, and the length of f.
template <Real T>
double squared_lengths(MatrixView<const T> x, Array<double>& f) {
  f.resize(x.rows());
  return std::sqrt(parallel_sum<double>(x.rows(), 256, [&](std::size_t i, std::size_t end) {
    double sum = 0;
    for (; i < end; ++i) {
      f[i] = 0;
      for (const T e : x.row(i)) f[i] += static_cast<double>(e) * static_cast<double>(e);
      sum += f[i] * f[i];
    }
    return sum;
  }));
}

}  // namespace detail

/// weight mean (f / |f| - g / |g|)^2 with f_i = |hs_i|^2, g_i = |ht_i|^2: which nodes are loud, relative to the others.
///
/// Widths may differ. A matrix of zeros counts as f / |f| = 0 and gets no gradient.
/// Shapes   hs [n, F_s] on the tape, ht [n, F_t] -> [1, 1]; n = 0 gives 0
/// Errors   ShapeError if the rows differ
/// Source   Zagoruyko & Komodakis, Paying more attention to attention, 2017; normalised across nodes as in
///          chaitjo/efficient-gnns
template <class Ctx>
Var attention_transfer(Ctx& ctx, Var hs, std::type_identity_t<MatrixView<const typename Ctx::Scalar>> ht,
                       double weight = 1) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> x = ctx.value(hs);
  const std::size_t n = x.rows();
  if (ht.rows() != n) throw ShapeError(message("attention_transfer: ht has ", ht.rows(), " rows, want ", n));
  Array<double> f;
  Array<double> g;
  const double length_f = detail::squared_lengths(x, f);
  const double length_g = detail::squared_lengths(ht, g);
  const double share = n == 0 ? 0 : weight / static_cast<double>(n);
  const auto unit = [](double value, double length) { return length == 0 ? 0 : value / length; };
  const auto each = [&](auto&& term) {
    return parallel_sum<double>(n, 1024, [&](std::size_t i, std::size_t end) {
      double sum = 0;
      for (; i < end; ++i) sum += term(unit(f[i], length_f), unit(f[i], length_f) - unit(g[i], length_g));
      return sum;
    });
  };
  const double loss = share * each([](double, double d) { return d * d; });
  // r = 2 (fh - gh) share, df = (r - fh <fh, r>) / |f|, dhs_i = 2 df_i hs_i.
  const double along = 2 * share * each([](double fh, double d) { return fh * d; });
  Tensor<T> grad(n, x.cols());
  parallel_for(n, 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      const double fh = unit(f[i], length_f);
      const double df = length_f == 0 ? 0 : (2 * share * (fh - unit(g[i], length_g)) - fh * along) / length_f;
      for (std::size_t j = 0; j < x.cols(); ++j) grad(i, j) = static_cast<T>(2 * df) * x(i, j);
    }
  });
  return detail::record_pair_loss(ctx, loss, hs, std::move(grad));
}

/// Attention transfer: beta times the difference of how loud each node is among the others (`attention_transfer`).
struct AttentionTransfer {
  static constexpr bool kNeedsHidden = true;

  double beta = 1e5;
  DistillOn on = DistillOn::all;

  template <class Ctx>
  Var operator()(Ctx& ctx, const DistillStep& step) const {
    using T = typename Ctx::Scalar;
    const std::size_t rows = ctx.value(step.tap->hidden).rows();
    detail::check_teacher("AttentionTransfer", step.teacher, step.targets, rows);
    Array<NodeId> chosen = detail::hidden_rows(step, rows, on);
    if (chosen.empty()) return {};
    const Tensor<T> t = detail::teacher_hidden<T>(step, chosen.span());
    return attention_transfer(ctx, detail::take_rows(ctx, step.tap->hidden, std::move(chosen)), t.view(),
                              beta);
  }
};

}  // namespace tessera
