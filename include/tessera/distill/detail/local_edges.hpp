// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/transpose.hpp"

namespace tessera::detail {

/// The edges a local comparison runs over, and who lists whom: a matrix without its diagonal, and its transpose.
class LocalEdges {
 public:
  LocalEdges() = default;

  /// Entries of `a` between rows that `keeps(i)` accepts, without the diagonal.
  template <class Keep>
  void assign(CsrView<> a, Keep&& keeps) {
    row_ptr_.resize(a.num_rows + 1);
    col_.clear();
    row_ptr_[0] = 0;
    for (std::size_t i = 0; i < a.num_rows; ++i) {
      if (keeps(i)) {
        for (const NodeId j : a.neighbors(i)) {
          if (j != i && keeps(j)) col_.push_back(j);
        }
      }
      row_ptr_[i + 1] = col_.size();
    }
    num_cols_ = a.num_cols;
    Array<float> weight;
    transpose_into(forward(), workspace_, back_ptr_, back_col_, weight, position_);
  }

  CsrView<> forward() const noexcept {
    return {row_ptr_.empty() ? 0 : row_ptr_.size() - 1, num_cols_, row_ptr_.span(), col_.span(), {}};
  }
  CsrView<> backward() const noexcept {
    return {num_cols_, row_ptr_.empty() ? 0 : row_ptr_.size() - 1, back_ptr_.span(), back_col_.span(), {}};
  }
  /// Where entry e of `backward` lies in `forward`.
  std::size_t position(std::size_t e) const noexcept { return position_[e]; }

 private:
  Array<EdgeId> row_ptr_;
  Array<NodeId> col_;
  Array<EdgeId> back_ptr_;
  Array<NodeId> back_col_;
  Array<EdgeId> position_;
  std::size_t num_cols_ = 0;
  TransposeWorkspace workspace_;
};

}  // namespace tessera::detail
