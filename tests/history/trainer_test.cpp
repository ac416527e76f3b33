// SPDX-License-Identifier: MIT
// Histories under the trainer: whole runs, at run-time types, features by their entries where the policy takes them.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/history_cases.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/history/refresh.hpp"
#include "tessera/io/checkpoint.hpp"
#include "tessera/io/train_graph.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/control_variate_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/prefetch_loader.hpp"
#include "tessera/train/infer.hpp"
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

TEST_CASE("Inference through histories reads features by their entries, with the bits of the model inside",
          "[history][trainer]") {
  const Dataset& data = bags();
  const AnyModel<> model = plain(0);
  const AnyModel<> kept = with_history(PullHistory{}, 0);
  const PreparedAdjacency whole =
      prepare_adjacency(data.graph.view(), data.graph.symmetric, model.aggregation());
  const SparseFeatures entries(data.features);
  const Tensor<float> want = infer(model, whole.adjacency(), data.features, {}, &entries);
  // Rows of zeros beside the entries: whoever reads these instead finds other logits.
  const Tensor<float> nothing = Tensor<float>::zeros(kNodes, 120);
  const Tensor<float> got = infer(kept, whole.adjacency(), nothing.view(), {}, &entries);
  const Tensor<float> dense = infer(kept, whole.adjacency(), data.features);
  REQUIRE(got.cols() == want.cols());
  for (std::size_t i = 0; i < kNodes; ++i) {
    for (std::size_t j = 0; j < want.cols(); ++j) {
      CHECK(got(i, j) == want(i, j));
      CHECK(std::abs(dense(i, j) - want(i, j)) <= 1e-5f * (1 + std::abs(want(i, j))));
    }
  }
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

TEST_CASE("An inductive run's tables belong to its training graph, whoever looks at the whole one first",
          "[history][trainer]") {
  const CsrGraph among_training = io::edges_among_training_nodes(bags().graph, bags().roles);
  DatasetView data(bags());
  data.train_graph = among_training;
  const auto parts = scattered_parts(kNodes, 6);
  const auto check = [&](auto... hooks) {
    AnyModel<> model = with_history(PullHistory{});
    REQUIRE(model.keeps_history());
    Trainer trainer{model, HaloSampler(parts, {.clusters_per_batch = 2}), CrossEntropy{}, Adam{.lr = 0.01}};
    const FitReport report = trainer.fit(data, {.epochs = 1, .inductive = true}, hooks...);
    CHECK(report.history.back().evaluated);  // on the whole graph
    const PreparedAdjacency whole = prepare_adjacency(bags().graph, model.aggregation());
    const PreparedAdjacency training = prepare_adjacency(among_training, model.aggregation());
    CHECK_FALSE(model.infer_layers(whole.adjacency(), data.features, 0).has_value());
    CHECK_THROWS_AS(model.keep_for(whole.adjacency()), ConfigError);
    CHECK_NOTHROW(model.keep_for(training.adjacency()));
    CHECK(model.infer_layers(training.adjacency(), data.features, 0).has_value());
    // Nor do they take up another graph's training.
    CHECK_THROWS_AS(trainer.fit(data, {.epochs = 1}, RefreshHistory{}), ConfigError);
  };
  check();
  check(RefreshHistory({.every = 100, .before_first = false}));
  check(RefreshHistory{});
  const AnyModel<> none = plain();
  CHECK_FALSE(none.keeps_history());
  const CsrGraph small = path(kNodes - 1);
  const PreparedAdjacency other = prepare_adjacency(small, none.aggregation());
  CHECK_NOTHROW(none.keep_for(other.adjacency()));
  CHECK_THROWS_AS(with_history(PullHistory{}).keep_for(other.adjacency()), ShapeError);
}

TEST_CASE("A history's bad files and a full disk stop a run before it touches the last good checkpoint",
          "[history][trainer]") {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("tessera-history-run-" + std::to_string(::getpid()));
  fs::remove_all(folder);
  fs::create_directories(folder);
  const fs::path checkpoint = folder / "run.safetensors";
  const fs::path tables = folder / "tables", table = tables / "history-1.bin";
  const auto run = [&](std::uint64_t epochs, bool resume, std::uint64_t key = 7) {
    HistoryModel<AnyModel<>> kept(plain(), kNodes,
                                  {.store = {.folder = tables, .key = key, .resume = resume}});
    HistoryStore<float>& store = kept.store();
    AnyModel<> model(std::move(kept));
    Trainer trainer{model, HaloSampler(scattered_parts(kNodes, 6)), CrossEntropy{}, Adam{.lr = 0.01}};
    const FitReport report = trainer.fit(bags(), {.epochs = epochs},
                                         io::Checkpoint(checkpoint, {.resume = resume}), RefreshHistory{});
    store.save(epochs);
    return report;
  };
  const auto bytes = [](const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  run(2, false);
  const std::string good = bytes(checkpoint), rows = bytes(table);
  REQUIRE(!good.empty());
  const auto refused = [&](const char* code, std::uint64_t key = 7) {
    INFO(code);
    CHECK_THROWS_WITH(run(4, true, key), Catch::Matchers::Contains(code));
    CHECK(bytes(checkpoint) == good);
    std::ofstream(table, std::ios::binary) << rows;
  };
  refused("HIS-02", 8);
  std::ofstream(table, std::ios::binary) << rows.substr(0, rows.size() / 2);
  refused("HIS-04");
  std::string damaged = rows;
  damaged[rows.size() / 2] = static_cast<char>(damaged[rows.size() / 2] ^ 1);
  std::ofstream(table, std::ios::binary) << damaged;
  refused("HIS-06");
  fs::remove_all(tables);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{1 << 14, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  CHECK_THROWS_WITH(run(4, true), Catch::Matchers::Contains("GEN-04"));
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  CHECK(bytes(checkpoint) == good);
  const FitReport after = run(4, true);  // a refresh makes the tables again
  CHECK(after.resumed_at == 2);
  CHECK(after.history.size() == 4);
  fs::remove_all(folder);
}
