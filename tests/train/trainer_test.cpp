// SPDX-License-Identifier: MIT
#include "tessera/train/trainer.hpp"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/train_fakes.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/nn/optim/clip.hpp"
#include "tessera/nn/optim/plateau.hpp"
#include "tessera/nn/optim/schedules.hpp"
#include "tessera/nn/optim/sgd.hpp"
#include "tessera/sampling/prefetch_loader.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

static_assert(Model<TinyNet<float>> && Model<TinyNet<double>>);
static_assert(Loss<TinyLoss, float> && Loss<TinyLoss, double>);
static_assert(Sampler<RangeSampler> && Sampler<WholeSampler>);
static_assert(LoaderPolicy<InlineLoading, RangeSampler> && LoaderPolicy<PrefetchOptions, RangeSampler>);
static_assert(!LoaderPolicy<RangeSampler, RangeSampler>);
static_assert(NodeData<Dataset> && !NodeData<CsrGraph>);
static_assert(Schedule<CosineDecay> && Schedule<LinearWarmup<StepDecay>> && Schedule<ReduceOnPlateau>);
static_assert(!Schedule<Adam> && !EarlyStopping<CosineDecay>);
static_assert(EarlyStopping<KeepLast> && EarlyStopping<BestLoss> && EarlyStopping<SecondHalf>);
static_assert(Clipper<ClipNorm, float> && !Clipper<KeepLast, float>);

// Unused policies take no room: an empty loader and loss add nothing to what a trainer holds anyway.
struct Needs {
  TinyNet<float>& model;
  RangeSampler sampler;
  Adam optimizer;
  Tape<float> tape;
  BatchInputs<float> inputs;
};
static_assert(sizeof(Trainer<TinyNet<float>, RangeSampler, TinyLoss, Adam>) == sizeof(Needs));

template <class T>
std::vector<T> weights(const TinyNet<T>& model) {
  return {model.parameters().values().begin(), model.parameters().values().end()};
}

std::vector<double> losses(const FitReport& report) {
  std::vector<double> out;
  for (const EpochRecord& r : report.history) {
    out.push_back(r.train_loss);
    out.push_back(r.evaluation.val.loss);
    out.push_back(r.evaluation.test.metric);
  }
  return out;
}

template <class F>
std::string thrown(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

struct WatchWeights {
  std::vector<std::vector<float>> after;
  std::vector<std::size_t> labelled;
  std::vector<std::uint64_t> steps;
  void on_batch(auto& run, const BatchRecord& batch) {
    after.push_back(weights(run.model()));
    labelled.push_back(batch.labelled);
    steps.push_back(run.optimizer_state().step);
  }
};

struct AllHooks {
  std::string& calls;
  void on_restore(auto&) { calls += 'r'; }
  void on_fit_begin(auto&) { calls += '('; }
  void on_batch(auto&, const BatchRecord&) { calls += 'b'; }
  void on_epoch_end(auto& run) { calls += static_cast<char>('0' + run.history().size()); }
  void on_fit_end(auto&, const FitReport& report) { calls += report.epochs == 2 ? ')' : '?'; }
};

struct LateHook {
  std::string& calls;
  void on_fit_end(const auto&, const FitReport&) { calls += '!'; }
};

}  // namespace

TEMPLATE_TEST_CASE("A planted partition is learnt", "[train]", float, double) {
  const Dataset data = planted();
  TinyNet<TestType> model(8, 6, 3, 1);
  Trainer trainer{model, RangeSampler{24}, TinyLoss{}, Adam{.lr = 0.05}};
  const FitReport report = trainer.fit(data, {.epochs = 60, .seed = 3});
  CHECK(report.epochs == 60);
  CHECK(report.best_epoch == 59);
  CHECK(report.metric == Metric::accuracy);
  CHECK(report.history.size() == 60);
  CHECK(report.history[0].steps == 4);
  CHECK(report.history.back().train_loss < 0.5 * report.history.front().train_loss);
  CHECK(report.evaluation.train.count == 48);
  CHECK(report.evaluation.val.count == 24);
  CHECK(report.evaluation.test.metric > 0.8);
  CHECK(report.seconds_train > 0);
  CHECK(report.profile.total() == Approx(report.seconds_train));
}

TEST_CASE("Multi-label targets are learnt", "[train]") {
  const Dataset data = planted({.multilabel = true});
  for (const std::size_t size : {std::size_t{96}, std::size_t{24}}) {
    TinyNet<float> model(8, 6, 3, 1);
    Trainer trainer{model, RangeSampler{size}, TinyLoss{}, Adam{.lr = 0.05}};
    const FitReport report = trainer.fit(data, {.epochs = 80});
    CHECK(report.metric == Metric::micro_f1);
    CHECK(report.evaluation.train.metric > 0.7);
  }
}

