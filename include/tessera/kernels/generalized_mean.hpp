// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/edge_rows.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"

// The aggregators of DeeperGCN between mean and maximum, of the messages m_e = max(x_j + z_e, 0) + 1e-7 of the entries
// e = (i, j), column by column.

namespace tessera {

/// What stands between the mean and the maximum.
enum class GeneralizedMean {
  softmax,  ///< sum of m exp(t m) / sum of exp(t m): the mean for t = 0, the maximum for large t
  power     ///< (mean of m^t)^(1/t) with m cut to [1e-7, 10]: the mean for t = 1
};

namespace detail {

inline constexpr double kMessageFloor = 1e-7;
inline constexpr double kPowerCeiling = 10;

template <class T>
void check_means(std::string_view operation, const CsrView<>& a, MatrixView<const T> x, MatrixView<const T> z,
                 MatrixView<const T> y, MatrixView<const T> saved) {
  check_csr(operation, "a", a);
  check_extent(operation, "x.rows()", x.rows(), a.num_cols);
  if (z.data() != nullptr) check_shape(operation, "z", z, a.num_edges(), x.cols());
  check_shape(operation, "y", y, a.num_rows, x.cols());
  check_shape(operation, "saved", saved, a.num_rows, x.cols());
}

/// m of one entry.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void rectified_message(const T* x, const T* z, std::size_t f, Simd<T, W>& m) noexcept {
  simd_load<W, T>(m, x + f);
  add_lanes<W, T>(m, z, f);
  const Simd<T, W> zero{};
  m = m < zero ? zero : m;
  m += static_cast<T>(kMessageFloor);
}

template <class T>
T cut_message(T m) noexcept {
  return std::min(m, static_cast<T>(kPowerCeiling));
}

}  // namespace detail

/// y_i = the generalised mean of the messages of row i; 0 for rows without entries. `saved` keeps what backward needs:
/// the logarithm of the sum of exp(t m), or the mean of m^t.
///
/// Shapes   a CSR [N, M] with E stored, x [M, F], z [E, F] or empty (0) -> y, saved [N, F]
/// Cost     work O(E F), one exponential or power each; no scratch
/// Errors   ShapeError if the extents do not fit
/// Threads  safe to call concurrently on distinct outputs; result independent of T
/// Source   Li, Xiong, Thabet & Ghanem, DeeperGCN, 2020, eq. (3) and (4)
template <Real T>
void generalized_mean(CsrView<> a, std::type_identity_t<MatrixView<const T>> x,
                      std::type_identity_t<MatrixView<const T>> z, GeneralizedMean kind,
                      std::type_identity_t<T> t, MatrixView<T> y, MatrixView<T> saved) {
  detail::check_means<T>("generalized_mean", a, x, z, y, saved);
  const KernelScope profile = detail::entry_scope(
      "generalized_mean", a, x.cols(), detail::dense_bytes(x, z, y, saved) + detail::entry_bytes(a), 4);
  const std::size_t cols = x.cols();
  detail::for_each_entry_row(a, [&](auto level, std::size_t i) TESSERA_INLINE_LAMBDA {
    constexpr std::size_t W = decltype(level)::template lanes<T>();
    T* const to = y.data() + i * y.stride();
    T* const keep = saved.data() + i * saved.stride();
    std::fill_n(to, cols, T{0});
    std::fill_n(keep, cols, T{0});
    if (a.degree(i) == 0) return;
    const auto source = [&](std::size_t e) { return x.data() + std::size_t{a.col[e]} * x.stride(); };
    if (kind == GeneralizedMean::power) {
      for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
        const T* const from = source(e);
        const T* const edge = detail::entry_row(z, e);
        detail::over_columns<1>(cols, [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
          T m;
          detail::rectified_message<w(), T>(from, edge, f, m);
          keep[f] += std::pow(detail::cut_message(m), t);
        });
      }
      const T n = static_cast<T>(a.degree(i));
      for (std::size_t f = 0; f < cols; ++f) {
        keep[f] /= n;
        to[f] = std::pow(keep[f], T{1} / t);
      }
      return;
    }
    // A tile of columns at a time: the largest exponent, then both sums relative to it.
    detail::over_columns<W>(cols, [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
      detail::Simd<T, w()> top, weight{}, sum{};
      detail::rectified_message<w(), T>(source(a.begin(i)), detail::entry_row(z, a.begin(i)), f, top);
      top *= t;
      for (std::size_t e = a.begin(i) + 1; e < a.end(i); ++e) {
        detail::Simd<T, w()> m;
        detail::rectified_message<w(), T>(source(e), detail::entry_row(z, e), f, m);
        m *= t;
        top = m > top ? m : top;
      }
      for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
        detail::Simd<T, w()> m;
        detail::rectified_message<w(), T>(source(e), detail::entry_row(z, e), f, m);
        detail::Simd<T, w()> p = m * t - top;
        detail::exp_lanes<w(), T>(p);
        weight += p;
        sum += p * m;
      }
      sum /= weight;
      detail::simd_store<w(), T>(to + f, sum);
      detail::simd_store<w(), T>(keep + f, weight);
      T lanes[w()];
      detail::simd_store<w(), T>(lanes, top);
      for (std::size_t l = 0; l < w(); ++l) keep[f + l] = lanes[l] + std::log(keep[f + l]);
    });
  });
}

