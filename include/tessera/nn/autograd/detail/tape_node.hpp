// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include "tessera/core/bf16.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/convert.hpp"
#include "tessera/nn/autograd/tape_operator.hpp"
#include "tessera/nn/autograd/var.hpp"

namespace tessera::detail {

/// What a tape calls of an operator whose type it does not know.
template <Real T>
struct TapeOperation {
  void (*vjp)(const void*, Tape<T>&, Var);
  void (*jvp)(const void*, Tape<T>&, Var);
  bool (*touched)(const void*, const Tape<T>&);
  void (*destroy)(void*) noexcept;
};

template <Real T, class Op>
inline constexpr TapeOperation<T> kTapeOperation{
    [](const void* op, Tape<T>& tape, Var self) { static_cast<const Op*>(op)->vjp(tape, self); },
    [](const void* op, Tape<T>& tape, Var self) {
      if constexpr (requires(const Op& o) { o.jvp(tape, self); }) {
        static_cast<const Op*>(op)->jvp(tape, self);
      } else {
        throw ConfigError(message("Tape::jvp: operator ", Op::kName, " has no forward derivative"));
      }
    },
    [](const void* op, const Tape<T>& tape) {
      for (const Var v : static_cast<const Op*>(op)->inputs()) {
        if (tape.has_tangent(v)) return true;
      }
      return false;
    },
    [](void* op) noexcept { std::destroy_at(static_cast<Op*>(op)); }};

/// One matrix on a tape: its value, its gradient and its tangent, each in the width it was asked for, and the operator
/// that made it.
template <Real T>
struct TapeNode {
  mutable MatrixView<const T> value;  // no data where it is only kept as bf16, or forgotten
  MatrixView<T> grad;
  MatrixView<const T> tangent;
  mutable Tensor<T> owned_value;
  mutable Tensor<bf16> narrow;  // the value in bf16 ...
  Tensor<T> owned_grad;
  Tensor<bf16> narrow_grad;  // instead of grad
  Tensor<T> owned_tangent;
  const TapeOperation<T>* operation = nullptr;
  void* op = nullptr;
  bool needs_grad = false;
  bool has_grad = false;
  bool has_tangent = false;
  bool kept = false;
  bool kept_narrow = false;
  bool widens = false;  // ... which is what it was made as
  bool viewed = false;

  void widen_grad() {
    if (narrow_grad.empty()) return;
    owned_grad = Tensor<T>(narrow_grad.rows(), narrow_grad.cols());
    grad = owned_grad.view();
    convert_rows(std::as_const(narrow_grad).view(), grad);
    narrow_grad = Tensor<bf16>();
  }
  void drop_narrow() noexcept {
    narrow = Tensor<bf16>();
    widens = false;
  }
  // After its own step backwards nobody asks for the floats of a value that is kept as bf16.
  void drop_widened() noexcept {
    if (!widens || viewed || owned_value.empty()) return;
    owned_value = Tensor<T>();
    value = MatrixView<const T>(nullptr, value.rows(), value.cols());
  }
  // A leaf's gradient is the caller's and stays.
  void drop_gradient() noexcept {
    if (operation == nullptr) return;
    owned_grad = Tensor<T>();
    narrow_grad = Tensor<bf16>();
    grad = {};
    has_grad = false;
  }
  void drop_tangent() noexcept {
    owned_tangent = Tensor<T>();
    tangent = {};
    has_tangent = false;
  }
};

}  // namespace tessera::detail
