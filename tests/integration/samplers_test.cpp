// SPDX-License-Identifier: MIT
// Every sampler of neighbours, scopes and scores trains a network on a planted graph, and so does the layer-wise
// method.
#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/nets/pprgo_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"
#include "tessera/nn/nets/shadow_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/fastgcn_sampler.hpp"
#include "tessera/sampling/ibmb_sampler.hpp"
#include "tessera/sampling/labor_sampler.hpp"
#include "tessera/sampling/ladies_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/sampling/pprgo_sampler.hpp"
#include "tessera/sampling/random_node_sampler.hpp"
#include "tessera/sampling/saint_sampler.hpp"
#include "tessera/sampling/shadow_sampler.hpp"
#include "tessera/train/infer_targets.hpp"
#include "tessera/train/layer_wise.hpp"
#include "tessera/train/metrics.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;

namespace {

constexpr std::size_t kClasses = 5;
constexpr std::size_t kFeatures = 32;

const Dataset& planted() {
  static const Dataset data = generate_community_graph({.nodes = 2000,
                                                        .classes = kClasses,
                                                        .features = kFeatures,
                                                        .mean_degree = 12,
                                                        .feature_noise = 0.5,
                                                        .seed = 3});
  return data;
}

AnyModel<> gcn() { return GcnNet<>({.in = kFeatures, .hidden = 32, .out = kClasses, .dropout = 0.1f}); }
AnyModel<> sage() { return SageNet<>({.in = kFeatures, .hidden = 32, .out = kClasses, .dropout = 0.1f}); }

/// Test accuracy on the whole graph after a few epochs.
double trained(AnyModel<> model, AnySampler sampler, std::uint64_t epochs = 12) {
  Trainer trainer{model, std::move(sampler), CrossEntropy{}, Adam{.lr = 0.01}};
  const FitReport report = trainer.fit(DatasetView(planted()), {.epochs = epochs, .eval_every = 0});
  CHECK(report.history.size() == epochs);
  return evaluate(model, DatasetView(planted()), CrossEntropy{}).test.metric;
}

/// What a perceptron, which sees no neighbours, reaches.
double without_links() {
  static const double accuracy =
      trained(MlpNet<>({.in = kFeatures, .hidden = 32, .out = kClasses, .dropout = 0.1f}),
              NeighborSampler({.fanouts = {0, 0}, .batches = {.batch_size = 256}}));
  return accuracy;
}

constexpr double kGain = 0.05;  // sampled neighbours must be worth this much at least

}  // namespace

TEST_CASE("samplers of one block per layer train networks that use the links") {
  const TargetBatches batches{.batch_size = 256};
  const PreparedAdjacency prepared = prepare_adjacency(planted().graph, AggregationSpec{});
  const double floor = without_links() + kGain;
  CHECK(trained(sage(), NeighborSampler({.fanouts = {5, 5}, .batches = batches})) > floor);
  CHECK(trained(sage(), LaborSampler({.fanouts = {5, 5}, .batches = batches})) > floor);
  CHECK(trained(gcn(), LaborSampler({.fanouts = {5, 5}, .batches = batches, .iterations = 1})) > floor);
  CHECK(trained(gcn(), LadiesSampler({.layer_sizes = {256, 256}, .batches = batches})) > floor);
  CHECK(trained(gcn(), FastGcnSampler({.layer_sizes = {512, 512}, .batches = batches},
                                      fastgcn_distribution(prepared.adjacency()))) > floor);
}

TEST_CASE("batches of fewer blocks than the model has layers are refused") {
  const AnySampler one = NeighborSampler({.fanouts = {5, 5}, .batches = {.batch_size = 256}});
  AnyModel<> deep = SageNet<>({.in = kFeatures, .hidden = 32, .out = kClasses, .layers = 3});
  CHECK_THROWS_AS(trained(std::move(deep), one, 1), IndexError);
}

TEST_CASE("subgraph baselines train networks that use the links") {
  const Array<NodeId> targets = planted().nodes(Role::train);
  const PprTable table = ppr_table(planted().graph.view(), targets, {.k = 16});
  const double floor = without_links() + kGain;
  CHECK(trained(gcn(), RandomNodeSampler({.parts = 4}), 20) > floor);
  CHECK(trained(gcn(), IbmbSampler(table, planted().num_nodes(), {.batch_size = 256})) > floor);
}

TEST_CASE("PPRGo learns, and infers without scores of the test nodes") {
  const Array<NodeId> targets = planted().nodes(Role::train);
  PprTable table = ppr_table(planted().graph.view(), targets, {.k = 32});
  const double got = trained(PprgoNet<>({.in = kFeatures, .hidden = 32, .out = kClasses}),
                             PprgoSampler(std::move(table), planted().num_nodes(), {.batch_size = 256}), 20);
  CHECK(got > without_links() + kGain);
}

