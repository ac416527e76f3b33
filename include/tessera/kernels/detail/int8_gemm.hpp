// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/int8_finish.hpp"
#include "tessera/kernels/detail/int8_rows.hpp"
#include "tessera/kernels/int8_gemm.hpp"

namespace tessera {
namespace detail {

/// Rounding range of the codes in `range`.
inline CodeBounds code_bounds(std::string_view operation, const CodeRange& range) {
  if (range.qmin < 0 || range.qmax > 255 || range.qmin > range.qmax || range.zero_point < 0 ||
      range.zero_point > 255) {
    throw ConfigError(message(operation, ": range is [", range.qmin, ", ", range.qmax, "] with zero_point ",
                              range.zero_point, ", want codes of 0 to 255"));
  }
  return {static_cast<float>(range.qmin - range.zero_point),
          static_cast<float>(range.qmax - range.zero_point), range.zero_point};
}

/// One operand of a block: how to reach its rows, and the copy of their ends.
class Int8Operand {
 public:
  using Sum = std::int32_t;

  Int8Operand(MatrixView<const std::uint8_t> x, const Int8Weights& w, Int8Isa isa)
      : x_(x),
        w_(w),
        isa_(isa),
        whole_steps_(x.cols() / 64),
        rest_(x.cols() % 64 == 0 ? 0 : kInt8Rows * 64),
        scratch_(int8_scratch_bytes(isa, w)),
        sums_(kInt8Rows * w.padded_cols()) {}

  /// Sums of rows [first, first + rows).
  void run(std::size_t first, std::size_t rows) noexcept {
    const std::size_t ends = x_.cols() % 64;
    if (ends != 0) {
      for (std::size_t i = 0; i < rows; ++i) {
        std::uint8_t* const to = rest_.data() + i * 64;
        std::memcpy(to, x_.data() + (first + i) * x_.stride() + whole_steps_ * 64, ends);
        std::memset(to + ends, 0, 64 - ends);
      }
    }
    const Int8Block block{x_.data() + first * x_.stride(), x_.stride(), rows, whole_steps_, rest_.data()};
    int8_rows(isa_, block, w_, scratch_.data(), sums_.data());
  }
  const std::int32_t* row(std::size_t i) const noexcept { return sums_.data() + i * w_.padded_cols(); }
  /// What the weights' zero point takes from every sum of row i.
  std::int32_t row_offset(std::size_t i) const noexcept {
    return w_.zero_point() == 0 ? 0 : -w_.zero_point() * row(i)[w_.cols()];
  }

 private:
  MatrixView<const std::uint8_t> x_;
  const Int8Weights& w_;
  Int8Isa isa_;
  std::size_t whole_steps_;
  Array<std::uint8_t> rest_;
  Array<std::uint8_t> scratch_;
  Array<std::int32_t> sums_;
};

/// The same with sums of 64 bits: the sums of each part of the weights, added.
class DeepOperand {
 public:
  using Sum = std::int64_t;

  DeepOperand(MatrixView<const std::uint8_t> x, const Int8Weights& w, Int8Isa isa)
      : cols_(w.cols()), row_offset_(kInt8Rows), sums_(kInt8Rows * w.cols()) {
    std::size_t first = 0;
    for (const Int8Weights& part : w.parts()) {
      parts_.emplace_back(x.middle_cols(first, part.depth()), part, isa);
      first += part.depth();
    }
  }

  void run(std::size_t first, std::size_t rows) noexcept {
    std::fill_n(sums_.data(), rows * cols_, Sum{0});
    std::fill_n(row_offset_.data(), rows, Sum{0});
    for (Int8Operand& part : parts_) {
      part.run(first, rows);
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols_; ++j) sums_[i * cols_ + j] += part.row(i)[j];
        row_offset_[i] += part.row_offset(i);
      }
    }
  }
  const Sum* row(std::size_t i) const noexcept { return sums_.data() + i * cols_; }
  Sum row_offset(std::size_t i) const noexcept { return row_offset_[i]; }

 private:
  std::size_t cols_;
  std::vector<Int8Operand> parts_;
  Array<Sum> row_offset_;
  Array<Sum> sums_;
};

