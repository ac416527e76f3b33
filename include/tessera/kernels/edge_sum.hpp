// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/edge_rows.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"

// Sums of messages that read a row of numbers of their own entry. The transposed passes find it by `position`: entry k
// of the transpose is entry position[k] of the matrix.

namespace tessera {

/// y_i = sum over the entries e = (i, j) of row i of max(x_j + z_e, 0).
///
/// Shapes   a CSR [N, M] with E stored, x [M, F], z [E, F] -> y [N, F]
/// Cost     work O(E F), no scratch
/// Errors   ShapeError if the extents do not fit
/// Threads  safe to call concurrently on distinct y; result independent of T
/// Source   Hu et al., Strategies for pre-training graph neural networks, ICLR 2020, appendix A
template <Real T>
void edge_sum(CsrView<> a, std::type_identity_t<MatrixView<const T>> x,
              std::type_identity_t<MatrixView<const T>> z, MatrixView<T> y) {
  constexpr std::string_view kName = "edge_sum";
  detail::check_csr(kName, "a", a);
  detail::check_extent(kName, "x.rows()", x.rows(), a.num_cols);
  detail::check_shape(kName, "z", z, a.num_edges(), x.cols());
  detail::check_shape(kName, "y", y, a.num_rows, x.cols());
  const KernelScope profile =
      detail::entry_scope(kName, a, x.cols(), detail::dense_bytes(x, z, y) + detail::entry_bytes(a), 2);
  detail::for_each_entry_row(a, [&](auto level, std::size_t i) TESSERA_INLINE_LAMBDA {
    T* const to = y.data() + i * y.stride();
    std::fill_n(to, x.cols(), T{0});
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
      const T* const from = x.data() + std::size_t{a.col[e]} * x.stride();
      const T* const edge = z.data() + e * z.stride();
      detail::over_columns<decltype(level)::template lanes<T>()>(
          x.cols(), [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
            detail::Simd<T, w()> m;
            detail::simd_load<w(), T>(m, from + f);
            detail::add_lanes<w(), T>(m, edge, f);
            const detail::Simd<T, w()> zero{};
            m = m < zero ? zero : m;
            detail::add_to_row<w(), T>(to, f, m);
          });
    }
  });
}

/// The gradients of edge_sum: grad_z_e = 1[x_j + z_e > 0] G_i, and grad_x_j their sum over the entries of source j.
///
/// Shapes   transpose [M, N] of a [N, M]; grad_y [N, F] -> grad_x [M, F], grad_z [E, F] or empty
/// Cost     work O(E F)
/// Errors   ShapeError if the extents do not fit
/// Threads  as edge_sum
template <Real T>
void edge_sum_backward(CsrView<> a, CsrView<> transpose, std::span<const EdgeId> position,
                       std::type_identity_t<MatrixView<const T>> x,
                       std::type_identity_t<MatrixView<const T>> z,
                       std::type_identity_t<MatrixView<const T>> grad_y, MatrixView<T> grad_x,
                       MatrixView<T> grad_z) {
  constexpr std::string_view kName = "edge_sum_backward";
  detail::check_positions(kName, a, transpose, position);
  detail::check_shape(kName, "z", z, a.num_edges(), x.cols());
  detail::check_shape(kName, "grad_y", grad_y, a.num_rows, x.cols());
  detail::check_shape(kName, "grad_x", grad_x, a.num_cols, x.cols());
  if (grad_z.data() != nullptr) detail::check_shape(kName, "grad_z", grad_z, a.num_edges(), x.cols());
  const KernelScope profile =
      detail::entry_scope(kName, transpose, x.cols(),
                          detail::dense_bytes(x, z, grad_y, grad_x, grad_z) + detail::entry_bytes(transpose) +
                              static_cast<double>(position.size_bytes()),
                          2);
  detail::for_each_entry_row(transpose, [&](auto level, std::size_t j) TESSERA_INLINE_LAMBDA {
    T* const to = grad_x.data() + j * grad_x.stride();
    std::fill_n(to, x.cols(), T{0});
    const T* const own = x.data() + j * x.stride();
    for (std::size_t k = transpose.begin(j); k < transpose.end(j); ++k) {
      const T* const g = grad_y.data() + std::size_t{transpose.col[k]} * grad_y.stride();
      const T* const edge = z.data() + position[k] * z.stride();
      T* const to_edge = detail::entry_row(grad_z, position[k]);
      detail::over_columns<decltype(level)::template lanes<T>()>(
          x.cols(), [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
            detail::Simd<T, w()> m, part;
            detail::simd_load<w(), T>(m, own + f);
            detail::add_lanes<w(), T>(m, edge, f);
            detail::simd_load<w(), T>(part, g + f);
            const detail::Simd<T, w()> zero{};
            part = m > zero ? part : zero;
            detail::add_to_row<w(), T>(to, f, part);
            if (to_edge != nullptr) detail::simd_store<w(), T>(to_edge + f, part);
          });
    }
  });
}

