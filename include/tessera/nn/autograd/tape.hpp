// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "tessera/core/bf16.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/precision.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/convert.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/autograd/detail/tape_node.hpp"
#include "tessera/nn/autograd/op_arena.hpp"
#include "tessera/nn/autograd/sparse_input.hpp"
#include "tessera/nn/autograd/tape_operator.hpp"
#include "tessera/nn/autograd/var.hpp"

namespace tessera {

/// Records matrix operators as they run, then walks them backwards (or forwards, for tangents).
///
/// The tape of one batch: `rewind` drops the operators and keeps the memory, so that a step of known sizes
/// allocates nothing. A node whose inputs need no gradient is not recorded: data in the first layer costs no
/// backward.
/// Threads  one tape per thread; operators are parallel inside
template <Real T>
class Tape {
 public:
  using Scalar = T;
  static constexpr bool kRecords = true;

  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;
  ~Tape() { rewind(); }

  /// A constant that is borrowed until `rewind`.
  Var input(MatrixView<const T> value) { return append(value); }
  /// The same by its entries; see SparseInput for what may be done with it.
  Var input(const SparseInput& x) {
    const Var v = append(MatrixView<const T>(nullptr, x.rows, x.entries.num_src()));
    sparse_.add(v, x);
    return v;
  }

  /// A leaf whose gradient is added to `parameter.grad`, where the caller has put zeros or an earlier sum.
  ///
  /// Errors   ShapeError if value and gradient differ in shape
  Var parameter(ParameterView<T> parameter) {
    if (frozen_) return append(parameter.value);
    if (parameter.value.rows() != parameter.grad.rows() || parameter.value.cols() != parameter.grad.cols()) {
      throw ShapeError(message("Tape::parameter: grad is [", parameter.grad.rows(), ", ",
                               parameter.grad.cols(), "], want [", parameter.value.rows(), ", ",
                               parameter.value.cols(), "]"));
    }
    const Var v = append(parameter.value);
    Node& n = node(v);
    n.grad = parameter.grad;
    n.needs_grad = true;
    n.has_grad = true;
    return v;
  }

  /// While frozen, parameters are constants: rows computed then pass gradients on but have none of the weights.
  void freeze_parameters(bool frozen) noexcept { frozen_ = frozen; }

  /// How operators that know bf16 compute; others see floats either way. Outlives `rewind`.
  ///
  /// Errors   ConfigError for bf16 on a tape of doubles
  void set_precision(Precision precision) {
    if (precision == Precision::bf16 && !std::same_as<T, float>) {
      throw ConfigError("Tape::set_precision: precision is bf16 on a tape of doubles, want float");
    }
    precision_ = precision;
  }
  Precision precision() const noexcept { return precision_; }

  /// Appends an operator's result; `op` is kept only if an input needs a gradient.
  template <class Op>
  Var record(Tensor<T> value, Op op) {
    const Var self = append(value.view());
    nodes_[self.id].owned_value = std::move(value);
    attach(self, std::move(op));
    return self;
  }
  /// The same of a result that is kept as bf16; `value` widens it for those who ask.
  template <class Op>
  Var record(Tensor<bf16> value, Op op) {
    const Var self = append(MatrixView<const T>(nullptr, value.rows(), value.cols()));
    nodes_[self.id].narrow = std::move(value);
    nodes_[self.id].widens = true;
    attach(self, std::move(op));
    return self;
  }

  /// Appends a result that is a part of the value of `base`, without a copy.
  template <class Op>
  Var record_view(Var base, MatrixView<const T> value, Op op) {
    node(base).kept = true;
    node(base).viewed = true;
    const Var self = append(value);
    attach(self, std::move(op));
    return self;
  }