/// A product's offsets in the width of its sums.
template <class Sum>
Array<Sum> column_offsets(const Int8Product& p) {
  Array<Sum> out(p.weights.cols());
  if (p.weights.deep()) {
    std::copy(p.deep_offset.begin(), p.deep_offset.end(), out.begin());
  } else {
    std::copy(p.offset.begin(), p.offset.end(), out.begin());
  }
  return out;
}

/// Calls body(begin, end) over the rows: some 2^23 products each, in whole blocks.
template <class Body>
void for_int8_rows(Int8Isa isa, std::size_t rows, std::size_t products_per_row, Body&& body) {
  const std::size_t block = int8_block_rows(isa);
  const std::size_t wanted = (std::size_t{1} << 23) / std::max<std::size_t>(1, products_per_row);
  parallel_for(rows, std::max<std::size_t>(1, wanted / block) * block, body);
}

inline void check_product(std::string_view operation, const Int8Product& p, std::size_t rows,
                          std::size_t cols) {
  check_shape(operation, "x", p.x, rows, p.weights.depth());
  check_size(operation, "weights.cols()", p.weights.cols(), cols);
  check_size(operation, "offset", p.offset.size(), p.weights.deep() ? 0 : cols);
  check_size(operation, "deep_offset", p.deep_offset.size(), p.weights.deep() ? cols : 0);
  check_size(operation, "multiplier", p.multiplier.size(), cols);
  check_size_or_empty(operation, "row", p.row.size(), rows);
  check_size_or_empty(operation, "bias", p.bias.size(), cols);
  if (p.addend.data() != nullptr) check_shape(operation, "addend", p.addend, rows, cols);
}

inline void check_pair(std::string_view operation, const Int8Product& first, const Int8Product& second,
                       std::size_t rows, std::size_t cols) {
  check_product(operation, first, rows, cols);
  check_product(operation, second, rows, cols);
  check_size(operation, "second.row", second.row.size(), 0);
  check_size(operation, "second.bias", second.bias.size(), 0);
  check_size(operation, "second.addend.rows()", second.addend.rows(), 0);
}

/// Calls finish(i, term) for every row; `second` may be null.
template <class Operand, class Finish>
void run_products(const Int8Product& first, const Int8Product* second, std::size_t rows, Finish&& finish) {
  using Sum = typename Operand::Sum;
  const Int8Isa isa = active_int8_isa();
  const std::size_t work =
      first.weights.cols() * (first.weights.depth() + (second == nullptr ? 0 : second->weights.depth()));
  const Array<float> zeros(first.bias.empty() || second != nullptr ? first.weights.cols() : 0, 0.0f);
  const Array<Sum> offset = column_offsets<Sum>(first);
  const Array<Sum> second_offset = second == nullptr ? Array<Sum>() : column_offsets<Sum>(*second);
  const auto term = [&](const Int8Product& p, const Array<Sum>& of, const Operand& o, std::size_t i,
                        std::size_t k) {
    return ProductTerm<Sum>{o.row(k),
                            of.data(),
                            p.multiplier.data(),
                            p.bias.empty() ? zeros.data() : p.bias.data(),
                            p.addend.data() == nullptr ? nullptr : p.addend.data() + i * p.addend.stride(),
                            o.row_offset(k),
                            p.row.empty() ? 1.0f : p.row[i]};
  };
  for_int8_rows(isa, rows, work, [&](std::size_t begin, std::size_t end) {
    const std::size_t step = int8_block_rows(isa);
    Operand a(first.x, first.weights, isa);
    if (second == nullptr) {
      for (std::size_t i = begin; i < end; i += step) {
        const std::size_t count = std::min(step, end - i);
        a.run(i, count);
        for (std::size_t k = 0; k < count; ++k) finish(i + k, term(first, offset, a, i + k, k));
      }
      return;
    }
    Operand b(second->x, second->weights, isa);
    for (std::size_t i = begin; i < end; i += step) {
      const std::size_t count = std::min(step, end - i);
      a.run(i, count);
      b.run(i, count);
      for (std::size_t k = 0; k < count; ++k) {
        finish(i + k,
               PairTerm<Sum>{term(first, offset, a, i + k, k), term(*second, second_offset, b, i + k, k)});
      }
    }
  });
}

