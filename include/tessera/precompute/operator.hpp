// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/fingerprint.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/precompute/detail/row_blocks.hpp"
#include "tessera/precompute/operator_spec.hpp"
#include "tessera/precompute/triangles.hpp"

namespace tessera {

/// A linear map of node features, ready to be applied any number of times.
///
/// Normalised operators are kept factorised: S = D^r B D^-r with B = D^-1 A row-stochastic, so that
/// S^k x = D^r B^k (D^-r x). B needs no stored weights beyond those of the graph, inserted loops need no
/// entries, and three operators of one graph share its one matrix.
/// Cost     8 bytes per node for each of two factors; a matrix of its own only for Sides::out and both, and
///          for triangles
/// Errors   ConfigError if the spec cannot be, or the graph is directed and spec.sides does not say which
///          neighbours count; ShapeError if the graph is not square; Error names a row whose weights sum to a
///          negative number or NaN
/// Threads  const members may be called concurrently
class PropagationOperator {
 public:
  /// Borrows the graph, which must outlive the operator.
  PropagationOperator(CsrView<> graph, bool symmetric, const OperatorSpec& spec) : spec_(spec) {
    validate(spec);
    if (graph.num_rows != graph.num_cols) {
      throw ShapeError(message("PropagationOperator: graph is [", graph.num_rows, ", ", graph.num_cols,
                               "], want it square"));
    }
    choose_matrix(graph, symmetric);
    prepare();
  }
  explicit PropagationOperator(const GraphRef& graph, const OperatorSpec& spec = {})
      : PropagationOperator(graph.matrix, graph.symmetric, spec) {}

  /// Any matrix, as it is: y_i = sum over entries (i, j) of w_ij x_j. Borrowed.
  ///
  /// Errors   ShapeError if it is not square
  static PropagationOperator of_matrix(CsrView<> matrix, std::string name) {
    PropagationOperator out(matrix, true, {.kind = OperatorKind::sum});
    out.name_ = std::move(name);
    return out;
  }

  const OperatorSpec& spec() const noexcept { return spec_; }
  const std::string& name() const noexcept { return name_; }
  std::size_t num_nodes() const noexcept { return matrix_.num_rows; }
  /// Bytes this object holds beside the graph it borrows.
  std::size_t owned_bytes() const noexcept {
    return (inverse_.size() + scale_.size() + loop_.size()) * 8 + owned_.row_ptr.size() * 8 +
           owned_.col.size() * 4 + owned_.weight.size() * 4;
  }
  /// Products with the matrix that one application takes.
  std::size_t products() const noexcept { return terms_; }
  /// Panels of features that `apply` needs: two, or three for a series.
  std::size_t panels() const noexcept { return is_series() ? 3 : 2; }
  bool is_series() const noexcept {
    return spec_.kind == OperatorKind::ppr || spec_.kind == OperatorKind::heat;
  }
  /// D^r of row i, by which a factorised panel is multiplied to become features.
  double scale(std::size_t i) const noexcept { return scale_.empty() ? 1.0 : scale_[i]; }
  /// D^-r of row i (0 where D is 0), by which features are multiplied on their way in.
  double unscale(std::size_t i) const noexcept {
    return scale_.empty() ? 1.0 : scale_[i] > 0 ? 1 / scale_[i] : 0.0;
  }
  bool factorised() const noexcept { return !scale_.empty(); }

  /// What the result depends on: graph and numbers.
  std::uint64_t fingerprint() const {
    detail::Fingerprint print;
    const std::string& text = name_;
    print.add(std::span<const char>(text)).add(matrix_.row_ptr).add(matrix_.col).add(matrix_.weight);
    return print.value();
  }

  /// One application to a factorised panel (features divided by D^r): y = Op x.
  ///
  /// Shapes   x, y [N, F]; scratch [N, F] for a series, else empty; the three lie apart
  /// Cost     products() multiplications with the matrix; sums are kept in float (double for double)
  /// Errors   ShapeError if the extents do not fit
  template <Scalar X>
  void apply(std::type_identity_t<MatrixView<const X>> x, MatrixView<X> y, MatrixView<X> scratch = {}) const {
    detail::check_shape("PropagationOperator::apply", "y", y, x.rows(), x.cols());
    if (is_series()) {
      detail::check_shape("PropagationOperator::apply", "scratch", scratch, x.rows(), x.cols());
      return apply_series<X>(x, y, scratch);
    }
    multiply<X>(x, y, {}, {});
  }

