// SPDX-License-Identifier: MIT
// Training on bags of words by their entries: the same optimisation as on the dense matrix, the same bits for any number
// of threads, evaluation and batches included.
#include <cmath>
#include <cstddef>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;

namespace {

constexpr std::size_t kClasses = 4;
constexpr std::size_t kWords = 200;

/// Each node has five words of 200, one of them telling of its class.
const Dataset& bags() {
  static const Dataset data = [] {
    Dataset out = generate_community_graph(
        {.nodes = 1500, .classes = kClasses, .features = 4, .mean_degree = 8, .seed = 5});
    Tensor<float> x = Tensor<float>::zeros(out.graph.num_nodes(), kWords);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      CounterRng rng(make_key(2, 0, Purpose::generate), 0, i);
      for (int k = 0; k < 4; ++k) x(i, rng.below(kWords)) = 1;
      x(i, static_cast<std::size_t>(out.labels.classes[i]) * 50 + rng.below(50)) = 1;
    }
    out.features = std::move(x);
    return out;
  }();
  return data;
}

struct Run {
  std::vector<double> losses;
  double test = 0;
  friend bool operator==(const Run&, const Run&) = default;
};

Run trained(AnyModel<> model, AnySampler sampler, double sparse_below, std::size_t threads = 4) {
  return with_threads(threads, [&] {
    Trainer trainer{model, std::move(sampler), CrossEntropy{}, Adam{.lr = 0.01}};
    const FitReport report = trainer.fit(bags(), {.epochs = 15, .sparse_below = sparse_below});
    Run out;
    for (const EpochRecord& record : report.history) {
      out.losses.push_back(record.train_loss);
      out.losses.push_back(record.evaluation.val.loss);
      out.test = record.evaluation.test.metric;
    }
    return out;
  });
}

AnyModel<> gcn(float dropout) {
  return GcnNet<>({.in = kWords, .hidden = 32, .out = kClasses, .dropout = dropout});
}
AnyModel<> sage(float dropout) {
  return SageNet<>(
      {.in = kWords, .hidden = 32, .out = kClasses, .dropout = dropout, .input_dropout = dropout > 0});
}
AnySampler full() { return FullGraphSampler(); }
AnySampler neighbors() { return NeighborSampler({.fanouts = {5, 5}, .batches = {.batch_size = 200}}); }

/// Sums in another order differ in the last places of float, and 15 steps of Adam carry that on.
void check_close(const Run& a, const Run& b) {
  REQUIRE(a.losses.size() == b.losses.size());
  for (std::size_t k = 0; k < a.losses.size(); ++k) CHECK(std::abs(a.losses[k] - b.losses[k]) < 1e-3);
}

}  // namespace

TEST_CASE("Training on entries follows training on the dense matrix", "[sparse]") {
  check_close(trained(gcn(0), full(), 0.1), trained(gcn(0), full(), 0));
  check_close(trained(gcn(0), neighbors(), 0.1), trained(gcn(0), neighbors(), 0));
  check_close(trained(sage(0), neighbors(), 0.1), trained(sage(0), neighbors(), 0));
}

TEST_CASE("Dropped entries train as well as dropped elements", "[sparse]") {
  // 300 test nodes: one standard deviation of an accuracy is 0.02.
  const Run sparse = trained(gcn(0.5f), full(), 0.1);
  const Run dense = trained(gcn(0.5f), full(), 0);
  CHECK(sparse.losses != dense.losses);
  CHECK(sparse.test > 0.6);
  CHECK(std::abs(sparse.test - dense.test) < 0.08);
}

TEST_CASE("Training on entries gives the same bits for any number of threads", "[sparse]") {
  const Run one = trained(sage(0.3f), neighbors(), 0.1, 1);
  CHECK(one == trained(sage(0.3f), neighbors(), 0.1, 2));
  CHECK(one == trained(sage(0.3f), neighbors(), 0.1, 4));
}
