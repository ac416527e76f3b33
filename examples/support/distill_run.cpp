// SPDX-License-Identifier: MIT
#include "support/distill_run.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "support/program.hpp"
#include "tessera/distill/authors_split.hpp"
#include "tessera/distill/born_again.hpp"
#include "tessera/distill/cpf.hpp"
#include "tessera/distill/distill.hpp"
#include "tessera/distill/fit_ltd.hpp"
#include "tessera/distill/fit_ltd_batches.hpp"
#include "tessera/distill/glnn.hpp"
#include "tessera/distill/perturb.hpp"
#include "tessera/distill/run_teacher.hpp"
#include "tessera/distill/tgs.hpp"
#include "tessera/kernels/softmax.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/train/early_stopping.hpp"
#include "tessera/train/svg_plot.hpp"
#include "tessera/train/trainer.hpp"

namespace examples {
namespace {

using tessera::AnyModel;
using tessera::Dataset;

/// Accuracy and price of one model.
struct Outcome {
  double test = 0;
  double val = 0;
  std::size_t parameters = 0;
  double microseconds = 0;  ///< per node, all nodes asked at once
};

/// One run's data: a task of its own where the protocol restricts and splits it.
struct Task {
  Dataset data;
  tessera::LtdSplit split;
  tessera::ProductionSplit production;
  Dataset observed;  ///< without the hidden nodes' links, in the production protocol

  Task(const tessera::DatasetView& source, const DistillChoice& c, std::uint64_t seed) {
    const bool whole = c.protocol == "as-is" || source.multilabel();
    std::vector<tessera::NodeId> nodes(source.num_nodes());
    for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i] = static_cast<tessera::NodeId>(i);
    if (!whole) nodes = tessera::largest_component(source.graph.view());
    // Bags of words become 0 and 1 as published; features of both signs stay what they are.
    const bool words = !whole && std::all_of(nodes.begin(), nodes.end(), [&](tessera::NodeId v) {
      const auto row = source.features.row(v);
      return std::all_of(row.begin(), row.end(), [](float x) { return x >= 0; });
    });
    data = tessera::restrict_nodes(source, nodes, words);
    if (data.multilabel()) return;
    const auto classes = data.labels.classes.span();
    if (c.protocol == "cpf" || c.protocol == "production")
      data.roles = tessera::cpf_split(classes, data.num_classes(),
                                      static_cast<std::uint32_t>(c.split_seed.value_or(seed)));
    if (c.protocol == "ltd") {
      split = tessera::ltd_split(classes, data.num_classes(),
                                 static_cast<std::uint32_t>(c.split_seed.value_or(0)));
      data.roles = tessera::Array<tessera::Role>::copy_of(split.roles.span());
    } else {
      split.roles = tessera::Array<tessera::Role>::copy_of(data.roles.span());
      split.distill.assign(classes.size(), -1);
      split.evaluate.assign(classes.size(), -1);
      std::size_t turn = 0;  // without a split of its own, every second labelled node evaluates temperatures
      for (std::size_t i = 0; i < classes.size(); ++i) {
        if (data.roles[i] == tessera::Role::train)
          (turn++ % 2 == 0 ? split.distill : split.evaluate)[i] = classes[i];
      }
    }
    production = tessera::production_split(data.roles, c.protocol == "production" ? 0.2 : 0.0, seed);
    if (production.hidden.empty()) return;
    std::vector<bool> away(classes.size(), false);
    for (const tessera::NodeId v : production.hidden) away[v] = true;
    std::vector<tessera::NodeId> from;
    std::vector<tessera::NodeId> to;
    const tessera::CsrView<> graph = data.graph.view();
    for (std::size_t i = 0; i < graph.num_rows; ++i) {
      for (const tessera::NodeId j : graph.neighbors(i)) {
        if (j <= i && !away[i] && !away[j]) {
          from.push_back(static_cast<tessera::NodeId>(i));
          to.push_back(j);
        }
      }
    }
    observed.graph = tessera::build_csr(graph.num_rows, {from, to, {}}, {.symmetrize = true}).graph;
  }

