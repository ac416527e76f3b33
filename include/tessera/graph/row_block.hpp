// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"

namespace tessera {

/// A block of consecutive output rows with the input rows it reads, renumbered so that outputs come first.
///
/// Entries of a row keep their order, so a sum over them has the bits of the whole graph's.
class RowBlock {
 public:
  explicit RowBlock(std::size_t num_nodes) : local_(num_nodes, kNoNode) {}

  /// Grows from row `first` while the block's inputs number at most `max_inputs`; always takes one row.
  /// Returns the row after the last.
  std::size_t build(CsrView<> a, std::size_t first, std::size_t max_inputs) {
    row_ptr_.clear();
    col_.clear();
    weight_.clear();
    sources_.clear();
    // Outputs are numbered as they come and must precede the other inputs: count first, number afterwards.
    std::size_t last = first;
    std::size_t inputs = 0;
    for (; last < a.num_rows; ++last) {
      const std::size_t before = sources_.size();
      touch(static_cast<NodeId>(last));
      for (const NodeId j : a.neighbors(last)) touch(j);
      inputs = sources_.size();
      if (inputs > max_inputs && last > first) {
        for (std::size_t k = before; k < inputs; ++k) local_[sources_[k]] = kNoNode;
        sources_.resize(before);
        break;
      }
    }
    number(a, first, last);
    return last;
  }

  Adjacency adjacency() const noexcept {
    return {{row_ptr_.size() - 1, sources_.size(), row_ptr_, col_, weight_}, {}, {}};
  }
  /// Global ids of the block's input rows, outputs first.
  std::span<const NodeId> sources() const noexcept { return sources_; }

 private:
  void touch(NodeId node) {
    if (local_[node] != kNoNode) return;
    local_[node] = 0;
    sources_.push_back(node);
  }

  void number(CsrView<> a, std::size_t first, std::size_t last) {
    const auto is_output = [&](NodeId v) { return v >= first && v < last; };
    // Gathers read forward through memory when the other inputs ascend.
    const auto middle = std::partition(sources_.begin(), sources_.end(), is_output);
    std::sort(sources_.begin(), middle);
    parallel_sort(middle, sources_.end());
    for (std::size_t k = 0; k < sources_.size(); ++k) local_[sources_[k]] = static_cast<NodeId>(k);
    row_ptr_.push_back(0);
    for (std::size_t i = first; i < last; ++i) {
      for (const NodeId j : a.neighbors(i)) col_.push_back(local_[j]);
      for (const float w : a.weights(i)) weight_.push_back(w);
      row_ptr_.push_back(col_.size());
    }
    for (const NodeId v : sources_) local_[v] = kNoNode;
  }

  Array<NodeId> local_;  ///< position in sources_, kNoNode outside the block
  Array<NodeId> sources_;
  Array<EdgeId> row_ptr_;
  Array<NodeId> col_;
  Array<float> weight_;
};

}  // namespace tessera
