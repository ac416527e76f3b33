// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/history/policies.hpp"
#include "tessera/history/store.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

/// Slots of the tables of gradients; those of rows are the numbers of layers.
inline constexpr std::size_t kGradientSlots = 1u << 16;

}  // namespace detail

/// What `compensate` needs to know of its place.
template <Real T>
struct CompensationPlace {
  HistoryStore<T>& store;
  std::size_t slot;                 ///< of the rows' table
  std::span<const NodeId> node_id;  ///< [B + H]
  const MessageCompensation& policy;
  std::span<const float> halo_share;  ///< [H]
  bool gradients;                     ///< keep and mix gradients too: every layer but the last
};

namespace detail {

template <Real T>
struct CompensateOp {
  static constexpr std::string_view kName = "compensate";
  Var own, around;
  HistoryStore<T>* store;
  std::size_t slot;
  std::span<const NodeId> node_id;
  Array<T> beta;  // [H]
  bool gradients;

  std::array<Var, 2> inputs() const noexcept { return {own, around}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const std::size_t batch = tape.value(own).rows();
    const std::size_t halo = g.rows() - batch;
    const MatrixView<const T> g_own = g.middle_rows(0, batch);
    Tensor<T> g_around;
    if (halo > 0) {
      g_around = Tensor<T>::copy_of(g.middle_rows(batch, halo));
      if (gradients) mix_history(g_around);
    }
    if (gradients) store->wait(store->push(kGradientSlots + slot, node_id.first(batch), g_own));
    if (tape.needs_grad(own)) tape.add_grad(own, g_own);
    if (halo > 0 && tape.needs_grad(around)) tape.add_grad(around, std::move(g_around));
  }

  /// g_i <- (1 - beta_i) V_i + beta_i g_i
  void mix_history(Tensor<T>& g) const {
    Tensor<T> v(g.rows(), g.cols());
    store->wait(store->pull(kGradientSlots + slot, node_id.last(g.rows()), v.view()));
    parallel_for(g.rows(), kRowGrain, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        for (std::size_t j = 0; j < g.cols(); ++j) g(i, j) = (T{1} - beta[i]) * v(i, j) + beta[i] * g(i, j);
      }
    });
  }
};

}  // namespace detail

/// The rows of a batch and, behind them, its halo's: as computed, mixed with what the history holds. Pushes the
/// batch's rows; backward mixes the halo's gradients with theirs and pushes the batch's.
///
/// Gradients are kept as they come, so a factor that all losses share (batches per epoch) stays in them.
/// Shapes   own [B, F], around [H, F] or absent -> [B + H, F]
/// Errors   ShapeError if widths differ; those of HistoryStore
template <class Ctx>
Var compensate(Ctx& ctx, Var own, Var around, const CompensationPlace<typename Ctx::Scalar>& at) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> top = ctx.value(own);
  const std::size_t batch = top.rows();
  const std::size_t halo = around ? ctx.rows(around) : 0;
  if (at.node_id.size() != batch + halo || at.halo_share.size() != halo) {
    throw ShapeError(message("compensate: ", batch, " and ", halo, " rows of ", at.node_id.size(),
                             " nodes and ", at.halo_share.size(), " shares"));
  }
  Tensor<T> y(batch + halo, top.cols());
  detail::copy_or_zero(top, y.view().middle_rows(0, batch));
  Array<T> beta(halo);
  if (halo > 0) {
    const MatrixView<T> rows = y.view().middle_rows(batch, halo);
    const MatrixView<const T> fresh = ctx.value(around);
    const std::span<const NodeId> ids = at.node_id.last(halo);
    at.store.wait(at.store.pull(at.slot, ids, rows));
    const HistoryTable<T>& table = *at.store.find(at.slot);
    parallel_for(halo, detail::kRowGrain, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const bool written = table.stamp(ids[i]) != 0;
        beta[i] = static_cast<T>(written ? at.policy.weight(static_cast<double>(at.halo_share[i])) : 1.0);
        for (std::size_t j = 0; j < rows.cols(); ++j) {
          rows(i, j) = (T{1} - beta[i]) * rows(i, j) + beta[i] * fresh(i, j);
        }
      }
    });
  }
  at.store.wait(at.store.push(at.slot, at.node_id.first(batch), y.view().middle_rows(0, batch)));
  return ctx.record(std::move(y), detail::CompensateOp<T>{own, around, &at.store, at.slot, at.node_id,
                                                          std::move(beta), at.gradients});
}

}  // namespace tessera
