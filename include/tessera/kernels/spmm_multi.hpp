// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/aggregator.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/multi_finish.hpp"
#include "tessera/kernels/detail/multi_rows.hpp"
#include "tessera/kernels/detail/sparse_checks.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/edge_ranges.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/kernels/spmm_max.hpp"

namespace tessera {

/// What `spmm_multi` writes besides the aggregates, for backward, as far as its aggregators need it. Empty views are not
/// written.
template <Real T>
struct MultiSaved {
  MatrixView<T> mean{};                ///< [N, F], for var and std
  MatrixView<std::int32_t> arg_max{};  ///< [N, F], -1 for rows without entries
  MatrixView<std::int32_t> arg_min{};
};

namespace detail {

/// What a list of aggregators asks of the row loops.
struct MultiPlan {
  SumsWanted sums;
  bool max = false;
  bool min = false;
  bool averages = false;  ///< the plain sums are wanted as averages only

  explicit MultiPlan(std::span<const Aggregator> aggregators) noexcept {
    bool total = false;
    for (const Aggregator a : aggregators) {
      sums.weighted |= a == Aggregator::symmetric;
      total |= a == Aggregator::sum;
      averages |= a == Aggregator::mean;
      sums.shifted |= a == Aggregator::var || a == Aggregator::std;
      max |= a == Aggregator::max;
      min |= a == Aggregator::min;
    }
    sums.plain = total || averages;
    averages &= !total && !sums.shifted;
    // Extrema need some sum that shows a NaN.
    if (!sums.shifted && (max || min || !sums.weighted)) sums.plain = true;
  }
};

/// Room for the accumulators of one row at a time.
template <class T>
class MultiScratch {
 public:
  MultiScratch(std::size_t cols, std::size_t aggregators, const MultiPlan& plan)
      : cols_(cols), plan_(plan), values_((5 + aggregators) * cols) {}

  /// A place for the aggregates themselves.
  T* aggregates() noexcept { return values_.data() + 5 * cols_; }

  /// The accumulators of a row whose aggregates go to `to`: those that are aggregates already lie there.
  MultiRow<T> row(std::span<const Aggregator> aggregators, T* to, std::int32_t* arg_max,
                  std::int32_t* arg_min) noexcept {
    T* const at = values_.data();
    MultiRow<T> out;
    if (plan_.sums.weighted) out.weighted = at;
    if (plan_.sums.plain || plan_.sums.shifted) out.plain = at + cols_;
    if (plan_.sums.shifted) out.square = at + 2 * cols_;
    if (plan_.max) out.largest = at + 3 * cols_, out.arg_largest = arg_max;
    if (plan_.min) out.smallest = at + 4 * cols_, out.arg_smallest = arg_min;
    for (std::size_t k = aggregators.size(); k-- > 0;) {
      T* const place = to + k * cols_;
      if (aggregators[k] == Aggregator::symmetric) out.weighted = place;
      if (aggregators[k] == Aggregator::max) out.largest = place;
      if (aggregators[k] == Aggregator::min) out.smallest = place;
      if (aggregators[k] == Aggregator::mean && plan_.averages) out.plain = place;
    }
    return out;
  }

 private:
  std::size_t cols_;
  MultiPlan plan_;
  Array<T> values_;
};

/// `multi_part` at an instruction set: one compiled copy for all kernels that aggregate so, at a call per row.
template <class T>
[[gnu::noinline]] void multi_part_at(Isa isa, const MultiRun<T>& run, const SumsWanted& sums,
                                     std::size_t cols, const MultiRow<T>& to) noexcept {
  dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
    multi_part<decltype(level)::template lanes<T>()>(run, sums, cols, to);
  });
}

/// The row of an optional matrix.
template <class T>
T* row_or_null(MatrixView<T> m, std::size_t i) noexcept {
  return m.data() == nullptr ? nullptr : m.data() + i * m.stride();
}

