// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/nn/autograd/var.hpp"

namespace tessera {

/// A constant input that is mostly zeros, by its entries: [N, F] as an adjacency with N destinations and F sources.
///
/// Its Var has extents but no elements: only `dropout`, `head_rows` and the products with weights (`linear`,
/// `add_linear`, `linear_pair`) take it. A model says by `accepts_sparse_input()` that it does nothing else with its features.
struct SparseInput {
  Adjacency entries;
  DropoutMask mask{};    ///< entries dropped on their way into a product, drawn by (row, column)
  std::size_t rows = 0;  ///< the first rows that are meant; products give as many
};

namespace detail {

/// The sparse inputs of one pass; there are a handful.
class SparseInputs {
 public:
  void add(Var v, const SparseInput& x) { inputs_.push_back({v, x}); }
  const SparseInput* find(Var v) const noexcept {
    for (const auto& [var, x] : inputs_) {
      if (var == v) return &x;
    }
    return nullptr;
  }
  /// Every operator that wants elements asks the tape for them; here it hears that there are none.
  void refuse(Var v) const {
    if (inputs_.empty()) return;
    if (const SparseInput* x = find(v)) {
      throw ConfigError(message(
          "Tape: an operator wants the elements of a sparse input [", x->rows, ", ", x->entries.num_src(),
          "]; want one that takes entries (dropout, head_rows, linear) or a dense input"));
    }
  }
  void clear() noexcept { inputs_.clear(); }

 private:
  std::vector<std::pair<Var, SparseInput>> inputs_;
};

}  // namespace detail

}  // namespace tessera
