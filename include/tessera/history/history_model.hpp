// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/graph_key.hpp"
#include "tessera/history/compensate.hpp"
#include "tessera/history/detail/layer_sweep.hpp"
#include "tessera/history/ops.hpp"
#include "tessera/history/policies.hpp"
#include "tessera/history/store.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/ops/add.hpp"

namespace tessera {

struct HistoryOptions {
  HistoryStoreOptions store = {};
  double noise_penalty =
      0;  ///< weight of the mean change of a hidden layer's rows under noise of its input, averaged
          ///< over layers; keeps Lipschitz constants small
  double noise = 0.1;  ///< standard deviation of that noise
};

/// Any model, trained on batches whose halo comes from a history: a model again, so that trainers, losses, hooks and
/// checkpoints stay what they are.
///
///     HistoryModel model(GcnNet<>({...}), data.num_nodes());
///     Trainer trainer{model, HaloSampler(parts, {.clusters_per_batch = 2}), CrossEntropy{}, Adam{}};
///     trainer.fit(data, {}, RefreshHistory{});
///
/// In training, each layer's rows of the batch are pushed before dropout, and the next layer gets them together with the
/// halo's rows as the history holds them, constants to backward. A table belongs to a layer, its rows to the nodes
/// of one graph: that of an inductive run's training, or the one the first refresh saw. Inference over that graph
/// refreshes all tables, layer by layer, and inference over another one leaves them alone. Backward and forward see exact
/// features in layer 0.
/// Which method it is, is a matter of the sampler and the policy: see PullHistory, ControlVariateDropout,
/// FeatureMomentum, MessageCompensation.
/// Cost     that of the model on the batch's rows, and (halo + batch) rows of F numbers moved per table and step
/// Errors   ConfigError if the policy needs rows of the halo and batches bring none; ShapeError if a batch's blocks do
///          not fit one another; those of the model and of HistoryStore
/// Threads  one pass at a time; results independent of T and of HistoryStoreOptions::overlap
/// Source   Fey, Lenssen, Weichert & Leskovec, GNNAutoScale: scalable and expressive graph neural networks via historical
///          embeddings, ICML 2021, algorithm 1. The noise penalty's noise enters before the aggregation, so that it
///          works for any layer
template <Model M, HistoryPolicy P = PullHistory>
class HistoryModel {
 public:
  using Scalar = typename M::Scalar;
  using Options = HistoryOptions;
  using Store = HistoryStore<Scalar>;

  HistoryModel(M model, std::size_t num_nodes, const Options& options = {}, P policy = {})
      : model_(std::move(model)),
        options_(options),
        policy_(policy),
        store_(std::make_unique<Store>(num_nodes, options.store)) {
    policy_.check();
    if (!(options.noise_penalty >= 0) || !(options.noise >= 0)) {
      throw ConfigError(message("HistoryModel: noise_penalty is ", options.noise_penalty, " and noise ",
                                options.noise, ", want at least 0"));
    }
  }

  M& model() noexcept { return model_; }
  const M& model() const noexcept { return model_; }
  Store& store() const noexcept { return *store_; }
  const P& policy() const noexcept { return policy_; }

  ParameterBlock<Scalar>& parameters() { return model_.parameters(); }
  const ParameterBlock<Scalar>& parameters() const { return model_.parameters(); }
  void reset_parameters(std::uint64_t seed) { model_.reset_parameters(seed); }
  AggregationSpec aggregation() const { return model_.aggregation(); }
  std::size_t num_layers() const { return model_.num_layers(); }
  std::size_t in_features() const { return model_.in_features(); }
  std::size_t out_features() const { return model_.out_features(); }
  bool needs_all_rows() const { return tessera::needs_all_rows(model_); }
  /// Rows of the halo are features in another order, which sparse ones do not come in.
  bool accepts_sparse_input() const { return !P::kComputesHalo && tessera::accepts_sparse_input(model_); }