/// Asks place(i, scratch) where the aggregates of row i go (`scratch` has room for one row) and calls done(level, i,
/// aggregates) once they are there.
template <class T, class Place, class Done>
void multi_rows(const CsrView<>& a, MatrixView<const T> x, std::span<const Aggregator> aggregators,
                const MultiSaved<T>& saved, Place&& place, Done&& done) {
  const Isa isa = tessera::active_isa();
  const MultiPlan plan(aggregators);
  const EdgeRanges ranges(a.row_ptr);
  const std::size_t cols = x.cols();
  Tensor<T> part_values(ranges.num_parts(), 5 * cols);
  Tensor<std::int32_t> part_args(ranges.num_parts(), 2 * cols);
  const auto part_row = [&](std::size_t p) {
    T* const at = part_values.row(p).data();
    std::int32_t* const arg = part_args.row(p).data();
    MultiRow<T> out;
    if (plan.sums.weighted) out.weighted = at;
    if (plan.sums.plain || plan.sums.shifted) out.plain = at + cols;
    if (plan.sums.shifted) out.square = at + 2 * cols;
    if (plan.max) out.largest = at + 3 * cols, out.arg_largest = arg;
    if (plan.min) out.smallest = at + 4 * cols, out.arg_smallest = arg + cols;
    return out;
  };
  const auto finish = [&](auto level, std::size_t i, const MultiRun<T>& run, const MultiRow<T>& row,
                          bool averaged, T* to) TESSERA_INLINE_LAMBDA {
    constexpr std::size_t W = decltype(level)::template lanes<T>();
    if (run.count > 0) repair_extrema<W>(run, cols, row);
    if (run.count == 0 && row.arg_largest != nullptr) std::fill_n(row.arg_largest, cols, -1);
    if (run.count == 0 && row.arg_smallest != nullptr) std::fill_n(row.arg_smallest, cols, -1);
    finish_multi<W>(aggregators, plan.sums.shifted, averaged, run.count, cols, run.shift, row,
                    plan.sums.shifted ? row_or_null(saved.mean, i) : nullptr, to);
    done(level, i, to);
  };
  ranges.for_each(
      [&](std::size_t first, std::size_t last) {
        MultiScratch<T> scratch(cols, aggregators.size(), plan);
        dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
          for (std::size_t i = first; i < last; ++i) {
            MultiRun<T> run = multi_input(a, x, i, static_cast<std::size_t>(a.begin(i)),
                                          static_cast<std::size_t>(a.end(i)));
            if (plan.averages && run.count > 0) run.scale = T{1} / static_cast<T>(run.count);
            T* const to = place(i, scratch.aggregates());
            const MultiRow<T> row =
                scratch.row(aggregators, to, row_or_null(saved.arg_max, i), row_or_null(saved.arg_min, i));
            multi_part_at(isa, run, plan.sums, cols, row);
            finish(level, i, run, row, plan.averages, to);
          }
        });
      },
      [&](const HubRow& hub, std::size_t part, EdgeRanges::Entries e) {
        multi_part_at(isa, multi_input(a, x, hub.row, e.first, e.last), plan.sums, cols, part_row(part));
      });
  for (const HubRow& hub : ranges.hubs()) {
    MultiRow<T> row = part_row(hub.first_part);
    for (std::size_t p = 1; p < hub.num_parts; ++p) merge_multi(part_row(hub.first_part + p), cols, row);
    std::int32_t* const arg_max = row_or_null(saved.arg_max, hub.row);
    std::int32_t* const arg_min = row_or_null(saved.arg_min, hub.row);
    if (plan.max && arg_max != nullptr) row.arg_largest = std::copy_n(row.arg_largest, cols, arg_max) - cols;
    if (plan.min && arg_min != nullptr)
      row.arg_smallest = std::copy_n(row.arg_smallest, cols, arg_min) - cols;
    const MultiRun<T> run = multi_input(a, x, hub.row, static_cast<std::size_t>(a.begin(hub.row)),
                                        static_cast<std::size_t>(a.end(hub.row)));
    MultiScratch<T> scratch(cols, aggregators.size(), plan);
    T* const to = place(hub.row, scratch.aggregates());
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA { finish(level, hub.row, run, row, false, to); });
  }
}

template <class T>
void check_multi(std::string_view operation, const CsrView<>& a, MatrixView<const T> x,
                 std::span<const Aggregator> aggregators, const MultiSaved<T>& saved) {
  check_csr(operation, "a", a);
  check_extent(operation, "x.rows()", x.rows(), a.num_cols);
  if (aggregators.empty()) throw ConfigError(message(operation, ": aggregators is empty, want at least one"));
  if (a.num_cols > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw ShapeError(message(operation, ": a.num_cols is ", a.num_cols, ", want less than 2^31"));
  }
  const auto fits = [&](std::string_view name, std::size_t rows, std::size_t cols, bool given) {
    if (!given) return;
    check_extent(operation, message(name, ".rows()"), rows, a.num_rows);
    check_extent(operation, message(name, ".cols()"), cols, x.cols());
  };
  fits("mean", saved.mean.rows(), saved.mean.cols(), saved.mean.data() != nullptr);
  fits("arg_max", saved.arg_max.rows(), saved.arg_max.cols(), saved.arg_max.data() != nullptr);
  fits("arg_min", saved.arg_min.rows(), saved.arg_min.cols(), saved.arg_min.data() != nullptr);
}

}  // namespace detail