  /// What training may see.
  tessera::DatasetView training() const {
    tessera::DatasetView out(data);
    if (production.hidden.empty()) return out;
    out.graph = {observed.graph.view(), true};
    return out;
  }
};

/// Test accuracy (micro-F1 with several labels) over the whole graph, and the time it takes per node.
Outcome judge(const AnyModel<>& model, const tessera::DatasetView& data) {
  const auto whole = tessera::prepare_adjacency(data.graph.view(), data.graph.symmetric, model.aggregation());
  Outcome out;
  out.parameters = model.parameters().num_parameters();
  double best = 1e30;
  tessera::Tensor<float> logits;
  for (int repeat = 0; repeat < 3; ++repeat) {
    const Timer timer;
    logits = tessera::infer(model, whole.adjacency(), data.features);
    best = std::min(best, timer.seconds());
  }
  out.microseconds = 1e6 * best / static_cast<double>(data.num_nodes());
  const auto score = [&](tessera::Role role) {
    const auto rows = tessera::targets_of(data, role);
    return tessera::measure(data.multilabel() ? tessera::Metric::micro_f1 : tessera::Metric::accuracy,
                            std::as_const(logits).view(),
                            tessera::LabelView{data.labels.classes, data.labels.indicators},
                            rows.rows.span());
  };
  out.test = score(tessera::Role::test);
  out.val = score(tessera::Role::val);
  return out;
}

/// The best validation metric, the latest of equals: the published teachers go on while they are as good as before,
/// which makes them surer of themselves.
struct LatestBest {
  static constexpr bool kKeepsBest = true;
  static constexpr bool kNeedsValidation = true;
  std::uint64_t patience = 50;

  tessera::Verdict judge(const tessera::StoppingView& view) const noexcept {
    const bool better = view.best == tessera::kNoBest ||
                        view.last().evaluation.val.metric >= view.history[view.best].evaluation.val.metric;
    return tessera::detail::judge_patience(view, better, patience);
  }
};

/// Trains with any loss on the whole graph.
template <class M, class L>
void train(M& model, const tessera::DatasetView& data, const L& loss, const Training& t, std::uint64_t seed) {
  tessera::Trainer trainer{model, tessera::FullGraphSampler{}, loss,
                           tessera::Adam{.lr = t.lr, .weight_decay = t.weight_decay}};
  trainer.fit(data, {.epochs = t.epochs, .seed = seed}, LatestBest{.patience = t.patience});
}

/// The example's own state: options, and what one run leaves.
class Distillation {
 public:
  explicit Distillation(const DistillChoice& c) : c_(c) {}

  void run(const tessera::DatasetView& source, std::uint64_t seed, tessera::Report& report) {
    const Timer timer;
    const Task task(source, c_, seed);
    const tessera::DatasetView all(task.data);
    const Features features(c_.student, all);
    const Features teacher_features(c_.teacher, all);

    AnyModel<> teacher = distill_model(c_, c_.teacher, true, all, seed + 1000);
    const tessera::DatasetView seen = teacher_features.of(task.training());
    train(teacher, seen, tessera::TaskLoss{}, c_.teacher_training, seed);
    outputs_ = tessera::teacher_outputs(teacher, seen, {.hidden = teacher.num_layers() > 1});

    AnyModel<> plain = distill_model(c_, c_.student, false, all, seed);
    const tessera::DatasetView lessons = features.of(task.training());
    train(plain, lessons, tessera::TaskLoss{}, c_.training, seed);
    const tessera::DatasetView asked = features.of(all);
    tessera::RunSummary summary{.seed = seed};
    add(summary, "teacher", judge(teacher, teacher_features.of(all)));
    add(summary, "plain", judge(plain, asked));
    const auto part = [&](const AnyModel<>& m, const tessera::DatasetView& d, const std::string& name) {
      if (!task.production.hidden.empty()) add_parts(summary, task, m, d, name);
    };
    part(teacher, teacher_features.of(all), "teacher");
    part(plain, asked, "plain");
    for (const std::string& method : c_.methods) {
      c_.method = method;
      const std::string name = c_.methods.size() > 1 ? "distilled_" + method : "distilled";
      tessera::TappedModel student{distill_model(c_, c_.student, false, all, seed)};
      const std::size_t parameters = student.parameters().num_parameters();
      const bool own = distil(student, task, lessons, seed);
      Outcome outcome = own ? own_ : judge(student.model(), asked);
      outcome.parameters = own ? own_.parameters : parameters;
      summary.fit.evaluation.test = {0, outcome.test, 1};
      add(summary, name, outcome);
      if (!own) part(student.model(), asked, name);
      if (c_.noise && !own) bear_noise(summary, task, teacher, plain, student.model(), name);
    }
    summary.fit.seconds_train = timer.seconds();
    report.runs.push_back(std::move(summary));
  }

