// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/detail/attention_rows.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/sparse_checks.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/edge_ranges.hpp"
#include "tessera/kernels/epilogue.hpp"

namespace tessera {

/// How the entries of a row share one unit of attention.
struct AttentionOptions {
  std::size_t heads = 1;
  double slope = 0.2;   ///< of the leaky rectifier, for r <= 0; in (0, 1]
  DropoutMask dropout;  ///< of the shares, one draw per entry and head (kernels/edge_dropout.hpp)
};

namespace detail {

inline void check_attention_options(std::string_view operation, const AttentionOptions& options) {
  check_dropout(options.dropout, operation);
  if (options.heads == 0) throw ConfigError(message(operation, ": heads is 0, want at least 1"));
  if (!(options.slope > 0 && options.slope <= 1)) {
    throw ConfigError(message(operation, ": slope is ", options.slope, ", want a number in (0, 1]"));
  }
}

/// Errors   ShapeError, ConfigError: see attention_sum
template <class T>
void check_attention(std::string_view operation, const CsrView<>& a, MatrixView<const T> x,
                     const AttentionOptions& options) {
  check_csr(operation, "a", a);
  check_attention_options(operation, options);
  if (x.cols() % options.heads != 0) {
    throw ConfigError(
        message(operation, ": heads is ", options.heads, ", want a divisor of the ", x.cols(), " columns"));
  }
  check_extent(operation, "x.rows()", x.rows(), a.num_cols);
}

/// Calls body(integral_constant<kHeads>, group, first_head, heads) for groups of at most eight heads.
template <class Body>
void for_each_head_group(std::size_t heads, Body&& body) {
  for (std::size_t first = 0; first < heads; first += 8) {
    const std::size_t count = std::min<std::size_t>(8, heads - first);
    if (count == 1) {
      body(std::integral_constant<std::size_t, 1>{}, first / 8, first, count);
    } else if (count <= 4) {
      body(std::integral_constant<std::size_t, 4>{}, first / 8, first, count);
    } else {
      body(std::integral_constant<std::size_t, 8>{}, first / 8, first, count);
    }
  }
}

/// The columns [first, first + heads) of p as packed rows of kHeads numbers; padding is 0. `storage` is used
/// where p does not lie like that already.
template <std::size_t kHeads, class T>
const T* packed_heads(MatrixView<const T> p, std::size_t first, std::size_t heads, Array<T>& storage) {
  if (p.stride() == kHeads && heads == kHeads) return p.data();
  storage.resize(p.rows() * kHeads);
  parallel_for(p.rows(), 4096, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t h = 0; h < kHeads; ++h) storage[i * kHeads + h] = h < heads ? p(i, first + h) : T{0};
    }
  });
  return storage.data();
}

template <class T>
AttentionInput<T> attention_input(const CsrView<>& a, MatrixView<const T> x, const AttentionOptions& options,
                                  std::size_t group, std::size_t first, std::size_t heads) {
  const std::size_t width = x.cols() / options.heads;
  return {a.col.data(), a.num_edges(), x.data() + first * width,      x.stride(),
          heads,        width,         static_cast<T>(options.slope), options.dropout,
          group,        lies_far(x)};
}

/// Adds up the parts of a row that was split: largest, sum and y of every part -> those of the row.
template <std::size_t kHeads, class T>
void combine_attention(const HubRow& hub, std::size_t heads, std::size_t width, MatrixView<T> part_y,
                       MatrixView<T> part_norm, T* y, T* largest, T* sum) {
  for (std::size_t h = 0; h < kHeads; ++h) {
    largest[h] = -std::numeric_limits<T>::infinity();
    for (std::size_t p = 0; p < hub.num_parts; ++p) {
      largest[h] = std::max(largest[h], part_norm(hub.first_part + p, h));
    }
    sum[h] = T{0};
  }
  std::fill_n(y, heads * width, T{0});
  for (std::size_t p = 0; p < hub.num_parts; ++p) {
    const T* const from = part_y.row(hub.first_part + p).data();
    const T* const norm = part_norm.row(hub.first_part + p).data();
    for (std::size_t h = 0; h < heads; ++h) {
      const bool masked = norm[h] == -std::numeric_limits<T>::infinity();
      const T factor = masked ? T{0} : std::exp(norm[h] - largest[h]);
      sum[h] += factor * norm[kHeads + h];
      for (std::size_t f = h * width; f < (h + 1) * width; ++f) y[f] += factor * from[f];
    }
  }
}