/// Several aggregates of every row from one reading of its neighbours: y_i = [agg_1 | agg_2 | ...].
///
/// Shapes   a CSR [N, M] with E stored, x [M, F] -> y [N, A F] for A aggregators; y may not alias x
/// Cost     work O(A E F), reads E F elements of x from memory at worst; 5 F numbers of scratch per chunk of rows
/// Errors   ShapeError if the extents do not fit or M >= 2^31, ConfigError for no aggregator
/// Threads  safe to call concurrently on distinct outputs; a row's bits depend on its own entries and the
///          instruction set only, extrema on the entries only
/// Source   Tailor et al., Do we need anisotropic graph neural networks?, ICLR 2022, section 4 (aggregator fusion);
///          variance by sums shifted to the row's first neighbour: Chan, Golub & LeVeque, The American Statistician
///          1983
template <Real T>
void spmm_multi(CsrView<> a, std::type_identity_t<MatrixView<const T>> x,
                std::span<const Aggregator> aggregators, MatrixView<T> y, const MultiSaved<T>& saved = {}) {
  detail::check_multi<T>("spmm_multi", a, x, aggregators, saved);
  detail::check_extent("spmm_multi", "y.rows()", y.rows(), a.num_rows);
  detail::check_extent("spmm_multi", "y.cols()", y.cols(), aggregators.size() * x.cols());
  if (y.empty()) return;
  const KernelScope profile = detail::aggregate_scope("spmm_multi", a, x, y);
  detail::multi_rows<T>(
      a, x, aggregators, saved, [&](std::size_t i, T*) { return y.data() + i * y.stride(); },
      [](auto, std::size_t, T*) {});
}