/// What a gated sum reads: the matrices [N, F] of the rows, [M, F] of the sources and [E, F] of the entries; those of
/// the entries may be empty.
template <Real T>
struct GatedInput {
  MatrixView<const T> target;
  MatrixView<const T> source;
  MatrixView<const T> value;
  MatrixView<const T> entry_gate{};
  MatrixView<const T> entry_value{};

  double bytes() const noexcept {
    return detail::dense_bytes(target, source, value, entry_gate, entry_value);
  }
};

/// Where its gradients go; those of absent matrices are empty.
template <Real T>
struct GatedGrads {
  MatrixView<T> target;
  MatrixView<T> source;
  MatrixView<T> value;
  MatrixView<T> entry_gate{};
  MatrixView<T> entry_value{};

  double bytes() const noexcept {
    return detail::dense_bytes(target, source, value, entry_gate, entry_value);
  }
};

namespace detail {

template <class T>
void check_gated(std::string_view operation, const CsrView<>& a, const GatedInput<T>& in) {
  check_csr(operation, "a", a);
  const std::size_t cols = in.value.cols();
  check_shape(operation, "target", in.target, a.num_rows, cols);
  check_shape(operation, "source", in.source, a.num_cols, cols);
  check_shape(operation, "value", in.value, a.num_cols, cols);
  if (in.entry_gate.data() != nullptr)
    check_shape(operation, "entry_gate", in.entry_gate, a.num_edges(), cols);
  if (in.entry_value.data() != nullptr)
    check_shape(operation, "entry_value", in.entry_value, a.num_edges(), cols);
}

/// The rows one message reads.
template <class T>
struct GatedMessage {
  const T* target;
  const T* source;
  const T* value;
  const T* entry_gate;
  const T* entry_value;

  GatedMessage(const GatedInput<T>& in, std::size_t i, std::size_t j, std::size_t e) noexcept
      : target(in.target.data() + i * in.target.stride()),
        source(in.source.data() + j * in.source.stride()),
        value(in.value.data() + j * in.value.stride()),
        entry_gate(entry_row(in.entry_gate, e)),
        entry_value(entry_row(in.entry_value, e)) {}

  template <std::size_t W>
  TESSERA_ALWAYS_INLINE void load(std::size_t f, Simd<T, W>& gate, Simd<T, W>& what) const noexcept {
    simd_load<W, T>(gate, target + f);
    add_lanes<W, T>(gate, source, f);
    add_lanes<W, T>(gate, entry_gate, f);
    sigmoid_lanes<W, T>(gate);
    simd_load<W, T>(what, value + f);
    add_lanes<W, T>(what, entry_value, f);
  }
};

}  // namespace detail

/// y_i = sum over the entries e = (i, j) of row i of sigmoid(target_i + source_j + entry_gate_e) (value_j +
/// entry_value_e), element by element.
///
/// Shapes   a CSR [N, M] with E stored -> y [N, F]
/// Cost     work O(E F), one exponential each; no scratch
/// Errors   ShapeError if the extents do not fit
/// Threads  safe to call concurrently on distinct y; result independent of T
/// Source   Bresson & Laurent, Residual gated graph ConvNets, 2017, eq. (10) and (11)
template <Real T>
void gated_sum(CsrView<> a, const GatedInput<T>& in, MatrixView<T> y) {
  detail::check_gated("gated_sum", a, in);
  detail::check_shape("gated_sum", "y", y, a.num_rows, in.value.cols());
  const KernelScope profile = detail::entry_scope(
      "gated_sum", a, y.cols(), in.bytes() + detail::dense_bytes(y) + detail::entry_bytes(a), 4);
  detail::for_each_entry_row(a, [&](auto level, std::size_t i) TESSERA_INLINE_LAMBDA {
    T* const to = y.data() + i * y.stride();
    std::fill_n(to, y.cols(), T{0});
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
      const detail::GatedMessage<T> message(in, i, a.col[e], e);
      detail::over_columns<decltype(level)::template lanes<T>()>(
          y.cols(), [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
            detail::Simd<T, w()> gate, what;
            message.template load<w()>(f, gate, what);
            what *= gate;
            detail::add_to_row<w(), T>(to, f, what);
          });
    }
  });
}