/// Forward for one group of heads: y_h = sum of shares times x_j, and what the shares were divided by.
///
/// `score` is called as score.operator()<W>(in, run, i, flat_run); norm [N, 2 H] gets m in column h and 1 / sum
/// in column H + h.
template <std::size_t kHeads, class T, class Score>
void attention_forward(const CsrView<>& a, const AttentionInput<T>& in, const Score& score,
                       std::size_t first_head, MatrixView<T> y, MatrixView<T> norm) {
  const Isa isa = tessera::active_isa();
  const EdgeRanges ranges(a.row_ptr);
  const std::size_t columns = in.heads * in.width;
  const std::size_t total_heads = norm.cols() / 2;
  Tensor<T> part_y(ranges.num_parts(), columns);
  Tensor<T> part_norm(ranges.num_parts(), 2 * kHeads);
  const auto finish = [&](std::size_t i, T* to, T* largest, T* sum) TESSERA_INLINE_LAMBDA {
    for (std::size_t h = 0; h < in.heads; ++h) {
      sum[h] = sum[h] == T{0} ? T{0} : T{1} / sum[h];
      norm(i, first_head + h) = largest[h] == -std::numeric_limits<T>::infinity() ? T{0} : largest[h];
      norm(i, total_heads + first_head + h) = sum[h];
    }
    scale_heads(to, in.heads, in.width, sum);
  };
  // One body for rows and for parts of hubs: it is long, and compiled for every instruction set.
  const auto rows = [&](std::size_t first, std::size_t last, const EdgeRanges::Entries* entries,
                        std::size_t p) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      constexpr std::size_t W = decltype(level)::template lanes<T>();
      const AttentionInput<T> input = in;
      for (std::size_t i = first; i < last; ++i) {
        T largest[kHeads], sum[kHeads];
        const bool whole = entries == nullptr;
        T* const to =
            whole ? y.data() + i * y.stride() + first_head * in.width : part_y.data() + p * part_y.stride();
        attention_part<W, kHeads>(
            input, score, i, whole ? static_cast<std::size_t>(a.begin(i)) : entries->first,
            whole ? static_cast<std::size_t>(a.end(i)) : entries->last, to, largest, sum);
        if (whole) {
          finish(i, to, largest, sum);
        } else {
          std::copy_n(largest, kHeads, part_norm.row(p).data());
          std::copy_n(sum, kHeads, part_norm.row(p).data() + kHeads);
        }
      }
    });
  };
  ranges.for_each([&](std::size_t first, std::size_t last) { rows(first, last, nullptr, 0); },
                  [&](const HubRow& hub, std::size_t p, EdgeRanges::Entries entries) {
                    rows(hub.row, hub.row + 1, &entries, p);
                  });
  for (const HubRow& hub : ranges.hubs()) {
    T largest[kHeads], sum[kHeads];
    T* const to = y.data() + hub.row * y.stride() + first_head * in.width;
    combine_attention<kHeads, T>(hub, in.heads, in.width, part_y, part_norm, to, largest, sum);
    finish(hub.row, to, largest, sum);
  }
}

/// What one group of heads needs of every row, side by side as Layout has it: target (null: 0), the columns of norm, c = 0.
template <class Layout, std::size_t kHeads, class T>
Array<T> attention_states(const T* target, MatrixView<const T> norm, std::size_t first_head,
                          std::size_t heads) {
  constexpr std::size_t kNorms = (Layout::kInner - Layout::kLargest) / kHeads;
  const std::size_t total_heads = norm.cols() / kNorms;
  Array<T> states(norm.rows() * Layout::kStep);
  parallel_for(norm.rows(), 2048, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      T* const to = states.data() + i * Layout::kStep;
      for (std::size_t h = 0; h < kHeads; ++h) {
        to[Layout::kTarget + h] = target == nullptr ? T{0} : target[i * kHeads + h];
        for (std::size_t n = 0; n < kNorms; ++n) {
          to[Layout::kLargest + n * kHeads + h] =
              h < heads ? norm(i, n * total_heads + first_head + h) : T{0};
        }
        to[Layout::kInner + h] = T{0};
      }
    }
  });
  return states;
}

