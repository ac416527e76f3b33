// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/edge_dropout.hpp"
#include "tessera/kernels/epilogue_apply.hpp"
#include "tessera/kernels/message_dropout.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

/// What dropout on an aggregation takes away.
enum class Dropped {
  entries,  ///< whole messages: an entry with all its elements
  messages  ///< elements of messages, each by itself (DropMessage)
};

namespace detail {

/// The coefficients of one drawn aggregation (of a mean also where nothing is drawn), in the order of a.forward or of
/// a.transpose. A mean divides by the number of all entries of a row, dropped ones too: so it stays unbiased.
inline void dropped_weights(const Adjacency& a, Reduce reduce, const DropoutMask& mask, bool transposed,
                            std::span<float> weight) {
  CsrView<> view = transposed ? a.transpose : a.forward;
  if (reduce == Reduce::mean) view.weight = {};
  if (mask.probability > 0.0f) {
    edge_dropout(view, mask, transposed, weight);
  } else {
    std::fill(weight.begin(), weight.end(), 1.0f);
  }
  if (reduce != Reduce::mean) return;
  parallel_for(view.num_rows, kRowGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      for (auto e = view.begin(i); e < view.end(i); ++e) {
        const std::size_t dst = transposed ? view.col[e] : i;
        weight[e] /= static_cast<float>(a.forward.end(dst) - a.forward.begin(dst));
      }
    }
  });
}

template <Real T>
struct AggregateDroppedOp {
  static constexpr std::string_view kName = "aggregate_dropped";
  Adjacency a;
  Reduce reduce;
  Var x;
  Finish finish;
  DropoutMask mask;
  Dropped dropped = Dropped::entries;

  std::array<Var, 2> inputs() const noexcept { return {x, finish.bias}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return finish.activation != Activation::none; }

  void product(bool transposed, MatrixView<const T> from, MatrixView<T> to,
               const Epilogue<T>& epilogue = {}) const {
    CsrView<> drawn = transposed ? a.transpose : a.forward;
    if (dropped == Dropped::messages) return message_product(drawn, transposed, from, to, epilogue);
    Array<float> weight(drawn.num_edges());
    dropped_weights(a, reduce, mask, transposed, weight.span());
    drawn.weight = weight.span();
    spmm_sum<T, T>(drawn, from, to, epilogue);
  }
  void message_product(CsrView<> view, bool transposed, MatrixView<const T> from, MatrixView<T> to,
                       const Epilogue<T>& epilogue) const {
    Array<float> weight(reduce == Reduce::mean ? view.num_edges() : 0);
    if (reduce == Reduce::mean) {
      dropped_weights(a, reduce, {}, transposed, weight.span());
      view.weight = weight.span();
    }
    spmm_drop_messages<T>(view, from, mask, transposed, to);
    apply_epilogue(to, epilogue);
  }
  // The mask is a function of the ids at the two ends, so the transposed matrix draws it again.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> gz = finish_vjp(tape, self, finish);
    if (!tape.needs_grad(x)) return;
    Tensor<T> part(a.num_src(), gz.cols());
    product(true, gz, part.view());
    tape.add_grad(x, std::move(part));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    if (tape.has_tangent(x)) {
      product(false, tape.tangent(x), t);
    } else {
      copy_or_zero(MatrixView<const T>(), t);
    }
    finish_jvp(tape, self, finish, t);
  }
};

}  // namespace detail

/// `aggregate` of what a mask keeps, scaled by 1 / (1 - p): in expectation the aggregate of all.
///
/// Shapes   a [N_dst, N_src], x [N_src, F], finish.bias [1, F] -> y [N_dst, F]
/// Cost     that of aggregate and one block of Philox per entry, or for eight elements of one, forwards and backwards;
///          keeps no mask
/// Errors   ShapeError as aggregate; ConfigError for Reduce::max or a probability outside [0, 1]
/// Source   Rong et al., DropEdge, ICLR 2020; differs: each stored entry by itself with probability p, after
///          normalising and rescaled, where the paper keeps an exact number and normalises what is left
///          (`DropEdgeSampler`). Fang et al., DropMessage, AAAI 2023, for elements
template <class Ctx>
Var aggregate_dropped(Ctx& ctx, const Adjacency& a, Var x, Reduce reduce, const Finish& finish,
                      const DropoutMask& mask, Dropped dropped = Dropped::entries) {
  using T = typename Ctx::Scalar;
  check_dropout(mask, "aggregate_dropped");
  if (mask.probability == 0.0f) return aggregate(ctx, a, x, reduce, finish);
  if (reduce == Reduce::max) throw ConfigError("aggregate_dropped: reduce is max, want sum or mean");
  detail::check_aggregate(ctx, a, x, "aggregate_dropped");
  const MatrixView<const T> value = ctx.value(x);
  detail::check_finish(ctx, finish, value.cols(), "aggregate_dropped");
  Tensor<T> y(a.num_dst(), value.cols());
  detail::AggregateDroppedOp<T> op{a, reduce, x, finish, mask, dropped};
  op.product(false, value, y.view(), detail::epilogue_of(ctx, finish));
  return ctx.record(std::move(y), std::move(op));
}

}  // namespace tessera
