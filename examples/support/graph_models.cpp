// SPDX-License-Identifier: MIT
#include "support/graph_models.hpp"

#include <array>
#include <string_view>

#include "support/graph_net_options.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/layers/egc_conv.hpp"
#include "tessera/nn/layers/gat_conv.hpp"
#include "tessera/nn/layers/gated_gcn_conv.hpp"
#include "tessera/nn/layers/gcn_conv.hpp"
#include "tessera/nn/layers/gen_conv.hpp"
#include "tessera/nn/layers/gin_conv.hpp"
#include "tessera/nn/layers/gine_conv.hpp"
#include "tessera/nn/layers/pna_conv.hpp"
#include "tessera/nn/layers/sage_conv.hpp"
#include "tessera/nn/nets/graph_net.hpp"

namespace examples {
namespace {

using tessera::AnyTrainableModel;

struct Sizes {
  std::size_t features;
  std::size_t out;
  std::uint64_t seed;
};

template <class Conv>
AnyTrainableModel<> network(const GraphModelOptions& o, const Sizes& sizes,
                            const typename Conv::Options& conv = {}) {
  auto net = graph_net_options<Conv>(o, sizes.features, sizes.out, sizes.seed);
  net.conv = conv;
  return tessera::GraphNet<Conv>(net);
}

template <class Conv>
AnyTrainableModel<> plain(const GraphModelOptions& o, const Sizes& sizes) {
  return network<Conv>(o, sizes);
}

AnyTrainableModel<> egc_m(const GraphModelOptions& o, const Sizes& sizes) {
  using tessera::Aggregator;
  return network<tessera::EgcConv<>>(
      o, sizes, {.heads = 4, .aggregators = {Aggregator::sum, Aggregator::mean, Aggregator::max}});
}

AnyTrainableModel<> gine(const GraphModelOptions& o, const Sizes& sizes) {
  return network<tessera::GineConv<>>(o, sizes, {.edge_features = o.edge_features});
}

AnyTrainableModel<> gated_gcn(const GraphModelOptions& o, const Sizes& sizes) {
  return network<tessera::GatedGcnConv<>>(o, sizes, {.edge_features = o.edge_features});
}

AnyTrainableModel<> gen(const GraphModelOptions& o, const Sizes& sizes) {
  return network<tessera::GenConv<>>(o, sizes, {.learn_t = true, .edge_features = o.edge_features});
}

/// Of one tower where the features are not embedded: towers divide what they work on.
AnyTrainableModel<> pna(const GraphModelOptions& o, const Sizes& sizes) {
  const bool embeds = o.readout != "layers";
  return network<tessera::PnaConv<>>(
      o, sizes, {.towers = embeds ? 4u : 1u, .divide_input = embeds, .mean_log_degree = o.mean_log_degree});
}

struct Entry {
  std::string_view name;
  AnyTrainableModel<> (*make)(const GraphModelOptions&, const Sizes&);
};

// One line per model.
constexpr std::array kModels{
    Entry{"gin", plain<tessera::GinConv<>>},
    Entry{"gcn", plain<tessera::GcnConv<>>},
    Entry{"sage", plain<tessera::SageConv<>>},
    Entry{"gat", plain<tessera::GatConv<>>},
    Entry{"egc-s", plain<tessera::EgcConv<>>},
    Entry{"egc-m", egc_m},
    Entry{"gine", gine},
    Entry{"gated-gcn", gated_gcn},
    Entry{"gen", gen},
    Entry{"pna", pna},
};

}  // namespace

std::vector<std::string> graph_model_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kModels) names.emplace_back(entry.name);
  return names;
}

tessera::AnyTrainableModel<> make_graph_model(const GraphModelOptions& o, std::size_t features,
                                              std::size_t out, std::uint64_t seed) {
  for (const Entry& entry : kModels) {
    if (entry.name == o.model) return entry.make(o, {features, out, seed});
  }
  throw tessera::ConfigError(tessera::message("make_graph_model: no model is called ", o.model));
}

}  // namespace examples
