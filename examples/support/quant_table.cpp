// SPDX-License-Identifier: MIT
#include "support/quant_table.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <utility>

#include "support/int8_choice.hpp"
#include "support/train.hpp"
#include "tessera/distill/run_teacher.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/io/standardize.hpp"
#include "tessera/quant/packed_binary.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/train/infer.hpp"
#include "tessera/train/roc_auc.hpp"
#include "tessera/train/role_targets.hpp"

namespace examples {
namespace {

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) /
         std::max(1.0, static_cast<double>(values.size()));
}

/// Sample standard deviation; 0 for fewer than two.
double deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double centre = mean(values);
  double sum = 0;
  for (const double v : values) sum += (v - centre) * (v - centre);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

std::string with_bits(const std::string& method, int bits) { return method + "-int" + std::to_string(bits); }

}  // namespace

QuantTable::QuantTable(const Options& o, const QuantChoice& choice, const tessera::DatasetView& data,
                       bool integers)
    : o_(o), choice_(choice), data_(data), wants_integers_(integers) {
  std::printf("%-18s %10s %16s %12s %14s %8s %13s\n", "method", "validation", "test", "model bytes",
              "feature bytes", "ms/step", "ms/inference");
}

bool QuantTable::runs_in_integers(int bits) const {
  const std::vector<std::string> names = int8_model_names();
  return wants_integers_ && bits <= 8 && choice_.placement == "fused" &&
         std::find(names.begin(), names.end(), o_.model) != names.end();
}

void QuantTable::measure(Row& row, tessera::Metric metric, const Infer& infer) const {
  tessera::Tensor<float> logits;
  double best = 1e30;
  for (int k = 0; k < 5; ++k) {
    const Timer timer;
    logits = infer();
    best = std::min(best, timer.seconds());
  }
  const tessera::LabelView labels{data_.labels.classes, data_.labels.indicators};
  const auto add_metric = [&](tessera::Role role, std::vector<double>& to) {
    const auto nodes = tessera::targets_of(data_, role);
    if (nodes.rows.empty() && role == tessera::Role::val) return;
    to.push_back(tessera::measure(metric, std::as_const(logits).view(), labels, nodes.rows.span()));
  };
  add_metric(tessera::Role::val, row.val);
  add_metric(tessera::Role::test, row.test);
  row.latency_ms.push_back(1e3 * best);
}

void QuantTable::measure(Row& row, const tessera::AnyModel<>& model, const tessera::RunSummary& run) const {
  const auto whole =
      tessera::prepare_adjacency(data_.graph.view(), data_.graph.symmetric, model.aggregation());
  measure(row, run.fit.metric, [&] { return tessera::infer(model, whole.adjacency(), data_.features); });
}

void QuantTable::deploy(Row& row, const tessera::QuantSettings& settings, const tessera::AnyModel<>& model,
                        const tessera::RunSummary& run) {
  tessera::Int8Model integers = export_trained(o_, settings, data_, model);
  const auto pattern =
      tessera::prepare_adjacency(data_.graph.view(), data_.graph.symmetric, integers.aggregation());
  row.model_bytes = integers.bytes();
  row.feature_bits = 8;
  measure(row, run.fit.metric, [&] { return integers.infer(pattern.adjacency().forward, data_.features); });
  if (settings.weight_bits == 8) int8_ = std::move(integers);
}

void QuantTable::train(const std::string& method, int bits, const tessera::Report& report,
                       const std::vector<int>& ptq_bits, bool teaches) {
  const bool exact = method == "fp32";
  const tessera::QuantSettings settings = exact ? tessera::QuantSettings{} : choice_.settings(method, bits);
  Row row{.name = exact ? method : with_bits(method, bits)};
  Row integers{.name = row.name + "-integers"};
  std::vector<std::pair<Row, Row>> after;
  for (const int b : ptq_bits) {
    const std::string name = with_bits("ptq", b);
    after.emplace_back(Row{.name = name}, Row{.name = name + "-integers"});
  }
  RunExtras extras;
  if (method == "kd-dq") extras.teachers = teachers_;
  if (!exact) {
    extras.make_model = [&](std::uint64_t seed) {
      QuantizedModel made = make_quantized_model(o_, settings, data_, seed);
      row.model_bytes = made.bytes;
      return std::move(made.model);
    };
  }
  extras.after = [&](const tessera::AnyModel<>& model, tessera::RunSummary& run) {
    if (exact) row.model_bytes = model.parameters().num_parameters() * sizeof(float);
    measure(row, model, run);
    if (teaches) teachers_.push_back(tessera::teacher_outputs(model, data_));
    if (!exact && runs_in_integers(bits)) deploy(integers, settings, model, run);
    for (std::size_t k = 0; k < after.size(); ++k) {
      const tessera::QuantSettings calibrated = choice_.settings("ptq", ptq_bits[k]);
      const QuantizedModel made = quantize_trained(o_, calibrated, data_, model);
      after[k].first.model_bytes = made.bytes;
      measure(after[k].first, made.model, run);
      if (runs_in_integers(ptq_bits[k])) deploy(after[k].second, calibrated, made.model, run);
    }
  };
  tessera::Report part = report;
  part.runs.clear();
  train_runs(
      checkpointed(row.name), data_, [] { return tessera::FullGraphSampler{}; }, part, extras);
  finish(std::move(row), part.runs);
  if (!integers.test.empty()) print(integers);
  for (const auto& [fake, run] : after) {
    print(fake);
    if (!run.test.empty()) print(run);
  }
  runs_ = std::move(part.runs);
}

