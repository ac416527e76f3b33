// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "tessera/core/assert.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/autograd/sparse_input.hpp"
#include "tessera/nn/autograd/var.hpp"

namespace tessera {

/// Runs operators without recording them: inference. The interface is the forward half of `Tape`.
///
/// Values live until `forget`, `take` or `rewind`; nothing else is stored.
/// Threads  one per thread; operators are parallel inside
template <Real T>
class NoTape {
 public:
  using Scalar = T;
  static constexpr bool kRecords = false;

  NoTape() = default;
  NoTape(const NoTape&) = delete;
  NoTape& operator=(const NoTape&) = delete;

  /// A matrix that is borrowed until `rewind`.
  Var input(MatrixView<const T> value) { return append({value, {}, false}); }
  /// The same by its entries; see SparseInput for what may be done with it.
  Var input(const SparseInput& x) {
    const Var v = input(MatrixView<const T>(nullptr, x.rows, x.entries.num_src()));
    sparse_.add(v, x);
    return v;
  }
  Var parameter(ParameterView<T> parameter) { return input(parameter.value); }

  /// Keeps the value and lets the operator go.
  template <class Op>
  Var record(Tensor<T> value, Op&&) {
    const MatrixView<const T> view = value.view();
    return append({view, std::move(value), false});
  }
  template <class Op>
  Var record_view(Var base, MatrixView<const T> value, Op&&) {
    nodes_[base.id].viewed = true;
    return input(value);
  }

  /// Errors   ConfigError for a sparse input, which has entries and no elements
  MatrixView<const T> value(Var v) const {
    sparse_.refuse(v);
    return node(v).value;
  }
  std::size_t rows(Var v) const { return node(v).value.rows(); }
  std::size_t cols(Var v) const { return node(v).value.cols(); }
  /// The entries of a sparse input, null for every other Var; good until the next one is made.
  const SparseInput* sparse(Var v) const noexcept { return sparse_.find(v); }
  bool needs_grad(Var) const noexcept { return false; }

  /// The caller's promise that nobody reads `v` again; its memory goes back to the pool.
  void forget(Var v) {
    Node& n = nodes_[v.id];
    if (n.viewed || n.owned.empty()) return;
    n.owned = Tensor<T>();
    n.value = MatrixView<const T>(nullptr, n.value.rows(), n.value.cols(), n.value.stride());
  }
  /// The value of `v` as the caller's own tensor: moved where `forget` would free it, copied elsewhere.
  Tensor<T> take(Var v) {
    Node& n = nodes_[v.id];
    if (n.viewed || n.owned.empty()) return Tensor<T>::copy_of(value(v));
    n.value = MatrixView<const T>(nullptr, n.value.rows(), n.value.cols(), n.value.stride());
    return std::move(n.owned);
  }

  void rewind() noexcept {
    nodes_.clear();
    sparse_.clear();
  }
  std::size_t size() const noexcept { return nodes_.size(); }

 private:
  struct Node {
    MatrixView<const T> value;
    Tensor<T> owned;
    bool viewed = false;
  };

  const Node& node(Var v) const {
    TESSERA_ASSERT(light, v.id < nodes_.size());
    return nodes_[v.id];
  }
  Var append(Node&& n) {
    const Var v{static_cast<std::uint32_t>(nodes_.size())};
    nodes_.push_back(std::move(n));
    return v;
  }

  std::vector<Node> nodes_;
  detail::SparseInputs sparse_;
};

}  // namespace tessera
