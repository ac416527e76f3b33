// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/train/trainer.hpp"

namespace tessera {

struct LayerWiseOptions {
  std::size_t layers = 2;
  AggregationSpec aggregation{Normalization::row, true, 0.0f};  ///< A_hat
  FitOptions fit{.epochs = 80};                                 ///< of every layer
};

/// What layer-wise training leaves behind.
template <Model M>
struct LayerWiseFit {
  std::vector<M> layers;           ///< each a transform (its layer 0) and the classifier it was trained with
  std::vector<FitReport> reports;  ///< of each
  Tensor<float> logits;            ///< [N, C] of the last, on the whole graph
};

namespace detail {

inline Tensor<float> propagated(const PreparedAdjacency& a, MatrixView<const float> x) {
  Tensor<float> y(x.rows(), x.cols());
  spmm_sum(a.adjacency().forward, x, y.view());
  return y;
}

/// Layers [first, last) of a model that looks at no neighbours, on every row.
template <Model M>
Tensor<float> apply_rows(const M& model, std::size_t first, std::size_t last, MatrixView<const float> x) {
  const Adjacency each{{x.rows(), x.rows(), {}, {}, {}}, {}, {}};
  NoTape<float> ctx;
  Var y = ctx.input(x);
  for (std::size_t l = first; l < last; ++l) y = model.layer(ctx, l, each, y, Pass{});
  Tensor<float> out = ctx.take(y);
  ctx.rewind();
  return out;
}

}  // namespace detail

/// L-GCN: trains a deep network one layer at a time. Features are propagated once per layer, then the layer's
/// weights and a classifier of its own learn from rows alone; the weights are frozen, the next layer gets
/// their output.
///
///     auto fit = fit_layer_wise(data, {.layers = 2},
///                               [&](std::size_t in, std::size_t layer) {
///                                 return MlpNet<>({.in = in, .hidden = 128, .out = C, .layers = 2});
///                               },
///                               NeighborSampler({.fanouts = {0, 0}}), CrossEntropy{}, Adam{.lr = 0.001});
///
/// make_model(in, layer) gives a model of two layers that looks at no neighbours; the sampler makes batches of
/// rows (fan-outs of 0). With options.fit.inductive, training sees features propagated on train_graph; with
/// data.train_features, these.
/// Cost     L propagations in all, whatever the number of epochs; memory O(N F)
/// Errors   ConfigError for no layers, or a model without two layers; otherwise as Trainer::fit
/// Threads  as Trainer
/// Source   You et al., L2-GCN: layer-wise and learned efficient training of graph convolutional networks,
///          CVPR 2020, algorithm 1; the number of epochs is fixed, not learned
template <class MakeModel, Sampler S, class L, class O>
auto fit_layer_wise(const DatasetView& data, const LayerWiseOptions& options, MakeModel&& make_model,
                    const S& sampler, const L& loss, const O& optimizer) {
  using M = decltype(make_model(std::size_t{}, std::size_t{}));
  static_assert(std::is_same_v<typename M::Scalar, float>, "fit_layer_wise trains in float");
  if (options.layers == 0) throw ConfigError("fit_layer_wise: layers is 0, want at least 1");
  const PreparedAdjacency whole =
      prepare_adjacency(data.graph.view(), data.graph.symmetric, options.aggregation);
  std::optional<PreparedAdjacency> training;
  if (options.fit.inductive) {
    training.emplace(
        prepare_adjacency(data.train_graph.view(), data.train_graph.symmetric, options.aggregation));
  }
  LayerWiseFit<M> out;
  out.layers.reserve(options.layers);
  const PreparedAdjacency& seen = training ? *training : whole;
  const bool apart = training.has_value() || !data.train_features.empty();
  Tensor<float> x = detail::propagated(whole, data.features);
  Tensor<float> x_train;
  if (apart) x_train = detail::propagated(seen, training_features(data));
  for (std::size_t l = 0; l < options.layers; ++l) {
    out.layers.push_back(make_model(x.cols(), l));
    M& model = out.layers.back();
    if (model.num_layers() != 2) {
      throw ConfigError(message("fit_layer_wise: the model of layer ", l, " has ", model.num_layers(),
                                " layers, want 2: the transform and its classifier"));
    }
    DatasetView view = data;
    view.features = x.view();
    if (apart) view.train_features = x_train.view();
    Trainer trainer{model, S(sampler), loss, optimizer};
    out.reports.push_back(trainer.fit(view, options.fit));
    if (l + 1 == options.layers) {
      out.logits = detail::apply_rows(model, 0, 2, x.view());
      break;
    }
    x = detail::propagated(whole, detail::apply_rows(model, 0, 1, x.view()).view());
    if (apart) x_train = detail::propagated(seen, detail::apply_rows(model, 0, 1, x_train.view()).view());
  }
  return out;
}

}  // namespace tessera