  /// Logits of the batch's targets. Outside training, and where nobody said which nodes the rows are, the model's own.
  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack adjacencies, Var x, const Pass& pass) const {
    if (!pass.training || adjacencies.rows().node_id.empty())
      return model_.forward(ctx, adjacencies, x, pass);
    store_->begin_step();
    Pass inner = pass;
    inner.drop_inputs = true;
    if constexpr (P::kSendsGradients) {
      return compensated(ctx, adjacencies, x, inner);
    } else {
      return pulled(ctx, adjacencies, x, inner);
    }
  }

  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    return model_.layer(ctx, l, a, x, pass);
  }

  bool keeps_history() const noexcept { return true; }
  /// Says which graph the tables belong to.
  ///
  /// Cost     one pass over the entries
  /// Errors   ShapeError for another number of nodes, ConfigError if they belong to another graph already
  void keep_for(const Adjacency& adjacency) const {
    if (adjacency.num_dst() != store_->num_nodes()) {
      throw ShapeError(message("HistoryModel::keep_for: the graph has ", adjacency.num_dst(),
                               " nodes, the tables ", store_->num_nodes()));
    }
    const std::uint64_t graph = graph_key(adjacency.forward);
    if (graph_.value_or(graph) != graph) {
      throw ConfigError(message("HistoryModel::keep_for: the tables belong to another graph (content id ",
                                *graph_, ", this one's is ", graph, "); make a new model for it"));
    }
    graph_ = graph;
  }

  /// Inference over a whole graph, which makes every table exact for the present weights: what `infer` runs. None
  /// where the tables belong to another graph, or the graph has other nodes.
  ///
  /// `entries`, where the caller has them, are the features by their entries, read in their place without a budget.
  /// Shapes   adjacency [N, N], features [N, F_in] -> [N, C]
  /// Units    memory_budget in bytes of activations beside the tables; 0 = as many as it takes
  /// Cost     as `infer`; with a budget, layers read their inputs from the tables, rounded as those are
  /// Errors   ConfigError naming the bytes if the budget does not hold the inputs of one row, or blocks of rows would
  ///          change the result (norms over all rows)
  std::optional<Tensor<Scalar>> infer_layers(const Adjacency& adjacency, MatrixView<const float> features,
                                             std::size_t memory_budget,
                                             const SparseInput* entries = nullptr) const {
    if (adjacency.num_dst() != store_->num_nodes()) return std::nullopt;
    const std::uint64_t graph = graph_key(adjacency.forward);
    if (graph_.value_or(graph) != graph) return std::nullopt;
    graph_ = graph;
    store_->begin_step();
    return detail::LayerSweep<M>{model_, *store_, P::kSendsGradients}.run(adjacency, features, entries,
                                                                          memory_budget);
  }

 private:
  /// Waits for the history before buffers that it may still fill go away.
  struct Settled {
    Store& store;
    ~Settled() { store.settle(); }
  };
  using Ticket = typename Store::Ticket;

  static constexpr bool kAddsNoise = [] {
    if constexpr (requires { P::kAddsNoise; }) return P::kAddsNoise;
    return false;
  }();

  static std::size_t computed_rows(const Adjacency& a) {
    if (a.pulled.size() > a.num_src()) {
      throw ShapeError(
          message("HistoryModel: a block has ", a.num_src(), " sources and pulls ", a.pulled.size()));
    }
    const std::size_t rows = a.num_src() - a.pulled.size();
    if (!kAddsNoise) return rows;
    if (rows % 2 != 0) {
      throw ConfigError(message("HistoryModel: a block has ", rows,
                                " sources beside its history, want two for every row: set "
                                "ControlVariateSamplerOptions::noise_columns"));
    }
    return rows / 2;
  }

  /// Buffers for the inputs of layers 1, 2, ..., their last rows asked for: those whose width is known.
  struct Pulled {
    Tensor<Scalar> rows;
    Ticket ticket = 0;
    bool asked = false;
  };
  void ask(const Adjacency& a, std::size_t slot, std::size_t width, Pulled& out) const {
    out.rows.resize(a.num_src(), width);
    out.ticket = store_->pull(slot, a.pulled,
                              out.rows.view().middle_rows(a.num_src() - a.pulled.size(), a.pulled.size()));
    out.asked = true;
  }

  template <class Ctx>
  Var pulled(Ctx& ctx, const AdjacencyStack& adjacencies, Var x, const Pass& pass) const {
    const std::size_t layers = model_.num_layers();
    const std::span<const NodeId> nodes = adjacencies.rows().node_id;
    std::vector<Pulled>& buffers = buffers_;
    buffers.resize(layers);
    for (Pulled& buffer : buffers) buffer = {};
    const Settled settled{*store_};
    if constexpr (!P::kComputesHalo) {
      for (std::size_t l = 1; l < layers; ++l) {
        const HistoryTable<Scalar>* table = store_->find(l);
        if (table != nullptr && !adjacencies[l].pulled.empty())
          ask(adjacencies[l], l, table->cols(), buffers[l]);
      }
    }
    Var h = x;
    Var penalty;
    Ticket pushed = 0;
    for (std::size_t l = 0; l < layers; ++l) {
      const Var y = model_.layer(ctx, l, adjacencies[l], h, pass);
      if (options_.noise_penalty > 0 && l > 0 && l + 1 < layers) {
        penalty = penalized(ctx, l, adjacencies[l], h, y, pass, penalty);
      }
      if (l + 1 == layers) {
        store_->wait(pushed);
        if (h != x) ctx.forget(h);
        return penalty
                   ? with_penalty(ctx, y, penalty, options_.noise_penalty / static_cast<double>(layers - 1))
                   : y;
      }
      const Adjacency& next = adjacencies[l + 1];
      if (computed_rows(next) != ctx.rows(y)) {
        throw ShapeError(message("HistoryModel: layer ", l, " gives ", ctx.rows(y), " rows, the next wants ",
                                 computed_rows(next), " and pulls ", next.pulled.size()));
      }
      const bool alone = next.pulled.empty() && !kAddsNoise;
      const Var joined = alone ? y : join(ctx, l, adjacencies, h, y, buffers[l + 1], pass);
      store_->wait(pushed);
      if (h != x) ctx.forget(h);
      if (joined != y) ctx.forget(y);
      h = joined;
      const std::size_t rows = ctx.rows(y);
      pushed = store_->push(l + 1, nodes.first(rows), ctx.value(h).middle_rows(0, rows));
    }
    return h;
  }

  /// y with the halo's rows behind it.
  template <class Ctx>
  Var join(Ctx& ctx, std::size_t l, const AdjacencyStack& adjacencies, Var h, Var y, Pulled& buffer,
           const Pass& pass) const {
    const Adjacency& next = adjacencies[l + 1];
    if (!buffer.asked) ask(next, l + 1, ctx.cols(y), buffer);
    store_->wait(buffer.ticket);
    if constexpr (P::kComputesHalo) {
      const Tensor<Scalar> fresh = halo_rows(ctx, l, adjacencies, h);
      const MatrixView<Scalar> rows = buffer.rows.view().middle_rows(computed_rows(next), next.pulled.size());
      const Scalar gamma = static_cast<Scalar>(policy_.gamma);
      parallel_for(rows.rows(), 256, [&](std::size_t i, std::size_t end) {
        for (; i < end; ++i) {
          for (std::size_t j = 0; j < rows.cols(); ++j) {
            rows(i, j) = (Scalar{1} - gamma) * rows(i, j) + gamma * fresh(i, j);
          }
        }
      });
      store_->wait(store_->push(l + 1, next.pulled, rows));
    }
    if constexpr (kAddsNoise) {
      // The trunk drops nothing; these calls of dropout are the policy's own.
      return join_noise(ctx, y, std::move(buffer.rows),
                        {policy_.dropout, pass.dropout_key, static_cast<std::uint32_t>(0x20000 + l)});
    } else {
      return join_rows(ctx, y, std::move(buffer.rows));
    }
  }

  /// The rows of the halo as the batch shows them, outside of training.
  template <class Ctx>
  Tensor<Scalar> halo_rows(Ctx& ctx, std::size_t l, const AdjacencyStack& adjacencies, Var h) const {
    const Adjacency& halo = halo_of(adjacencies);
    const MatrixView<const Scalar> in = ctx.value(h);
    NoTape<Scalar> aside;
    const Var turned = rotate_rows(aside, aside.input(in), in.rows() - halo.num_dst());
    return aside.take(model_.layer(aside, l, halo, turned, Pass{}));
  }

  static const Adjacency& halo_of(const AdjacencyStack& adjacencies) {
    if (adjacencies.rows().halo != nullptr) return *adjacencies.rows().halo;
    throw ConfigError(
        "HistoryModel: this policy needs rows of the halo, the batch has none; set "
        "HaloSamplerOptions::halo_rows");
  }

  template <class Ctx>
  Var penalized(Ctx& ctx, std::size_t l, const Adjacency& a, Var h, Var y, const Pass& pass,
                Var penalty) const {
    // The trunk's own calls of dropout are few; these numbers lie beyond them.
    const auto call = static_cast<std::uint32_t>(0x10000 + l);
    const Var shaken = add_noise(ctx, h, options_.noise, pass.dropout_key, call);
    const Var moved = model_.layer(ctx, l, a, shaken, pass);
    const Var distance = mean_row_distance(ctx, y, moved);
    return penalty ? add(ctx, penalty, distance) : distance;
  }

  template <class Ctx>
  Var compensated(Ctx& ctx, const AdjacencyStack& adjacencies, Var x, const Pass& pass) const {
    const std::size_t layers = model_.num_layers();
    const HistoryRows& rows = adjacencies.rows();
    const Adjacency& batch = adjacencies[0];
    if (adjacencies.size() != 1)
      throw ConfigError("HistoryModel: compensation needs one block for all layers");
    Var h = x;
    for (std::size_t l = 0; l < layers; ++l) {
      const Var own = model_.layer(ctx, l, batch, h, pass);
      const std::size_t count = ctx.rows(own);
      if (batch.pulled.empty()) {
        // Nothing to compensate: the batch is a union of components, or everything.
        const Var kept =
            compensate(ctx, own, Var{}, {*store_, l + 1, rows.node_id, policy_, {}, l + 1 < layers});
        if (h != x) ctx.forget(h);
        h = kept;
        continue;
      }
      const Adjacency& halo = halo_of(adjacencies);
      const Var turned = rotate_rows(ctx, h, count);
      if constexpr (Ctx::kRecords) ctx.freeze_parameters(true);
      const Var around = model_.layer(ctx, l, halo, turned, pass);
      if constexpr (Ctx::kRecords) ctx.freeze_parameters(false);
      ctx.forget(turned);
      const Var mixed = compensate(ctx, own, around,
                                   {*store_, l + 1, rows.node_id, policy_, rows.halo_share, l + 1 < layers});
      if (h != x) ctx.forget(h);
      ctx.forget(own);
      ctx.forget(around);
      h = mixed;
    }
    return h;
  }

  M model_;
  Options options_;
  P policy_;
  std::unique_ptr<Store> store_;
  mutable std::vector<Pulled> buffers_;         // of the step under way
  mutable std::optional<std::uint64_t> graph_;  // the tables belong to
};

}  // namespace tessera
