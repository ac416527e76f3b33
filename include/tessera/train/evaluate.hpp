// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <span>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/train/concepts.hpp"
#include "tessera/train/infer.hpp"
#include "tessera/train/infer_graphs.hpp"
#include "tessera/train/infer_rows.hpp"
#include "tessera/train/metrics.hpp"
#include "tessera/train/records.hpp"
#include "tessera/train/roc_auc.hpp"
#include "tessera/train/role_targets.hpp"

namespace tessera {

/// The labelled nodes of the three roles of a data set, found once per run.
struct SplitTargets {
  RoleTargets train;
  RoleTargets val;
  RoleTargets test;
};

template <NodeData D>
SplitTargets split_targets(const D& data) {
  return {targets_of(data, Role::train), targets_of(data, Role::val), targets_of(data, Role::test)};
}

/// Loss and metric of logits on one role; count 0 where it has no labelled node.
///
/// Shapes   logits [N, C]
template <NodeData D, class L, Real T>
  requires Loss<L, T> Score score(MatrixView<const T> logits, const D& data, const RoleTargets& role,
                                  const L& loss, Metric metric) {
    if (role.rows.empty()) return {};
    NoTape<T> ctx;
    const Var value = loss(ctx, ctx.input(logits), role.targets(data));
    const LabelView labels{data.labels.classes, data.labels.indicators};
    return {static_cast<double>(ctx.value(value)(0, 0)), measure(metric, logits, labels, role.rows),
            role.rows.size()};
  }

/// Runs the model over the whole graph, or over all graphs, once, without dropout, and scores all three roles.
///
/// `entries`, where the caller has them: data.features by their entries, for models that accept them.
/// This is the transductive protocol and, because training saw another graph, the inductive one as well.
/// Cost     one inference and three passes over the logits
/// Errors   those of `infer` and of the metric
template <TrainableModel M, NodeData D, class L>
  requires(Loss<L, typename M::Scalar> && (Model<M> || WholeGraphData<D>))
Evaluation evaluate(const M& model, const Adjacency& whole, const D& data, const SplitTargets& split,
                    const L& loss, Metric metric = Metric::automatic, const InferOptions& options = {},
                    const SparseFeatures* entries = nullptr) {
  const auto start = std::chrono::steady_clock::now();
  const auto logits = [&] {
    const MatrixView<const float> features = data.features;
    if constexpr (GatheredFeatures<D>) {
      return infer_rows(model, whole.forward, data);
    } else if constexpr (WholeGraphData<D>) {
      return infer_graphs(model, whole.forward, data.node_ptr, features, 32768,
                          edge_features_for(data, whole.forward));
    } else {
      return infer(model, whole, features, options, entries);
    }
  }();
  Evaluation out;
  out.train = score(logits.view(), data, split.train, loss, metric);
  out.val = score(logits.view(), data, split.val, loss, metric);
  out.test = score(logits.view(), data, split.test, loss, metric);
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

/// The same from nothing but a model and its data: prepares the adjacency and the targets.
template <TrainableModel M, NodeData D, class L>
  requires(Loss<L, typename M::Scalar> && (Model<M> || WholeGraphData<D>))
Evaluation evaluate(const M& model, const D& data, const L& loss, Metric metric = Metric::automatic,
                    const InferOptions& options = {}) {
  check_node_data(data, "evaluate");
  const PreparedAdjacency whole =
      prepare_adjacency(data.graph.view(), data.graph.symmetric, model.aggregation());
  return evaluate(model, whole.adjacency(), data, split_targets(data), loss, metric, options);
}

}  // namespace tessera
