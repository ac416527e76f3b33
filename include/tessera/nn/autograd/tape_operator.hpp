// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <iterator>
#include <string_view>

#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/nn/autograd/var.hpp"

namespace tessera {

template <Real T>
class Tape;

/// What `Tape::record` stores: the backward half of an operator, a small object that can be moved.
///
/// - `op.inputs()`   a range of the Vars the output depends on; absent ones (`Var{}`) are allowed
/// - `op.reads()`    those of them whose values `vjp` or `jvp` look at; only these stay alive for backward
/// - `op.reads_narrow()`  optional: those whose values it reads by Tape::narrow
/// - `op.reads_output()`  whether they look at the output's value; `Op::kName` for messages
/// - `op.vjp(tape, self)`  reads tape.grad(self), which it may overwrite, and adds to the gradient of each
///   input that needs one
/// - `op.jvp(tape, self)`  optional: reads tape.tangent(input) (empty means zero) and fills
///   tape.make_tangent(self)
template <class Op, class T>
concept TapeOperator = std::move_constructible<Op> && requires(const Op& op, Tape<T>& tape, Var self) {
  { *std::begin(op.inputs()) } -> std::convertible_to<Var>;
  std::begin(op.reads());
  { op.reads_output() } -> std::convertible_to<bool>;
  { Op::kName } -> std::convertible_to<std::string_view>;
  op.vjp(tape, self);
};

/// Where an operator puts the gradient of an input: `add` tells whether something is there already.
template <Real T>
struct GradSlot {
  MatrixView<T> grad;
  bool add = false;
};

}  // namespace tessera