 private:
  /// Teaches the student; true where the method brings a student of its own, which own_ then describes.
  bool distil(tessera::TappedModel<AnyModel<>>& student, const Task& task, const tessera::DatasetView& data,
              std::uint64_t seed) {
    if (c_.method == "glnn") {
      const Training t = c_.training;
      tessera::fit_glnn(student.model(), data.features, data.labels.classes, data.roles, outputs_,
                        task.production.observed,
                        {.lambda = c_.lambda,
                         .lr = t.lr,
                         .weight_decay = t.weight_decay,
                         .batch_size = c_.batch,
                         .epochs = t.epochs,
                         .patience = t.patience,
                         .seed = seed});
      return false;
    }
    if (c_.method == "cpf") return propagate(task, data, seed);
    if (c_.method == "tgs") return infer_neighbours(data, seed);
    if (c_.method == "ltd" || c_.method == "ft" || c_.method == "heuristic") {
      learn_to_distil(student.model(), task, data, seed);
      return false;
    }
    if (c_.method == "born-again") {
      std::size_t g = 0;
      auto family = tessera::born_again(
          c_.generations, data,
          [&](std::size_t generation) {
            return distill_model(c_, c_.student, false, data, seed + 100 * generation);
          },
          [&](AnyModel<>& model, const tessera::TeacherOutputs* parent) {
            const tessera::TeacherOutputs& from = parent != nullptr ? *parent : outputs_;
            train(model, data,
                  tessera::Distill{from, tessera::TaskLoss{}, tessera::Logit{.alpha = 1, .temperature = 1}},
                  c_.training, seed + g++);
          });
      std::copy(family.generations.back().parameters().values().begin(),
                family.generations.back().parameters().values().end(), student.parameters().values().begin());
      return false;
    }
    const tessera::Distill loss{outputs_, student, c_.logit(), c_.hidden_term()};
    train(student, data, loss, c_.training, seed);
    return false;
  }

  void learn_to_distil(AnyModel<>& student, const Task& task, const tessera::DatasetView& data,
                       std::uint64_t seed) {
    if (data.multilabel())
      throw tessera::ConfigError("distill: --method " + c_.method + " wants one class per node");
    const auto prepared = tessera::prepare_adjacency(data.graph.view(), true, student.aggregation(), true);
    tessera::Tensor<float> scratch;
    const tessera::LtdData<float> problem{
        prepared.adjacency(), data.graph.view(),
        data.features,        outputs_.logits<float>({}, data.num_nodes(), scratch),
        data.labels.classes,  &task.split};
    tessera::LtdFit<float> best;
    std::vector<float> start(student.parameters().values().begin(), student.parameters().values().end());
    std::vector<float> kept;
    const std::vector<double>& rates = c_.method == "ltd" ? c_.ltd_alpha : c_.ft_lr;
    for (const double rate : rates) {
      std::copy(start.begin(), start.end(), student.parameters().values().begin());
      tessera::LtdFit<float> fit;
      try {
        fit = c_.method == "ltd" ? learn_temperatures(student, problem, task, data, rate, seed)
                                 : tessera::fit_soft(student, problem, fixed(rate, seed));
      } catch (const tessera::Error&) {  // too large a rate diverges; others may not
        if (rates.size() == 1) throw;
        continue;
      }
      if (!kept.empty() && fit.report.val_accuracy <= best.report.val_accuracy) continue;
      best = std::move(fit);
      kept.assign(student.parameters().values().begin(), student.parameters().values().end());
    }
    if (kept.empty()) throw tessera::ConfigError("distill: every rate of " + c_.method + " diverged");
    std::copy(kept.begin(), kept.end(), student.parameters().values().begin());
    if (!c_.temperatures.empty()) plot(best.temperatures.span());
  }

