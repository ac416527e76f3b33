// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "tessera/core/tensor.hpp"
#include "tessera/nn/autograd/tape.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct ConstantOp {
  static constexpr std::string_view kName = "constant";

  std::array<Var, 0> inputs() const noexcept { return {}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }
  void vjp(Tape<T>&, Var) const noexcept {}
};

}  // namespace detail

/// A matrix that the tape owns and nobody differentiates; `Ctx::input` borrows one.
template <class Ctx>
Var constant(Ctx& ctx, Tensor<typename Ctx::Scalar> value) {
  return ctx.record(std::move(value), detail::ConstantOp<typename Ctx::Scalar>{});
}

}  // namespace tessera
