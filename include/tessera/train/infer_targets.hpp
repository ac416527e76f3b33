// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/sparse_features.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/nn/autograd/sparse_input.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/train/infer.hpp"

namespace tessera {

/// Logits of some nodes, batch by batch through a sampler: inference for methods whose network is defined on
/// the sampler's graphs (shaDow), and an estimate for the others.
///
/// `entries`, where the caller has them, are the features by their entries; a model that accepts them reads these.
/// Shapes   features [N, F], source.targets [B] -> [B, C], in the order of the targets
/// Cost     one forward pass per batch; holds 4 bytes per node
/// Errors   ShapeError if features do not fit the graph, or entries do not fit them; IndexError if a target is no node;
///          ConfigError if the sampler leaves a target out; otherwise as the sampler and the model
/// Threads  result independent of T
template <Model M, Sampler S>
Tensor<typename M::Scalar> infer_targets(const M& model, const S& sampler, const SampleSource& source,
                                         MatrixView<const float> features, std::uint64_t seed = 0,
                                         const SparseFeatures* entries = nullptr) {
  using T = typename M::Scalar;
  const std::size_t n = source.graph.num_rows;
  if (features.rows() != n) {
    throw ShapeError(message("infer_targets: features has ", features.rows(), " rows, want ", n));
  }
  detail::check_entries("infer_targets", entries, features);
  check_seeds(source.targets, n, "infer_targets");
  Array<NodeId> row_of(n, kNoNode);
  for (std::size_t t = 0; t < source.targets.size(); ++t) row_of[source.targets[t]] = static_cast<NodeId>(t);
  Tensor<T> out(source.targets.size(), model.out_features());
  const bool sparse = entries != nullptr && accepts_sparse_input(model);
  Tensor<T> gathered;
  SparseFeatures gathered_entries;
  std::vector<Adjacency> levels;
  typename S::Workspace workspace{};
  MiniBatch batch;
  NoTape<T> ctx;
  Array<std::uint8_t> seen(source.targets.size(), 0);
  std::size_t done = 0;
  for (std::uint64_t b = 0; b < sampler.num_batches(source); ++b) {
    sampler.sample(source, model.aggregation(), {seed, 0, b}, workspace, batch);
    levels.clear();
    for (const Block& block : batch.blocks) levels.push_back(block.adjacency());
    Var x;
    if (sparse) {
      gathered_entries.gather(*entries, batch.node_id.span());
      x = ctx.input(SparseInput{gathered_entries.adjacency(), {}, batch.num_nodes()});
    } else {
      gathered.resize(batch.num_nodes(), features.cols());
      gather_rows(features, batch.node_id.span(), gathered.view());
      x = ctx.input(std::as_const(gathered).view());
    }
    const Var y = model.forward(ctx, AdjacencyStack(levels), x, Pass{});
    const MatrixView<const T> logits = ctx.value(y);
    for (std::size_t i = 0; i < batch.num_targets; ++i) {
      const NodeId row = row_of[batch.node_id[i]];
      if (row == kNoNode) continue;
      std::copy(logits.row(i).begin(), logits.row(i).end(), out.row(row).begin());
      done += seen[row] == 0 ? 1u : 0u;
      seen[row] = 1;
    }
    ctx.rewind();
  }
  if (done < source.targets.size()) {
    throw ConfigError(message("infer_targets: the sampler's batches hold ", done, " targets, want ",
                              source.targets.size()));
  }
  return out;
}

}  // namespace tessera