  /// Errors   ConfigError for a sparse input, which has entries and no elements
  MatrixView<const T> value(Var v) const {
    sparse_.refuse(v);
    const Node& n = node(v);
    if (n.value.data() == nullptr && !n.narrow.empty()) {
      n.owned_value = Tensor<T>(n.value.rows(), n.value.cols());
      convert_rows(std::as_const(n.narrow).view(), n.owned_value.view());
      n.value = std::as_const(n.owned_value).view();
    }
    return n.value;
  }
  /// The value in bf16, rounded where it is not kept that way; good until `forget`.
  MatrixView<const bf16> narrow(Var v) const {
    const Node& n = node(v);
    if (n.narrow.empty()) {
      const MatrixView<const T> wide = value(v);
      n.narrow = Tensor<bf16>(wide.rows(), wide.cols());
      convert_rows(wide, n.narrow.view());
    }
    return std::as_const(n.narrow).view();
  }
  /// Whether `narrow` costs nothing.
  bool has_narrow(Var v) const { return !node(v).narrow.empty(); }
  std::size_t rows(Var v) const { return node(v).value.rows(); }
  std::size_t cols(Var v) const { return node(v).value.cols(); }
  /// The entries of a sparse input, null for every other Var; good until the next one is made.
  const SparseInput* sparse(Var v) const noexcept { return sparse_.find(v); }
  bool needs_grad(Var v) const { return v && node(v).needs_grad; }

  /// The caller's promise that no later operator reads the value of `v`; its memory goes back to the pool
  /// unless backward reads it.
  void forget(Var v) {
    Node& n = node(v);
    if (!n.kept_narrow && !(n.kept && n.widens)) n.drop_narrow();
    if (n.viewed || (n.kept && !n.widens) || n.owned_value.empty()) return;
    n.owned_value = Tensor<T>();
    n.value = MatrixView<const T>(nullptr, n.value.rows(), n.value.cols(), n.value.stride());
  }

  /// The value of `v` as the caller's own tensor: moved where `forget` would free it, copied elsewhere.
  Tensor<T> take(Var v) {
    Node& n = node(v);
    Tensor<T> out;
    if (n.owned_value.empty() && !n.narrow.empty() && n.widens) {
      out = Tensor<T>(n.value.rows(), n.value.cols());
      convert_rows(std::as_const(n.narrow).view(), out.view());
    } else if (n.viewed || (n.kept && !n.widens) || n.owned_value.empty()) {
      return Tensor<T>::copy_of(value(v));
    } else {
      n.value = MatrixView<const T>(nullptr, n.value.rows(), n.value.cols(), n.value.stride());
      out = std::move(n.owned_value);
    }
    forget(v);
    return out;
  }

  /// Adds d loss / d leaf to the gradient of every leaf that needs one.
  ///
  /// Cost     about twice the forward pass; gradients of inner nodes return to the pool on the way
  /// Errors   ShapeError if `loss` is not [1, 1]
  void backward(Var loss) {
    const T one = 1;
    backward(loss, MatrixView<const T>(&one, 1, 1));
  }

  /// The same from any node: adds J^T cotangent.
  ///
  /// Errors   ShapeError unless cotangent has the shape of v's value
  void backward(Var v, MatrixView<const T> cotangent) {
    const MatrixView<const T> at = value(v);
    if (cotangent.rows() != at.rows() || cotangent.cols() != at.cols()) {
      throw ShapeError(message("Tape::backward: value is [", at.rows(), ", ", at.cols(),
                               "], the cotangent is [", cotangent.rows(), ", ", cotangent.cols(), "]"));
    }
    for (Node& n : nodes_) n.drop_gradient();
    if (!needs_grad(v)) return;
    add_grad(v, cotangent);
    for (std::uint32_t id = v.id + 1; id-- > 0;) {
      Node& n = nodes_[id];
      if (n.operation == nullptr || !n.has_grad) continue;
      n.operation->vjp(n.op, *this, Var{id});
      nodes_[id].drop_gradient();
      nodes_[id].drop_widened();
    }
  }

