// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/concepts.hpp"

namespace tessera {

/// What the last training pass of a tapped student left for the loss.
struct Tap {
  Var hidden;           ///< [N_src, F_s]: the rows that entered the last layer, on the pass's tape
  Adjacency adjacency;  ///< the last layer's: who reads which of these rows
  RngKey key;           ///< of the pass
  const ParameterBlock<float>* block = nullptr;  ///< of the student; the other one is null
  const ParameterBlock<double>* block64 = nullptr;

  template <Real T>
  const ParameterBlock<T>& parameters() const noexcept {
    if constexpr (std::is_same_v<T, float>) {
      return *block;
    } else {
      return *block64;
    }
  }
};

/// How wide the rows are that enter the last layer, found by running the model on one node.
///
/// Errors   ConfigError for a model of one layer
template <Model M>
std::size_t hidden_width(const M& model) {
  using T = typename M::Scalar;
  if (model.num_layers() < 2) {
    throw ConfigError(
        "hidden_width: the student has one layer, want a hidden one to compare with the teacher's");
  }
  const AggregationSpec spec = model.aggregation();
  const EdgeId row_ptr[2] = {0, spec.self_loops ? EdgeId{1} : EdgeId{0}};
  const NodeId col[1] = {0};
  const EdgeId edge[1] = {0};
  const float weight[1] = {1};
  Adjacency one;
  one.forward = {1, 1, row_ptr, std::span(col).first(row_ptr[1]), std::span(weight).first(row_ptr[1])};
  one.transpose = one.forward;
  one.transpose_edge = std::span(edge).first(row_ptr[1]);
  const Tensor<T> x = Tensor<T>::zeros(1, model.in_features());
  NoTape<T> ctx;
  Var h = ctx.input(x.view());
  for (std::size_t l = 0; l + 1 < model.num_layers(); ++l) h = model.layer(ctx, l, one, h, Pass{});
  return ctx.cols(h);
}

/// A student that shows the loss the rows that enter its last layer; otherwise the model inside, which it owns.
///
///     TappedModel student{GcnNet<>({.in = F, .hidden = 64, .out = C})};
///     Distill loss{teacher, student, Logit{.temperature = 4}, Gcrd{}};
///
/// Terms may add heads to the student's parameter block: they train and are saved with it, and the model never reads
/// them.
/// Cost     nothing beyond the model's: the rows are kept for backward anyhow
template <Model M>
class TappedModel {
 public:
  using Scalar = typename M::Scalar;

  explicit TappedModel(M model) : model_(std::move(model)), tap_(std::make_shared<Tap>()) {}

  M& model() noexcept { return model_; }
  const M& model() const noexcept { return model_; }
  /// Where every recorded training pass leaves what it passed.
  std::shared_ptr<const Tap> tap() const noexcept { return tap_; }

  ParameterBlock<Scalar>& parameters() noexcept { return model_.parameters(); }
  const ParameterBlock<Scalar>& parameters() const noexcept { return model_.parameters(); }
  AggregationSpec aggregation() const { return model_.aggregation(); }
  std::size_t in_features() const { return model_.in_features(); }
  std::size_t out_features() const { return model_.out_features(); }
  std::size_t num_layers() const { return model_.num_layers(); }
  bool needs_all_rows() const { return tessera::needs_all_rows(model_); }
  bool accepts_sparse_input() const { return tessera::accepts_sparse_input(model_); }
  /// The model's; heads of terms keep theirs.
  void reset_parameters(std::uint64_t seed) { model_.reset_parameters(seed); }

  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack adjacencies, Var x, const Pass& pass) const {
    if constexpr (!Ctx::kRecords) {
      return model_.forward(ctx, adjacencies, x, pass);
    } else {
      const std::size_t last = model_.num_layers() - 1;
      for (std::size_t l = 0; l < last; ++l) {
        const Var y = model_.layer(ctx, l, adjacencies[l], x, pass);
        if (y != x) ctx.forget(x);
        x = y;
      }
      note(adjacencies[last], x, pass);
      return model_.layer(ctx, last, adjacencies[last], x, pass);
    }
  }
  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    return model_.layer(ctx, l, a, x, pass);
  }

 private:
  void note(const Adjacency& a, Var x, const Pass& pass) const {
    tap_->hidden = x;
    tap_->adjacency = a;
    tap_->key = pass.dropout_key;
    if constexpr (std::is_same_v<Scalar, float>) {
      tap_->block = &model_.parameters();
    } else {
      tap_->block64 = &model_.parameters();
    }
  }

  M model_;
  std::shared_ptr<Tap> tap_;
};

}  // namespace tessera
