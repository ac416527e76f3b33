// SPDX-License-Identifier: MIT
#include "support/models.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/nn/nets/appnp_net.hpp"
#include "tessera/nn/nets/cluster_gcn_net.hpp"
#include "tessera/nn/nets/egc_net.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gatv2_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/gcnii_net.hpp"
#include "tessera/nn/nets/gin_net.hpp"
#include "tessera/nn/nets/graph_saint_net.hpp"
#include "tessera/nn/nets/hop_net.hpp"
#include "tessera/nn/nets/jumping_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/nets/rev_gnn_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"

namespace examples {
namespace {

using tessera::AnyModel;

struct Sizes {
  std::size_t features;
  std::size_t classes;
  std::uint64_t seed;
};

/// The options every stack of layers has.
template <class Net>
typename Net::Options stack_options(const Options& o, const Sizes& sizes) {
  typename Net::Options net{.in = sizes.features,
                            .hidden = o.hidden,
                            .out = sizes.classes,
                            .layers = o.layers,
                            .dropout = o.dropout};
  if (o.layer_norm) net.norm = tessera::NormKind::layer;
  net.residual = o.residual;
  net.seed = sizes.seed;
  net.decay_first_layer_only = o.decay == "first";
  return net;
}

template <class Net>
AnyModel<> stack(const Options& o, const Sizes& sizes) {
  return Net(stack_options<Net>(o, sizes));
}

AnyModel<> cluster_gcn(const Options& o, const Sizes& sizes) {
  auto net = stack_options<tessera::ClusterGcnNet<>>(o, sizes);
  net.conv.diag_lambda = o.diag_lambda;
  net.conv.precomputed = o.precomputed;
  return tessera::ClusterGcnNet<>(net);
}

AnyModel<> graph_saint(const Options& o, const Sizes& sizes) {
  return tessera::GraphSaintNet<>({.in = sizes.features,
                                   .hidden = o.hidden,
                                   .out = sizes.classes,
                                   .arch = o.arch,
                                   .dropout = o.dropout,
                                   .seed = sizes.seed});
}

AnyModel<> gat(const Options& o, const Sizes& sizes) {
  auto net = stack_options<tessera::GatNet<>>(o, sizes);
  net.conv.entry_dropout = o.dropout;
  return tessera::GatNet<>(net);
}

AnyModel<> gatv2(const Options& o, const Sizes& sizes) {
  auto net = stack_options<tessera::Gatv2Net<>>(o, sizes);
  net.conv.entry_dropout = o.dropout;
  return tessera::Gatv2Net<>(net);
}

/// Networks whose layers are hops or jumps: the sizes alone.
template <class Net>
AnyModel<> plain(const Options& o, const Sizes& sizes) {
  return Net({.in = sizes.features,
              .hidden = o.hidden,
              .out = sizes.classes,
              .layers = o.layers,
              .dropout = o.dropout,
              .seed = sizes.seed});
}

AnyModel<> appnp(const Options& o, const Sizes& sizes) {
  return tessera::AppnpNet<>({.in = sizes.features,
                              .hidden = o.hidden,
                              .out = sizes.classes,
                              .layers = o.layers,
                              .dropout = o.dropout,
                              .entry_dropout = o.dropout,
                              .decay_first_layer_only = o.decay == "first",
                              .seed = sizes.seed});
}

AnyModel<> gcnii(const Options& o, const Sizes& sizes) {
  return tessera::GcniiNet<>({.in = sizes.features,
                              .hidden = o.hidden,
                              .out = sizes.classes,
                              .layers = o.layers,
                              .dropout = o.dropout,
                              .residual = o.residual,
                              .seed = sizes.seed});
}

template <bool kSeveral>
AnyModel<> egc(const Options& o, const Sizes& sizes) {
  using tessera::Aggregator;
  auto net = stack_options<tessera::EgcNet<>>(o, sizes);
  if (kSeveral) {
    net.conv.heads = 4;
    net.conv.aggregators = {Aggregator::symmetric, Aggregator::max, Aggregator::mean};
  }
  net.linear_ends = true;
  net.norm = tessera::NormKind::batch;
  net.residual = true;
  return tessera::EgcNet<>(net);
}

AnyModel<> rev_sage(const Options& o, const Sizes& sizes) {
  return tessera::RevSageNet<>({.in = sizes.features,
                                .hidden = o.hidden,
                                .out = sizes.classes,
                                .layers = o.layers,
                                .dropout = o.dropout,
                                .seed = sizes.seed});
}

struct Entry {
  std::string_view name;
  AnyModel<> (*make)(const Options&, const Sizes&);
};

// One line per model.
constexpr std::array kModels{
    Entry{"gcn", stack<tessera::GcnNet<>>},
    Entry{"sage", stack<tessera::SageNet<>>},
    Entry{"mlp", stack<tessera::MlpNet<>>},
    Entry{"cluster-gcn", cluster_gcn},
    Entry{"gat", gat},
    Entry{"gatv2", gatv2},
    Entry{"appnp", appnp},
    Entry{"gcnii", gcnii},
    Entry{"gin", stack<tessera::GinNet<>>},
    Entry{"tag", plain<tessera::TagNet<>>},
    Entry{"cheb", plain<tessera::ChebNet<>>},
    Entry{"jumping", plain<tessera::JumpingGcnNet<>>},
    Entry{"egc-s", egc<false>},
    Entry{"egc-m", egc<true>},
    Entry{"graph-saint", graph_saint},
    Entry{"rev-sage", rev_sage},
};

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kModels) names.emplace_back(entry.name);
  return names;
}

tessera::AnyModel<> make_model(const Options& o, std::size_t features, std::size_t classes,
                               std::uint64_t seed) {
  for (const Entry& entry : kModels) {
    if (entry.name == o.model) return entry.make(o, {features, classes, seed});
  }
  throw tessera::ConfigError(tessera::message("make_model: no model is called ", o.model));
}

}  // namespace examples
