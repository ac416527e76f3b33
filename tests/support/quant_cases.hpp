// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/nn_cases.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/nn/layers/gin_conv.hpp"
#include "tessera/nn/nets/egc_net.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/gin_net.hpp"
#include "tessera/nn/nets/graph_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"
#include "tessera/quant/quantized.hpp"

// Small networks, quantised in every way.

namespace tessera::testing {

template <class Net>
Net small_net(std::size_t layers, std::size_t in = 6, std::size_t out = 4) {
  return Net({.in = in, .hidden = 8, .out = out, .layers = layers, .dropout = 0.0f, .seed = 5});
}

template <>
inline EgcNet<> small_net<EgcNet<>>(std::size_t layers, std::size_t in, std::size_t out) {
  return EgcNet<>({.in = in,
                   .hidden = 8,
                   .out = out,
                   .layers = layers,
                   .dropout = 0.0f,
                   .seed = 5,
                   .conv = {.heads = 2, .bases = 3}});
}

/// A random symmetric graph with one hub (node 0) and one node without neighbours (the last), prepared for a model.
inline PreparedAdjacency hub_graph(std::size_t n, const AggregationSpec& spec, CsrGraph& graph) {
  std::vector<NodeId> source;
  std::vector<NodeId> target;
  for (std::size_t i = 1; i + 1 < n; ++i) {
    source.push_back(0);
    target.push_back(static_cast<NodeId>(i));
    CounterRng rng(make_key(11, 0, Purpose::generate), 0, i);
    const auto j = static_cast<NodeId>(1 + rng.below(n - 2));
    if (j != i) {
      source.push_back(static_cast<NodeId>(i));
      target.push_back(j);
    }
  }
  graph = build_csr(n, {source, target, {}}, {.symmetrize = true}).graph;
  return prepare_adjacency(graph.view(), true, spec);
}

/// What one pass gives.
template <class M>
Tensor<typename M::Scalar> run_once(const M& model, const Adjacency& a,
                                    MatrixView<const typename M::Scalar> x, const Pass& pass = {}) {
  NoTape<typename M::Scalar> ctx;
  return ctx.take(model.forward(ctx, AdjacencyStack({&a, 1}), ctx.input(x), pass));
}

inline Pass training_pass(std::uint64_t step) {
  return {.training = true, .dropout_key = make_key(3, step, Purpose::dropout)};
}

}  // namespace tessera::testing
