// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/multi_aggregate.hpp"

namespace tessera {

namespace detail {

/// The three scalers of PNA for a node of this degree.
template <Real T>
std::array<T, 3> pna_scalers(std::size_t degree, double mean_log_degree) noexcept {
  const double d = static_cast<double>(degree);
  return {T{1}, static_cast<T>(std::log(d + 1) / mean_log_degree),
          static_cast<T>(mean_log_degree / std::log(std::max(d, 1.0) + 1))};
}

template <Real T>
struct PnaScaleOp {
  static constexpr std::string_view kName = "pna_scale";
  Adjacency a;
  Aggregators kinds;
  Var x;
  Var target;
  Var aggregates;
  std::size_t towers;
  double mean_log_degree;

  std::array<Var, 3> inputs() const noexcept { return {x, target, aggregates}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  /// Calls body(place in y, tower, scaler 0..2, aggregator, column) for row blocks; place counts from the row's start.
  template <class Body>
  void for_places(std::size_t width, Body&& body) const {
    std::size_t at = 0;
    for (std::size_t t = 0; t < towers; ++t) {
      at += width;  // of x
      for (std::size_t s = 0; s < 3; ++s) {
        for (std::size_t k = 0; k < kinds.size(); ++k, at += width) body(at, t, s, k);
      }
    }
  }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const std::size_t width = tape.cols(target) / towers;
    Tensor<T> grad_x(g.rows(), tape.cols(x));
    Tensor<T> grad_target(g.rows(), towers * width);
    Tensor<T> grad_aggregates(g.rows(), kinds.size() * towers * width);
    const bool divided = grad_x.cols() == towers * width;
    const std::size_t step = (1 + 3 * kinds.size()) * width;
    parallel_for(g.rows(), rows_per_block(g.cols()), [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const auto scaler = pna_scalers<T>(a.forward.degree(i), mean_log_degree);
        const T* const from = g.row(i).data();
        std::fill(grad_x.row(i).begin(), grad_x.row(i).end(), T{0});
        std::fill(grad_target.row(i).begin(), grad_target.row(i).end(), T{0});
        std::fill(grad_aggregates.row(i).begin(), grad_aggregates.row(i).end(), T{0});
        for (std::size_t t = 0; t < towers; ++t) {
          T* const to = grad_x.row(i).data() + (divided ? t * width : 0);
          for (std::size_t f = 0; f < width; ++f) to[f] += from[t * step + f];
        }
        for_places(width, [&](std::size_t at, std::size_t t, std::size_t s, std::size_t k) {
          const bool shifts = a.forward.degree(i) > 0 && kinds.span()[k] != Aggregator::std;
          T* const to = grad_aggregates.row(i).data() + (k * towers + t) * width;
          T* const own = grad_target.row(i).data() + t * width;
          for (std::size_t f = 0; f < width; ++f) {
            to[f] += scaler[s] * from[at + f];
            if (shifts) own[f] += scaler[s] * from[at + f];
          }
        });
      }
    });
    if (tape.needs_grad(x)) tape.add_grad(x, std::as_const(grad_x).view());
    if (tape.needs_grad(target)) tape.add_grad(target, std::move(grad_target));
    if (tape.needs_grad(aggregates)) tape.add_grad(aggregates, std::move(grad_aggregates));
  }
};

}  // namespace detail

/// What stands before the last maps of PNA: per tower t, [x_t | for every scaler: for every aggregator: scaler *
/// (aggregate + target_t)], the scalers being 1, log(d + 1) / delta and delta / log(max(d, 1) + 1) with d the number of
/// entries. `target` is left out for std and for rows without entries.
///
/// Shapes   x [at least N_dst, T F], or [.., F] which every tower gets; target [N_dst, T F], aggregates [N_dst, A T F] in
///          the order (aggregator, tower) -> y [N_dst, T (1 + 3 A) F]
/// Errors   ShapeError if the shapes do not fit, ConfigError for a mean of 0 or below
/// Source   Corso et al., Principal neighbourhood aggregation for graph nets, NeurIPS 2020, eq. (5) to (8)
template <class Ctx>
Var pna_scale(Ctx& ctx, const Adjacency& a, Var x, Var target, Var aggregates, const Aggregators& kinds,
              std::size_t towers, double mean_log_degree) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> own = ctx.value(x);
  const MatrixView<const T> p = ctx.value(target);
  const MatrixView<const T> agg = ctx.value(aggregates);
  const std::size_t width = towers == 0 ? 0 : p.cols() / towers;
  const bool divided = own.cols() == towers * width;
  if (width == 0 || p.cols() != towers * width || p.rows() != a.num_dst() || own.rows() < a.num_dst() ||
      (!divided && own.cols() != width) || agg.rows() != a.num_dst() ||
      agg.cols() != kinds.size() * p.cols()) {
    throw ShapeError(message("pna_scale: x is [", own.rows(), ", ", own.cols(), "], target [", p.rows(), ", ",
                             p.cols(), "], aggregates [", agg.rows(), ", ", agg.cols(), "]; want [",
                             a.num_dst(), ", T F] (x: F will do), and A T F columns of aggregates for ",
                             towers, " towers"));
  }
  if (!(mean_log_degree > 0)) {
    throw ConfigError(message("pna_scale: mean_log_degree is ", mean_log_degree, ", want more than 0"));
  }
  const detail::PnaScaleOp<T> op{a, kinds, x, target, aggregates, towers, mean_log_degree};
  const std::size_t step = (1 + 3 * kinds.size()) * width;
  Tensor<T> y(a.num_dst(), towers * step);
  parallel_for(y.rows(), detail::rows_per_block(y.cols()), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const auto scaler = detail::pna_scalers<T>(a.forward.degree(i), mean_log_degree);
      T* const to = y.row(i).data();
      for (std::size_t t = 0; t < towers; ++t) {
        std::copy_n(own.row(i).data() + (divided ? t * width : 0), width, to + t * step);
      }
      op.for_places(width, [&](std::size_t at, std::size_t t, std::size_t s, std::size_t k) {
        const bool shifts = a.forward.degree(i) > 0 && kinds.span()[k] != Aggregator::std;
        const T* const from = agg.row(i).data() + (k * towers + t) * width;
        const T* const shift = p.row(i).data() + t * width;
        for (std::size_t f = 0; f < width; ++f) {
          to[at + f] = scaler[s] * (shifts ? from[f] + shift[f] : from[f]);
        }
      });
    }
  });
  return ctx.record(std::move(y), op);
}

}  // namespace tessera
