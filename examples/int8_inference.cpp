// SPDX-License-Identifier: MIT
//
// Inference in integers: one network in full precision, trained with DegreeQuant for 8 and 4 bits and run as it was
// trained (fake-quantised) and in integers, and a binary one in packed bits. Prints accuracy, bytes and latency of each.
// Tailor et al., Degree-Quant, ICLR 2021; Wang et al., Bi-GCN, CVPR 2021. docs/quantization.md has its table.
//
//     int8_inference                                             on a generated graph
//     int8_inference --data cora/planetoid --model gcn --runs 5
//     int8_inference --out model.safetensors                     keeps the 8-bit model of the last run

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/int8_choice.hpp"
#include "support/program.hpp"
#include "support/quant_choice.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/io/safetensors_write.hpp"
#include "tessera/quant/int8_file.hpp"
#include "tessera/quant/packed_binary.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/train/infer.hpp"
#include "tessera/train/roc_auc.hpp"
#include "tessera/train/role_targets.hpp"

namespace {

/// One line of the table: means over the runs.
struct Line {
  std::string name;
  double accuracy = 0;
  double model_bytes = 0;
  double feature_bytes = 0;
  double milliseconds = 0;
  double runs = 0;
};

class Table {
 public:
  Table(const examples::Options& o, const tessera::DatasetView& data, tessera::Report& report)
      : o_(o), data_(data), report_(report) {}

  /// Trains one kind of model; `after` adds lines for every trained one.
  void train(const std::function<tessera::AnyModel<>(std::uint64_t)>& make,
             const std::function<void(const tessera::AnyModel<>&)>& after) {
    examples::RunExtras extras;
    if (make) extras.make_model = make;
    extras.after = [&](const tessera::AnyModel<>& model, tessera::RunSummary&) { after(model); };
    tessera::Report part = report_;
    part.runs.clear();
    examples::train_runs(
        o_, data_, [] { return tessera::FullGraphSampler{}; }, part, extras);
    report_.runs = std::move(part.runs);
  }

  /// The least of five timings, and the accuracy of the last.
  void add(const std::string& name, std::size_t model_bytes, std::size_t feature_bits,
           const std::function<tessera::Tensor<float>()>& infer) {
    tessera::Tensor<float> logits;
    double best = 1e30;
    for (int k = 0; k < 5; ++k) {
      const examples::Timer timer;
      logits = infer();
      best = std::min(best, timer.seconds());
    }
    const auto rows = tessera::targets_of(data_, tessera::Role::test);
    const tessera::LabelView labels{data_.labels.classes, data_.labels.indicators};
    auto at = std::find_if(lines_.begin(), lines_.end(), [&](const Line& l) { return l.name == name; });
    if (at == lines_.end()) at = lines_.insert(at, {.name = name});
    at->accuracy +=
        tessera::measure(tessera::Metric::accuracy, std::as_const(logits).view(), labels, rows.rows.span());
    at->model_bytes = static_cast<double>(model_bytes);
    at->feature_bytes =
        static_cast<double>(data_.graph.num_nodes() * data_.num_features() * feature_bits) / 8;
    at->milliseconds += best * 1e3;
    at->runs += 1;
  }

  void print() {
    std::printf("%-10s %8s %13s %15s %12s\n", "inference", "test", "model bytes", "feature bytes",
                "latency ms");
    for (const Line& l : lines_) {
      std::printf("%-10s %8.2f %13.0f %15.0f %12.3f\n", l.name.c_str(), 100 * l.accuracy / l.runs,
                  l.model_bytes, l.feature_bytes, l.milliseconds / l.runs);
      report_.additions.push_back({l.name + "_test", l.accuracy / l.runs});
      report_.additions.push_back({l.name + "_model_bytes", l.model_bytes});
      report_.additions.push_back({l.name + "_ms", l.milliseconds / l.runs});
    }
  }

 private:
  const examples::Options& o_;
  const tessera::DatasetView& data_;
  tessera::Report& report_;
  std::vector<Line> lines_;
};

void run(const examples::Options& o, const tessera::DatasetView& data, tessera::Report& report,
         const std::string& out) {
  Table table(o, data, report);
  const auto prepared = [&](const tessera::AggregationSpec& spec) {
    return tessera::prepare_adjacency(data.graph.view(), data.graph.symmetric, spec);
  };
  const auto as_trained = [&](const std::string& name, const tessera::AnyModel<>& model, std::size_t bytes) {
    const auto whole = prepared(model.aggregation());
    table.add(name, bytes, 32, [&] { return tessera::infer(model, whole.adjacency(), data.features); });
  };
  table.train({}, [&](const tessera::AnyModel<>& model) {
    as_trained("fp32", model, model.parameters().num_parameters() * sizeof(float));
  });
  for (const int bits : {8, 4}) {
    const tessera::QuantSettings settings = examples::QuantChoice{}.settings("dq", bits);
    const std::string name = "int" + std::to_string(bits);
    std::size_t bytes = 0;
    const auto make = [&](std::uint64_t seed) {
      examples::QuantizedModel made = examples::make_quantized_model(o, settings, data, seed);
      bytes = made.bytes;
      return std::move(made.model);
    };
    table.train(make, [&](const tessera::AnyModel<>& model) {
      as_trained("fake-" + name, model, bytes);
      const tessera::Int8Model integers = examples::export_trained(o, settings, data, model);
      const auto pattern = prepared(integers.aggregation());
      table.add(name, integers.bytes(), 8,
                [&] { return integers.infer(pattern.adjacency().forward, data.features); });
      if (bits == 8 && !out.empty()) tessera::save_int8<tessera::io::SafetensorsWriter>(integers, out);
    });
  }
  const tessera::BiGcnNet<>::Options binary{.in = data.num_features(),
                                            .hidden = std::max<std::size_t>(64, o.hidden),
                                            .out = data.num_classes(),
                                            .layers = o.layers,
                                            .dropout = 0.4f};
  table.train(
      [&](std::uint64_t seed) -> tessera::AnyModel<> {
        auto seeded = binary;
        seeded.seed = seed;
        return tessera::BiGcnNet<>(seeded);
      },
      [&](const tessera::AnyModel<>& model) {
        tessera::BiGcnNet<> net(binary);
        const auto values = model.parameters().values();
        std::copy(values.begin(), values.end(), net.parameters().values().begin());
        const tessera::PackedBiGcn packed(net);
        const auto whole = prepared(net.aggregation());
        table.add("binary", packed.bytes(), 1,
                  [&] { return packed.infer(whole.adjacency().forward, data.features); });
      });
  table.print();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Runs trained networks in integers and bits, and compares them with full precision"};
  examples::Options options;
  std::string out;
  app.add_option("--out", out, "Write the 8-bit model to this safetensors file");
  return examples::run_program(
      app, argc, argv, "int8_inference", options,
      [&](const tessera::DatasetView& data, tessera::Report& report) { run(options, data, report, out); });
}
