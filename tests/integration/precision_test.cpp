// SPDX-License-Identifier: MIT
// Training in bf16 reaches what training in fp32 reaches: on a generated graph under every kind of batch, and on Cora.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/precision.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/io/load.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/partition/contiguous_partitioner.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;

namespace {

struct Run {
  std::vector<double> losses;
  double test = 0;
  friend bool operator==(const Run&, const Run&) = default;
};

template <class D>
Run trained(const D& data, AnyModel<> model, AnySampler sampler, FitOptions options,
            double weight_decay = 0) {
  Trainer trainer{model, std::move(sampler), CrossEntropy{}, Adam{.lr = 0.01, .weight_decay = weight_decay}};
  options.eval_every = options.epochs;
  const FitReport report = trainer.fit(data, options);
  Run out;
  for (const EpochRecord& record : report.history) out.losses.push_back(record.train_loss);
  out.test = report.evaluation.test.metric;
  return out;
}

/// The mean of paired differences and its standard error.
std::pair<double, double> paired(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  double mean = 0, square = 0;
  for (std::size_t k = 0; k < a.size(); ++k) mean += (a[k] - b[k]) / n;
  for (std::size_t k = 0; k < a.size(); ++k) square += (a[k] - b[k] - mean) * (a[k] - b[k] - mean);
  return {mean, std::sqrt(square / (n - 1) / n)};
}

}  // namespace

TEST_CASE("bf16 trains as fp32 does under every kind of batch, the same bits for any number of threads",
          "[precision]") {
  const Dataset data = generate_community_graph(
      {.nodes = 2000, .classes = 5, .features = 40, .mean_degree = 12, .shuffle_nodes = false, .seed = 5});
  const Partition parts = ContiguousPartitioner{}.partition(data.graph, {.parts = 8});
  const auto gcn = [] {
    return AnyModel<>(GcnNet<>({.in = 40, .hidden = 64, .out = 5, .layers = 3, .dropout = 0.2f}));
  };
  const auto sage = [] { return AnyModel<>(SageNet<>({.in = 40, .hidden = 64, .out = 5, .dropout = 0.2f})); };
  const auto check = [&](auto model, auto sampler, const char* name) {
    INFO(name);
    const FitOptions wide{.epochs = 15, .sparse_below = 0};
    const FitOptions narrow{.epochs = 15, .sparse_below = 0, .precision = Precision::bf16};
    const Run a = trained(data, model(), sampler(), wide);
    const Run b = with_threads(4, [&] { return trained(data, model(), sampler(), narrow); });
    const Run c = with_threads(1, [&] { return trained(data, model(), sampler(), narrow); });
    CHECK(b == c);
    CHECK(b.losses != a.losses);
    // Some 400 test nodes: one standard deviation of an accuracy is at most 0.025, of a difference less.
    CHECK(std::abs(a.test - b.test) < 0.05);
    CHECK(std::abs(a.losses.back() - b.losses.back()) < 0.05 * (1 + a.losses.back()));
  };
  check(
      gcn, [] { return AnySampler(FullGraphSampler()); }, "full batch");
  check(
      gcn, [&] { return AnySampler(ClusterSampler(parts.part, {.clusters_per_batch = 2})); }, "clusters");
  check(
      sage,
      [] {
        return AnySampler(NeighborSampler({.fanouts = {8, 8}, .batches = {.batch_size = 300}}));
      },
      "neighbours");
}

TEST_CASE("bf16 reaches the accuracy of fp32 on Cora", "[precision][slow]") {
  const std::filesystem::path folder = std::filesystem::path(TESSERA_DATA_DIR) / "cora" / "planetoid";
  if (!std::filesystem::is_directory(folder)) {
    WARN("no " << folder.string() << ": nothing is compared on Cora");
    return;
  }
  const Dataset data = io::load(folder.string());
  std::vector<double> wide, narrow;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const auto model = [&] {
      return AnyModel<>(
          GcnNet<>({.in = data.features.cols(), .hidden = 16, .out = data.labels.num_classes, .seed = seed}));
    };
    const FitOptions options{.epochs = 100, .seed = seed, .sparse_below = 0};
    FitOptions half = options;
    half.precision = Precision::bf16;
    wide.push_back(trained(data, model(), FullGraphSampler(), options, 5e-4).test);
    narrow.push_back(trained(data, model(), FullGraphSampler(), half, 5e-4).test);
  }
  const auto [difference, error] = paired(narrow, wide);
  INFO("bf16 - fp32: " << difference << " +- " << error);
  CHECK(std::abs(difference) <= 3 * error + 0.001);  // one test node of 1000 is the grain
  CHECK(narrow.front() > 0.75);
}