/// The gradients of generalized_mean; returns that of t.
///
///     softmax  dm = p (1 + t (m - y)) G,  dt = sum of G p m (m - y),                         p = exp(t m - saved)
///     power    dm = G M^(1/t - 1) m^(t - 1) / n,  dt = sum of G y (mean(m^t ln m) / (t M) - ln M / t^2),  M = saved
///
/// Nothing passes where x_j + z_e <= 0, or where a power was cut.
/// Shapes   transpose [M, N] of a [N, M], position [E] as in edge_sum_backward; grad_y [N, F] -> grad_x [M, F], grad_z
///          [E, F] or empty
/// Cost     work O(E F), 8 bytes of scratch per source
/// Errors   ShapeError if the extents do not fit
/// Threads  as generalized_mean
template <Real T>
T generalized_mean_backward(CsrView<> a, CsrView<> transpose, std::span<const EdgeId> position,
                            std::type_identity_t<MatrixView<const T>> x,
                            std::type_identity_t<MatrixView<const T>> z, GeneralizedMean kind,
                            std::type_identity_t<T> t, std::type_identity_t<MatrixView<const T>> y,
                            std::type_identity_t<MatrixView<const T>> saved,
                            std::type_identity_t<MatrixView<const T>> grad_y, MatrixView<T> grad_x,
                            MatrixView<T> grad_z) {
  constexpr std::string_view kName = "generalized_mean_backward";
  detail::check_means<T>(kName, a, x, z, y, saved);
  detail::check_positions(kName, a, transpose, position);
  detail::check_shape(kName, "grad_y", grad_y, a.num_rows, x.cols());
  detail::check_shape(kName, "grad_x", grad_x, a.num_cols, x.cols());
  if (grad_z.data() != nullptr) detail::check_shape(kName, "grad_z", grad_z, a.num_edges(), x.cols());
  const KernelScope profile =
      detail::entry_scope(kName, transpose, x.cols(),
                          detail::dense_bytes(x, z, y, saved, grad_y, grad_x, grad_z) +
                              detail::entry_bytes(transpose) + static_cast<double>(position.size_bytes()),
                          8);
  const std::size_t cols = x.cols();
  Array<double> of_source(transpose.num_rows, 0.0);  // dt
  detail::for_each_entry_row(transpose, [&](auto level, std::size_t j) TESSERA_INLINE_LAMBDA {
    constexpr std::size_t W = decltype(level)::template lanes<T>();
    T* const to = grad_x.data() + j * grad_x.stride();
    std::fill_n(to, cols, T{0});
    const T* const own = x.data() + j * x.stride();
    double of_t = 0;
    for (std::size_t k = transpose.begin(j); k < transpose.end(j); ++k) {
      const std::size_t i = transpose.col[k];
      const T* const g = grad_y.data() + i * grad_y.stride();
      const T* const out = y.data() + i * y.stride();
      const T* const keep = saved.data() + i * saved.stride();
      const T* const edge = detail::entry_row(z, position[k]);
      T* const to_edge = detail::entry_row(grad_z, position[k]);
      if (kind == GeneralizedMean::power) {
        const T n = static_cast<T>(a.degree(i));
        detail::over_columns<1>(cols, [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
          T m;
          detail::rectified_message<w(), T>(own, edge, f, m);
          const T cut = detail::cut_message(m);
          const T power = std::pow(cut, t);
          of_t += static_cast<double>(g[f] * out[f] * power * std::log(cut) / (n * t * keep[f]));
          const bool passes = m > static_cast<T>(detail::kMessageFloor) && cut == m;
          const T part = passes ? g[f] * out[f] / keep[f] * power / (cut * n) : T{0};
          to[f] += part;
          if (to_edge != nullptr) to_edge[f] = part;
        });
        continue;
      }
      detail::over_columns<W>(cols, [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
        detail::Simd<T, w()> m, p, up, mean;
        detail::rectified_message<w(), T>(own, edge, f, m);
        detail::simd_load<w(), T>(p, keep + f);
        detail::simd_load<w(), T>(up, g + f);
        detail::simd_load<w(), T>(mean, out + f);
        const detail::Simd<T, w()> zero{};
        p = m * t - p;
        p = p > zero ? zero : p;
        detail::exp_lanes<w(), T>(p);
        p *= up;
        mean = m - mean;
        of_t += static_cast<double>(detail::simd_sum<w(), T>(p * m * mean));
        p *= T{1} + t * mean;
        const detail::Simd<T, w()> floor = zero + static_cast<T>(detail::kMessageFloor);
        p = m > floor ? p : zero;
        detail::add_to_row<w(), T>(to, f, p);
        if (to_edge != nullptr) detail::simd_store<w(), T>(to_edge + f, p);
      });
    }
    of_source[j] = of_t;
  });
  const auto total = [](std::size_t rows, auto&& of_row) {
    return parallel_sum<double>(rows, 1024, [&](std::size_t begin, std::size_t end) {
      double sum = 0;
      for (std::size_t i = begin; i < end; ++i) sum += of_row(i);
      return sum;
    });
  };
  double of_t = total(transpose.num_rows, [&](std::size_t j) { return of_source[j]; });
  if (kind == GeneralizedMean::power) {
    of_t -= total(a.num_rows, [&](std::size_t i) {
      double sum = 0;
      for (std::size_t f = 0; a.degree(i) > 0 && f < cols; ++f) {
        sum += static_cast<double>(grad_y(i, f) * y(i, f) * std::log(saved(i, f)) / (t * t));
      }
      return sum;
    });
  }
  return static_cast<T>(of_t);
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void generalized_mean<float>(CsrView<>, MatrixView<const float>, MatrixView<const float>,
                                                 GeneralizedMean, float, MatrixView<float>,
                                                 MatrixView<float>);
TESSERA_INSTANTIATE void generalized_mean<double>(CsrView<>, MatrixView<const double>,
                                                  MatrixView<const double>, GeneralizedMean, double,
                                                  MatrixView<double>, MatrixView<double>);
TESSERA_INSTANTIATE float generalized_mean_backward<float>(CsrView<>, CsrView<>, std::span<const EdgeId>,
                                                           MatrixView<const float>, MatrixView<const float>,
                                                           GeneralizedMean, float, MatrixView<const float>,
                                                           MatrixView<const float>, MatrixView<const float>,
                                                           MatrixView<float>, MatrixView<float>);
TESSERA_INSTANTIATE double generalized_mean_backward<double>(
    CsrView<>, CsrView<>, std::span<const EdgeId>, MatrixView<const double>, MatrixView<const double>,
    GeneralizedMean, double, MatrixView<const double>, MatrixView<const double>, MatrixView<const double>,
    MatrixView<double>, MatrixView<double>);
#endif

}  // namespace tessera