TEST_CASE("The whole graph in one batch is the same however it is delivered", "[train]") {
  const Dataset data = planted();
  TinyNet<float> a(8, 6, 3), b(8, 6, 3);
  Trainer ranges{a, RangeSampler{96}, TinyLoss{}, Adam{}};
  Trainer whole{b, WholeSampler{}, TinyLoss{}, Adam{}};
  const auto x = ranges.fit(data, {.epochs = 5});
  const auto y = whole.fit(data, {.epochs = 5});
  CHECK(losses(x) == losses(y));
  CHECK(weights(a) == weights(b));
}

TEST_CASE("Prefetching changes no bit", "[train]") {
  const Dataset data = planted();
  const auto run = [&](auto loading) {
    TinyNet<float> model(8, 6, 3);
    Trainer trainer{model, RangeSampler{24}, TinyLoss{}, Adam{}, loading};
    const auto report = trainer.fit(data, {.epochs = 6, .seed = 3});
    return std::pair(losses(report), weights(model));
  };
  const auto plain = run(InlineLoading{});
  CHECK(plain == run(PrefetchOptions{.depth = 3}));
  CHECK(plain == run(PrefetchOptions{.depth = 0}));
}

TEST_CASE("Losses and weights are the same bits at any thread count", "[train]") {
  const Dataset data = planted({.nodes = 1000});
  const auto run = [&](std::size_t threads) {
    return with_threads(threads, [&] {
      TinyNet<float> model(8, 6, 3, 1);
      Trainer trainer{model, RangeSampler{300}, TinyLoss{}, Adam{.lr = 0.02}};
      const FitReport report = trainer.fit(data, {.epochs = 4, .seed = 3}, ClipNorm{0.5}, CosineDecay{4});
      return std::pair(losses(report), weights(model));
    });
  };
  const auto one = run(1);
  for (const std::size_t threads : {2u, 4u}) CHECK(one == run(threads));
}

TEST_CASE("A batch without a labelled training node changes nothing", "[train]") {
  Dataset data = planted();
  for (std::size_t i = 0; i < 48; ++i) data.roles[i] = Role::none;  // the first two of four batches
  TinyNet<float> model(8, 6, 3);
  WatchWeights watch;
  // With decay and momentum an optimiser that steps on zero gradients would still move the weights.
  Trainer trainer{model, RangeSampler{24}, TinyLoss{}, Adam{.weight_decay = 0.1}};
  const auto start = weights(model);
  const FitReport report = trainer.fit(data, {.epochs = 3}, watch);
  REQUIRE(watch.after.size() == 12);
  for (std::size_t i = 0; i < 12; ++i) {
    const auto& before = i == 0 ? start : watch.after[i - 1];
    CHECK((watch.after[i] == before) == (watch.labelled[i] == 0));
    CHECK(watch.steps[i] - (i == 0 ? 0 : watch.steps[i - 1]) == (watch.labelled[i] == 0 ? 0u : 1u));
  }
  CHECK(report.history[0].steps == 2);
}

TEST_CASE("Hooks are called in order and may be any mixture", "[train]") {
  const Dataset data = planted();
  TinyNet<float> model(8, 6, 3);
  Trainer trainer{model, RangeSampler{48}, TinyLoss{}, Sgd{}};
  std::string calls;
  trainer.fit(data, {.epochs = 2}, AllHooks{calls}, KeepLast{}, LateHook{calls});
  CHECK(calls == "r(bb1bb2)!");
}

TEST_CASE("Schedules and clipping act on the rate and the gradient", "[train]") {
  const Dataset data = planted();
  TinyNet<float> model(8, 6, 3);
  Trainer trainer{model, RangeSampler{48}, TinyLoss{}, Sgd{.lr = 0.5}};
  const auto report = trainer.fit(data, {.epochs = 4}, StepDecay{.every = 2, .gamma = 0.1});
  CHECK(report.history[1].learning_rate == 0.5);
  CHECK(report.history[2].learning_rate == Approx(0.05));
  const auto plateau =
      trainer.fit(data, {.epochs = 6}, ReduceOnPlateau{.gamma = 0.5, .patience = 0, .threshold = 0.99});
  CHECK(plateau.history[5].learning_rate < 0.1);
  const auto before = weights(model);
  trainer.fit(data, {.epochs = 1}, ClipNorm{1e-30});
  CHECK(weights(model) == before);
}