/// c_i and grad_target of one group of heads: with s = 1 where r > 0 and `slope` elsewhere, sum of alpha (ga -
/// c) s = (1 - slope) (sum of alpha ga - c sum of alpha, over r > 0), because alpha (ga - c) sums to 0.
template <std::size_t kHeads, class T>
void attention_row_backward(const CsrView<>& a, const AttentionInput<T>& in, const T* source,
                            MatrixView<const T> grad_y, std::size_t first_head, Array<T>& states,
                            MatrixView<T> grad_target) {
  using Layout = RowStateLayout<kHeads>;
  const Isa isa = tessera::active_isa();
  const EdgeRanges ranges(a.row_ptr);
  Tensor<T> part(ranges.num_parts(), 3 * kHeads);
  const auto finish = [&](std::size_t i, const T* sums) TESSERA_INLINE_LAMBDA {
    for (std::size_t h = 0; h < in.heads; ++h) {
      states[i * Layout::kStep + Layout::kInner + h] = sums[h];
      grad_target(i, first_head + h) =
          (T{1} - in.slope) * (sums[kHeads + h] - sums[h] * sums[2 * kHeads + h]);
    }
  };
  const auto sum = [&](std::size_t i, std::size_t first, std::size_t last, T* sums) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      attention_row_sums<decltype(level)::template lanes<T>(), kHeads>(
          in, source, states.data() + i * Layout::kStep,
          grad_y.data() + i * grad_y.stride() + first_head * in.width, i, first, last, sums);
    });
  };
  ranges.for_each(
      [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i) {
          T sums[3 * kHeads];
          sum(i, static_cast<std::size_t>(a.begin(i)), static_cast<std::size_t>(a.end(i)), sums);
          finish(i, sums);
        }
      },
      [&](const HubRow& hub, std::size_t p, EdgeRanges::Entries entries) {
        sum(hub.row, entries.first, entries.last, part.row(p).data());
      });
  for (const HubRow& hub : ranges.hubs()) {
    T sums[3 * kHeads] = {};
    for (std::size_t p = 0; p < hub.num_parts; ++p) {
      for (std::size_t h = 0; h < 3 * kHeads; ++h) sums[h] += part(hub.first_part + p, h);
    }
    finish(hub.row, sums);
  }
}

/// grad_x and grad_source of one group of heads, row by row of the transpose; `in.x` is grad_y.
template <std::size_t kHeads, class T>
void attention_source_backward(const CsrView<>& transpose, const AttentionInput<T>& in, const T* source,
                               const Array<T>& states, MatrixView<const T> x, std::size_t first_head,
                               MatrixView<T> grad_x, MatrixView<T> grad_source) {
  const Isa isa = tessera::active_isa();
  const EdgeRanges ranges(transpose.row_ptr);
  const std::size_t columns = in.heads * in.width;
  Tensor<T> part_x(ranges.num_parts(), columns);
  Tensor<T> part_source(ranges.num_parts(), kHeads);
  const auto sum = [&](std::size_t j, std::size_t first, std::size_t last, T* to, T* to_source) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      attention_source_sums<decltype(level)::template lanes<T>(), kHeads>(
          in, source + j * kHeads, states.data(), x.data() + j * x.stride() + first_head * in.width, j, first,
          last, to, to_source);
    });
  };
  const auto row_of = [&](std::size_t j) {
    return grad_x.data() + j * grad_x.stride() + first_head * in.width;
  };
  ranges.for_each(
      [&](std::size_t first, std::size_t last) {
        for (std::size_t j = first; j < last; ++j) {
          T sums[kHeads];
          sum(j, static_cast<std::size_t>(transpose.begin(j)), static_cast<std::size_t>(transpose.end(j)),
              row_of(j), sums);
          for (std::size_t h = 0; h < in.heads; ++h) grad_source(j, first_head + h) = sums[h];
        }
      },
      [&](const HubRow& hub, std::size_t p, EdgeRanges::Entries entries) {
        sum(hub.row, entries.first, entries.last, part_x.row(p).data(), part_source.row(p).data());
      });
  for (const HubRow& hub : ranges.hubs()) {
    T* const to = row_of(hub.row);
    std::fill_n(to, columns, T{0});
    for (std::size_t h = 0; h < in.heads; ++h) grad_source(hub.row, first_head + h) = T{0};
    for (std::size_t p = 0; p < hub.num_parts; ++p) {
      for (std::size_t f = 0; f < columns; ++f) to[f] += part_x(hub.first_part + p, f);
      for (std::size_t h = 0; h < in.heads; ++h) {
        grad_source(hub.row, first_head + h) += part_source(hub.first_part + p, h);
      }
    }
  }
}

}  // namespace detail