TEST_CASE("shaDow learns on the targets' own graphs, and is evaluated there") {
  const Pooling pooling = GENERATE(Pooling::center, Pooling::max);
  ShadowNet<> model({.in = kFeatures, .hidden = 32, .out = kClasses, .layers = 3, .pooling = pooling});
  const AnySampler sampler = ShadowSampler(ShadowHops{.depth = 2, .budget = 6}, {.batch_size = 128});
  Trainer trainer{model, sampler, CrossEntropy{}, Adam{.lr = 0.005}};
  trainer.fit(planted(), {.epochs = 4, .eval_every = 0});
  const Array<NodeId> test = planted().nodes(Role::test);
  const SampleSource source{planted().graph.view(), planted().graph.symmetric, test};
  const Tensor<float> logits = infer_targets(model, sampler, source, planted().features.view());
  std::size_t right = 0;
  for (std::size_t t = 0; t < test.size(); ++t) {
    const auto row = logits.row(t);
    right +=
        std::max_element(row.begin(), row.end()) - row.begin() == planted().labels.classes[test[t]] ? 1u : 0u;
  }
  CHECK(static_cast<double>(right) / static_cast<double>(test.size()) > without_links() + kGain);
}

TEST_CASE("infer_targets with all neighbours equals inference on the whole graph") {
  const GcnNet<> model({.in = kFeatures, .hidden = 16, .out = kClasses, .seed = 5});
  const NeighborSampler sampler({.fanouts = {-1, -1}, .batches = {.batch_size = 100}});
  const Array<NodeId> test = planted().nodes(Role::test);
  const SampleSource source{planted().graph.view(), planted().graph.symmetric, test};
  const Tensor<float> want = infer(model, planted());
  const auto check = [&](const Tensor<float>& got) {
    double largest = 0;
    double difference = 0;
    for (std::size_t t = 0; t < test.size(); ++t) {
      for (std::size_t f = 0; f < kClasses; ++f) {
        largest = std::max(largest, static_cast<double>(std::abs(want(test[t], f))));
        difference = std::max(difference, static_cast<double>(std::abs(got(t, f) - want(test[t], f))));
      }
    }
    // Rows are added in another order: two layers of sums of some tens of terms.
    CHECK(difference <= 200 * 0x1p-24 * largest);
  };
  check(infer_targets(model, sampler, source, planted().features.view()));
  // By their entries, beside rows of zeros that nobody may read.
  const SparseFeatures entries(planted().features.view());
  const Tensor<float> zeros = Tensor<float>::zeros(planted().num_nodes(), kFeatures);
  check(infer_targets(model, sampler, source, zeros.view(), 0, &entries));
  const SparseFeatures fewer(planted().features.view().middle_rows(0, 5));
  REQUIRE_THROWS_AS(infer_targets(model, sampler, source, planted().features.view(), 0, &fewer), ShapeError);
  const PreparedAdjacency whole = prepare_adjacency(planted().graph, model.aggregation());
  REQUIRE_THROWS_AS(infer(model, whole.adjacency(), planted().features.view(), {}, &fewer), ShapeError);
  const SampleSource nobody{planted().graph.view(), true, {}};
  CHECK(infer_targets(model, sampler, nobody, planted().features.view()).rows() == 0);
  REQUIRE_THROWS_AS(infer_targets(model, sampler, source, planted().features.view().middle_rows(0, 5)),
                    ShapeError);
  const std::vector<NodeId> beyond{3, 1'000'000};
  REQUIRE_THROWS_AS(
      infer_targets(model, sampler, {planted().graph.view(), true, beyond}, planted().features.view()),
      IndexError);
  // Walks that visit some targets often and others never: 200 visits of 100 targets are not all of them.
  const Array<NodeId> all = planted().nodes(Role::test);
  const SampleSource few{planted().graph.view(), planted().graph.symmetric, all.span().first(100)};
  const SaintSampler<SaintWalkDraw> walks(few, {.roots = 5, .length = 1});
  REQUIRE_THROWS_AS(infer_targets(model, walks, few, planted().features.view()), ConfigError);
  const PprTable none = ppr_table(planted().graph.view(), {}, {});
  REQUIRE_THROWS_AS(infer_targets(model, IbmbSampler(none, 2000), source, planted().features.view()),
                    ConfigError);
}

