// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/graph/sparse_features.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/nn/autograd/sparse_input.hpp"
#include "tessera/sampling/mini_batch.hpp"
#include "tessera/train/concepts.hpp"
#include "tessera/train/role_targets.hpp"

namespace tessera {

/// Whether the batch's rows are all N nodes in order.
inline bool is_whole_graph(const MiniBatch& batch, std::size_t num_nodes) {
  if (batch.node_id.size() != num_nodes) return false;
  return parallel_sum<std::size_t>(num_nodes, 4096, [&](std::size_t i, std::size_t end) {
           std::size_t moved = 0;
           for (; i < end; ++i) moved += batch.node_id[i] != i ? 1u : 0u;
           return moved;
         }) == 0;
}

/// What a model and a loss need of one batch: adjacencies, features and training targets. Reused from batch
/// to batch, so that a steady state allocates nothing.
///
/// A batch that is the whole graph in order borrows everything from the data.
template <Real T>
class BatchInputs {
 public:
  /// Takes in a batch. `train` holds the labelled training nodes of `data`; all other targets are not
  /// counted. `entries`, where the caller has them, are the training features by their entries and taken in
  /// their place.
  ///
  /// Cost     copies n F features and num_targets C labels; nothing but a check of the order for the whole
  ///          graph
  /// Errors   IndexError if a node id is not below N; ShapeError if the batch contradicts itself
  template <NodeData D>
  void assign(const MiniBatch& batch, const D& data, const RoleTargets& train,
              const SparseFeatures* entries = nullptr) {
    const MatrixView<const float> features = training_features(data);
    const std::span<const NodeId> ids = batch.node_id;
    check(batch, features.rows());
    levels_.clear();
    for (const Block& block : batch.blocks) {
      Adjacency& level = levels_.emplace_back(block.adjacency());
      if constexpr (requires { MatrixView<const float>(data.edge_features); }) {
        level.edge_features = data.edge_features;
        level.edge_id = block.edge_id;
      }
    }
    has_readout_ = batch.readout.num_dst > 0;
    if (has_readout_) readout_ = batch.readout.adjacency();
    has_halo_ = batch.halo.num_dst > 0;
    if (has_halo_) halo_ = batch.halo.adjacency();
    halo_share_ = batch.halo_share;
    ids_ = ids;

    sparse_ = entries != nullptr;
    const bool whole = is_whole_graph(batch, features.rows());
    if constexpr (GatheredFeatures<D>) {
      static_assert(std::is_same_v<T, float>, "gathered features are float");
      gathered_.resize(ids.size(), features.cols());
      data.gather_features(ids, gathered_.view());
      x_ = gathered_.view();
    } else if (entries != nullptr) {
      if (!whole) gathered_entries_.gather(*entries, ids);
      entries_ = (whole ? entries : &gathered_entries_)->adjacency();
      x_ = MatrixView<const T>(nullptr, ids.size(), features.cols());
    } else if (whole && std::is_same_v<T, float>) {
      if constexpr (std::is_same_v<T, float>) x_ = features;
    } else {
      gathered_.resize(ids.size(), features.cols());
      gather_rows(features, ids, gathered_.view());
      x_ = gathered_.view();
    }
    const bool of_nodes = batch.target_id.empty();
    if (whole && of_nodes && batch.num_targets == ids.size() && batch.loss_weight.empty()) {
      targets_ = train.targets(data);
      labelled_ = train.rows.size();
      return;
    }
    const std::span<const NodeId> target_ids = of_nodes ? ids.first(batch.num_targets) : batch.target_id;
    if (!of_nodes) check_below(target_ids, num_targets(data), "target");
    if (train.row_weight.empty()) {
      assign_classes(target_ids, batch.loss_weight, train);
    } else {
      assign_indicators(target_ids, batch.loss_weight, train, data.labels.indicators);
    }
    targets_.node_id = of_nodes ? ids : target_ids;
  }

  AdjacencyStack adjacencies() const noexcept {
    return AdjacencyStack(levels_, has_readout_ ? &readout_ : nullptr,
                          {ids_, has_halo_ ? &halo_ : nullptr, halo_share_});
  }
  /// The features as a constant of this pass.
  template <class Ctx>
  Var features(Ctx& ctx) const {
    return sparse_ ? ctx.input(SparseInput{entries_, {}, entries_.num_dst()}) : ctx.input(x_);
  }
  const Targets& targets() const noexcept { return targets_; }
  /// Targets that count.
  std::size_t labelled() const noexcept { return labelled_; }

