// SPDX-License-Identifier: MIT
#include "support/quant_choice.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "support/checks.hpp"
#include "support/graph_net_options.hpp"
#include "support/stack_options.hpp"
#include "tessera/core/error.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/nn/layers/gin_conv.hpp"
#include "tessera/nn/nets/egc_net.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/gin_net.hpp"
#include "tessera/nn/nets/graph_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"
#include "tessera/quant/calibrate.hpp"
#include "tessera/quant/quantized.hpp"

namespace examples {
namespace {

using tessera::DatasetView;
using tessera::QuantSettings;

template <class Net>
Net make_net(const Options& o, const DatasetView& data, std::uint64_t seed) {
  auto net = stack_options<Net>(o, {data.num_features(), data.num_classes(), seed});
  if (o.model == "gat") {
    if constexpr (requires { net.conv.heads + net.conv.entry_dropout; }) net.conv.entry_dropout = o.dropout;
  }
  if (o.model == "egc-s") {  // as its paper and examples/egc: between linear ends, with norms and residuals
    net.linear_ends = true;
    net.norm = tessera::NormKind::batch;
    net.residual = true;
  }
  return Net(net);
}

template <class Net>
QuantizedModel fresh(const Options& o, const QuantSettings& settings, const DatasetView& data,
                     std::uint64_t seed) {
  tessera::Quantized<Net> model(make_net<Net>(o, data, seed), {settings});
  if (settings.protect) model.protect(data.graph.view());
  const std::size_t bytes = model.model_bytes();
  return {std::move(model), bytes};
}

template <class Net>
QuantizedModel from_trained(const Options& o, const QuantSettings& settings, const DatasetView& data,
                            const tessera::AnyModel<>& trained) {
  tessera::Quantized<Net> model(make_net<Net>(o, data, 0), {settings});
  tessera::copy_parameters(trained.parameters(), model.parameters());
  const auto whole = tessera::prepare_adjacency(data.graph.view(), data.graph.symmetric, model.aggregation());
  const tessera::Adjacency adjacency = whole.adjacency();
  tessera::calibrate(model, tessera::AdjacencyStack({&adjacency, 1}), data.features);
  const std::size_t bytes = model.model_bytes();
  return {std::move(model), bytes};
}

struct Entry {
  std::string_view name;
  QuantizedModel (*fresh)(const Options&, const QuantSettings&, const DatasetView&, std::uint64_t);
  QuantizedModel (*from_trained)(const Options&, const QuantSettings&, const DatasetView&,
                                 const tessera::AnyModel<>&);
};

template <class Net>
constexpr Entry entry(std::string_view name) {
  return {name, fresh<Net>, from_trained<Net>};
}

// One line per model.
constexpr std::array kModels{
    entry<tessera::GcnNet<>>("gcn"),   entry<tessera::GatNet<>>("gat"),   entry<tessera::GinNet<>>("gin"),
    entry<tessera::SageNet<>>("sage"), entry<tessera::EgcNet<>>("egc-s"),
};

tessera::RangeRule range_rule(const std::string& name) {
  if (name == "absolute") return tessera::RangeRule::absolute;
  return name == "moving" ? tessera::RangeRule::moving : tessera::RangeRule::percentile;
}

tessera::QuantGradient gradient_rule(const std::string& name) {
  if (name == "straight") return tessera::QuantGradient::straight;
  return name == "clipped" ? tessera::QuantGradient::clipped : tessera::QuantGradient::clipped_inclusive;
}

const Entry& find(const std::string& name) {
  for (const Entry& e : kModels) {
    if (e.name == name) return e;
  }
  throw tessera::ConfigError(tessera::message("make_quantized_model: no model is called ", name));
}

}  // namespace

void QuantChoice::add_to(CLI::App& app) {
  app.add_option("--placement", placement,
                 "fused: what integer kernels store; faithful: every step, as published")
      ->check(CLI::IsMember({"fused", "faithful"}))
      ->capture_default_str();
  app.add_option("--p-low", p_low,
                 "DegreeQuant: protection of the lowest degree (default 0 at 8 bits, else 0.1)")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--p-high", p_high, "and of the highest (default 0.1 at 8 bits, else 0.2)")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--percentile", percentile, "of DegreeQuant's ranges (default 0.001 at 8 bits, else 0.01)")
      ->check(CLI::Range(0.0, 0.5));
  app.add_option("--range", range, "How ranges follow the data (default moving, DegreeQuant percentile)")
      ->check(CLI::IsMember({"absolute", "moving", "percentile"}));
  app.add_option("--momentum", momentum, "of moving ranges (default 0.01)")->check(CLI::Range(0.0, 1.0));
  app.add_option("--gradient", gradient, "Through quantisers (default straight, DegreeQuant clipped)")
      ->check(CLI::IsMember({"straight", "clipped", "inclusive"}));
  app.add_option("--rate", rate, "nQAT: share of the weights that a step quantises")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_flag("--per-tensor", per_tensor, "One asymmetric scale per weight, as published");
}

QuantSettings QuantChoice::settings(const std::string& method, int bits) const {
  QuantSettings s{.weight_bits = bits, .activation_bits = bits};
  if (method == "nqat") {
    s.noise_rate = rate;
  } else if (method == "dq" || method == "kd-dq") {
    s = bits >= 8 ? tessera::DegreeQuant<8>{}.settings() : tessera::DegreeQuant<4>{}.settings();
    s.weight_bits = s.activation_bits = bits;
    s.p_low = p_low.value_or(s.p_low);
    s.p_high = p_high.value_or(s.p_high);
    s.percentile = percentile.value_or(s.percentile);
  } else if (method == "ptq") {
    s.range = tessera::RangeRule::absolute;
  } else if (method != "qat") {
    throw tessera::ConfigError(
        tessera::message("no method is called ", method, ", want qat, nqat, dq, kd-dq or ptq"));
  }
  if (method != "ptq") {
    s.momentum = momentum.value_or(s.momentum);
    if (range) s.range = range_rule(*range);
    if (gradient) s.gradient = gradient_rule(*gradient);
  }
  s.placement = placement == "fused" ? tessera::Placement::fused : tessera::Placement::faithful;
  s.per_channel = !per_tensor;
  return s;
}

std::vector<std::string> quantized_model_names() {
  std::vector<std::string> names;
  for (const Entry& e : kModels) names.emplace_back(e.name);
  return names;
}

QuantizedModel make_quantized_model(const Options& o, const QuantSettings& settings, const DatasetView& data,
                                    std::uint64_t seed) {
  return find(o.model).fresh(o, settings, data, seed);
}

QuantizedModel quantize_trained(const Options& o, const QuantSettings& settings, const DatasetView& data,
                                const tessera::AnyModel<>& trained) {
  return find(o.model).from_trained(o, settings, data, trained);
}

tessera::AnyTrainableModel<> make_quantized_graph_model(const GraphModelOptions& o,
                                                        const QuantSettings& settings, std::size_t features,
                                                        std::size_t out, const tessera::CsrView<>& graph,
                                                        std::span<const std::size_t> node_ptr,
                                                        std::uint64_t seed) {
  if (o.model != "gin") {
    throw tessera::ConfigError(
        tessera::message("make_quantized_graph_model: model is ", o.model, ", want gin"));
  }
  using Net = tessera::GraphNet<tessera::GinConv<>>;
  tessera::Quantized<Net> model(Net(graph_net_options<tessera::GinConv<>>(o, features, out, seed)),
                                {settings});
  if (settings.protect) model.protect(graph, node_ptr);
  return model;
}

}  // namespace examples
