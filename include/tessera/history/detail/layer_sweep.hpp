// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/row_block.hpp"
#include "tessera/history/store.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/nn/autograd/sparse_input.hpp"
#include "tessera/nn/concepts.hpp"

namespace tessera::detail {

/// One pass over all nodes, layer by layer, that leaves every table exact; see HistoryModel::infer_layers.
template <Model M>
struct LayerSweep {
  using T = typename M::Scalar;
  const M& model;
  HistoryStore<T>& store;
  bool keeps_logits;  ///< the last layer has a table too

  /// What a table was off by, as sums over its rows.
  struct Drift {
    double difference = 0;
    double size = 0;
    friend Drift operator+(const Drift& a, const Drift& b) noexcept {
      return {a.difference + b.difference, a.size + b.size};
    }
  };

  /// `entries` may be null: the features by their entries.
  Tensor<T> run(const Adjacency& a, MatrixView<const float> features, const SparseInput* entries,
                std::size_t budget) const {
    const std::size_t layers = model.num_layers();
    const Array<std::size_t> strides = budget == 0 ? Array<std::size_t>() : layer_strides(model);
    Tensor<T> out;
    for (std::size_t l = 0; l < layers; ++l) {
      Drift drift;
      const bool last = l + 1 == layers;
      const bool keep = !last || keeps_logits;
      if (budget == 0) {
        out = whole_layer(l, a, features, entries, std::move(out));
        if (keep) drift = keep_rows(l + 1, 0, std::as_const(out).view());
      } else {
        Tensor<T> logits;
        drift = layer_in_blocks(l, a, features, strides[l], budget, last, keep, logits);
        if (last) out = std::move(logits);
      }
      if (keep) store.set_error(l + 1, std::sqrt(drift.difference / std::max(drift.size, 1e-300)));
    }
    return out;
  }

  Tensor<T> whole_layer(std::size_t l, const Adjacency& a, MatrixView<const float> features,
                        const SparseInput* entries, Tensor<T> in) const {
    NoTape<T> ctx;
    Var x;
    if (l == 0 && entries != nullptr) {
      x = ctx.input(*entries);
    } else if constexpr (std::is_same_v<T, float>) {
      x = ctx.input(l == 0 ? features : std::as_const(in).view());
    } else {
      if (l == 0) in = converted(features);
      x = ctx.input(std::as_const(in).view());
    }
    Tensor<T> out = ctx.take(model.layer(ctx, l, a, x, Pass{}));
    ctx.rewind();
    return out;
  }

  /// Inputs of the row that has the most: itself and its entries.
  static std::size_t largest_row(CsrView<> a) {
    std::size_t most = 0;
    for (std::size_t i = 0; i < a.num_rows; ++i) most = std::max(most, a.neighbors(i).size());
    return most + 1;
  }

  Drift layer_in_blocks(std::size_t l, const Adjacency& a, MatrixView<const float> features,
                        std::size_t out_width, std::size_t budget, bool last, bool keep,
                        Tensor<T>& logits) const {
    if (needs_all_rows(model)) {
      throw ConfigError(
          "HistoryModel: a norm over all rows cannot be refreshed in blocks of them; leave out the budget");
    }
    const std::size_t in_width = l == 0 ? features.cols() : store.find(l)->cols();
    const std::size_t width = std::max({in_width, out_width, std::size_t{1}});
    const std::size_t most = budget / (3 * width * sizeof(T));
    const std::size_t least = largest_row(a.forward);
    if (most < least) {
      throw ConfigError(message("HistoryModel: memory_budget is ", budget, " bytes, layer ", l, " needs ",
                                least * 3 * width * sizeof(T), " for the row with the most neighbours"));
    }
    RowBlock block(a.num_dst());
    Tensor<T> in;
    NoTape<T> ctx;
    Drift drift;
    for (std::size_t first = 0; first < a.num_dst();) {
      const std::size_t end = block.build(a.forward, first, most);
      in.resize(block.sources().size(), in_width);
      if (l == 0) {
        gather_rows(features, block.sources(), in.view());
      } else {
        store.find(l)->pull_rows(block.sources(), in.view());
      }
      const Var y = model.layer(ctx, l, block.adjacency(), ctx.input(std::as_const(in).view()), Pass{});
      const MatrixView<const T> value = ctx.value(y);
      if (keep) drift = drift + keep_rows(l + 1, first, value);
      if (last) {
        if (first == 0) logits.resize(a.num_dst(), value.cols());
        const MatrixView<T> to = logits.view().middle_rows(first, end - first);
        parallel_for(to.rows(), 256, [&](std::size_t i, std::size_t stop) {
          for (; i < stop; ++i) std::copy(value.row(i).begin(), value.row(i).end(), to.row(i).begin());
        });
      }
      ctx.rewind();
      first = end;
    }
    return drift;
  }

  /// Adds one row's squares; eight sums a column apart, so that every level adds in the same order.
  TESSERA_ALWAYS_INLINE static void add_drift(const T* old, const T* now, std::size_t cols,
                                              Drift& to) noexcept {
    constexpr std::size_t W = 8;
    Simd<double, W> difference = {}, size = {};
    std::size_t j = 0;
    for (; j + W <= cols; j += W) {
      Simd<double, W> a, b;
      simd_load<W, double>(a, old + j);
      simd_load<W, double>(b, now + j);
      a -= b;
      difference += a * a;
      size += b * b;
    }
    to.difference += simd_sum<W, double>(difference);
    to.size += simd_sum<W, double>(size);
    for (; j < cols; ++j) {
      const double b = static_cast<double>(now[j]), a = static_cast<double>(old[j]) - b;
      to.difference += a * a;
      to.size += b * b;
    }
  }

  /// Pushes rows and returns how far the table was from them.
  Drift keep_rows(std::size_t slot, std::size_t first, MatrixView<const T> x) const {
    HistoryTable<T>& table = store.table(slot, x.cols());
    const Isa isa = tessera::active_isa();
    const Drift drift = parallel_sum<Drift>(x.rows(), 256, [&](std::size_t i, std::size_t end) {
      Drift part;
      Array<T> old(x.cols());
      for (; i < end; ++i) {
        table.read_row(first + i, {old.data(), x.cols()});
        dispatch(isa,
                 [&](auto) TESSERA_INLINE_LAMBDA { add_drift(old.data(), x.row(i).data(), x.cols(), part); });
      }
      return part;
    });
    table.push_range(first, x, store.step());
    return drift;
  }

  static Tensor<T> converted(MatrixView<const float> x) {
    Tensor<T> out(x.rows(), x.cols());
    parallel_for(x.rows(), 256, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) std::copy(x.row(i).begin(), x.row(i).end(), out.row(i).begin());
    });
    return out;
  }
};

}  // namespace tessera::detail
