// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "support/graph_models.hpp"
#include "support/options.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/quant/quant_settings.hpp"

namespace examples {

/// How a model is quantised, from the command line.
struct QuantChoice {
  std::string placement = "fused";
  std::optional<double> p_low;
  std::optional<double> p_high;
  std::optional<double> percentile;
  std::optional<double> momentum;
  std::optional<std::string> range;
  std::optional<std::string> gradient;
  double rate = 0.5;
  bool per_tensor = false;

  void add_to(CLI::App& app);
  /// What `method` (qat, nqat, dq, kd-dq or ptq) at `bits` bits means.
  ///
  /// Errors   ConfigError for another method
  tessera::QuantSettings settings(const std::string& method, int bits) const;
};

/// What `--model` takes where models are quantised.
std::vector<std::string> quantized_model_names();

/// A model and what its numbers take once weights are codes.
struct QuantizedModel {
  tessera::AnyModel<> model;
  std::size_t bytes;
};

/// A fresh quantised model of the options' kind and sizes; protection knows the data's degrees.
///
/// Errors   ConfigError for a name that quantized_model_names() lacks
QuantizedModel make_quantized_model(const Options& o, const tessera::QuantSettings& settings,
                                    const tessera::DatasetView& data, std::uint64_t seed);

/// The options' model with the weights of `trained`, its ranges those of one pass over the data.
QuantizedModel quantize_trained(const Options& o, const tessera::QuantSettings& settings,
                                const tessera::DatasetView& data, const tessera::AnyModel<>& trained);

/// A fresh quantised network about whole graphs (GIN): as make_graph_model, with degrees of the graphs
/// [node_ptr[g], node_ptr[g + 1]).
tessera::AnyTrainableModel<> make_quantized_graph_model(
    const GraphModelOptions& o, const tessera::QuantSettings& settings, std::size_t features, std::size_t out,
    const tessera::CsrView<>& graph, std::span<const std::size_t> node_ptr, std::uint64_t seed);

}  // namespace examples
