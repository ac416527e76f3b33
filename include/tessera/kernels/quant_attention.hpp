// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
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
#include "tessera/kernels/attention.hpp"
#include "tessera/kernels/attention_codes.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/quant_attention_rows.hpp"
#include "tessera/kernels/detail/sparse_checks.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/edge_ranges.hpp"
#include "tessera/kernels/fake_quantize.hpp"
#include "tessera/kernels/sddmm.hpp"

// Attention (kernels/attention.hpp) as quantisation-aware training sees it. Per head, with Q the quantisers of `codes`:
//
//     r_e = Q(source_j + target_i),   alpha = softmax over row i of leaky(r),   y_i = sum over row i of Q(alpha'_e x_j)
//
// alpha' is alpha after rounding and dropout. First the norms, then the range of the messages may be looked at
// (quant_attention_factors), then the sums. Only those factors have an element per entry.

namespace tessera {
namespace detail {

template <Real T>
void check_codes(std::string_view operation, std::string_view name, const QuantGrid<T>& grid) {
  const std::size_t scales = grid.scale.size();
  if (scales > 1 || grid.inverse.size() != scales || grid.low.size() != scales ||
      grid.high.size() != scales) {
    throw ShapeError(message(operation, ": codes.", name, " has ", scales, " scales, ", grid.inverse.size(),
                             " inverses, ", grid.low.size(), " lows and ", grid.high.size(),
                             " highs, want one of each or none"));
  }
}

template <Real T>
void check_quant_attention(std::string_view operation, const CsrView<>& a, MatrixView<const T> source,
                           MatrixView<const T> target, const AttentionOptions& options,
                           const AttentionCodes<T>& codes) {
  check_attention_options(operation, options);
  check_csr(operation, "a", a);
  check_shape(operation, "source", source, a.num_cols, options.heads);
  check_shape(operation, "target", target, a.num_rows, options.heads);
  check_size_or_empty(operation, "codes.keep", codes.keep.size(), a.num_cols);
  check_codes(operation, "score", codes.score);
  check_codes(operation, "message", codes.message);
}

/// A matrix of rows that hold nothing.
template <class T>
MatrixView<T> no_columns(std::size_t rows) noexcept {
  return MatrixView<T>(nullptr, rows, 0, 0);
}

/// Calls part(level, row, first, last, to, sums) for all entries of every row, hubs in parts: `to` is the
/// row of y, `sums` N numbers more; both are overwritten. Parts of y are added up, those of `sums` combined; finish(row, sums)
/// comes last.
template <std::size_t N, class T, class Part, class Combine, class Finish>
void fold_head_rows(const CsrView<>& a, MatrixView<T> y, const Part& part, const Combine& combine,
                    const Finish& finish) {
  const Isa isa = tessera::active_isa();
  const EdgeRanges ranges(a.row_ptr);
  Tensor<T> part_y(ranges.num_parts(), y.cols());
  Tensor<T> part_sums(ranges.num_parts(), N);
  // One body for rows and for parts of hubs, as in attention_forward.
  const auto rows = [&](std::size_t first, std::size_t last, const EdgeRanges::Entries* entries,
                        std::size_t p) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      for (std::size_t i = first; i < last; ++i) {
        T sums[N];
        const bool whole = entries == nullptr;
        T* const to = whole ? y.data() + i * y.stride() : part_y.data() + p * part_y.stride();
        part(level, i, whole ? static_cast<std::size_t>(a.begin(i)) : entries->first,
             whole ? static_cast<std::size_t>(a.end(i)) : entries->last, to, sums);
        if (whole) {
          finish(i, sums);
        } else {
          std::copy_n(sums, N, part_sums.row(p).data());
        }
      }
    });
  };
  ranges.for_each([&](std::size_t first, std::size_t last) { rows(first, last, nullptr, 0); },
                  [&](const HubRow& hub, std::size_t p, EdgeRanges::Entries entries) {
                    rows(hub.row, hub.row + 1, &entries, p);
                  });
  for (const HubRow& hub : ranges.hubs()) {
    T* const to = y.data() + hub.row * y.stride();
    T sums[N];
    std::copy_n(part_sums.row(hub.first_part).data(), N, sums);
    std::copy_n(part_y.row(hub.first_part).data(), y.cols(), to);
    for (std::size_t p = hub.first_part + 1; p < hub.first_part + hub.num_parts; ++p) {
      for (std::size_t f = 0; f < y.cols(); ++f) to[f] += part_y(p, f);
      for (std::size_t k = 0; k < N; ++k) sums[k] = combine(sums[k], part_sums(p, k));
    }
    finish(hub.row, sums);
  }
}

}  // namespace detail