 private:
  static constexpr std::size_t kGrain = 4096;

  static void check(const MiniBatch& batch, std::size_t num_nodes) {
    const std::span<const NodeId> ids = batch.node_id;
    const std::size_t halo = batch.halo_targets ? batch.halo.num_dst : 0;
    const bool leads =
        batch.readout.num_dst == 0
            ? !batch.blocks.empty() && batch.blocks.back().num_dst + halo == batch.num_targets &&
                  batch.num_targets <= ids.size() && batch.target_id.empty()
            : !batch.blocks.empty() && batch.blocks.back().num_dst == batch.readout.num_src &&
                  batch.readout.num_dst == batch.num_targets && batch.target_id.size() == batch.num_targets;
    if (!leads || batch.blocks.front().num_src != ids.size()) {
      throw ShapeError(message("Trainer: a batch has ", batch.blocks.size(), " blocks, ", ids.size(),
                               " nodes and ", batch.num_targets,
                               " targets, want blocks that lead from the nodes to the targets"));
    }
    if (!batch.loss_weight.empty() && batch.loss_weight.size() != batch.num_targets) {
      throw ShapeError(message("Trainer: a batch has ", batch.loss_weight.size(), " loss weights, want ",
                               batch.num_targets));
    }
    check_below(ids, num_nodes, "node");
  }

  static void check_below(std::span<const NodeId> ids, std::size_t end, std::string_view what) {
    const NodeId largest = parallel_reduce(
        ids.size(), kGrain, NodeId{0},
        [&](std::size_t i, std::size_t last) {
          return *std::max_element(ids.begin() + static_cast<std::ptrdiff_t>(i),
                                   ids.begin() + static_cast<std::ptrdiff_t>(last));
        },
        [](NodeId a, NodeId b) { return std::max(a, b); });
    if (!ids.empty() && largest >= end) {
      throw IndexError(message("Trainer: a batch holds ", what, " ", largest, ", want below ", end));
    }
  }

  void assign_classes(std::span<const NodeId> ids, std::span<const float> weights, const RoleTargets& train) {
    classes_.resize(ids.size());
    labelled_ = parallel_sum<std::size_t>(ids.size(), kGrain, [&](std::size_t i, std::size_t end) {
      std::size_t count = 0;
      for (; i < end; ++i) {
        classes_[i] = train.classes[ids[i]];
        count += classes_[i] >= 0 ? 1u : 0u;
      }
      return count;
    });
    targets_ = {classes_.span(), {}, weights, weights.empty() ? 0.0 : 1.0};
  }

  void assign_indicators(std::span<const NodeId> ids, std::span<const float> weights,
                         const RoleTargets& train, MatrixView<const float> indicators) {
    indicators_.resize(ids.size(), indicators.cols());
    gather_rows(indicators, ids, indicators_.view());
    row_weight_.resize(ids.size());
    labelled_ = parallel_sum<std::size_t>(ids.size(), kGrain, [&](std::size_t i, std::size_t end) {
      std::size_t count = 0;
      for (; i < end; ++i) {
        const float counted = train.row_weight[ids[i]];
        row_weight_[i] = weights.empty() ? counted : counted * weights[i];
        count += counted > 0 ? 1u : 0u;
      }
      return count;
    });
    targets_ = {{}, indicators_.view(), row_weight_.span(), weights.empty() ? 0.0 : 1.0};
  }

  std::vector<Adjacency> levels_;
  Adjacency readout_;
  bool has_readout_ = false;
  Adjacency halo_;
  bool has_halo_ = false;
  std::span<const float> halo_share_;
  std::span<const NodeId> ids_;  // of the batch
  bool sparse_ = false;
  Adjacency entries_;
  SparseFeatures gathered_entries_;
  Tensor<T> gathered_;
  Array<std::int32_t> classes_;
  Tensor<float> indicators_;
  Array<float> row_weight_;
  MatrixView<const T> x_;
  Targets targets_;
  std::size_t labelled_ = 0;
};

}  // namespace tessera