  /// The gradient of a leaf; of an inner node only inside its `vjp`, which may overwrite it. Empty elsewhere.
  MatrixView<T> grad(Var v) {
    node(v).widen_grad();
    return node(v).grad;
  }
  /// For the `vjp` of `v`: its gradient in bf16, which it may overwrite.
  MatrixView<bf16> narrow_grad(Var v) {
    Node& n = node(v);
    if (n.narrow_grad.empty()) {
      n.narrow_grad = Tensor<bf16>(n.grad.rows(), n.grad.cols());
      if (n.narrow_grad.empty()) return n.narrow_grad.view();  // no rows
      convert_rows(MatrixView<const T>(n.grad), n.narrow_grad.view());
      n.owned_grad = Tensor<T>();
      n.grad = {};
    }
    return n.narrow_grad.view();
  }
  /// For the `vjp` of `v`: changes its gradient for one in bf16.
  MatrixView<const bf16> replace_grad(Var v, Tensor<bf16>&& grad) {
    Node& n = node(v);
    n.owned_grad = Tensor<T>();
    n.grad = {};
    n.narrow_grad = std::move(grad);
    return std::as_const(n.narrow_grad).view();
  }
  /// For the `vjp` of `v`, as its last step: the gradient in bf16 itself.
  Tensor<bf16> take_narrow_grad(Var v) {
    narrow_grad(v);
    return std::move(node(v).narrow_grad);
  }
  bool has_narrow_grad(Var v) const { return !node(v).narrow_grad.empty(); }

  /// For the `vjp` of `self`, as its last step: the gradient itself, to be changed and passed on without a
  /// copy.
  Tensor<T> take_grad(Var self) {
    TESSERA_ASSERT(light, node(self).operation != nullptr);
    node(self).widen_grad();
    return std::move(node(self).owned_grad);
  }

  /// Where to write the gradient of input `v`; the operator must fill it, adding where the slot says so.
  GradSlot<T> grad_slot(Var v) {
    Node& n = node(v);
    TESSERA_ASSERT(light, n.needs_grad);
    n.widen_grad();
    if (n.has_grad) return {n.grad, true};
    n.owned_grad = Tensor<T>(n.value.rows(), n.value.cols());
    n.grad = n.owned_grad.view();
    n.has_grad = true;
    return {n.grad, false};
  }

  /// Adds `grad` to the gradient of `v`, adopting the tensor where it is the first contribution.
  void add_grad(Var v, Tensor<T>&& grad) {
    Node& n = node(v);
    TESSERA_ASSERT(light, n.needs_grad && grad.rows() == n.value.rows() && grad.cols() == n.value.cols());
    if (n.has_grad) return add_grad(v, std::as_const(grad).view());
    n.owned_grad = std::move(grad);
    n.grad = n.owned_grad.view();
    n.has_grad = true;
  }

  /// The same of a gradient in bf16, which stays that way where it is the only contribution.
  void add_grad(Var v, Tensor<bf16>&& grad) {
    Node& n = node(v);
    TESSERA_ASSERT(light, n.needs_grad && grad.rows() == n.value.rows() && grad.cols() == n.value.cols());
    if (grad.empty()) return add_grad(v, Tensor<T>(grad.rows(), grad.cols()));
    if (!n.has_grad) {
      n.narrow_grad = std::move(grad);
      n.has_grad = true;
      return;
    }
    Tensor<T> wide(grad.rows(), grad.cols());
    convert_rows(std::as_const(grad).view(), wide.view());
    add_grad(v, std::as_const(wide).view());
  }