/// Attention with scores that add a number of the source and one of the target (GAT): per head,
///
///     r_e = source_j + target_i,   alpha = softmax over row i of leaky(r),   y_i = sum over row i of alpha'_e x_j
///
/// with alpha' = alpha after dropout. The scores and shares of 64 entries at a time stay in cache: nothing of
/// size E is stored. Weights are ignored. A row without entries gives 0; one entry alone gets a share of 1.
///
/// Shapes   a CSR [N, M] with E stored; x [M, H D] with head h in columns [h D, (h + 1) D); source [M, H], target
///          [N, H] -> y [N, H D], norm [N, 2 H] (largest score | 1 / sum, for backward)
/// Cost     work O(E H (D + 1)) with one exponential per entry and head; gathers each row of x once per entry
/// Errors   ShapeError if the extents do not fit; ConfigError if H does not divide the columns, or for a slope
///          outside (0, 1] or a dropout probability outside [0, 1]
/// Threads  safe to call concurrently on distinct outputs; a row's bits depend on its own entries only
/// Source   Velickovic et al., Graph attention networks, ICLR 2018, eq. (3) and (4); one pass by running maxima
///          as in Milakov & Gimelshein, Online normalizer calculation for softmax, 2018
template <Real T>
void attention_sum(CsrView<> a, std::type_identity_t<MatrixView<const T>> x,
                   std::type_identity_t<MatrixView<const T>> source,
                   std::type_identity_t<MatrixView<const T>> target, const AttentionOptions& options,
                   MatrixView<T> y, MatrixView<T> norm) {
  detail::check_attention<T>("attention_sum", a, x, options);
  detail::check_spmm<T, T>("attention_sum", a, x, y);
  detail::check_shape("attention_sum", "source", source, a.num_cols, options.heads);
  detail::check_shape("attention_sum", "target", target, a.num_rows, options.heads);
  detail::check_shape("attention_sum", "norm", norm, a.num_rows, 2 * options.heads);
  if (y.empty()) return;
  const KernelScope profile =
      detail::entry_scope("attention_sum", a, x.cols(),
                          detail::dense_bytes(x, source, target, y, norm) + detail::entry_bytes(a), 2);
  detail::for_each_head_group(
      options.heads, [&](auto k, std::size_t group, std::size_t first, std::size_t heads) {
        constexpr std::size_t kHeads = k();
        Array<T> source_storage, target_storage;
        const T* const p = detail::packed_heads<kHeads>(source, first, heads, source_storage);
        const T* const q = detail::packed_heads<kHeads>(target, first, heads, target_storage);
        const auto in = detail::attention_input<T>(a, x, options, group, first, heads);
        detail::attention_forward<kHeads, T>(a, in, detail::AdditiveScore<kHeads, T>{p, q}, first, y, norm);
      });
}

