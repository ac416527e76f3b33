// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "support/options.hpp"
#include "support/quant_choice.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/teacher_outputs.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/quant/int8_model.hpp"
#include "tessera/train/metrics.hpp"
#include "tessera/train/report.hpp"

namespace examples {

/// The table of docs/quantization.md: what a network is worth and costs in full precision, fake-quantised, in integers and
/// in bits. Rows are printed as they are done.
class QuantTable {
 public:
  /// All three must outlive the table. `integers`: models that can be exported also run in integers.
  QuantTable(const Options& o, const QuantChoice& choice, const tessera::DatasetView& data, bool integers);

  /// Trains one method of QuantChoice, or "fp32" with `bits` 32, whose models are then quantised without training at each
  /// of `ptq_bits` and, if it `teaches`, kept as what they say: the teachers that "kd-dq" learns from.
  void train(const std::string& method, int bits, const tessera::Report& report,
             const std::vector<int>& ptq_bits = {}, bool teaches = false);
  /// Trains Bi-GCN on standardised features, at a tenth of the rate for five times the epochs as published, and
  /// runs it packed.
  void train_binary(const tessera::Report& report);
  /// Adds every figure, and the last method's runs.
  void add_to(tessera::Report& report) const;
  /// The 8-bit integer network of the last run that made one; without layers if there was none.
  const tessera::Int8Model& integers() const { return int8_; }

 private:
  /// Figures of all runs.
  struct Row {
    std::string name;
    std::size_t model_bytes = 0;
    std::size_t feature_bits = 32;
    double step_ms = 0;
    std::vector<double> val = {};
    std::vector<double> test = {};
    std::vector<double> latency_ms = {};
  };
  using Infer = std::function<tessera::Tensor<float>()>;

  bool runs_in_integers(int bits) const;
  void measure(Row& row, tessera::Metric metric, const Infer& infer) const;
  void measure(Row& row, const tessera::AnyModel<>& model, const tessera::RunSummary& run) const;
  /// The options of one method: its checkpoints lie in a folder of their own.
  Options checkpointed(const std::string& name) const;
  void deploy(Row& row, const tessera::QuantSettings& settings, const tessera::AnyModel<>& model,
              const tessera::RunSummary& run);
  void finish(Row row, const std::vector<tessera::RunSummary>& runs);
  void print(const Row& row);

  const Options& o_;
  const QuantChoice& choice_;
  const tessera::DatasetView& data_;
  bool wants_integers_;
  tessera::Int8Model int8_;
  std::vector<tessera::TeacherOutputs> teachers_;  ///< one per run
  std::vector<tessera::ReportField> fields_;
  std::vector<tessera::RunSummary> runs_;
};

}  // namespace examples