  /// One product with the factorised matrix, row by row: finish(i, row) with row = (B x)_i, which it may change.
  ///
  /// Shapes   x [N, F]; into [N, F] receives the rows, or is empty where they are scratch
  template <Scalar X, class Finish>
  void for_products(std::type_identity_t<MatrixView<const X>> x, MatrixView<Accumulator<X>> into,
                    Finish&& finish) const {
    using T = Accumulator<X>;
    detail::aggregate_blocks<X, T>(matrix_, x, into,
                                   [&](std::size_t first, std::size_t last, MatrixView<T> sums) {
                                     const Isa isa = active_isa();
                                     dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
                                       const std::size_t cols = x.cols();
                                       const X* const no_back = nullptr;
                                       for (std::size_t i = first; i < last; ++i) {
                                         T* const sum = sums.data() + (i - first) * sums.stride();
                                         const X* const own = x.data() + i * x.stride();
                                         const T scale = static_cast<T>(inverse_.empty() ? 1.0 : inverse_[i]);
                                         const T loop = static_cast<T>(loop_.empty() ? 0.0 : loop_[i]);
                                         finish_row(sum, scale, own, loop, no_back, T{0}, sum, cols);
                                         finish(i, sum);
                                       }
                                     });
                                   });
  }

 private:
  /// y = keep B x + back z.
  struct Blend {
    double keep = 1;
    double back = 0;
  };

  void choose_matrix(CsrView<> graph, bool symmetric) {
    name_ = describe(spec_);
    if (!symmetric && spec_.sides == Sides::undirected) {
      throw ConfigError(
          message("PropagationOperator: the graph is directed and sides is undirected, want in, "
                  "out or both for operator ",
                  name_));
    }
    matrix_ = graph;
    if (!symmetric && spec_.sides == Sides::out) {
      owned_ = std::move(transpose(graph).graph);
      matrix_ = owned_.view();
    }
    if (!symmetric && spec_.sides == Sides::both) {
      owned_ = std::move(rebuild_csr(graph, {.symmetrize = true, .self_loops = SelfLoops::keep}).graph);
      matrix_ = owned_.view();
    }
    if (spec_.kind == OperatorKind::triangle) {
      if (!symmetric && spec_.sides != Sides::both) {
        throw ConfigError("PropagationOperator: triangles of a directed graph need sides = both");
      }
      owned_ = triangle_counts(matrix_);
      matrix_ = owned_.view();
    }
  }

  void prepare() {
    switch (spec_.kind) {
      case OperatorKind::gcn:
      case OperatorKind::heat:
      case OperatorKind::ppr:
        normalise(1, 0.5);
        break;
      case OperatorKind::symmetric:
        normalise(0, 0.5);
        break;
      case OperatorKind::row:
        normalise(0, 0);
        break;
      case OperatorKind::column:
        normalise(0, 1);
        break;
      case OperatorKind::row_loops:
        normalise(1, 0);
        break;
      case OperatorKind::improved:
        normalise(2, 0.5);
        break;
      case OperatorKind::general:
        normalise(1, spec_.exponent);
        break;
      case OperatorKind::triangle:
        normalise(0, spec_.triangle_symmetric ? 0.5 : 0);
        break;
      case OperatorKind::bethe:
        prepare_bethe();
        break;
      case OperatorKind::sum:
        break;
    }
    if (spec_.kind == OperatorKind::ppr) {
      const double steps = spec_.alpha == 1 ? 0 : std::log(spec_.tolerance) / std::log(1 - spec_.alpha);
      terms_ = static_cast<std::size_t>(std::ceil(steps));
    }
    if (spec_.kind == OperatorKind::heat) {
      double weight = std::exp(-spec_.time);
      double left = 1 - weight;
      for (terms_ = 0;
           left > spec_.tolerance && (static_cast<double>(terms_) < spec_.time || weight > 1e-18);) {
        weight *= spec_.time / static_cast<double>(++terms_);
        left -= weight;
      }
    }
  }

  double row_sum(std::size_t i) const noexcept {
    if (!matrix_.weighted()) return static_cast<double>(matrix_.degree(i));
    double sum = 0;
    for (const float w : matrix_.weights(i)) sum += static_cast<double>(w);
    return sum;
  }
  bool has_loop(std::size_t i) const noexcept {
    const std::span<const NodeId> row = matrix_.neighbors(i);
    return std::binary_search(row.begin(), row.end(), static_cast<NodeId>(i));
  }

  /// Factors of D^r (D^-1 A) D^-r, loops of weight `loop` added where there are none.
  void normalise(double loop, double r) {
    const std::size_t n = matrix_.num_rows;
    inverse_.resize(n);
    if (loop > 0) loop_.resize(n);
    if (r > 0) scale_.resize(n);
    constexpr std::size_t kNone = static_cast<std::size_t>(-1);
    const std::size_t bad = parallel_reduce(
        n, 1024, kNone,
        [&](std::size_t begin, std::size_t end) {
          std::size_t first_bad = kNone;
          for (std::size_t i = begin; i < end; ++i) {
            const double added = loop > 0 && !has_loop(i) ? loop : 0;
            const double d = row_sum(i) + added;
            if (!(d >= 0)) first_bad = std::min(first_bad, i);
            inverse_[i] = d > 0 ? 1 / d : 0;
            if (loop > 0) loop_[i] = added;
            if (r > 0) scale_[i] = d > 0 ? (r == 0.5 ? std::sqrt(d) : std::pow(d, r)) : 0;
          }
          return first_bad;
        },
        [](std::size_t x, std::size_t y) { return std::min(x, y); });
    if (bad != kNone) {
      throw Error(message("PropagationOperator: the weights of row ", bad,
                          " sum to a negative number or NaN; degrees must be 0 or more"));
    }
  }

  // (8 - (c - 1)) x_i + sqrt(c) (A x)_i - d_i x_i, in the terms of `finish`: inverse (A x + loop x).
  void prepare_bethe() {
    const std::size_t n = matrix_.num_rows;
    if (spec_.ratio == 0 && n > 0) {
      spec_.ratio = static_cast<double>(matrix_.num_edges()) / static_cast<double>(n);
    }
    const double root = std::sqrt(spec_.ratio);
    if (!(root > 0)) throw ConfigError("PropagationOperator: bethe needs edges or a ratio above 0");
    inverse_.assign(n, root);
    loop_.resize(n);
    for (std::size_t i = 0; i < n; ++i) loop_[i] = (9 - spec_.ratio - row_sum(i)) / root;
  }

  /// y = keep B x + back z, row by row while the sums are warm.
  template <class X>
  void multiply(MatrixView<const X> x, MatrixView<X> y, Blend blend, MatrixView<const X> z) const {
    using T = Accumulator<X>;
    MatrixView<T> into;
    if constexpr (std::same_as<X, T>) into = y;
    detail::aggregate_blocks<X, T>(
        matrix_, x, into, [&](std::size_t first, std::size_t last, MatrixView<T> sums) {
          const Isa isa = active_isa();
          dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
            for (std::size_t i = first; i < last; ++i) {
              T* const sum = sums.data() + (i - first) * sums.stride();
              X* const to = y.data() + i * y.stride();
              const X* const own = x.data() + i * x.stride();
              const double scale = (inverse_.empty() ? 1.0 : inverse_[i]) * blend.keep;
              finish_row(sum, static_cast<T>(scale), own, static_cast<T>(loop_.empty() ? 0.0 : loop_[i]),
                         z.data() == nullptr ? nullptr : z.data() + i * z.stride(),
                         static_cast<T>(blend.back), to, x.cols());
            }
          });
        });
  }

  /// to = (sum + loop own) scale + back z.
  template <class X, class T, class Y>
  static TESSERA_ALWAYS_INLINE void finish_row(const T* sum, T scale, const X* own, T loop, const X* z,
                                               T back, Y* to, std::size_t cols) noexcept {
    // One expression where products meet sums, so that vectors and what is left of a row contract to the same FMAs.
    detail::for_vectors<T>(z == nullptr ? cols : 0, [=]<std::size_t W>(std::size_t f) TESSERA_INLINE_LAMBDA {
      detail::Simd<T, W> y, x;
      detail::simd_load<W, T>(y, sum + f);
      if (loop != T{0}) {
        detail::simd_load<W, T>(x, own + f);
        y = y + loop * x;
      }
      y = y * scale;
      detail::simd_store<W, T>(to + f, y);
    });
    detail::for_vectors<T>(z == nullptr ? 0 : cols, [=]<std::size_t W>(std::size_t f) TESSERA_INLINE_LAMBDA {
      detail::Simd<T, W> y, x, x0;
      detail::simd_load<W, T>(y, sum + f);
      detail::simd_load<W, T>(x, own + f);
      detail::simd_load<W, T>(x0, z + f);
      y = (y + loop * x) * scale + back * x0;
      detail::simd_store<W, T>(to + f, y);
    });
  }

  // Horner's rule, from the innermost term out; buffers alternate so that the last product lands in y.
  //   ppr:  z <- (1 - alpha) B z + alpha x from z = x; t steps leave (1 - alpha)^t of the error
  //   heat: z <- (t / k) B z + x for k = terms, ..., 1; then exp(-t) z
  template <class X>
  void apply_series(MatrixView<const X> x, MatrixView<X> y, MatrixView<X> scratch) const {
    if (terms_ == 0) {
      const double damp = spec_.kind == OperatorKind::heat ? std::exp(-spec_.time) : 1.0;
      parallel_for(x.rows(), 1024, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
          for (std::size_t f = 0; f < x.cols(); ++f)
            y(i, f) = static_cast<X>(x(i, f) * static_cast<Accumulator<X>>(damp));
        }
      });
      return;
    }
    MatrixView<const X> from = x;
    for (std::size_t k = terms_; k > 0; --k) {
      const MatrixView<X> to = k % 2 == 1 ? y : scratch;
      Blend blend{1 - spec_.alpha, spec_.alpha};
      if (spec_.kind == OperatorKind::heat) {
        const double damp = k == 1 ? std::exp(-spec_.time) : 1.0;
        blend = {spec_.time / static_cast<double>(k) * damp, damp};
      }
      multiply<X>(from, to, blend, x);
      from = to;
    }
  }

  OperatorSpec spec_;
  std::string name_;
  CsrView<> matrix_;
  CsrGraph owned_;
  Array<double> inverse_;  ///< 1 / D, or what stands in its place; empty: 1
  Array<double> loop_;     ///< weight of inserted loops; empty: 0
  Array<double> scale_;    ///< D^r; empty: 1
  std::size_t terms_ = 1;
};

}  // namespace tessera