/// What the shares of a row are made with: its largest score m, one over its exponentials' sum, one over the sum of what
/// messages are weighted with (the exponentials, or their codes). A row without entries gets zeros.
///
/// Shapes   a CSR [N, M] with E stored; source [M, H], target [N, H] -> norm [N, 3 H]
/// Cost     two passes over the entries, one exponential per entry and head
/// Errors   ShapeError if the extents do not fit; ConfigError for no heads, or for a slope outside (0, 1] or a dropout
///          probability outside [0, 1]
/// Threads  safe to call concurrently on distinct norm; result independent of T
template <Real T>
void quant_attention_norm(CsrView<> a, std::type_identity_t<MatrixView<const T>> source,
                          std::type_identity_t<MatrixView<const T>> target, const AttentionOptions& options,
                          const AttentionCodes<T>& codes, MatrixView<T> norm) {
  constexpr std::string_view kName = "quant_attention_norm";
  detail::check_quant_attention<T>(kName, a, source, target, options, codes);
  detail::check_shape(kName, "norm", norm, a.num_rows, 3 * options.heads);
  const KernelScope profile = detail::entry_scope(
      kName, a, options.heads, detail::dense_bytes(source, target, norm) + 2 * detail::entry_bytes(a), 6);
  detail::for_each_head_group(
      options.heads, [&](auto k, std::size_t group, std::size_t first_head, std::size_t heads) {
        constexpr std::size_t kHeads = k();
        Array<T> source_storage, target_storage;
        const T* const p = detail::packed_heads<kHeads>(source, first_head, heads, source_storage);
        const T* const q = detail::packed_heads<kHeads>(target, first_head, heads, target_storage);
        const auto in = detail::attention_input<T>(a, source, {options.heads, options.slope, {}}, group,
                                                   first_head, heads);
        const auto largest_of = [](T l, T r) { return std::max(l, r); };
        detail::fold_head_rows<kHeads, T>(
            a, detail::no_columns<T>(a.num_rows),
            [&](auto level, std::size_t i, std::size_t first, std::size_t last, T*, T* out)
                TESSERA_INLINE_LAMBDA {
                  constexpr std::size_t W = decltype(level)::template lanes<T>();
                  detail::largest_scores<W, kHeads, T>(in, codes, p, q + i * kHeads, first, last, out);
                },
            largest_of,
            [&](std::size_t i, const T* largest) {
              for (std::size_t h = 0; h < heads; ++h)
                norm(i, first_head + h) = a.degree(i) == 0 ? T{0} : largest[h];
            });
        detail::fold_head_rows<2 * kHeads, T>(
            a, detail::no_columns<T>(a.num_rows),
            [&](auto level, std::size_t i, std::size_t first, std::size_t last, T*, T* out)
                TESSERA_INLINE_LAMBDA {
                  constexpr std::size_t W = decltype(level)::template lanes<T>();
                  T largest[kHeads] = {};
                  for (std::size_t h = 0; h < heads; ++h) largest[h] = norm(i, first_head + h);
                  detail::share_sums<W, kHeads, T>(in, codes, p, q + i * kHeads, largest, first, last, out);
                },
            std::plus<T>{},
            [&](std::size_t i, const T* sums) {
              for (std::size_t h = 0; h < heads; ++h) {
                const auto inverse = [](T sum) { return sum == T{0} ? T{0} : T{1} / sum; };
                norm(i, options.heads + first_head + h) = inverse(sums[h]);
                norm(i, 2 * options.heads + first_head + h) = inverse(sums[kHeads + h]);
              }
            });
      });
}