TEST_CASE("Stopping rules stop, keep and restore", "[train]") {
  const Dataset data = planted();
  TinyNet<float> model(8, 6, 3, 2);
  // A rate this high makes the validation loss bounce, so the best epoch is not the last.
  Trainer trainer{model, RangeSampler{96}, TinyLoss{}, Adam{.lr = 1.0}};
  const FitReport report = trainer.fit(data, {.epochs = 400}, BestLoss{.patience = 7});
  CHECK(report.stopped_early);
  CHECK(report.epochs == report.best_epoch + 8);
  double best = std::numeric_limits<double>::infinity();
  for (const EpochRecord& r : report.history) best = std::min(best, r.evaluation.val.loss);
  CHECK(report.evaluation.val.loss == best);
  const Evaluation again = evaluate(model, data, TinyLoss{});
  CHECK(again.val.loss == best);
  CHECK(again.test.metric == report.evaluation.test.metric);
}

TEST_CASE("Evaluation follows eval_every and can be switched off", "[train]") {
  const Dataset data = planted();
  TinyNet<float> model(8, 6, 3);
  Trainer trainer{model, RangeSampler{48}, TinyLoss{}, Adam{}};
  const FitReport some = trainer.fit(data, {.epochs = 8, .eval_every = 3});
  std::vector<bool> evaluated;
  for (const EpochRecord& r : some.history) evaluated.push_back(r.evaluated);
  CHECK(evaluated == std::vector<bool>{false, false, true, false, false, true, false, true});
  const FitReport none = trainer.fit(data, {.epochs = 2, .eval_every = 0});
  CHECK(none.evaluation.test.count == 0);
  CHECK(trainer.fit(data, {.epochs = 0}).epochs == 0);
}

TEST_CASE("Inductive training sees the training graph only", "[train]") {
  Dataset data = planted();
  TinyNet<float> model(8, 6, 3);
  Trainer trainer{model, RangeSampler{48}, TinyLoss{}, Adam{.lr = 0.05}};
  CHECK(thrown([&] { trainer.fit(data, {.inductive = true}); }).find("train_graph") != std::string::npos);
  // A training graph without edges: training is then blind to the graph, evaluation is not.
  data.train_graph.row_ptr.assign(97, 0);
  data.train_graph.num_cols = 96;
  const auto inductive = trainer.fit(data, {.epochs = 3, .inductive = true});
  TinyNet<float> other(8, 6, 3);
  Dataset cut = planted();
  Trainer blind{other, RangeSampler{48}, TinyLoss{}, Adam{.lr = 0.05}};
  cut.graph.row_ptr.assign(97, 0);
  cut.graph.col.clear();
  const auto edgeless = blind.fit(cut, {.epochs = 3});
  CHECK(weights(model) == weights(other));
  CHECK(inductive.history[0].train_loss == edgeless.history[0].train_loss);
  CHECK(inductive.evaluation.val.loss != edgeless.evaluation.val.loss);
}

TEST_CASE("What cannot be trained with is refused by name", "[train]") {
  TinyNet<float> model(8, 6, 3);
  Trainer trainer{model, RangeSampler{48}, TinyLoss{}, Adam{}};
  const auto refused = [&](const Dataset& data, const char* part, auto... extras) {
    const std::string text = thrown([&] { trainer.fit(data, {.epochs = 2}, extras...); });
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  refused(Dataset{}, "no nodes");
  Dataset data = planted();
  std::fill(data.roles.begin(), data.roles.end(), Role::test);
  refused(data, "no labelled training node");
  data = planted();
  std::fill(data.labels.classes.begin(), data.labels.classes.end(), kUnlabelled);
  refused(data, "no labelled training node");
  data = planted();
  for (Role& r : data.roles) r = r == Role::val ? Role::none : r;
  refused(data, "no labelled validation node", BestLoss{});
  refused(data, "no labelled validation node", ReduceOnPlateau{});
  CHECK(trainer.fit(data, {.epochs = 2}).evaluation.val.count == 0);
  data = planted();
  data.labels.classes[5] = 3;
  refused(data, "classes[5] is 3");
  data = planted();
  data.roles.resize(95);
  refused(data, "data.roles has 95 entries");
  data = planted({.features = 9});
  refused(data, "maps 8 features");
  data = planted();
  data.features(3, 2) = std::numeric_limits<float>::quiet_NaN();
  refused(data, "the loss is nan in epoch 0");
  data = planted();
  CHECK(thrown([&] { trainer.fit(data, {.eval_every = 0}, BestMetric{}); }).find("eval_every is 0") !=
        std::string::npos);
}
