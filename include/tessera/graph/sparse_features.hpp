// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/transpose.hpp"

namespace tessera {

/// The share of a matrix that is not 0, taken over at most 4096 rows at equal distances; 0 of an empty one.
///
/// Shapes   x [N, F]
/// Cost     reads at most 4096 F elements
inline double estimated_density(MatrixView<const float> x) {
  if (x.empty()) return 0;
  const std::size_t rows = std::min<std::size_t>(x.rows(), 4096);
  const auto filled = parallel_sum<std::size_t>(rows, 64, [&](std::size_t k, std::size_t end) {
    std::size_t count = 0;
    for (; k < end; ++k) {
      for (const float v : x.row(k * x.rows() / rows)) count += v != 0.0f ? 1u : 0u;
    }
    return count;
  });
  return static_cast<double>(filled) / (static_cast<double>(rows) * static_cast<double>(x.cols()));
}

/// Features that are mostly zeros (bags of words) by their entries, with the transpose that gradients of weights
/// need.
///
/// Shapes   [N, F] as an adjacency with N destinations and F sources
/// Units    memory: 26 bytes per entry, 8 per row and column
class SparseFeatures {
 public:
  SparseFeatures() = default;

  /// The entries of a matrix that are not 0, NaN among them.
  ///
  /// Cost     reads x twice
  /// Threads  parallel; the result does not depend on T
  explicit SparseFeatures(MatrixView<const float> x) : cols_(x.cols()) {
    row_ptr_.resize(x.rows() + 1);
    parallel_for(x.rows(), kGrain, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        row_ptr_[i] = static_cast<EdgeId>(
            std::count_if(x.row(i).begin(), x.row(i).end(), [](float v) { return v != 0.0f; }));
      }
    });
    number_entries();
    parallel_for(x.rows(), kGrain, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        auto at = row_ptr_[i];
        for (std::size_t f = 0; f < cols_; ++f) {
          if (x(i, f) == 0.0f) continue;
          col_[at] = static_cast<NodeId>(f);
          weight_[at++] = x(i, f);
        }
      }
    });
    make_transpose();
  }

  /// Takes in rows[0], rows[1], ... of another matrix. Reused from batch to batch, it allocates nothing once the
  /// largest has been seen.
  ///
  /// Cost     O(rows' entries + F)
  /// Errors   none: rows must be below N
  void gather(const SparseFeatures& from, std::span<const NodeId> rows) {
    cols_ = from.cols_;
    row_ptr_.resize(rows.size() + 1);
    parallel_for(rows.size(), kGrain, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) row_ptr_[i] = from.row_ptr_[rows[i] + 1] - from.row_ptr_[rows[i]];
    });
    number_entries();
    parallel_for(rows.size(), kGrain, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const auto first = from.row_ptr_[rows[i]];
        const auto count = row_ptr_[i + 1] - row_ptr_[i];
        std::copy_n(from.col_.begin() + first, count, col_.begin() + row_ptr_[i]);
        std::copy_n(from.weight_.begin() + first, count, weight_.begin() + row_ptr_[i]);
      }
    });
    make_transpose();
  }

  std::size_t rows() const noexcept { return row_ptr_.empty() ? 0 : row_ptr_.size() - 1; }
  std::size_t cols() const noexcept { return cols_; }
  std::size_t num_entries() const noexcept { return col_.size(); }
  /// Borrowed from this object, until it changes.
  Adjacency adjacency() const noexcept {
    return {{rows(), cols_, row_ptr_, col_, weight_},
            {cols_, rows(), transpose_row_ptr_, transpose_col_, transpose_weight_},
            transpose_edge_};
  }

 private:
  static constexpr std::size_t kGrain = 256;

  // Rows hold how many entries they have; now where those begin.
  void number_entries() {
    row_ptr_[rows()] = 0;
    const EdgeId entries = parallel_exclusive_scan(row_ptr_.span());
    col_.resize(entries);
    weight_.resize(entries);
  }
  void make_transpose() {
    transpose_into({rows(), cols_, row_ptr_, col_, weight_}, workspace_, transpose_row_ptr_, transpose_col_,
                   transpose_weight_, transpose_edge_);
  }

  std::size_t cols_ = 0;
  Array<EdgeId> row_ptr_;
  Array<NodeId> col_;
  Array<float> weight_;
  Array<EdgeId> transpose_row_ptr_;
  Array<NodeId> transpose_col_;
  Array<float> transpose_weight_;
  Array<EdgeId> transpose_edge_;
  TransposeWorkspace workspace_;
};

}  // namespace tessera