  tessera::LtdFit<float> learn_temperatures(AnyModel<>& student, const tessera::LtdData<float>& problem,
                                            const Task& task, const tessera::DatasetView& data, double alpha,
                                            std::uint64_t seed) const {
    const tessera::FitLtdOptions o{.step = {.alpha = alpha,
                                            .beta = c_.ltd_beta,
                                            .lambda = c_.lambda,
                                            .epsilon = c_.epsilon,
                                            .attached = c_.attached},
                                   .k = c_.ltd_k,
                                   .epochs = c_.ltd_epochs,
                                   .patience = c_.ltd_patience,
                                   .seed = seed};
    if (c_.ltd_batch == 0) return tessera::fit_ltd(student, problem, o);
    const tessera::NeighborSampler sampler(
        {.fanouts = std::vector<int>(student.num_layers(), static_cast<int>(c_.ltd_fanout)),
         .batches = {.batch_size = c_.ltd_batch}});
    return tessera::fit_ltd_batches(student, data, sampler, problem.teacher, task.split, o);
  }

  tessera::FitSoftOptions fixed(double lr, std::uint64_t seed) const {
    return {.temperature = c_.temperature,
            .lambda = c_.lambda,
            .lr = lr,
            .alpha = c_.ltd_alpha.front(),
            .epochs = c_.ltd_epochs,
            .patience = c_.ltd_patience,
            .seed = seed,
            .heuristic = c_.method == "heuristic",
            .heuristic_options = {.k = c_.ltd_k}};
  }

  bool infer_neighbours(const tessera::DatasetView& data, std::uint64_t seed) {
    if (data.multilabel()) throw tessera::ConfigError("distill: --method tgs wants one class per node");
    tessera::TgsNet<> net({.in = data.num_features(),
                           .hidden = c_.hidden,
                           .out = data.num_classes(),
                           .layers = c_.layers,
                           .dropout = c_.dropout,
                           .seed = seed});
    const Training& t = c_.training;
    const tessera::DistillReport fit =
        tessera::fit_tgs(net, data.graph.view(), data.features, data.labels.classes, data.roles,
                         {.lr = t.lr,
                          .weight_decay = t.weight_decay,
                          .edges_per_batch = c_.tgs_edges,
                          .batches_per_epoch = c_.tgs_batches,
                          .epochs = t.epochs,
                          .patience = t.patience,
                          .seed = seed});
    const Timer timer;
    tessera::tgs_logits(net, data.features);
    own_ = {fit.test_accuracy, fit.val_accuracy, net.parameters().num_parameters(),
            1e6 * timer.seconds() / static_cast<double>(data.num_nodes())};
    return true;
  }

  bool propagate(const Task& task, const tessera::DatasetView& data, std::uint64_t seed) {
    // One-hot diagonal and transposes: the student walks on the graph with self loops.
    const auto graph =
        tessera::prepare_adjacency(data.graph.view(), true, {tessera::Normalization::none, true, 0.0f}, true);
    tessera::Tensor<float> scratch;
    tessera::Tensor<float> p(data.num_nodes(), data.num_classes());
    tessera::softmax<float>(outputs_.logits<float>({}, data.num_nodes(), scratch), p.view());
    tessera::CpfStudent<> student({.nodes = data.num_nodes(),
                                   .in = data.num_features(),
                                   .hidden = c_.hidden,
                                   .out = data.num_classes(),
                                   .steps = c_.cpf_steps,
                                   .dropout = c_.cpf_dropout,
                                   .attention_dropout = c_.cpf_attention_dropout,
                                   .seed = seed});
    const tessera::DistillReport fit = tessera::fit_cpf(
        student, graph.adjacency(), data.features, std::as_const(p).view(), task.data.labels.classes,
        task.data.roles,
        {.lr = c_.cpf_lr, .weight_decay = c_.cpf_weight_decay, .patience = c_.cpf_patience, .seed = seed});
    own_ = {fit.test_accuracy, fit.val_accuracy, student.parameters().num_parameters(), 0};
    return true;
  }

  void plot(std::span<const float> tau) const {
    tessera::detail::Curve curve{"temperature", "#1f77b4", {}};
    std::vector<float> sorted(tau.begin(), tau.end());
    std::sort(sorted.begin(), sorted.end());
    const std::size_t stride = std::max<std::size_t>(1, sorted.size() / 400);
    for (std::size_t i = 0; i < sorted.size(); i += stride) {
      curve.points.emplace_back(static_cast<double>(i) / static_cast<double>(sorted.size()),
                                static_cast<double>(sorted[i]));
    }
    std::string svg =
        "<svg xmlns='http://www.w3.org/2000/svg' width='520' height='400' viewBox='0 0 520 400' "
        "font-family='system-ui, Helvetica, Arial, sans-serif' font-size='12' fill='#222'>\n"
        "<rect width='520' height='400' fill='white'/>\n";
    tessera::detail::SvgChart(svg, 70, 62, std::span(&curve, 1))
        .draw("temperatures, ascending", "share of nodes");
    std::ofstream(c_.temperatures) << svg << "</svg>\n";
  }

