// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/induced_block.hpp"
#include "tessera/sampling/mini_batch.hpp"
#include "tessera/sampling/saint/closed_form.hpp"
#include "tessera/sampling/saint/concepts.hpp"
#include "tessera/sampling/saint/count.hpp"
#include "tessera/sampling/saint/edge_draw.hpp"
#include "tessera/sampling/saint/frontier_draw.hpp"
#include "tessera/sampling/saint/node_draw.hpp"
#include "tessera/sampling/saint/normalization.hpp"
#include "tessera/sampling/saint/walk_draw.hpp"

namespace tessera {

/// The normalisation the options ask for; `SaintEstimate::closed_form` needs a sampler that has one.
///
/// Errors   ConfigError for wrong options or where there is no closed form
template <SubgraphDraw D>
SaintNormalization saint_normalization(const SampleSource& source, const D& draws,
                                       const SaintNormalizationOptions& options) {
  validate(options);
  const auto began = std::chrono::steady_clock::now();
  SaintNormalization out;
  switch (options.estimate) {
    case SaintEstimate::counted:
      out = count_inclusions(source, draws, options);
      break;
    case SaintEstimate::closed_form:
      if constexpr (ClosedFormDraw<D>) {
        out = exact_inclusions(source, draws, options);
      } else {
        throw ConfigError("saint_normalization: estimate is closed_form, which this sampler does not have");
      }
      break;
    case SaintEstimate::none:
      break;
  }
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return out;
}

/// GraphSAINT's batches: the links among nodes that `D` draws, with coefficients and loss weights corrected for
/// how often nodes and links are drawn.
///
///     SaintWalkSampler sampler(source, {.roots = 3000, .length = 2}, {.coverage = 50});
///
/// Coefficients are those `spec` gives in the whole graph, times 1 / alpha_uv: given that a node is in the
/// batch, its aggregation is on average that of the whole graph. Loss weights make the sum over a batch's
/// targets on average the mean over all targets; other nodes weigh 0. With SaintEstimate::none, coefficients
/// are those of the block and every target counts alike.
/// Shapes   a batch is one block over its nodes in ascending order, all of them targets; loss_weight [n]
/// Cost     sample: work O(drawn + N / 64 + sum of the nodes' degrees / T); holds 4 bytes per entry and 8 per
///          node, shared by copies; steady state allocates nothing once a batch of nearly the largest size was
///          seen
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
/// Source   Zeng et al., GraphSAINT: graph sampling based inductive learning method, ICLR 2020, algorithm 1
template <SubgraphDraw D>
class SaintSampler {
 public:
  using Draw = D;
  using Options = typename D::Options;
  struct Workspace {
    InducedBlockWorkspace block;
    typename D::Workspace draws;
    Array<NodeId> drawn;
  };

  /// Finds the normalisation, which can take seconds on a large graph.
  ///
  /// Errors   as D and saint_normalization
  SaintSampler(const SampleSource& source, const Options& options,
               const SaintNormalizationOptions& normalization = {})
      : state_(std::make_shared<State>(source, D(source, options))) {
    validate(normalization);
    finish(source, saint_normalization(source, state_->draws, normalization));
  }
  /// Takes a normalisation that was found before, by `saint_normalization` for this source and these draws.
  ///
  /// Errors   as D; ShapeError if the normalisation is one of another graph
  SaintSampler(const SampleSource& source, const Options& options, SaintNormalization normalization)
      : state_(std::make_shared<State>(source, D(source, options))) {
    if (!normalization.node.empty() && (normalization.node.size() != source.graph.num_rows ||
                                        normalization.edge.size() != source.graph.num_edges())) {
      throw ShapeError(message("SaintSampler: normalization covers ", normalization.node.size(),
                               " nodes and ", normalization.edge.size(), " entries, want ",
                               source.graph.num_rows, " and ", source.graph.num_edges()));
    }
    finish(source, std::move(normalization));
  }

  const D& draws() const noexcept { return state_->draws; }
  const SaintNormalization& normalization() const noexcept { return state_->normalization; }

  std::size_t num_batches(const SampleSource& source) const noexcept {
    const std::size_t budget = state_->draws.budget();
    return source.targets.empty() ? 0 : (source.targets.size() - 1) / budget + 1;
  }

  /// Errors   ShapeError if the source is not the one the sampler was made for; IndexError if key.batch is
  ///          num_batches() or more; otherwise as induced_block
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    check(source, key);
    validate(spec);
    const SaintNormalization& normalization = state_->normalization;
    batch.clear_optional();
    batch.blocks.resize(1);
    state_->draws.draw(source, key, workspace.draws, workspace.drawn);
    workspace.block.entries.set().collect(source.graph.num_rows, workspace.drawn, batch.node_id);
    detail::induced_block_of_set(source.graph, source.symmetric, batch.node_id, spec, workspace.block,
                                 batch.blocks[0], normalization.correction());
    const std::size_t n = batch.node_id.size();
    batch.num_targets = n;
    batch.halo_begin = n;
    batch.loss_weight.resize(state_->loss_weight.empty() ? 0 : n);
    for (std::size_t i = 0; i < batch.loss_weight.size(); ++i) {
      batch.loss_weight[i] = state_->loss_weight[batch.node_id[i]];
    }
  }

 private:
  struct State {
    State(const SampleSource& source, D d)
        : draws(std::move(d)),
          num_nodes(source.graph.num_rows),
          num_edges(source.graph.num_edges()),
          num_targets(source.targets.size()) {}

    D draws;
    SaintNormalization normalization;
    Array<float> loss_weight;  ///< [N], or empty without a correction
    std::size_t num_nodes;
    std::size_t num_edges;
    std::size_t num_targets;
  };

  void finish(const SampleSource& source, SaintNormalization normalization) {
    detail::check_targets("SaintSampler", source);
    if (!normalization.node.empty()) {
      state_->loss_weight.assign(source.graph.num_rows, 0.0f);
      for (const NodeId v : source.targets) {
        state_->loss_weight[v] = normalization.loss_weight(v, source.targets.size());
      }
    }
    state_->normalization = std::move(normalization);
  }

  void check(const SampleSource& source, BatchKey key) const {
    const State& own = *state_;
    if (source.graph.num_rows != own.num_nodes || source.graph.num_edges() != own.num_edges ||
        source.targets.size() != own.num_targets) {
      throw ShapeError(message("SaintSampler::sample: source has ", source.graph.num_rows, " nodes, ",
                               source.graph.num_edges(), " entries and ", source.targets.size(),
                               " targets, the sampler was made for ", own.num_nodes, ", ", own.num_edges,
                               " and ", own.num_targets));
    }
    if (key.batch >= num_batches(source)) {
      throw IndexError(message("SaintSampler::sample: key.batch is ", key.batch, ", want less than ",
                               num_batches(source)));
    }
  }

  std::shared_ptr<State> state_;  ///< not changed once the constructor is done
};

using SaintNodeSampler = SaintSampler<SaintNodeDraw>;
using SaintEdgeSampler = SaintSampler<SaintEdgeDraw>;
using SaintWalkSampler = SaintSampler<SaintWalkDraw>;
using SaintFrontierSampler = SaintSampler<SaintFrontierDraw>;

}  // namespace tessera