/// The gradient of spmm_multi in x. With n_i entries in row i, G_s the part of grad_y that belongs to s, mu the mean:
///
///     symmetric  A^T G        sum  A_1^T G        mean  A_1^T (G / n)        max, min  to where arg says
///     var        2 x (A_1^T (G / n)) - 2 A_1^T (G mu / n)        std  as var with G / (2 std)
///
/// where A_1 is the pattern of A. Constant rows have a gradient of 0.
///
/// Shapes   transpose [M, N] and a [N, M]; x [M, F], y and grad_y [N, A F], saved as written by spmm_multi -> grad_x
///          [M, F]
/// Cost     one product with the transpose for symmetric, one for sum, mean, var and std together (twice as wide for
///          the last two), two gathers per entry for max and min
/// Errors   as spmm_multi; ShapeError where `saved` lacks what an aggregator needs
/// Threads  as spmm_multi
template <Real T>
void spmm_multi_backward(CsrView<> transpose, CsrView<> a, std::type_identity_t<MatrixView<const T>> x,
                         std::span<const Aggregator> aggregators, std::type_identity_t<MatrixView<const T>> y,
                         const MultiSaved<T>& saved, std::type_identity_t<MatrixView<const T>> grad_y,
                         MatrixView<T> grad_x) {
  constexpr std::string_view kName = "spmm_multi_backward";
  detail::check_multi<T>(kName, a, x, aggregators, saved);
  const std::size_t cols = x.cols();
  detail::check_shape(kName, "y", y, a.num_rows, aggregators.size() * cols);
  detail::check_shape(kName, "grad_y", grad_y, a.num_rows, aggregators.size() * cols);
  detail::check_shape(kName, "grad_x", grad_x, a.num_cols, cols);
  const detail::MultiPlan plan(aggregators);
  if ((plan.sums.shifted && saved.mean.data() == nullptr && a.num_rows > 0) ||
      (plan.max && saved.arg_max.data() == nullptr && a.num_rows > 0) ||
      (plan.min && saved.arg_min.data() == nullptr && a.num_rows > 0)) {
    throw ShapeError(message(kName, ": saved lacks the mean of var or std, or arg_max or arg_min"));
  }
  if (grad_x.empty()) return;
  const KernelScope profile = detail::entry_scope(
      kName, transpose, cols,
      detail::dense_bytes(x, grad_y, grad_x) + detail::entry_bytes(transpose, plan.sums.weighted),
      2.0 * static_cast<double>(aggregators.size()));
  CsrView<> pattern = transpose;
  pattern.weight = {};
  bool any = false;
  const auto add_product = [&](CsrView<> matrix, MatrixView<const T> g) {
    if (!any) return spmm_sum<T, T>(matrix, g, grad_x), void(any = true);
    Tensor<T> more(grad_x.rows(), cols);
    spmm_sum<T, T>(matrix, g, more.view());
    axpy(T{1}, more.view(), grad_x);
  };
  const auto add_extremum = [&](MatrixView<std::int32_t> arg, MatrixView<const T> g) {
    if (!any) return spmm_max_backward<T>(transpose, arg, g, grad_x), void(any = true);
    Tensor<T> more(grad_x.rows(), cols);
    spmm_max_backward<T>(transpose, arg, g, more.view());
    axpy(T{1}, more.view(), grad_x);
  };
  bool unweighted = false;
  for (std::size_t k = 0; k < aggregators.size(); ++k) {
    const MatrixView<const T> g = grad_y.middle_cols(k * cols, cols);
    if (aggregators[k] == Aggregator::symmetric) add_product(transpose, g);
    if (aggregators[k] == Aggregator::max) add_extremum(saved.arg_max, g);
    if (aggregators[k] == Aggregator::min) add_extremum(saved.arg_min, g);
    unweighted |= aggregators[k] != Aggregator::symmetric && aggregators[k] != Aggregator::max &&
                  aggregators[k] != Aggregator::min;
  }
  if (!unweighted) return;
  // [what is summed | what multiplies x after summing], both through the pattern in one product.
  const bool squares = plan.sums.shifted;
  Tensor<T> terms(a.num_rows, squares ? 2 * cols : cols);
  parallel_for(a.num_rows, detail::rows_per_block(terms.cols()), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      T* const to = terms.row(i).data();
      std::fill_n(to, terms.cols(), T{0});
      if (a.degree(i) == 0) continue;
      const T inverse = T{1} / static_cast<T>(a.degree(i));
      for (std::size_t k = 0; k < aggregators.size(); ++k) {
        const T* const g = grad_y.data() + i * grad_y.stride() + k * cols;
        const T* const value = y.data() + i * y.stride() + k * cols;
        const Aggregator kind = aggregators[k];
        if (kind == Aggregator::sum || kind == Aggregator::mean) {
          const T by = kind == Aggregator::sum ? T{1} : inverse;
          for (std::size_t f = 0; f < cols; ++f) to[f] += by * g[f];
        } else if (kind == Aggregator::var || kind == Aggregator::std) {
          const T* const mean = saved.mean.data() + i * saved.mean.stride();
          for (std::size_t f = 0; f < cols; ++f) {
            const T by = kind == Aggregator::var ? T{2} * inverse : inverse / value[f];
            to[f] -= by * g[f] * mean[f];
            to[cols + f] += by * g[f];
          }
        }
      }
    }
  });
  if (!squares) return add_product(pattern, terms.view());
  Tensor<T> sums(grad_x.rows(), 2 * cols);
  spmm_sum<T, T>(pattern, std::as_const(terms).view(), sums.view());
  parallel_for(grad_x.rows(), detail::rows_per_block(cols), [&](std::size_t begin, std::size_t end) {
    for (std::size_t j = begin; j < end; ++j) {
      const T* const from = sums.row(j).data();
      for (std::size_t f = 0; f < cols; ++f) {
        const T value = from[f] + x(j, f) * from[cols + f];
        grad_x(j, f) = any ? grad_x(j, f) + value : value;
      }
    }
  });
}

#if defined(TESSERA_COMPILED)
namespace detail {
TESSERA_INSTANTIATE void multi_part_at<float>(Isa, const MultiRun<float>&, const SumsWanted&, std::size_t,
                                              const MultiRow<float>&) noexcept;
TESSERA_INSTANTIATE void multi_part_at<double>(Isa, const MultiRun<double>&, const SumsWanted&, std::size_t,
                                               const MultiRow<double>&) noexcept;
}  // namespace detail
TESSERA_INSTANTIATE void spmm_multi<float>(CsrView<>, MatrixView<const float>, std::span<const Aggregator>,
                                           MatrixView<float>, const MultiSaved<float>&);
TESSERA_INSTANTIATE void spmm_multi<double>(CsrView<>, MatrixView<const double>, std::span<const Aggregator>,
                                            MatrixView<double>, const MultiSaved<double>&);
TESSERA_INSTANTIATE void spmm_multi_backward<float>(CsrView<>, CsrView<>, MatrixView<const float>,
                                                    std::span<const Aggregator>, MatrixView<const float>,
                                                    const MultiSaved<float>&, MatrixView<const float>,
                                                    MatrixView<float>);
TESSERA_INSTANTIATE void spmm_multi_backward<double>(CsrView<>, CsrView<>, MatrixView<const double>,
                                                     std::span<const Aggregator>, MatrixView<const double>,
                                                     const MultiSaved<double>&, MatrixView<const double>,
                                                     MatrixView<double>);
#endif

}  // namespace tessera