  /// Adds `grad`, whose rows are the first rows of v's gradient; rows beyond it get zero.
  void add_grad(Var v, MatrixView<const T> grad) {
    const GradSlot<T> slot = grad_slot(v);
    TESSERA_ASSERT(light, grad.rows() <= slot.grad.rows() && grad.cols() == slot.grad.cols());
    if (slot.add) return axpy(T{1}, grad, slot.grad.middle_rows(0, grad.rows()));
    parallel_for(slot.grad.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const auto to = slot.grad.row(i);
        if (i < grad.rows()) {
          std::copy(grad.row(i).begin(), grad.row(i).end(), to.begin());
        } else {
          std::fill(to.begin(), to.end(), T{0});
        }
      }
    });
  }

  /// Gives a leaf the direction in which `jvp` differentiates; borrowed until `clear_tangents` or `rewind`.
  ///
  /// Errors   ShapeError unless it has the leaf's shape; ConfigError if `v` is not a leaf that needs a
  /// gradient
  void set_tangent(Var leaf, MatrixView<const T> tangent) {
    Node& n = node(leaf);
    if (tangent.rows() != n.value.rows() || tangent.cols() != n.value.cols()) {
      throw ShapeError(message("Tape::set_tangent: tangent is [", tangent.rows(), ", ", tangent.cols(),
                               "], want [", n.value.rows(), ", ", n.value.cols(), "]"));
    }
    if (!n.needs_grad || n.operation != nullptr) {
      throw ConfigError("Tape::set_tangent: leaf must come from Tape::parameter");
    }
    n.tangent = tangent;
    n.has_tangent = true;
  }

  /// Forward mode: carries the tangents of leaves through every recorded operator, in recording order.
  ///
  /// Cost     about one forward pass
  /// Errors   ConfigError naming the operator that has no forward derivative
  void jvp() {
    for (std::uint32_t id = 0; id < nodes_.size(); ++id) {
      const Node& n = nodes_[id];
      if (n.operation != nullptr && n.operation->touched(n.op, *this)) n.operation->jvp(n.op, *this, Var{id});
    }
  }

  /// The tangent of `v` after `jvp`; empty stands for zero.
  MatrixView<const T> tangent(Var v) const { return node(v).tangent; }
  bool has_tangent(Var v) const { return v && node(v).has_tangent; }

  /// For operators: the tangent of `self` to fill, of the shape of its value, unspecified until written.
  MatrixView<T> make_tangent(Var self) {
    Node& n = node(self);
    n.owned_tangent.resize(n.value.rows(), n.value.cols());
    n.tangent = n.owned_tangent.view();
    n.has_tangent = true;
    return n.owned_tangent.view();
  }

  void clear_tangents() {
    for (Node& n : nodes_) n.drop_tangent();
  }

  /// Forgets every node. Their memory goes back to the pool; the tape's own stays for the next step.
  void rewind() noexcept {
    for (Node& n : nodes_) {
      if (n.operation != nullptr) n.operation->destroy(n.op);
    }
    nodes_.clear();
    sparse_.clear();
    arena_.rewind();
    frozen_ = false;
  }

  std::size_t size() const noexcept { return nodes_.size(); }

 private:
  static constexpr std::size_t kRowGrain = 256;

  using Node = detail::TapeNode<T>;

  Var append(MatrixView<const T> value) {
    const Var v{static_cast<std::uint32_t>(nodes_.size())};
    nodes_.emplace_back().value = value;
    return v;
  }

  template <class Op>
  void attach(Var self, Op&& op) {
    static_assert(TapeOperator<Op, T>, "see TapeOperator in nn/autograd/tape.hpp for what an operator needs");
    bool needed = false;
    for (const Var v : op.inputs()) needed = needed || needs_grad(v);
    if (!needed) return;
    for (const Var v : op.reads()) {
      if (v) node(v).kept = true;
    }
    if constexpr (requires { std::begin(op.reads_narrow()); }) {
      for (const Var v : op.reads_narrow()) {
        if (v) node(v).kept_narrow = true;
      }
    }
    const bool keep_output = op.reads_output();
    Node& n = node(self);
    n.op = ::new (arena_.allocate(sizeof(Op), alignof(Op))) Op(std::move(op));
    n.operation = &detail::kTapeOperation<T, Op>;
    n.needs_grad = true;
    n.kept = keep_output;
  }

  Node& node(Var v) {
    TESSERA_ASSERT(light, v.id < nodes_.size());
    return nodes_[v.id];
  }
  const Node& node(Var v) const {
    TESSERA_ASSERT(light, v.id < nodes_.size());
    return nodes_[v.id];
  }

  std::vector<Node> nodes_;
  Precision precision_ = Precision::fp32;
  bool frozen_ = false;
  detail::SparseInputs sparse_;
  detail::OpArena arena_;
};

/// Whether a context can keep values as bf16.
template <class Ctx>
inline constexpr bool kNarrows = std::same_as<Ctx, Tape<float>>;

}  // namespace tessera
