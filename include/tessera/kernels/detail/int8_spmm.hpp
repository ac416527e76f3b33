// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/detail/int8_finish.hpp"
#include "tessera/kernels/detail/int8_gemm.hpp"
#include "tessera/kernels/detail/int8_sums.hpp"
#include "tessera/kernels/detail/sparse_checks.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/edge_ranges.hpp"
#include "tessera/kernels/int8_spmm.hpp"

namespace tessera {
namespace detail {

/// All rows of an integer aggregation, each finished by finish(i, term).
template <class Finish>
class ByteSpmm {
 public:
  ByteSpmm(const CsrView<>& a, const Int8Neighbors& in, const Finish& finish)
      : a_(a), in_(in), finish_(finish), cols_(in.x.cols()), isa_(tessera::active_isa()) {
    if (in.bias.empty()) zeros_.assign(cols_, 0.0f);
  }

  void run() {
    const EdgeRanges ranges(a_.row_ptr);
    Tensor<std::int32_t> partial(ranges.num_parts(), cols_);
    ranges.for_each(
        [&](std::size_t first, std::size_t last) {
          const auto end = static_cast<std::size_t>(a_.end(last - 1));
          sum_rows(first, last, end == 0 ? 0 : end - 1);
        },
        [&](const HubRow&, std::size_t part, EdgeRanges::Entries entries) {
          Array<std::uint16_t> sums(cols_);
          dispatch(isa_, [&](auto level) TESSERA_INLINE_LAMBDA {
            sum_long(level, rows_of(entries.last - 1), entries.first, entries.last, sums.data(),
                     partial.row(part).data());
          });
        });
    parallel_blocks(ranges.hubs().size(), [&](std::size_t h) { finish_hub(ranges.hubs()[h], partial); });
  }

 private:
  ByteRows rows_of(std::size_t readable) const noexcept {
    return {a_.col.data(), in_.weight.data(), in_.x.data(), in_.x.stride(), cols_, readable};
  }

  /// 32-bit sums of any number of entries up to EdgeRanges::kHubEntries.
  template <class L>
  TESSERA_ALWAYS_INLINE void sum_long(L level, const ByteRows& rows, std::size_t first, std::size_t last,
                                      std::uint16_t* sums, std::int32_t* out) const {
    if (!in_.weight.empty()) return sum_weighted_bytes(level, rows, first, last, out);
    for (std::size_t e = first; e < last; e += kInt8Chunk) {
      sum_bytes(level, rows, e, std::min(last, e + kInt8Chunk), sums);
      widen_sums(level, sums, cols_, e != first, out);
    }
  }

  void sum_rows(std::size_t begin, std::size_t end, std::size_t readable) const {
    Array<std::uint16_t> sums(cols_);
    Array<std::int32_t> wide(cols_);
    dispatch(isa_, [&](auto level) TESSERA_INLINE_LAMBDA {
      const ByteRows rows = rows_of(readable);
      const bool weighted = !in_.weight.empty();
      for (std::size_t i = begin; i < end; ++i) {
        const auto first = static_cast<std::size_t>(a_.begin(i));
        const auto last = static_cast<std::size_t>(a_.end(i));
        if (!weighted && last - first <= kInt8Chunk) {
          sum_bytes(level, rows, first, last, sums.data());
          finish_(i, term(i, sums.data(), static_cast<std::int32_t>(zero_sum(first, last))));
        } else {
          sum_long(level, rows, first, last, sums.data(), wide.data());
          finish_(i, term(i, wide.data(), static_cast<std::int32_t>(zero_sum(first, last))));
        }
      }
    });
  }

  /// What the zero point adds to a sum.
  std::int64_t zero_sum(std::size_t first, std::size_t last) const noexcept {
    if (in_.weight.empty()) return std::int64_t{in_.zero_point} * static_cast<std::int64_t>(last - first);
    std::int64_t sum = 0;
    for (std::size_t e = first; e < last; ++e) sum += in_.weight[e];
    return in_.zero_point * sum;
  }