template <class Finish>
void int8_products(const Int8Product& first, const Int8Product* second, std::size_t rows, Finish&& finish) {
  if (first.weights.deep() || (second != nullptr && second->weights.deep())) {
    run_products<DeepOperand>(first, second, rows, finish);
  } else {
    run_products<Int8Operand>(first, second, rows, finish);
  }
}

}  // namespace detail

TESSERA_DEFINE void int8_gemm(MatrixView<const std::uint8_t> x, const Int8Weights& w,
                              MatrixView<std::int32_t> y) {
  detail::check_shape("int8_gemm", "x", x, y.rows(), w.depth());
  detail::check_size("int8_gemm", "weights.cols()", w.cols(), y.cols());
  if (w.deep()) {
    throw ShapeError(message("int8_gemm: w has ", w.depth(), " rows, want at most ",
                             Int8Weights::max_depth(w.zero_point()), " for sums of 32 bits"));
  }
  if (y.empty()) return;
  const Int8Isa isa = active_int8_isa();
  detail::for_int8_rows(isa, y.rows(), w.depth() * w.cols(), [&](std::size_t begin, std::size_t end) {
    const std::size_t step = detail::int8_block_rows(isa);
    detail::Int8Operand a(x, w, isa);
    for (std::size_t i = begin; i < end; i += step) {
      const std::size_t count = std::min(step, end - i);
      a.run(i, count);
      for (std::size_t k = 0; k < count; ++k) std::copy_n(a.row(k), y.cols(), y.row(i + k).data());
    }
  });
}

TESSERA_DEFINE void int8_quantize(MatrixView<const float> x, float factor, std::span<const float> row,
                                  const CodeRange& range, MatrixView<std::uint8_t> y) {
  detail::check_shape("int8_quantize", "x", x, y.rows(), y.cols());
  detail::check_size_or_empty("int8_quantize", "row", row.size(), y.rows());
  const detail::CodeBounds to = detail::code_bounds("int8_quantize", range);
  const Isa isa = active_isa();
  parallel_for(y.rows(), detail::rows_per_block(y.cols()), [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      const detail::RealTerm term{x.data() + i * x.stride(), row.empty() ? factor : factor * row[i]};
      detail::finish_codes(isa, term, y.cols(), to, y.data() + i * y.stride());
    }
  });
}

TESSERA_DEFINE void int8_linear(const Int8Product& product, const CodeRange& range,
                                MatrixView<std::uint8_t> y) {
  detail::check_product("int8_linear", product, y.rows(), y.cols());
  const detail::CodeBounds to = detail::code_bounds("int8_linear", range);
  const Isa isa = active_isa();
  if (y.empty()) return;
  detail::int8_products(product, nullptr, y.rows(), [&](std::size_t i, const auto& term) {
    detail::finish_codes(isa, term, y.cols(), to, y.data() + i * y.stride());
  });
}

TESSERA_DEFINE void int8_linear(const Int8Product& product, MatrixView<float> y) {
  detail::check_product("int8_linear", product, y.rows(), y.cols());
  const Isa isa = active_isa();
  if (y.empty()) return;
  detail::int8_products(product, nullptr, y.rows(), [&](std::size_t i, const auto& term) {
    detail::finish_reals(isa, term, y.cols(), y.data() + i * y.stride());
  });
}

TESSERA_DEFINE void int8_linear_pair(const Int8Product& first, const Int8Product& second,
                                     const CodeRange& range, MatrixView<std::uint8_t> y) {
  detail::check_pair("int8_linear_pair", first, second, y.rows(), y.cols());
  const detail::CodeBounds to = detail::code_bounds("int8_linear_pair", range);
  const Isa isa = active_isa();
  if (y.empty()) return;
  detail::int8_products(first, &second, y.rows(), [&](std::size_t i, const auto& term) {
    detail::finish_codes(isa, term, y.cols(), to, y.data() + i * y.stride());
  });
}

TESSERA_DEFINE void int8_linear_pair(const Int8Product& first, const Int8Product& second,
                                     MatrixView<float> y) {
  detail::check_pair("int8_linear_pair", first, second, y.rows(), y.cols());
  const Isa isa = active_isa();
  if (y.empty()) return;
  detail::int8_products(first, &second, y.rows(), [&](std::size_t i, const auto& term) {
    detail::finish_reals(isa, term, y.cols(), y.data() + i * y.stride());
  });
}

}  // namespace tessera
