// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/concepts.hpp"

namespace tessera {

/// Least, mean and greatest of one number over the batches of an epoch; all 0 for no batch.
struct Spread {
  double min = 0;
  double mean = 0;
  double max = 0;
};

/// What a partition and its grouping into batches do to training, for one epoch.
///
/// Units    entropies in bits; entries are stored directed ones
struct ClusterDiagnostics {
  double cut_fraction = 0;     ///< entries between parts, over entries among nodes with a part
  Spread utilisation;          ///< per batch: entries inside it
  double kept_fraction = 0;    ///< entries used in the epoch, over entries among nodes with a part
  double part_entropy = 0;     ///< of the labels of a part, mean over parts weighted by labelled nodes
  double batch_entropy = 0;    ///< of the labels of a batch, likewise: what joining parts repairs
  double overall_entropy = 0;  ///< of all labels: what random batches would have
  Spread batch_nodes;
  Spread training_nodes;         ///< per batch
  Array<double> part_entropies;  ///< [parts]: of every part; empty for multi-label data
  Array<double> batch_entries;   ///< [batches]: entries inside every batch
};

namespace detail {

inline Spread spread_of(std::span<const double> values) {
  if (values.empty()) return {};
  Spread s{values[0], 0, values[0]};
  for (const double v : values) {
    s.min = std::min(s.min, v);
    s.max = std::max(s.max, v);
    s.mean += v / static_cast<double>(values.size());
  }
  return s;
}

/// Labels counted over groups of nodes.
class LabelEntropy {
 public:
  explicit LabelEntropy(std::size_t classes) : count_(classes, 0) {}

  void add(std::int32_t label) {
    if (label == kUnlabelled) return;
    ++count_[static_cast<std::size_t>(label)];
    ++labelled_;
  }
  /// Ends a group and returns its entropy.
  double close() {
    const auto total = static_cast<double>(labelled_);
    double bits = 0;
    for (const std::size_t c : count_) {
      const double p = static_cast<double>(c) / std::max(1.0, total);
      if (c > 0) bits -= p * std::log2(p);
    }
    sum_ += bits * total;
    weight_ += total;
    count_.assign(count_.size(), 0);
    labelled_ = 0;
    return bits;
  }
  /// The mean over groups, weighted by their labelled nodes.
  double mean() const noexcept { return weight_ > 0 ? sum_ / weight_ : 0.0; }

 private:
  Array<std::size_t> count_;
  std::size_t labelled_ = 0;
  double sum_ = 0;
  double weight_ = 0;
};

/// How many entries join nodes that `group` puts together.
inline std::uint64_t entries_inside(CsrView<> graph, std::span<const std::uint32_t> group) {
  return parallel_sum<std::uint64_t>(graph.num_rows, 1024, [&](std::size_t begin, std::size_t end) {
    std::uint64_t inside = 0;
    for (std::size_t i = begin; i < end; ++i) {
      if (group[i] == kNoNode) continue;
      for (const NodeId j : graph.neighbors(i)) inside += group[i] == group[j] ? 1u : 0u;
    }
    return inside;
  });
}

}  // namespace detail

/// Measures a cluster sampler on one epoch.
///
/// Shapes   source.graph [N, N]; labels over N (entropies are 0 for multi-label ones); roles [N]
/// Cost     work O(E + parts C); run once, not per epoch
/// Errors   ShapeError if labels, roles or the sampler's parts do not fit the graph; otherwise as ClusterSampler::sample
/// Source   Chiang et al., Cluster-GCN, KDD 2019, section 3.2 and figure 2 (label entropy, utilisation)
inline ClusterDiagnostics diagnose_clusters(const ClusterSampler& sampler, const SampleSource& source,
                                            const LabelsRef& labels, std::span<const Role> roles,
                                            std::uint64_t seed = 0, std::uint64_t epoch = 0) {
  const CsrView<> graph = source.graph;
  const bool with_labels = !labels.multilabel() && !labels.classes.empty();
  if (roles.size() != graph.num_rows || (with_labels && labels.classes.size() != graph.num_rows)) {
    throw ShapeError(message("diagnose_clusters: roles has ", roles.size(), " entries and labels.classes ",
                             labels.classes.size(), ", want ", graph.num_rows, ", one per node"));
  }
  if (sampler.num_nodes() != graph.num_rows) {
    throw ShapeError(message("diagnose_clusters: the sampler has ", sampler.num_nodes(), " nodes, want ",
                             graph.num_rows, " as source.graph"));
  }
  const std::size_t classes = with_labels ? labels.num_classes : 0;
  ClusterDiagnostics out;
  detail::LabelEntropy of_parts(classes);
  detail::LabelEntropy of_batches(classes);
  detail::LabelEntropy of_all(classes);
  Array<std::uint32_t> part_of(graph.num_rows, kNoNode);
  Array<std::uint32_t> everyone(graph.num_rows, kNoNode);
  for (std::size_t p = 0; p < sampler.num_parts(); ++p) {
    for (const NodeId i : sampler.part(p)) {
      part_of[i] = static_cast<std::uint32_t>(p);
      everyone[i] = 0;
      if (!with_labels) continue;
      of_parts.add(labels.classes[i]);
      of_all.add(labels.classes[i]);
    }
    const double bits = of_parts.close();
    if (with_labels) out.part_entropies.push_back(bits);
  }
  of_all.close();

  Array<double> entries;
  Array<double> nodes;
  Array<double> training;
  ClusterSampler::Workspace workspace;
  MiniBatch batch;
  double kept = 0;
  for (std::uint64_t b = 0; b < sampler.num_batches(source); ++b) {
    sampler.sample(source, {Normalization::none, false, 0.0f}, {seed, epoch, b}, workspace, batch);
    std::size_t train = 0;
    for (const NodeId i : batch.node_id) {
      train += roles[i] == Role::train ? 1u : 0u;
      if (with_labels) of_batches.add(labels.classes[i]);
    }
    of_batches.close();
    nodes.push_back(static_cast<double>(batch.num_nodes()));
    training.push_back(static_cast<double>(train));
    entries.push_back(static_cast<double>(batch.blocks[0].col.size()));
    kept += entries[entries.size() - 1];
  }

  const auto possible = static_cast<double>(detail::entries_inside(graph, everyone));
  const auto inside = static_cast<double>(detail::entries_inside(graph, part_of));
  out.cut_fraction = possible > 0 ? 1 - inside / possible : 0.0;
  out.kept_fraction = possible > 0 ? kept / possible : 0.0;
  out.utilisation = detail::spread_of(entries);
  out.batch_nodes = detail::spread_of(nodes);
  out.training_nodes = detail::spread_of(training);
  out.part_entropy = of_parts.mean();
  out.batch_entropy = of_batches.mean();
  out.overall_entropy = of_all.mean();
  out.batch_entries = std::move(entries);
  return out;
}

}  // namespace tessera
