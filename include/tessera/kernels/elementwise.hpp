// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"

namespace tessera {
namespace detail {

/// Calls row(y_i, i), or row(level, y_i, i), compiled for the active level, in parallel over blocks of rows.
template <class T, class Row>
void for_rows(MatrixView<T> y, Row&& row) {
  constexpr bool kTakesLevel = std::is_invocable_v<Row&, Level<Isa::baseline>, T*, std::size_t>;
  const Isa isa = tessera::active_isa();
  parallel_for(y.rows(), rows_per_block(y.cols()), [&](std::size_t begin, std::size_t end) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      for (std::size_t i = begin; i < end; ++i) {
        T* const to = y.data() + i * y.stride();
        if constexpr (kTakesLevel) {
          row(level, to, i);
        } else {
          row(to, i);
        }
      }
    });
  });
}

}  // namespace detail

// The four functions below share one contract.
//
// Shapes   all matrices [N, F], any strides; y may be one of the inputs
// Cost     work O(N F), nothing allocated; on the calling thread up to 16 Ki elements
// Errors   ShapeError if the extents differ
// Threads  safe to call concurrently on distinct y; result independent of T

/// y = a + b.
template <Real T>
void add(std::type_identity_t<MatrixView<const T>> a, std::type_identity_t<MatrixView<const T>> b,
         MatrixView<T> y) {
  detail::check_shape("add", "a", a, y.rows(), y.cols());
  detail::check_shape("add", "b", b, y.rows(), y.cols());
  const KernelScope profile = detail::pass_scope("add", y, 3);
  detail::for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const u = a.data() + i * a.stride();
    const T* const v = b.data() + i * b.stride();
    detail::map_vectors(
        y.cols(), to, [](auto& out, const auto& s, const auto& t) TESSERA_INLINE_LAMBDA { out = s + t; }, u,
        v);
  });
}

/// y = a * b, element by element.
template <Real T>
void multiply(std::type_identity_t<MatrixView<const T>> a, std::type_identity_t<MatrixView<const T>> b,
              MatrixView<T> y) {
  detail::check_shape("multiply", "a", a, y.rows(), y.cols());
  detail::check_shape("multiply", "b", b, y.rows(), y.cols());
  const KernelScope profile = detail::pass_scope("multiply", y, 3);
  detail::for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const u = a.data() + i * a.stride();
    const T* const v = b.data() + i * b.stride();
    detail::map_vectors(
        y.cols(), to, [](auto& out, const auto& s, const auto& t) TESSERA_INLINE_LAMBDA { out = s * t; }, u,
        v);
  });
}

/// y = alpha x.
template <Real T>
void scale(std::type_identity_t<T> alpha, std::type_identity_t<MatrixView<const T>> x, MatrixView<T> y) {
  detail::check_shape("scale", "x", x, y.rows(), y.cols());
  const KernelScope profile = detail::pass_scope("scale", y, 2);
  detail::for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const u = x.data() + i * x.stride();
    detail::map_vectors(
        y.cols(), to, [alpha](auto& out, const auto& s) TESSERA_INLINE_LAMBDA { out = alpha * s; }, u);
  });
}

/// y += alpha x.
template <Real T>
void axpy(std::type_identity_t<T> alpha, std::type_identity_t<MatrixView<const T>> x, MatrixView<T> y) {
  detail::check_shape("axpy", "x", x, y.rows(), y.cols());
  const KernelScope profile = detail::pass_scope("axpy", y, 3);
  detail::for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const u = x.data() + i * x.stride();
    detail::map_vectors(
        y.cols(), to,
        [alpha](auto& out, const auto& old, const auto& s) TESSERA_INLINE_LAMBDA { out = old + alpha * s; },
        to, u);
  });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void add<float>(MatrixView<const float>, MatrixView<const float>, MatrixView<float>);
TESSERA_INSTANTIATE void multiply<float>(MatrixView<const float>, MatrixView<const float>, MatrixView<float>);
TESSERA_INSTANTIATE void scale<float>(float, MatrixView<const float>, MatrixView<float>);
TESSERA_INSTANTIATE void axpy<float>(float, MatrixView<const float>, MatrixView<float>);
TESSERA_INSTANTIATE void add<double>(MatrixView<const double>, MatrixView<const double>, MatrixView<double>);
TESSERA_INSTANTIATE void multiply<double>(MatrixView<const double>, MatrixView<const double>,
                                          MatrixView<double>);
TESSERA_INSTANTIATE void scale<double>(double, MatrixView<const double>, MatrixView<double>);
TESSERA_INSTANTIATE void axpy<double>(double, MatrixView<const double>, MatrixView<double>);
#endif

}  // namespace tessera