/// The gradients of attention_sum; alpha is computed again from `norm`.
///
///     ga_e = <G_i, x_j> under dropout,   c_i = sum of alpha ga,   gr_e = alpha (ga - c_i) (1 if r > 0 else slope)
///     grad_target_i = sum over row i of gr,   grad_source_j = sum over entries of source j of gr
///     grad_x_j = sum over entries of source j of alpha' G_i
///
/// Shapes   a [N, M], transpose [M, N]; inputs and norm as in attention_sum, grad_y [N, H D] -> grad_x [M, H D],
///          grad_source [M, H], grad_target [N, H], all overwritten
/// Cost     two passes over the entries, each gathering one row per entry; scratch of 4 H numbers per row
/// Errors   as attention_sum
/// Threads  as attention_sum
template <Real T>
void attention_sum_backward(CsrView<> a, CsrView<> transpose, std::type_identity_t<MatrixView<const T>> x,
                            std::type_identity_t<MatrixView<const T>> source,
                            std::type_identity_t<MatrixView<const T>> target, const AttentionOptions& options,
                            std::type_identity_t<MatrixView<const T>> norm,
                            std::type_identity_t<MatrixView<const T>> grad_y, MatrixView<T> grad_x,
                            MatrixView<T> grad_source, MatrixView<T> grad_target) {
  constexpr std::string_view kName = "attention_sum_backward";
  detail::check_attention<T>(kName, a, x, options);
  detail::check_spmm<T, T>(kName, transpose, grad_y, grad_x);
  detail::check_shape(kName, "source", source, a.num_cols, options.heads);
  detail::check_shape(kName, "target", target, a.num_rows, options.heads);
  detail::check_shape(kName, "norm", norm, a.num_rows, 2 * options.heads);
  detail::check_shape(kName, "grad_y", grad_y, a.num_rows, x.cols());
  detail::check_shape(kName, "grad_source", grad_source, a.num_cols, options.heads);
  detail::check_shape(kName, "grad_target", grad_target, a.num_rows, options.heads);
  const KernelScope profile = detail::entry_scope(
      kName, a, x.cols(),
      detail::dense_bytes(x, source, target, norm, grad_y, grad_x, grad_source, grad_target) +
          detail::entry_bytes(a) + detail::entry_bytes(transpose),
      6);
  detail::for_each_head_group(
      options.heads, [&](auto k, std::size_t group, std::size_t first, std::size_t heads) {
        constexpr std::size_t kHeads = k();
        Array<T> source_storage, target_storage;
        const T* const p = detail::packed_heads<kHeads>(source, first, heads, source_storage);
        const T* const q = detail::packed_heads<kHeads>(target, first, heads, target_storage);
        Array<T> states =
            detail::attention_states<detail::RowStateLayout<kHeads>, kHeads, T>(q, norm, first, heads);
        const auto rows = detail::attention_input<T>(a, x, options, group, first, heads);
        detail::attention_row_backward<kHeads, T>(a, rows, p, grad_y, first, states, grad_target);
        const auto columns = detail::attention_input<T>(transpose, grad_y, options, group, first, heads);
        detail::attention_source_backward<kHeads, T>(transpose, columns, p, states, x, first, grad_x,
                                                     grad_source);
      });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void attention_sum<float>(CsrView<>, MatrixView<const float>, MatrixView<const float>,
                                              MatrixView<const float>, const AttentionOptions&,
                                              MatrixView<float>, MatrixView<float>);
TESSERA_INSTANTIATE void attention_sum<double>(CsrView<>, MatrixView<const double>, MatrixView<const double>,
                                               MatrixView<const double>, const AttentionOptions&,
                                               MatrixView<double>, MatrixView<double>);
TESSERA_INSTANTIATE void attention_sum_backward<float>(CsrView<>, CsrView<>, MatrixView<const float>,
                                                       MatrixView<const float>, MatrixView<const float>,
                                                       const AttentionOptions&, MatrixView<const float>,
                                                       MatrixView<const float>, MatrixView<float>,
                                                       MatrixView<float>, MatrixView<float>);
TESSERA_INSTANTIATE void attention_sum_backward<double>(CsrView<>, CsrView<>, MatrixView<const double>,
                                                        MatrixView<const double>, MatrixView<const double>,
                                                        const AttentionOptions&, MatrixView<const double>,
                                                        MatrixView<const double>, MatrixView<double>,
                                                        MatrixView<double>, MatrixView<double>);
#endif

}  // namespace tessera
