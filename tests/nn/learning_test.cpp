// SPDX-License-Identifier: MIT
#include <cstdint>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/cluster_gcn_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

/// Two communities of 100: about 8 links inside for one between, features with a weak hint of the community
/// (0.5 of a unit in noise of deviation 1), every tenth node labelled.
struct Planted {
  static constexpr std::size_t kNodes = 200;
  CsrGraph graph;
  Tensor<float> x{kNodes, 8};
  std::vector<std::int32_t> truth;
  std::vector<std::int32_t> train;

  Planted() {
    Links links;
    const RngKey key = make_key(11, 0, Purpose::generate);
    for (std::size_t e = 0; e < 900; ++e) {
      CounterRng rng(key, 0, e);
      const auto s = rng.below(kNodes);
      const bool inside = rng.below(9) < 8;
      const auto t = rng.below(kNodes / 2) * 2 + (inside ? s % 2 : 1 - s % 2);
      links.push_back({static_cast<NodeId>(s), static_cast<NodeId>(t)});
    }
    graph = undirected(kNodes, links);
    for (std::size_t i = 0; i < kNodes; ++i) {
      truth.push_back(static_cast<std::int32_t>(i % 2));
      train.push_back(i % 20 < 2 ? truth[i] : -1);
      CounterRng rng(key, 1, i);
      for (float& f : x.row(i)) f = static_cast<float>(rng.normal() + (i % 2 == 0 ? 0.5 : -0.5));
    }
  }
};

/// Share of unlabelled nodes classified right after plain gradient descent.
template <class M>
double learn(const Planted& task, typename M::Options options, float rate) {
  options.in = 8;
  options.out = 2;
  M model(options);
  const PreparedAdjacency prepared = prepare_adjacency(task.graph, model.aggregation());
  const Adjacency level = prepared.adjacency();
  const AdjacencyStack stack(std::span(&level, 1));
  Tape<float> tape;
  for (std::uint64_t step = 0; step < 200; ++step) {
    tape.rewind();
    model.parameters().zero_grads();
    const Pass pass{.training = true, .dropout_key = make_key(1, step, Purpose::dropout)};
    const Var logits = model.forward(tape, stack, tape.input(task.x.view()), pass);
    tape.backward(CrossEntropy{}(tape, logits, {.classes = task.train}));
    const auto values = model.parameters().values();
    const auto grads = model.parameters().grads();
    for (std::size_t k = 0; k < values.size(); ++k) values[k] -= rate * grads[k];
  }
  const auto logits = run_model(model, stack, task.x.view(), Pass{});
  std::size_t right = 0;
  std::size_t all = 0;
  for (std::size_t i = 0; i < Planted::kNodes; ++i) {
    if (task.train[i] >= 0) continue;
    ++all;
    if ((logits(i, 1) > logits(i, 0)) == (task.truth[i] == 1)) ++right;
  }
  return static_cast<double>(right) / static_cast<double>(all);
}

TEST_CASE("plain gradient steps learn two planted communities") {
  const Planted task;
  CHECK(learn<GcnNet<>>(task, {.dropout = 0.2f}, 0.5f) >= 0.95);
  CHECK(learn<SageNet<>>(task, {.dropout = 0.2f}, 0.2f) >= 0.95);
  CHECK(learn<ClusterGcnNet<>>(task, {.dropout = 0.2f}, 0.2f) >= 0.95);
}

}  // namespace
