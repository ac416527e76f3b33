// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/ops/columns.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

/// A network whose layers hand on more than one matrix: the hidden rows and, say, what the first layer made of the
/// features.
///
/// `forward` hands on the matrices as they are; `layer` takes and gives them side by side in one matrix, so that
/// layer-wise inference and samplers need to know nothing of it. Both compute the same numbers.
///
/// A core has `Scalar`, `Options` (with in, out and seed), `kCarried`, and
///
///     Core(block, options)                          adds its parameters; throws ConfigError
///     reset_parameters(block, key)
///     aggregation(), num_layers()
///     width(l, k)                                   columns of matrix k as it enters layer l >= 1, 0 if not carried
///     step(ctx, block, l, a, state, pass) -> state  state[0] is x before layer 0 and the logits after the last
///
/// where a state is an array of kCarried Vars, absent ones allowed. A core whose `step` takes a last argument `inside` is
/// told there that the next step follows at once and nobody else reads the state in between.
/// Errors   as the core; ShapeError where x does not fit
template <class Core>
class CarryingStack {
 public:
  using Scalar = typename Core::Scalar;
  using Options = typename Core::Options;
  using State = std::array<Var, Core::kCarried>;

  explicit CarryingStack(const Options& options) : options_(options), core_(block_, options) {
    reset_parameters(options.seed);
  }

  /// Draws the initial weights of this seed; gradients become zero.
  void reset_parameters(std::uint64_t seed) {
    core_.reset_parameters(block_, make_key(seed, 0, Purpose::init));
    block_.zero_grads();
  }

  ParameterBlock<Scalar>& parameters() noexcept { return block_; }
  const ParameterBlock<Scalar>& parameters() const noexcept { return block_; }
  AggregationSpec aggregation() const noexcept { return core_.aggregation(); }
  std::size_t num_layers() const noexcept { return core_.num_layers(); }
  bool needs_all_rows() const noexcept { return tessera::needs_all_rows(core_); }
  bool accepts_sparse_input() const noexcept { return tessera::accepts_sparse_input(core_); }
  std::size_t in_features() const noexcept { return options_.in; }
  std::size_t out_features() const noexcept { return options_.out; }
  const Options& options() const noexcept { return options_; }

  /// Logits of the last level's destinations.
  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack adjacencies, Var x, const Pass& pass) const {
    check(ctx, 0, adjacencies[0], x);
    State state{x};
    for (std::size_t l = 0; l < num_layers(); ++l) {
      const State next = step(ctx, l, adjacencies[l], state, pass);
      for (const Var v : state) {
        if (v && v != x && std::find(next.begin(), next.end(), v) == next.end()) ctx.forget(v);
      }
      state = next;
    }
    return state[0];
  }

  /// Layer l alone, matrices side by side.
  ///
  /// Errors   IndexError if there is no layer l
  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    if (l >= num_layers()) {
      throw IndexError(message("CarryingStack::layer: l is ", l, ", want less than ", num_layers()));
    }
    check(ctx, l, a, x);
    State state{x};
    if (l > 0) {
      std::size_t at = 0;
      for (std::size_t k = 0; k < Core::kCarried; ++k) {
        const std::size_t width = core_.width(l, k);
        state[k] = width == 0 ? Var{} : columns(ctx, x, at, width);
        at += width;
      }
    }
    state = core_.step(ctx, block_, l, a, state, pass);
    if (l + 1 == num_layers()) return state[0];
    Var packed = state[0];
    for (std::size_t k = 1; k < Core::kCarried; ++k) {
      if (core_.width(l + 1, k) == 0) continue;
      packed = concat_columns(ctx, packed, head_rows(ctx, state[k], a.num_dst()));
    }
    return packed;
  }

 private:
  template <class Ctx>
  State step(Ctx& ctx, std::size_t l, const Adjacency& a, const State& state, const Pass& pass) const {
    if constexpr (requires { core_.step(ctx, block_, l, a, state, pass, true); }) {
      return core_.step(ctx, block_, l, a, state, pass, true);
    } else {
      return core_.step(ctx, block_, l, a, state, pass);
    }
  }

  template <class Ctx>
  void check(Ctx& ctx, std::size_t l, const Adjacency& a, Var x) const {
    std::size_t width = l == 0 ? options_.in : 0;
    for (std::size_t k = 0; l > 0 && k < Core::kCarried; ++k) width += core_.width(l, k);
    if (ctx.cols(x) == width && ctx.rows(x) == a.num_src()) return;
    throw ShapeError(message("CarryingStack::layer: x is [", ctx.rows(x), ", ", ctx.cols(x), "], layer ", l,
                             " wants [", a.num_src(), ", ", width, "]"));
  }

  Options options_;
  ParameterBlock<Scalar> block_;
  Core core_;
};

namespace detail {

/// Errors   ConfigError unless value is in [low, high]
inline void check_between(const char* net, const char* name, double value, double low, double high) {
  if (value >= low && value <= high) return;
  throw ConfigError(message(net, ": ", name, " is ", value, ", want a number from ", low, " to ", high));
}

}  // namespace detail

}  // namespace tessera
