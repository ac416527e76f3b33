// SPDX-License-Identifier: MIT
//
// Training for integers: the same network in full precision, with quantisation-aware training (plain, noisy), with
// DegreeQuant, and quantised after training. Prints accuracy, bytes of the model and times.
// Tailor, Fernandez-Marques & Lane, Degree-Quant, ICLR 2021. docs/quantization.md says what to choose.
//
//     degree_quant                                              all methods at 8 and 4 bits on a generated graph
//     degree_quant --data cora/planetoid --model gat --runs 10  the accuracy table of docs/quantization.md

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "support/program.hpp"
#include "support/quant_choice.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/train/infer.hpp"
#include "tessera/train/roc_auc.hpp"
#include "tessera/train/role_targets.hpp"

namespace {

/// What is printed of one method.
struct Row {
  std::string method;
  int bits;
  tessera::Report report;
  std::size_t bytes = 0;
  double step_ms = 0;
};

/// Test accuracy over the whole graph.
double accuracy(const tessera::AnyModel<>& model, const tessera::DatasetView& data) {
  const auto whole = tessera::prepare_adjacency(data.graph.view(), data.graph.symmetric, model.aggregation());
  const tessera::Tensor<float> logits = tessera::infer(model, whole.adjacency(), data.features);
  const auto rows = tessera::targets_of(data, tessera::Role::test);
  return tessera::measure(tessera::Metric::accuracy, logits.view(),
                          tessera::LabelView{data.labels.classes, data.labels.indicators}, rows.rows.span());
}

class Table {
 public:
  Table(const examples::Options& o, const examples::QuantChoice& choice, const tessera::DatasetView& data,
        const tessera::Report& report)
      : o_(o), choice_(choice), data_(data), report_(report) {}

  /// Trains one method; models trained in full precision are quantised afterwards where `ptq_bits` asks for it.
  void train(const std::string& method, int bits, const std::vector<int>& ptq_bits = {}) {
    Row row{method, bits, report_};
    std::vector<Row> after;
    for (const int b : ptq_bits) after.push_back({"ptq", b, report_});
    examples::RunExtras extras;
    if (method != "fp32") {
      extras.make_model = [&](std::uint64_t seed) {
        auto made = examples::make_quantized_model(o_, choice_.settings(method, bits), data_, seed);
        row.bytes = made.bytes;
        return std::move(made.model);
      };
    }
    extras.after = [&](const tessera::AnyModel<>& model, tessera::RunSummary& run) {
      if (method == "fp32") row.bytes = model.parameters().num_parameters() * sizeof(float);
      for (Row& later : after) {
        const auto made = examples::quantize_trained(o_, choice_.settings("ptq", later.bits), data_, model);
        later.bytes = made.bytes;
        later.report.runs.push_back({.seed = run.seed, .fit = run.fit, .additions = {}});
        later.report.runs.back().fit.evaluation.test.metric = accuracy(made.model, data_);
      }
    };
    examples::train_runs(
        o_, data_, [] { return tessera::FullGraphSampler{}; }, row.report, extras);
    double steps = 0;
    double seconds = 0;
    for (const tessera::RunSummary& run : row.report.runs) {
      seconds += run.fit.seconds_train;
      steps += static_cast<double>(run.fit.epochs);
    }
    row.step_ms = 1e3 * seconds / std::max(1.0, steps);
    print(row);
    for (const Row& later : after) print(later);
    runs = std::move(row.report.runs);
  }

  std::vector<tessera::ReportField> fields;  ///< everything printed
  std::vector<tessera::RunSummary> runs;     ///< of the last method

 private:
  void print(const Row& row) {
    const std::string name = row.bits == 32 ? row.method : row.method + "-int" + std::to_string(row.bits);
    std::printf("%-10s test %6.2f +- %5.2f   %9zu bytes", name.c_str(), 100 * row.report.test_mean(),
                100 * row.report.test_std(), row.bytes);
    if (row.step_ms > 0) std::printf("   %7.3f ms per step", row.step_ms);
    std::printf("\n");
    std::fflush(stdout);
    fields.push_back({name + "_mean", row.report.test_mean()});
    fields.push_back({name + "_std", row.report.test_std()});
    fields.push_back({name + "_bytes", static_cast<std::int64_t>(row.bytes)});
    fields.push_back({name + "_step_ms", row.step_ms});
  }

  const examples::Options& o_;
  const examples::QuantChoice& choice_;
  const tessera::DatasetView& data_;
  const tessera::Report& report_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains networks that run in integers, and compares them with full precision"};
  examples::Options options;
  options.decay = "all";
  options.keep = "best-both";
  examples::QuantChoice choice;
  choice.add_to(app);
  std::vector<std::string> methods{"fp32", "qat", "nqat", "dq", "ptq"};
  std::vector<int> bits{8, 4};
  app.add_option("--methods", methods)->check(CLI::IsMember({"fp32", "qat", "nqat", "dq", "ptq"}));
  app.add_option("--bits", bits)->check(CLI::Range(2, 16));
  return examples::run_program(app, argc, argv, "degree_quant", options,
                               [&](const tessera::DatasetView& data, tessera::Report& report) {
                                 Table table(options, choice, data, report);
                                 const auto wants = [&](const char* name) {
                                   return std::find(methods.begin(), methods.end(), name) != methods.end();
                                 };
                                 if (wants("fp32") || wants("ptq"))
                                   table.train("fp32", 32, wants("ptq") ? bits : std::vector<int>{});
                                 for (const int b : bits) {
                                   for (const char* method : {"qat", "nqat", "dq"}) {
                                     if (wants(method)) table.train(method, b);
                                   }
                                 }
                                 report.additions = std::move(table.fields);
                                 report.runs = std::move(table.runs);
                               });
}