  template <class Sum>
  NeighborTerm<Sum> term(std::size_t i, const Sum* sums, std::int32_t offset) const noexcept {
    const bool own = in_.own_factor != 0.0f;
    return {sums,
            in_.bias.empty() ? zeros_.data() : in_.bias.data(),
            own ? in_.x.data() + i * in_.x.stride() : nullptr,
            offset,
            in_.row.empty() ? in_.factor : in_.row[i],
            in_.zero_point,
            in_.own_factor};
  }

  void finish_hub(const HubRow& hub, const Tensor<std::int32_t>& partial) const {
    const std::size_t i = hub.row;
    const std::int64_t offset = zero_sum(a_.begin(i), a_.end(i));
    if (a_.degree(i) <= int8_spmm_max_degree(!in_.weight.empty())) {
      Array<std::int32_t> sum = Array<std::int32_t>::copy_of(partial.row(hub.first_part));
      for (std::size_t p = 1; p < hub.num_parts; ++p) {
        const auto more = partial.row(hub.first_part + p);
        for (std::size_t f = 0; f < cols_; ++f) sum[f] += more[f];
      }
      finish_(i, term(i, static_cast<const std::int32_t*>(sum.data()), static_cast<std::int32_t>(offset)));
      return;
    }
    Array<std::int64_t> sum(cols_, -offset);
    for (std::size_t p = 0; p < hub.num_parts; ++p) {
      const auto more = partial.row(hub.first_part + p);
      for (std::size_t f = 0; f < cols_; ++f) sum[f] += more[f];
    }
    finish_(i, HugeTerm{sum.data(), term(i, static_cast<const std::int32_t*>(nullptr), 0)});
  }

  const CsrView<>& a_;
  const Int8Neighbors& in_;
  const Finish& finish_;
  std::size_t cols_;
  Isa isa_;
  Array<float> zeros_;
};

inline void check_int8_spmm(const CsrView<>& a, const Int8Neighbors& in, std::size_t y_rows,
                            std::size_t y_cols) {
  check_csr("int8_spmm", "a", a);
  check_extent("int8_spmm", "x.rows()", in.x.rows(), a.num_cols);
  check_extent("int8_spmm", "y.rows()", y_rows, a.num_rows);
  check_extent("int8_spmm", "y.cols()", y_cols, in.x.cols());
  check_size_or_empty("int8_spmm", "weight", in.weight.size(), a.num_edges());
  check_size_or_empty("int8_spmm", "row", in.row.size(), a.num_rows);
  check_size_or_empty("int8_spmm", "bias", in.bias.size(), in.x.cols());
  if (in.own_factor != 0.0f && a.num_cols < a.num_rows) {
    throw ShapeError(
        message("int8_spmm: own_factor is set and x has ", a.num_cols, " rows for ", a.num_rows, " of y"));
  }
}

}  // namespace detail

TESSERA_DEFINE void int8_spmm(CsrView<> a, const Int8Neighbors& in, const CodeRange& range,
                              MatrixView<std::uint8_t> y) {
  detail::check_int8_spmm(a, in, y.rows(), y.cols());
  detail::check_spmm<std::uint8_t, std::uint8_t>("int8_spmm", a, in.x, y);
  const detail::CodeBounds to = detail::code_bounds("int8_spmm", range);
  if (y.empty()) return;
  const Isa isa = active_isa();
  const auto finish = [&](std::size_t i, const auto& term) {
    detail::finish_codes(isa, term, y.cols(), to, y.data() + i * y.stride());
  };
  detail::ByteSpmm(a, in, finish).run();
}

TESSERA_DEFINE void int8_spmm(CsrView<> a, const Int8Neighbors& in, MatrixView<float> y) {
  detail::check_int8_spmm(a, in, y.rows(), y.cols());
  if (y.empty()) return;
  const Isa isa = active_isa();
  const auto finish = [&](std::size_t i, const auto& term) {
    detail::finish_reals(isa, term, y.cols(), y.data() + i * y.stride());
  };
  detail::ByteSpmm(a, in, finish).run();
}

}  // namespace tessera