/// The gradients of gated_sum, gates computed again: with s the gate and G = grad_y,
///
///     of the gate's sum t_e = G_i (value_j + entry_value_e) s (1 - s), of the value s G_i
///
/// summed over the entries of each row (target) or source (source, value).
///
/// Shapes   transpose [M, N] of a [N, M]; grad_y [N, F] -> grads, each of the shape of its matrix, overwritten
/// Cost     two passes of O(E F)
/// Errors   ShapeError if the extents do not fit
/// Threads  as gated_sum
template <Real T>
void gated_sum_backward(CsrView<> a, CsrView<> transpose, std::span<const EdgeId> position,
                        const GatedInput<T>& in, std::type_identity_t<MatrixView<const T>> grad_y,
                        const GatedGrads<T>& grads) {
  constexpr std::string_view kName = "gated_sum_backward";
  detail::check_gated(kName, a, in);
  detail::check_positions(kName, a, transpose, position);
  const std::size_t cols = in.value.cols();
  detail::check_shape(kName, "grad_y", grad_y, a.num_rows, cols);
  detail::check_shape(kName, "grads.target", grads.target, a.num_rows, cols);
  detail::check_shape(kName, "grads.source", grads.source, a.num_cols, cols);
  detail::check_shape(kName, "grads.value", grads.value, a.num_cols, cols);
  const KernelScope profile =
      detail::entry_scope(kName, a, cols,
                          in.bytes() + detail::dense_bytes(grad_y) + grads.bytes() + detail::entry_bytes(a) +
                              detail::entry_bytes(transpose) + static_cast<double>(position.size_bytes()),
                          12);
  detail::for_each_entry_row(a, [&](auto level, std::size_t i) TESSERA_INLINE_LAMBDA {
    T* const to = grads.target.data() + i * grads.target.stride();
    std::fill_n(to, cols, T{0});
    const T* const g = grad_y.data() + i * grad_y.stride();
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
      const detail::GatedMessage<T> message(in, i, a.col[e], e);
      T* const to_gate = detail::entry_row(grads.entry_gate, e);
      T* const to_value = detail::entry_row(grads.entry_value, e);
      detail::over_columns<decltype(level)::template lanes<T>()>(
          cols, [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
            detail::Simd<T, w()> gate, what, up;
            message.template load<w()>(f, gate, what);
            detail::simd_load<w(), T>(up, g + f);
            const detail::Simd<T, w()> to_what = gate * up;
            what *= to_what * (T{1} - gate);
            detail::add_to_row<w(), T>(to, f, what);
            if (to_gate != nullptr) detail::simd_store<w(), T>(to_gate + f, what);
            if (to_value != nullptr) detail::simd_store<w(), T>(to_value + f, to_what);
          });
    }
  });
  detail::for_each_entry_row(transpose, [&](auto level, std::size_t j) TESSERA_INLINE_LAMBDA {
    T* const to_source = grads.source.data() + j * grads.source.stride();
    T* const to_value = grads.value.data() + j * grads.value.stride();
    std::fill_n(to_source, cols, T{0});
    std::fill_n(to_value, cols, T{0});
    for (std::size_t k = transpose.begin(j); k < transpose.end(j); ++k) {
      const std::size_t i = transpose.col[k];
      const detail::GatedMessage<T> message(in, i, j, position[k]);
      const T* const g = grad_y.data() + i * grad_y.stride();
      detail::over_columns<decltype(level)::template lanes<T>()>(
          cols, [&](auto w, std::size_t f) TESSERA_INLINE_LAMBDA {
            detail::Simd<T, w()> gate, what, up;
            message.template load<w()>(f, gate, what);
            detail::simd_load<w(), T>(up, g + f);
            const detail::Simd<T, w()> to_what = gate * up;
            detail::add_to_row<w(), T>(to_value, f, to_what);
            what *= to_what * (T{1} - gate);
            detail::add_to_row<w(), T>(to_source, f, what);
          });
    }
  });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void edge_sum<float>(CsrView<>, MatrixView<const float>, MatrixView<const float>,
                                         MatrixView<float>);
TESSERA_INSTANTIATE void edge_sum<double>(CsrView<>, MatrixView<const double>, MatrixView<const double>,
                                          MatrixView<double>);
TESSERA_INSTANTIATE void edge_sum_backward<float>(CsrView<>, CsrView<>, std::span<const EdgeId>,
                                                  MatrixView<const float>, MatrixView<const float>,
                                                  MatrixView<const float>, MatrixView<float>,
                                                  MatrixView<float>);
TESSERA_INSTANTIATE void edge_sum_backward<double>(CsrView<>, CsrView<>, std::span<const EdgeId>,
                                                   MatrixView<const double>, MatrixView<const double>,
                                                   MatrixView<const double>, MatrixView<double>,
                                                   MatrixView<double>);
TESSERA_INSTANTIATE void gated_sum<float>(CsrView<>, const GatedInput<float>&, MatrixView<float>);
TESSERA_INSTANTIATE void gated_sum<double>(CsrView<>, const GatedInput<double>&, MatrixView<double>);
TESSERA_INSTANTIATE void gated_sum_backward<float>(CsrView<>, CsrView<>, std::span<const EdgeId>,
                                                   const GatedInput<float>&, MatrixView<const float>,
                                                   const GatedGrads<float>&);
TESSERA_INSTANTIATE void gated_sum_backward<double>(CsrView<>, CsrView<>, std::span<const EdgeId>,
                                                    const GatedInput<double>&, MatrixView<const double>,
                                                    const GatedGrads<double>&);
#endif

}  // namespace tessera