TEST_CASE("layer-wise training: one layer is a perceptron on propagated features, more help") {
  const DatasetView data(planted());
  const auto make = [&](std::size_t in, std::size_t layer) {
    return MlpNet<>({.in = in, .hidden = 32, .out = kClasses, .layers = 2, .dropout = 0.0f, .seed = layer});
  };
  const NeighborSampler rows({.fanouts = {0, 0}, .batches = {.batch_size = 256}});
  LayerWiseOptions options{.layers = 1, .fit = {.epochs = 10}};
  const auto one = fit_layer_wise(data, options, make, rows, CrossEntropy{}, Adam{.lr = 0.01});

  // The same by hand.
  const PreparedAdjacency a = prepare_adjacency(planted().graph, options.aggregation);
  Tensor<float> x(planted().num_nodes(), kFeatures);
  spmm_sum(a.adjacency().forward, planted().features.view(), x.view());
  DatasetView view = data;
  view.features = x.view();
  MlpNet<> perceptron = make(kFeatures, 0);
  Trainer trainer{perceptron, NeighborSampler(rows), CrossEntropy{}, Adam{.lr = 0.01}};
  const FitReport report = trainer.fit(view, options.fit);
  REQUIRE(one.reports.size() == 1);
  CHECK(one.reports[0].history.back().train_loss == report.history.back().train_loss);
  const Tensor<float> want = detail::apply_rows(perceptron, 0, 2, x.view());
  for (std::size_t i = 0; i < want.rows(); ++i) {
    for (std::size_t f = 0; f < kClasses; ++f) REQUIRE(one.logits(i, f) == want(i, f));
  }

  // Features that training alone reads are propagated too, and are what the weights learn from.
  DatasetView noisy = data;
  const Tensor<float> nothing = Tensor<float>::zeros(planted().num_nodes(), kFeatures);
  noisy.train_features = nothing.view();
  for (const std::size_t layers : {1u, 2u}) {
    const auto blind = fit_layer_wise(noisy, {.layers = layers, .fit = options.fit}, make, rows,
                                      CrossEntropy{}, Adam{.lr = 0.01});
    CHECK(blind.reports[0].history.back().train_loss > report.history.back().train_loss + 0.1);
  }

  options.layers = 3;
  const auto three = fit_layer_wise(data, options, make, rows, CrossEntropy{}, Adam{.lr = 0.01});
  REQUIRE(three.layers.size() == 3);
  CHECK(three.layers[1].in_features() == 32);
  CHECK(three.reports[0].history.back().train_loss == one.reports[0].history.back().train_loss);  // frozen
  CHECK(three.reports[2].history.back().evaluation.test.metric > without_links() + kGain);
  CHECK(three.reports[2].history.back().train_loss < three.reports[0].history.back().train_loss);

  LayerWiseOptions none{.layers = 0};
  REQUIRE_THROWS_AS(fit_layer_wise(data, none, make, rows, CrossEntropy{}, Adam{}), ConfigError);
  const auto deep = [&](std::size_t in, std::size_t) {
    return MlpNet<>({.in = in, .hidden = 8, .out = kClasses, .layers = 3});
  };
  REQUIRE_THROWS_AS(fit_layer_wise(data, options, deep, rows, CrossEntropy{}, Adam{}), ConfigError);
}

TEST_CASE("layer-wise training does not depend on threads") {
  const DatasetView data(planted());
  const auto fit = [&](std::size_t threads) {
    return with_threads(threads, [&] {
      const auto make = [&](std::size_t in, std::size_t) {
        return MlpNet<>({.in = in, .hidden = 16, .out = kClasses, .layers = 2, .dropout = 0.2f});
      };
      const NeighborSampler rows({.fanouts = {0, 0}, .batches = {.batch_size = 256}});
      const LayerWiseOptions options{.layers = 2, .fit = {.epochs = 2, .eval_every = 0}};
      return fit_layer_wise(data, options, make, rows, CrossEntropy{}, Adam{.lr = 0.01}).logits;
    });
  };
  const Tensor<float> one = fit(1);
  for (const std::size_t threads : {2u, 4u}) {
    const Tensor<float> other = fit(threads);
    for (std::size_t i = 0; i < one.rows(); ++i)
      REQUIRE(std::equal(one.row(i).begin(), one.row(i).end(), other.row(i).begin()));
  }
}

TEST_CASE("layer-wise training, inductive: held-out links do not shape the weights") {
  const Dataset& whole = planted();
  Dataset data;
  data.graph = whole.graph.clone();
  data.features = Tensor<float>::copy_of(whole.features.view());
  data.labels.classes = Array<std::int32_t>::copy_of(whole.labels.classes);
  data.labels.num_classes = kClasses;
  data.roles = Array<Role>::copy_of(whole.roles);
  const auto fit = [&](const CsrGraph& graph) {
    data.train_graph = graph.clone();
    const auto make = [&](std::size_t in, std::size_t) {
      return MlpNet<>({.in = in, .hidden = 8, .out = kClasses, .layers = 2, .dropout = 0.0f});
    };
    const NeighborSampler rows({.fanouts = {0, 0}, .batches = {.batch_size = 512}});
    const LayerWiseOptions options{.layers = 2, .fit = {.epochs = 2, .inductive = true}};
    const auto out = fit_layer_wise(DatasetView(data), options, make, rows, CrossEntropy{}, Adam{.lr = 0.01});
    return std::pair{out.reports[1].history.back().train_loss,
                     out.reports[1].history.back().evaluation.test.loss};
  };
  CsrGraph nothing;
  nothing.row_ptr.assign(whole.num_nodes() + 1, 0);
  nothing.num_cols = whole.num_nodes();
  const auto alone = fit(nothing);
  const auto linked = fit(whole.graph);
  CHECK(alone.first != linked.first);
  CHECK(alone.second != linked.second);
}
