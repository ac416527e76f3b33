// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/history/history_model.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/sampling/halo_sampler.hpp"

// A small graph with features, losses and parts, in double, and what a step on all of it or on a batch gives.

namespace tessera::testing {

inline double number(std::uint64_t seed, std::size_t i, std::size_t j) {
  return 2 * CounterRng(make_key(seed, j, Purpose::generic), 0, i).uniform() - 1;
}

inline Tensor<double> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  Tensor<double> out(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) out(i, j) = number(seed, i, j);
  }
  return out;
}

/// About `degree` links per node, node 0 a hub, the last two nodes isolated.
inline CsrGraph random_graph(std::size_t nodes, std::size_t degree, std::uint64_t seed,
                             bool symmetric = true) {
  Links links;
  for (std::size_t i = 0; i + 2 < nodes; ++i) {
    CounterRng rng(make_key(seed, 0, Purpose::generate), 0, i);
    for (std::size_t k = 0; k < degree / 2 + 1; ++k) {
      const auto j = static_cast<NodeId>(rng.below(nodes - 2));
      if (j != i) links.push_back({static_cast<NodeId>(i), j});
    }
    if (i % 3 == 1) links.push_back({static_cast<NodeId>(i), 0});
  }
  return symmetric ? undirected(nodes, links) : directed(nodes, links);
}

/// Node i is in part (i * stride) % parts, so that parts are no ranges; the stride shares no factor with few parts.
inline std::vector<PartId> scattered_parts(std::size_t nodes, std::size_t parts) {
  std::vector<PartId> out(nodes);
  const std::size_t stride = parts % 7 == 0 ? 11 : 7;
  for (std::size_t i = 0; i < nodes; ++i) out[i] = part_id(i * stride % parts);
  return out;
}

struct HistoryCase {
  CsrGraph graph;
  Tensor<float> x;      // [N, F], float as data sets have it
  Tensor<double> loss;  // [N, C]: the loss is the sum of logits times this

  HistoryCase(CsrGraph g, std::size_t features, std::size_t classes, std::uint64_t seed = 3)
      : graph(std::move(g)),
        x(graph.num_nodes(), features),
        loss(random_matrix(graph.num_nodes(), classes, seed + 1)) {
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t j = 0; j < features; ++j) x(i, j) = static_cast<float>(number(seed, i, j));
    }
  }
  std::size_t num_nodes() const { return graph.num_nodes(); }
  SampleSource source() const { return {graph.view(), graph.symmetric, {}}; }
};

struct StepResult {
  Tensor<double> logits;
  std::vector<double> gradient;
};

inline std::vector<double> gradient_of(const ParameterBlock<double>& block) {
  return {block.grads().begin(), block.grads().end()};
}

inline Tensor<double> widened(MatrixView<const float> x) {
  Tensor<double> out(x.rows(), x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) out(i, j) = static_cast<double>(x(i, j));
  }
  return out;
}

/// The step on the whole graph, by the model alone.
template <class M>
StepResult full_step(M& model, const HistoryCase& data, const Pass& pass = {}) {
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, model.aggregation(), true);
  const Adjacency a = prepared.adjacency();
  Tape<double> tape;
  model.parameters().zero_grads();
  const Tensor<double> x = widened(data.x.view());
  const Var y = model.forward(tape, AdjacencyStack(std::span(&a, 1)), tape.input(x.view()), pass);
  StepResult out{Tensor<double>::copy_of(tape.value(y)), {}};
  tape.backward(y, data.loss.view());
  out.gradient = gradient_of(model.parameters());
  return out;
}

/// H^(l) for l = 1, ..., L (the last are logits), without dropout.
template <class M>
std::vector<Tensor<double>> exact_rows(const M& model, const HistoryCase& data) {
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, model.aggregation());
  std::vector<Tensor<double>> out;
  Tensor<double> x = widened(data.x.view());
  for (std::size_t l = 0; l < model.num_layers(); ++l) {
    NoTape<double> ctx;
    x = ctx.take(model.layer(ctx, l, prepared.adjacency(), ctx.input(std::as_const(x).view()), Pass{}));
    out.push_back(Tensor<double>::copy_of(std::as_const(x).view()));
  }
  return out;
}

inline AdjacencyStack stack_of(const MiniBatch& batch, std::vector<Adjacency>& levels, Adjacency& halo) {
  levels.clear();
  for (const Block& b : batch.blocks) levels.push_back(b.adjacency());
  halo = batch.halo.adjacency();
  return AdjacencyStack(levels, nullptr,
                        {batch.node_id, batch.halo.num_dst > 0 ? &halo : nullptr, batch.halo_share});
}

/// The step on a batch, by a HistoryModel. The gradient is added to what the block holds.
template <class H>
Tensor<double> batch_step(H& model, const HistoryCase& data, const MiniBatch& batch,
                          Pass pass = {.training = true}) {
  std::vector<Adjacency> levels;
  Adjacency halo;
  const AdjacencyStack stack = stack_of(batch, levels, halo);
  Tape<double> tape;
  Tensor<double> x(batch.num_nodes(), data.x.cols());
  gather_rows(data.x.view(), batch.node_id.span(), x.view());
  const Var y = std::as_const(model).forward(tape, stack, tape.input(std::as_const(x).view()), pass);
  Tensor<double> loss(batch.num_targets, data.loss.cols());
  gather_rows(data.loss.view(), batch.node_id.span().first(batch.num_targets), loss.view());
  tape.backward(y, std::as_const(loss).view());
  return Tensor<double>::copy_of(tape.value(y));
}

template <class S>
MiniBatch sampled(const S& sampler, const HistoryCase& data, const AggregationSpec& spec, BatchKey key = {}) {
  typename S::Workspace workspace;
  MiniBatch batch;
  sampler.sample(data.source(), spec, key, workspace, batch);
  return batch;
}

inline double norm(std::span<const double> x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return std::sqrt(sum);
}
/// |x - y| / |y|.
inline double relative_distance(std::span<const double> x, std::span<const double> y) {
  REQUIRE(x.size() == y.size());
  std::vector<double> d(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) d[i] = x[i] - y[i];
  return norm(d) / std::max(norm(y), 1e-300);
}
inline std::vector<double> flat(MatrixView<const double> x) {
  std::vector<double> out;
  for (std::size_t i = 0; i < x.rows(); ++i) out.insert(out.end(), x.row(i).begin(), x.row(i).end());
  return out;
}
/// All rows of a table.
inline std::vector<double> table_rows(const HistoryTable<double>& table) {
  Tensor<double> out(table.rows(), table.cols());
  for (std::size_t i = 0; i < table.rows(); ++i) table.read_row(i, out.row(i));
  return flat(std::as_const(out).view());
}

/// Sums of a few hundred terms a few layers deep.
inline constexpr double kRounding = 1e-12;

}  // namespace tessera::testing