/// y_i = sum over row i of Q(alpha'_e x_j), head by head.
///
/// Shapes   a CSR [N, M] with E stored; x [M, H D] with head h in columns [h D, (h + 1) D); source [M, H], target [N, H],
///          norm [N, 3 H] of quant_attention_norm -> y [N, H D]
/// Cost     one pass over the entries, which gathers each row of x once per entry; an exponential per entry and head
/// Errors   as quant_attention_norm; ConfigError if H does not divide the columns
/// Threads  safe to call concurrently on distinct y; a row's bits depend on its own entries only
/// Source   Tailor et al., Degree-Quant, 2021 (scores and messages); shares as integer kernels store them
template <Real T>
void quant_attention_sum(CsrView<> a, std::type_identity_t<MatrixView<const T>> x,
                         std::type_identity_t<MatrixView<const T>> source,
                         std::type_identity_t<MatrixView<const T>> target, const AttentionOptions& options,
                         const AttentionCodes<T>& codes, std::type_identity_t<MatrixView<const T>> norm,
                         MatrixView<T> y) {
  constexpr std::string_view kName = "quant_attention_sum";
  detail::check_quant_attention<T>(kName, a, source, target, options, codes);
  detail::check_attention<T>(kName, a, x, options);
  detail::check_spmm<T, T>(kName, a, x, y);
  detail::check_shape(kName, "norm", norm, a.num_rows, 3 * options.heads);
  if (y.empty()) return;
  const KernelScope profile = detail::entry_scope(
      kName, a, x.cols(), detail::dense_bytes(x, source, target, norm, y) + detail::entry_bytes(a), 2);
  detail::for_each_head_group(options.heads, [&](auto k, std::size_t group, std::size_t first_head,
                                                 std::size_t heads) {
    constexpr std::size_t kHeads = k();
    Array<T> source_storage, target_storage;
    const T* const p = detail::packed_heads<kHeads>(source, first_head, heads, source_storage);
    const T* const q = detail::packed_heads<kHeads>(target, first_head, heads, target_storage);
    const Array<T> states =
        detail::attention_states<detail::QuantStateLayout<kHeads>, kHeads, T>(q, norm, first_head, heads);
    const auto in = detail::attention_input<T>(a, x, options, group, first_head, heads);
    const std::size_t columns = heads * in.width;
    detail::fold_head_rows<1, T>(
        a, y.middle_cols(first_head * in.width, columns),
        [&](auto level, std::size_t i, std::size_t first, std::size_t last, T* to,
            T* none) TESSERA_INLINE_LAMBDA {
          constexpr std::size_t W = decltype(level)::template lanes<T>();
          none[0] = T{0};
          detail::quant_messages<W, kHeads, T>(
              in, codes, p, states.data() + i * detail::QuantStateLayout<kHeads>::kStep, i, first, last, to);
        },
        std::plus<T>{}, [](std::size_t, const T*) {});
  });
}

/// factor_eh = alpha'_eh, what quant_attention_sum multiplies the message of an entry and head with.
///
/// Shapes   as quant_attention_sum -> factor [E, H]
/// Cost     one exponential per entry and head
/// Errors   as quant_attention_norm
/// Threads  safe to call concurrently on distinct factor; result independent of T
template <Real T>
void quant_attention_factors(CsrView<> a, std::type_identity_t<MatrixView<const T>> source,
                             std::type_identity_t<MatrixView<const T>> target,
                             const AttentionOptions& options, const AttentionCodes<T>& codes,
                             std::type_identity_t<MatrixView<const T>> norm, MatrixView<T> factor) {
  constexpr std::string_view kName = "quant_attention_factors";
  detail::check_quant_attention<T>(kName, a, source, target, options, codes);
  detail::check_shape(kName, "norm", norm, a.num_rows, 3 * options.heads);
  detail::check_shape(kName, "factor", factor, a.num_edges(), options.heads);
  const KernelScope profile = detail::entry_scope(
      kName, a, options.heads, detail::dense_bytes(source, target, norm, factor) + detail::entry_bytes(a), 6);
  const Isa isa = active_isa();
  detail::for_each_head_group(
      options.heads, [&](auto k, std::size_t group, std::size_t first_head, std::size_t heads) {
        constexpr std::size_t kHeads = k();
        Array<T> source_storage, target_storage;
        const T* const p = detail::packed_heads<kHeads>(source, first_head, heads, source_storage);
        const T* const q = detail::packed_heads<kHeads>(target, first_head, heads, target_storage);
        const Array<T> states =
            detail::attention_states<detail::QuantStateLayout<kHeads>, kHeads, T>(q, norm, first_head, heads);
        const auto in = detail::attention_input<T>(a, source, options, group, first_head, heads);
        detail::for_each_row_piece(
            a, EdgeRanges(a.row_ptr), [&](std::size_t i, std::size_t first, std::size_t last) {
              dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
                constexpr std::size_t W = decltype(level)::template lanes<T>();
                const detail::QuantRowState<W, kHeads, T> state(states.data() +
                                                                i * detail::QuantStateLayout<kHeads>::kStep);
                detail::FlatRun<kHeads, T> run_factor;
                for (std::size_t e = first; e < last; e += detail::kAttentionRun) {
                  const detail::HeadRun<T> run = in.run(e, last);
                  detail::message_factors<W, kHeads, T>(in, codes, p, state, i, run, run_factor);
                  for (std::size_t n = 0; n < run.count; ++n) {
                    for (std::size_t h = 0; h < heads; ++h)
                      factor(e + n, first_head + h) = run_factor.value[n * kHeads + h];
                  }
                }
              });
            });
      });
}

