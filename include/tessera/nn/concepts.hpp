// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/autograd/no_tape.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// How a model is run this time.
struct Pass {
  bool training = false;  ///< dropout is active
  /// Layers hand on their outputs before dropout and drop what they are given instead: what a history keeps is
  /// not dropped, and rows taken from it are dropped like the batch's own. Changes no number where no rows are
  /// added on the way and no residual is.
  bool drop_inputs = false;
  RngKey dropout_key{};  ///< of this step and batch; every dropout of the pass adds its own call number
};

/// What the rows of the logits should become. Exactly one of `classes` and `indicators` is set.
///
/// Shapes   classes [N], -1 = not counted; indicators [N, C] of 0 and 1 (NaN = not counted); weights [N], or
///          empty where every row weighs 1
struct Targets {
  std::span<const std::int32_t> classes{};
  MatrixView<const float> indicators{};
  std::span<const float> weights{};
  /// What the weighted sum over the rows is divided by; 0: the weights that count. A sampler whose weights
  /// estimate a mean over all targets (GraphSAINT) wants 1.
  double weight_total = 0;
  /// Which node (or graph) each row is, for losses that know more of it; further nodes of the batch may follow. Empty:
  /// row i is node i.
  std::span<const NodeId> node_id{};
};

/// What training needs of a model: a map from (adjacencies, node features) to logits, with parameters.
///
/// Semantics no compiler can check: the result depends on the arguments and parameters only, for any number of
/// threads; with `pass.training` off nothing is random; `Tape` and `NoTape` give the same values. Logits have
/// a row per destination of the last block, or per target of the read-out where the stack has one.
template <class M>
concept TrainableModel = Real<typename M::Scalar> &&
    requires(M& model, const M& constant, Tape<typename M::Scalar>& tape, NoTape<typename M::Scalar>& no_tape,
             AdjacencyStack adjacencies, Var x, Pass pass, std::uint64_t seed) {
  { model.parameters() } -> std::same_as<ParameterBlock<typename M::Scalar>&>;
  { constant.parameters() } -> std::same_as<const ParameterBlock<typename M::Scalar>&>;
  { constant.aggregation() } -> std::same_as<AggregationSpec>;
  { constant.in_features() } -> std::same_as<std::size_t>;
  { constant.out_features() } -> std::same_as<std::size_t>;
  { constant.forward(tape, adjacencies, x, pass) } -> std::same_as<Var>;
  { constant.forward(no_tape, adjacencies, x, pass) } -> std::same_as<Var>;
  model.reset_parameters(seed);
};

/// Whether a model says by `needs_all_rows()` that its layers take statistics over the rows they are given, so that
/// they may not be run on some rows at a time.
template <class M>
bool needs_all_rows(const M& model) {
  if constexpr (requires {
                  { model.needs_all_rows() } -> std::convertible_to<bool>;
                }) {
    return model.needs_all_rows();
  } else {
    return false;
  }
}

/// Whether a model says by `accepts_sparse_input()` that it only drops and multiplies its features, so that they may
/// come as a SparseInput.
template <class M>
bool accepts_sparse_input(const M& model) {
  if constexpr (requires {
                  { model.accepts_sparse_input() } -> std::convertible_to<bool>;
                }) {
    return model.accepts_sparse_input();
  } else {
    return false;
  }
}

/// Whether a model says by `keeps_history()` that it keeps what its layers computed for the nodes of one graph, which
/// `keep_for(adjacency)` names.
template <class M>
bool keeps_history(const M& model) {
  if constexpr (requires {
                  { model.keeps_history() } -> std::convertible_to<bool>;
                }) {
    return model.keeps_history();
  } else {
    return false;
  }
}

/// A model of nodes, which layer-wise inference can run one layer at a time.
///
/// Semantics no compiler can check: `forward` equals `layer(0)`, ..., `layer(L - 1)` in turn, bit for bit; one
/// block of N_src -> N_dst nodes maps [N_src, F] to [N_dst, F'].
template <class M>
concept Model = TrainableModel<M> &&
    requires(const M& constant, Tape<typename M::Scalar>& tape, NoTape<typename M::Scalar>& no_tape,
             const Adjacency& adjacency, Var x, Pass pass, std::size_t layer) {
  { constant.num_layers() } -> std::same_as<std::size_t>;
  { constant.layer(tape, layer, adjacency, x, pass) } -> std::same_as<Var>;
  { constant.layer(no_tape, layer, adjacency, x, pass) } -> std::same_as<Var>;
};

namespace detail {

/// Row strides of what each layer gives, seen on a node without neighbours.
template <Model M>
Array<std::size_t> layer_strides(const M& model) {
  using T = typename M::Scalar;
  const Array<EdgeId> row_ptr(2, EdgeId{0});
  Adjacency alone;
  alone.forward = {1, 1, row_ptr.span(), {}, {}};
  alone.transpose = alone.forward;
  Array<std::size_t> strides(model.num_layers());
  Tensor<T> row = Tensor<T>::zeros(1, model.in_features());
  NoTape<T> ctx;
  for (std::size_t l = 0; l < strides.size(); ++l) {
    row = ctx.take(model.layer(ctx, l, alone, ctx.input(std::as_const(row).view()), Pass{}));
    ctx.rewind();
    strides[l] = row.stride();
  }
  return strides;
}

}  // namespace detail

/// A number to make small: the mean over the counted targets, 0 where none counts, as a [1, 1] value.
template <class L, class T>
concept Loss = Real<T> &&
    requires(const L& loss, Tape<T>& tape, NoTape<T>& no_tape, Var logits, const Targets& targets) {
  { loss(tape, logits, targets) } -> std::same_as<Var>;
  { loss(no_tape, logits, targets) } -> std::same_as<Var>;
};

/// Turns gradients into steps. The object holds hyper-parameters and may be copied; `State` holds the buffers
/// of one run and shows them to checkpoints through `visit(f)`, which calls f(name, span or counter).
///
/// Semantics no compiler can check: `step` reads the gradients and leaves them; a step with a gradient that
/// is not finite throws and changes nothing; zero gradient and zero value stay zero (the block's padding).
template <class O, class T>
concept Optimizer = Real<T> && std::copyable<O> &&
    requires(const O& optimizer, const ParameterBlock<T>& block, ParameterBlock<T>& trained,
             typename O::template State<T>& state, double lr_factor) {
  { optimizer.template start<T>(block) } -> std::same_as<typename O::template State<T>>;
  optimizer.step(state, trained, lr_factor);
};

}  // namespace tessera
