// SPDX-License-Identifier: MIT
#include "support/models.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "support/stack_options.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/nets/appnp_net.hpp"
#include "tessera/nn/nets/cluster_gcn_net.hpp"
#include "tessera/nn/nets/egc_net.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gated_gcn_net.hpp"
#include "tessera/nn/nets/gatv2_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/gcnii_net.hpp"
#include "tessera/nn/nets/gen_net.hpp"
#include "tessera/nn/nets/gin_net.hpp"
#include "tessera/nn/nets/graph_saint_net.hpp"
#include "tessera/nn/nets/hop_net.hpp"
#include "tessera/nn/nets/jumping_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/nets/pna_net.hpp"
#include "tessera/nn/nets/rev_gnn_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"

namespace examples {
namespace {

using tessera::AnyModel;

template <class Net>
AnyModel<> stack(const Options& o, const Sizes& sizes) {
  return Net(stack_options<Net>(o, sizes));
}

constexpr tessera::SageConv<>::Options kSageMax{.reduce = tessera::Reduce::max};
constexpr tessera::SageConv<>::Options kSagePool{.reduce = tessera::Reduce::max, .project = true};
constexpr tessera::SageConv<>::Options kSageGcn{.root_weight = false, .self_loops = true};

template <const tessera::SageConv<>::Options& kConv>
AnyModel<> sage(const Options& o, const Sizes& sizes) {
  auto net = stack_options<tessera::SageNet<>>(o, sizes);
  net.conv = kConv;
  return tessera::SageNet<>(net);
}

/// One tower: without linear ends, towers would have to divide what the data has of features and classes.
AnyModel<> pna(const Options& o, const Sizes& sizes) {
  auto net = stack_options<tessera::PnaNet<>>(o, sizes);
  net.conv.towers = 1;
  return tessera::PnaNet<>(net);
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

/// Networks whose layers are hops: the sizes alone.
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

template <tessera::GcniiVariant kVariant>
AnyModel<> gcnii(const Options& o, const Sizes& sizes) {
  return tessera::GcniiNet<>({.in = sizes.features,
                              .hidden = o.hidden,
                              .out = sizes.classes,
                              .layers = o.layers,
                              .dropout = o.dropout,
                              .variant = kVariant,
                              .residual = o.residual,
                              .seed = sizes.seed});
}

/// The network EGC is compared in: Linear, convolutions with BatchNorm, ReLU, dropout and residual, Linear.
template <class Net>
typename Net::Options between_ends(const Options& o, const Sizes& sizes) {
  auto net = stack_options<Net>(o, sizes);
  net.linear_ends = true;
  net.norm = tessera::NormKind::batch;
  net.residual = true;
  return net;
}

template <class Net>
AnyModel<> ends(const Options& o, const Sizes& sizes) {
  return Net(between_ends<Net>(o, sizes));
}

AnyModel<> gat_ends(const Options& o, const Sizes& sizes) {
  auto net = between_ends<tessera::GatNet<>>(o, sizes);
  net.input_dropout = false;
  net.conv.entry_dropout = 0;
  return tessera::GatNet<>(net);
}

AnyModel<> gin_ends(const Options& o, const Sizes& sizes) {
  auto net = between_ends<tessera::GinNet<>>(o, sizes);
  net.input_dropout = false;
  return tessera::GinNet<>(net);
}

template <tessera::Jump kJump>
AnyModel<> jumping(const Options& o, const Sizes& sizes) {
  return tessera::JumpingGcnNet<>({.in = sizes.features,
                                   .hidden = o.hidden,
                                   .out = sizes.classes,
                                   .layers = o.layers,
                                   .dropout = o.dropout,
                                   .jump = kJump,
                                   .seed = sizes.seed});
}

template <bool kSeveral>
AnyModel<> egc(const Options& o, const Sizes& sizes) {
  using tessera::Aggregator;
  auto net = between_ends<tessera::EgcNet<>>(o, sizes);
  if (kSeveral) {
    net.conv.heads = 4;
    net.conv.aggregators = {Aggregator::symmetric, Aggregator::max, Aggregator::mean};
  }
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

AnyModel<> rev_gen(const Options& o, const Sizes& sizes) {
  return tessera::RevGenNet<>({.in = sizes.features,
                               .hidden = o.hidden,
                               .out = sizes.classes,
                               .layers = o.layers,
                               .dropout = o.dropout,
                               .seed = sizes.seed,
                               .conv = {.learn_t = true, .norm = tessera::NormKind::layer}});
}

struct Entry {
  std::string_view name;
  AnyModel<> (*make)(const Options&, const Sizes&);
};

// One line per model.
constexpr std::array kModels{
    Entry{"gcn", stack<tessera::GcnNet<>>},
    Entry{"sage", stack<tessera::SageNet<>>},
    Entry{"sage-max", sage<kSageMax>},
    Entry{"sage-pool", sage<kSagePool>},
    Entry{"sage-gcn", sage<kSageGcn>},
    Entry{"mlp", stack<tessera::MlpNet<>>},
    Entry{"cluster-gcn", cluster_gcn},
    Entry{"gat", gat},
    Entry{"gatv2", gatv2},
    Entry{"appnp", appnp},
    Entry{"gcnii", gcnii<tessera::GcniiVariant::plain>},
    Entry{"gcnii-starred", gcnii<tessera::GcniiVariant::starred>},
    Entry{"gcnii-dense", gcnii<tessera::GcniiVariant::dense>},
    Entry{"gin", stack<tessera::GinNet<>>},
    Entry{"pna", pna},
    Entry{"sgconv", plain<tessera::SgConvNet<>>},
    Entry{"tag", plain<tessera::TagNet<>>},
    Entry{"cheb", plain<tessera::ChebNet<>>},
    Entry{"jumping", jumping<tessera::Jump::cat>},
    Entry{"jumping-max", jumping<tessera::Jump::max>},
    Entry{"jumping-lstm", jumping<tessera::Jump::lstm>},
    Entry{"gated-gcn", stack<tessera::GatedGcnNet<>>},
    Entry{"gen", ends<tessera::GenNet<>>},
    Entry{"gcn-ends", ends<tessera::GcnNet<>>},
    Entry{"gat-ends", gat_ends},
    Entry{"gin-ends", gin_ends},
    Entry{"pna-ends", ends<tessera::PnaNet<>>},
    Entry{"egc-s", egc<false>},
    Entry{"egc-m", egc<true>},
    Entry{"graph-saint", graph_saint},
    Entry{"rev-sage", rev_sage},
    Entry{"rev-gen", rev_gen},
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
