// SPDX-License-Identifier: MIT
// Histories under the trainer: whole runs, at run-time types, features by their entries where the policy takes them.
#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/history_cases.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/history/refresh.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/control_variate_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/prefetch_loader.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

constexpr std::size_t kNodes = 1200;

const Dataset& bags() {
  static const Dataset data = [] {
    Dataset out =
        generate_community_graph({.nodes = kNodes, .classes = 4, .features = 4, .mean_degree = 8, .seed = 5});
    Tensor<float> x = Tensor<float>::zeros(kNodes, 120);
    for (std::size_t i = 0; i < kNodes; ++i) {
      CounterRng rng(make_key(2, 0, Purpose::generate), 0, i);
      for (int k = 0; k < 3; ++k) x(i, rng.below(120)) = 1;
      x(i, static_cast<std::size_t>(out.labels.classes[i]) * 30 + rng.below(30)) = 1;
    }
    out.features = std::move(x);
    return out;
  }();
  return data;
}

AnyModel<> plain(float dropout = 0.3f) {
  return GcnNet<>({.in = 120, .hidden = 16, .out = 4, .layers = 3, .dropout = dropout, .seed = 1});
}

template <class P>
AnyModel<> with_history(P policy, float dropout = 0.3f) {
  return HistoryModel<AnyModel<>, P>(plain(dropout), kNodes, {}, policy);
}

std::vector<double> losses(AnyModel<> model, AnySampler sampler, std::size_t threads = 4,
                           double sparse_below = 0.5) {
  return with_threads(threads, [&] {
    Trainer trainer{model, std::move(sampler), CrossEntropy{}, Adam{.lr = 0.01}, PrefetchOptions{}};
    const FitReport report =
        trainer.fit(bags(), {.epochs = 12, .sparse_below = sparse_below}, RefreshHistory{});
    std::vector<double> out;
    for (const EpochRecord& r : report.history) {
      out.push_back(r.train_loss);
      out.push_back(r.evaluation.test.loss);
      out.push_back(r.evaluation.test.metric);
    }
    return out;
  });
}

}  // namespace

TEST_CASE("A run on one part is a run on the whole graph", "[history][trainer]") {
  const auto whole = losses(plain(), FullGraphSampler{});
  const auto part = losses(with_history(PullHistory{}), HaloSampler(scattered_parts(kNodes, 1)));
  REQUIRE(whole.size() == part.size());
  // The same sums under the same masks; a dozen steps of Adam carry roundings of a few 1e-7 on.
  for (std::size_t i = 0; i < whole.size(); ++i)
    CHECK(std::abs(whole[i] - part[i]) <= 2e-4 * (1 + std::abs(whole[i])));
}

TEST_CASE("Every method learns, the same bits for any number of threads", "[history][trainer]") {
  const std::vector<PartId> parts = scattered_parts(kNodes, 6);
  const auto check = [&](const auto& model, const AnySampler& sampler) {
    const auto want = losses(model(), sampler, 1);
    CHECK(losses(model(), sampler, 4) == want);
    CHECK(want[want.size() - 2] < 0.8 * want[1]);
  };
  check([] { return with_history(PullHistory{}); }, HaloSampler(parts, {.clusters_per_batch = 2}));
  check([] { return with_history(FeatureMomentum{.gamma = 0.3}); },
        HaloSampler(parts, {.clusters_per_batch = 2, .halo_rows = HaloRows::from_batch}));
  check([] { return with_history(MessageCompensation{.beta = 0.3}); },
        HaloSampler(parts, {.clusters_per_batch = 2, .halo_rows = HaloRows::all}));
  check([] { return with_history(PullHistory{}); },
        ControlVariateSampler({.layers = 3, .fanout = 2, .batches = {.batch_size = 300}}));
  check([] { return with_history(ControlVariateDropout{.dropout = 0.3f}, 0); },
        ControlVariateSampler(
            {.layers = 3, .fanout = 2, .noise_columns = true, .batches = {.batch_size = 300}}));
}