  void bear_noise(tessera::RunSummary& summary, const Task& task, const AnyModel<>& teacher,
                  const AnyModel<>& plain, const AnyModel<>& student, const std::string& name) const {
    const auto test = [&](const std::string& what, const tessera::Dataset& noisy) {
      const tessera::DatasetView view(noisy);
      const Features of_student(c_.student, view);
      const Features of_teacher(c_.teacher, view);
      if (c_.method == c_.methods.front()) {
        note(summary, "teacher_" + what, judge(teacher, of_teacher.of(view)).test);
        note(summary, "plain_" + what, judge(plain, of_student.of(view)).test);
      }
      note(summary, name + "_" + what, judge(student, of_student.of(view)).test);
    };
    std::vector<tessera::NodeId> every(task.data.num_nodes());
    for (std::size_t i = 0; i < every.size(); ++i) every[i] = static_cast<tessera::NodeId>(i);
    for (const double sigma : {0.1, 0.2, 0.5, 1.0}) {
      tessera::Dataset noisy = tessera::restrict_nodes(task.data, every, false);
      noisy.features = tessera::noisy_features(task.data.features.view(), sigma, summary.seed);
      test("features_" + std::to_string(sigma).substr(0, 3), noisy);
    }
    for (const double share : {0.1, 0.2, 0.5}) {
      for (const bool add : {false, true}) {
        tessera::Dataset noisy = tessera::restrict_nodes(task.data, every, false);
        noisy.graph =
            tessera::noisy_links(task.data.graph.view(), add ? 0 : share, add ? share : 0, summary.seed);
        test(std::string(add ? "added_" : "removed_") + std::to_string(share).substr(0, 3), noisy);
      }
    }
  }

  /// The production protocol's three figures: nodes the training saw, hidden ones, and both as they would come.
  static void add_parts(tessera::RunSummary& summary, const Task& task, const AnyModel<>& model,
                        const tessera::DatasetView& data, const std::string& name) {
    const auto logits = tessera::infer(model, data);
    const auto score = [&](const std::vector<tessera::NodeId>& nodes) {
      std::vector<tessera::NodeId> rows;
      for (const tessera::NodeId v : nodes) {
        if (task.data.roles[v] == tessera::Role::test) rows.push_back(v);
      }
      return tessera::accuracy(logits.view(), task.data.labels.classes, rows);
    };
    const double tran = score(task.production.observed);
    const double ind = score(task.production.hidden);
    note(summary, name + "_tran", tran);
    note(summary, name + "_ind", ind);
    note(summary, name + "_prod", 0.8 * tran + 0.2 * ind);
  }
  static void note(tessera::RunSummary& summary, std::string name, double value) {
    summary.additions.push_back({std::move(name), value});
  }
  static void add(tessera::RunSummary& summary, const std::string& who, const Outcome& o) {
    note(summary, who, o.test);
    note(summary, who + "_val", o.val);
    note(summary, who + "_parameters", static_cast<double>(o.parameters));
    note(summary, who + "_us_per_node", o.microseconds);
  }

  DistillChoice c_;
  tessera::TeacherOutputs outputs_;
  Outcome own_;
};

}  // namespace

void run_distillation(const Options& o, const DistillChoice& c, const tessera::DatasetView& data,
                      tessera::Report& report) {
  Distillation distillation(c);
  for (std::size_t r = 0; r < o.runs; ++r) distillation.run(data, o.seed + r, report);
  if (report.runs.empty()) return;
  for (std::size_t f = 0; f < report.runs.front().additions.size(); ++f) {
    double mean = 0;
    double square = 0;
    const auto n = static_cast<double>(report.runs.size());
    for (const tessera::RunSummary& run : report.runs) mean += std::get<double>(run.additions[f].value) / n;
    for (const tessera::RunSummary& run : report.runs) {
      const double d = std::get<double>(run.additions[f].value) - mean;
      square += d * d;
    }
    const std::string& name = report.runs.front().additions[f].name;
    report.additions.push_back({name, mean});
    std::printf("%-28s %12.4f +- %.4f\n", name.c_str(), mean, n > 1 ? std::sqrt(square / (n - 1)) : 0.0);
  }
}

}  // namespace examples