Options QuantTable::checkpointed(const std::string& name) const {
  Options o = o_;
  if (!o.checkpoint.empty()) o.checkpoint += "/" + name;
  return o;
}

void QuantTable::train_binary(const tessera::Report& report) {
  Options o = checkpointed("binary");
  o.lr = o_.lr / 10;
  o.epochs = 5 * o_.epochs;
  tessera::Tensor<float> standard = tessera::Tensor<float>::copy_of(data_.features);
  std::vector<tessera::NodeId> all(standard.rows());
  std::iota(all.begin(), all.end(), tessera::NodeId{0});
  tessera::io::apply_scaler(tessera::io::fit_scaler(standard.view(), all), standard.view());
  tessera::DatasetView data = data_;
  data.features = standard.view();
  const tessera::BiGcnNet<>::Options net{.in = data.num_features(),
                                         .hidden = std::max<std::size_t>(64, o.hidden),
                                         .out = data.num_classes(),
                                         .layers = o.layers,
                                         .dropout = 0.4f};
  Row row{.name = "binary", .feature_bits = 1};
  RunExtras extras;
  extras.make_model = [&](std::uint64_t seed) -> tessera::AnyModel<> {
    auto seeded = net;
    seeded.seed = seed;
    return tessera::BiGcnNet<>(seeded);
  };
  extras.after = [&](const tessera::AnyModel<>& model, tessera::RunSummary& run) {
    tessera::BiGcnNet<> trained(net);
    const auto values = model.parameters().values();
    std::copy(values.begin(), values.end(), trained.parameters().values().begin());
    const tessera::PackedBiGcn packed(trained);
    const auto whole =
        tessera::prepare_adjacency(data.graph.view(), data.graph.symmetric, trained.aggregation());
    row.model_bytes = packed.bytes();
    measure(row, run.fit.metric, [&] { return packed.infer(whole.adjacency().forward, data.features); });
  };
  tessera::Report part = report;
  part.runs.clear();
  train_runs(
      o, data, [] { return tessera::FullGraphSampler{}; }, part, extras);
  finish(std::move(row), part.runs);
  runs_ = std::move(part.runs);
}

void QuantTable::finish(Row row, const std::vector<tessera::RunSummary>& runs) {
  double seconds = 0;
  double steps = 0;
  for (const tessera::RunSummary& run : runs) {
    seconds += run.fit.seconds_train;
    steps += static_cast<double>(run.fit.epochs);
  }
  row.step_ms = 1e3 * seconds / std::max(1.0, steps);
  print(row);
}

void QuantTable::print(const Row& row) {
  const std::size_t features = (data_.graph.num_nodes() * data_.num_features() * row.feature_bits + 7) / 8;
  char step[16] = "";
  if (row.step_ms > 0) std::snprintf(step, sizeof step, "%.3f", row.step_ms);
  char val[16] = "";
  if (!row.val.empty()) std::snprintf(val, sizeof val, "%.2f", 100 * mean(row.val));
  std::printf("%-18s %10s %7.2f +- %5.2f %12zu %14zu %8s %13.3f\n", row.name.c_str(), val,
              100 * mean(row.test), 100 * deviation(row.test), row.model_bytes, features, step,
              mean(row.latency_ms));
  std::fflush(stdout);
  if (!row.val.empty()) fields_.push_back({row.name + "_val_mean", mean(row.val)});
  fields_.push_back({row.name + "_mean", mean(row.test)});
  fields_.push_back({row.name + "_std", deviation(row.test)});
  fields_.push_back({row.name + "_bytes", static_cast<std::int64_t>(row.model_bytes)});
  fields_.push_back({row.name + "_feature_bytes", static_cast<std::int64_t>(features)});
  fields_.push_back({row.name + "_ms", mean(row.latency_ms)});
  if (row.step_ms > 0) fields_.push_back({row.name + "_step_ms", row.step_ms});
}

void QuantTable::add_to(tessera::Report& report) const {
  report.additions = fields_;
  report.runs = runs_;
}

}  // namespace examples