/// The gradients of quant_attention_sum; shares are computed again from `norm`. With s_e what of the gradient of r_e passes
/// its quantiser and the rectifier, and G~ what of the gradient of y passes the message's:
///
///     ga_e = <G~_e, x_j> under dropout,   c_i = sum of alpha ga,   gr_e = s_e alpha (ga - c_i)
///     grad_target_i = sum over row i of gr,   grad_source_j = sum over entries of source j of gr
///     grad_x_j = sum over entries of source j of alpha' G~_e
///
/// Shapes   a [N, M], transpose [M, N]; inputs and norm as in quant_attention_sum, grad_y [N, H D] -> grad_x [M, H D],
///          grad_source [M, H], grad_target [N, H], all overwritten
/// Cost     two passes over the entries, each gathering one row per entry; scratch of 5 H numbers per row
/// Errors   as quant_attention_sum
/// Threads  as quant_attention_sum
template <Real T>
void quant_attention_backward(CsrView<> a, CsrView<> transpose, std::type_identity_t<MatrixView<const T>> x,
                              std::type_identity_t<MatrixView<const T>> source,
                              std::type_identity_t<MatrixView<const T>> target,
                              const AttentionOptions& options, const AttentionCodes<T>& codes,
                              std::type_identity_t<MatrixView<const T>> norm,
                              std::type_identity_t<MatrixView<const T>> grad_y, MatrixView<T> grad_x,
                              MatrixView<T> grad_source, MatrixView<T> grad_target) {
  constexpr std::string_view kName = "quant_attention_backward";
  detail::check_quant_attention<T>(kName, a, source, target, options, codes);
  detail::check_attention<T>(kName, a, x, options);
  detail::check_spmm<T, T>(kName, transpose, grad_y, grad_x);
  detail::check_shape(kName, "norm", norm, a.num_rows, 3 * options.heads);
  detail::check_shape(kName, "grad_y", grad_y, a.num_rows, x.cols());
  detail::check_shape(kName, "grad_x", grad_x, a.num_cols, x.cols());
  detail::check_shape(kName, "grad_source", grad_source, a.num_cols, options.heads);
  detail::check_shape(kName, "grad_target", grad_target, a.num_rows, options.heads);
  const KernelScope profile = detail::entry_scope(
      kName, a, x.cols(),
      detail::dense_bytes(x, source, target, norm, grad_y, grad_x, grad_source, grad_target) +
          detail::entry_bytes(a) + detail::entry_bytes(transpose),
      6);
  detail::for_each_head_group(
      options.heads, [&](auto k, std::size_t group, std::size_t first_head, std::size_t heads) {
        constexpr std::size_t kHeads = k();
        using Layout = detail::QuantStateLayout<kHeads>;
        Array<T> source_storage, target_storage;
        const T* const p = detail::packed_heads<kHeads>(source, first_head, heads, source_storage);
        const T* const q = detail::packed_heads<kHeads>(target, first_head, heads, target_storage);
        Array<T> states =
            detail::attention_states<detail::QuantStateLayout<kHeads>, kHeads, T>(q, norm, first_head, heads);
        const auto rows = detail::attention_input<T>(a, x, options, group, first_head, heads);
        const std::size_t column = first_head * rows.width;
        const std::size_t columns = heads * rows.width;
        detail::fold_head_rows<3 * kHeads, T>(
            a, detail::no_columns<T>(a.num_rows),
            [&](auto level, std::size_t i, std::size_t first, std::size_t last, T*, T* sums)
                TESSERA_INLINE_LAMBDA {
                  constexpr std::size_t W = decltype(level)::template lanes<T>();
                  detail::quant_row_sums<W, kHeads, T>(rows, codes, p, states.data() + i * Layout::kStep,
                                                       grad_y.data() + i * grad_y.stride() + column, i, first,
                                                       last, sums);
                },
            std::plus<T>{},
            [&](std::size_t i, const T* sums) {
              for (std::size_t h = 0; h < heads; ++h) {
                states[i * Layout::kStep + Layout::kInner + h] = sums[h];
                grad_target(i, first_head + h) = sums[kHeads + h] - sums[h] * sums[2 * kHeads + h];
              }
            });
        const auto in = detail::attention_input<T>(transpose, grad_y, options, group, first_head, heads);
        detail::fold_head_rows<kHeads, T>(
            transpose, grad_x.middle_cols(column, columns),
            [&](auto level, std::size_t j, std::size_t first, std::size_t last, T* to, T* sums)
                TESSERA_INLINE_LAMBDA {
                  constexpr std::size_t W = decltype(level)::template lanes<T>();
                  detail::quant_source_sums<W, kHeads, T>(in, codes, p + j * kHeads, states.data(),
                                                          x.data() + j * x.stride() + column, j, first, last,
                                                          to, sums);
                },
            std::plus<T>{},
            [&](std::size_t j, const T* sums) {
              for (std::size_t h = 0; h < heads; ++h) grad_source(j, first_head + h) = sums[h];
            });
      });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void quant_attention_norm<float>(CsrView<>, MatrixView<const float>,
                                                     MatrixView<const float>, const AttentionOptions&,
                                                     const AttentionCodes<float>&, MatrixView<float>);
TESSERA_INSTANTIATE void quant_attention_sum<float>(CsrView<>, MatrixView<const float>,
                                                    MatrixView<const float>, MatrixView<const float>,
                                                    const AttentionOptions&, const AttentionCodes<float>&,
                                                    MatrixView<const float>, MatrixView<float>);
TESSERA_INSTANTIATE void quant_attention_factors<float>(CsrView<>, MatrixView<const float>,
                                                        MatrixView<const float>, const AttentionOptions&,
                                                        const AttentionCodes<float>&, MatrixView<const float>,
                                                        MatrixView<float>);
TESSERA_INSTANTIATE void quant_attention_backward<float>(
    CsrView<>, CsrView<>, MatrixView<const float>, MatrixView<const float>, MatrixView<const float>,
    const AttentionOptions&, const AttentionCodes<float>&, MatrixView<const float>, MatrixView<const float>,
    MatrixView<float>, MatrixView<float>, MatrixView<float>);
TESSERA_INSTANTIATE void quant_attention_norm<double>(CsrView<>, MatrixView<const double>,
                                                      MatrixView<const double>, const AttentionOptions&,
                                                      const AttentionCodes<double>&, MatrixView<double>);
TESSERA_INSTANTIATE void quant_attention_sum<double>(CsrView<>, MatrixView<const double>,
                                                     MatrixView<const double>, MatrixView<const double>,
                                                     const AttentionOptions&, const AttentionCodes<double>&,
                                                     MatrixView<const double>, MatrixView<double>);
TESSERA_INSTANTIATE void quant_attention_factors<double>(CsrView<>, MatrixView<const double>,
                                                         MatrixView<const double>, const AttentionOptions&,
                                                         const AttentionCodes<double>&,
                                                         MatrixView<const double>, MatrixView<double>);
TESSERA_INSTANTIATE void quant_attention_backward<double>(
    CsrView<>, CsrView<>, MatrixView<const double>, MatrixView<const double>, MatrixView<const double>,
    const AttentionOptions&, const AttentionCodes<double>&, MatrixView<const double>,
    MatrixView<const double>, MatrixView<double>, MatrixView<double>, MatrixView<double>);
#endif

}  // namespace tessera
