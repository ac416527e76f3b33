// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tessera/nn/any_model.hpp"
#include "tessera/nn/nets/appnp_net.hpp"
#include "tessera/nn/nets/egc_net.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gated_gcn_net.hpp"
#include "tessera/nn/nets/gatv2_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/gcnii_net.hpp"
#include "tessera/nn/nets/gen_net.hpp"
#include "tessera/nn/nets/gin_net.hpp"
#include "tessera/nn/nets/hop_net.hpp"
#include "tessera/nn/nets/jumping_net.hpp"
#include "tessera/nn/nets/pna_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"

namespace tessera::testing {

/// A network of two layers from 5 features to 3 classes.
template <class T>
struct ZooEntry {
  std::string name;
  AnyModel<T> model;
};

template <class T>
std::vector<ZooEntry<T>> zoo(float dropout) {
  std::vector<ZooEntry<T>> out;
  const auto add = [&](std::string name, AnyModel<T> model) {
    out.push_back({std::move(name), std::move(model)});
  };
  add("gat", GatNet<T>({.in = 5,
                        .hidden = 8,
                        .out = 3,
                        .dropout = dropout,
                        .conv = {.heads = 2, .out_heads = 3, .entry_dropout = dropout}}));
  add("gat, residual, ends", GatNet<T>({.in = 5,
                                        .hidden = 6,
                                        .out = 3,
                                        .dropout = dropout,
                                        .norm = NormKind::layer,
                                        .residual = true,
                                        .linear_ends = true,
                                        .conv = {.heads = 3, .entry_dropout = dropout}}));
  add("gatv2", Gatv2Net<T>({.in = 5,
                            .hidden = 8,
                            .out = 3,
                            .dropout = dropout,
                            .conv = {.heads = 2, .out_heads = 3, .entry_dropout = dropout}}));
  add("gcn", GcnNet<T>({.in = 5, .hidden = 6, .out = 3, .dropout = dropout}));
  add("gcn, batch norm, residual, ends", GcnNet<T>({.in = 5,
                                                    .hidden = 6,
                                                    .out = 3,
                                                    .dropout = dropout,
                                                    .norm = NormKind::batch,
                                                    .residual = true,
                                                    .linear_ends = true}));
  add("sage", SageNet<T>({.in = 5, .hidden = 6, .out = 3, .dropout = dropout}));
  add("appnp",
      AppnpNet<T>(
          {.in = 5, .hidden = 6, .out = 3, .steps = 2, .dropout = dropout, .entry_dropout = dropout}));
  add("gcnii", GcniiNet<T>({.in = 5, .hidden = 6, .out = 3, .layers = 2, .dropout = dropout}));
  add("gcnii, starred, residual", GcniiNet<T>({.in = 5,
                                               .hidden = 6,
                                               .out = 3,
                                               .layers = 2,
                                               .dropout = dropout,
                                               .variant = GcniiVariant::starred,
                                               .residual = true}));
  add("gin", GinNet<T>({.in = 5, .hidden = 6, .out = 3, .dropout = dropout, .conv = {.batch_norm = false}}));
  add("gin, one map",
      GinNet<T>({.in = 5, .hidden = 6, .out = 3, .dropout = dropout, .conv = {.mlp_layers = 1}}));
  add("egc-s", EgcNet<T>({.in = 5,
                          .hidden = 8,
                          .out = 3,
                          .dropout = dropout,
                          .linear_ends = true,
                          .conv = {.heads = 4, .bases = 3}}));
  add("egc-m",
      EgcNet<T>({.in = 5,
                 .hidden = 8,
                 .out = 3,
                 .dropout = dropout,
                 .residual = true,
                 .linear_ends = true,
                 .conv = {.heads = 2,
                          .bases = 2,
                          .aggregators = {Aggregator::symmetric, Aggregator::max, Aggregator::mean}}}));
  add("egc, the others", EgcNet<T>({.in = 5,
                                    .hidden = 8,
                                    .out = 3,
                                    .dropout = dropout,
                                    .conv = {.heads = 1,
                                             .bases = 2,
                                             .aggregators = {Aggregator::sum, Aggregator::var,
                                                             Aggregator::std, Aggregator::min}}}));
  add("pna", PnaNet<T>({.in = 5,
                        .hidden = 8,
                        .out = 3,
                        .dropout = dropout,
                        .linear_ends = true,
                        .conv = {.mean_log_degree = 1.3}}));
  add("pna, whole input", PnaNet<T>({.in = 5,
                                     .hidden = 4,
                                     .out = 3,
                                     .dropout = dropout,
                                     .conv = {.towers = 1, .divide_input = false}}));
  add("sage, pool", SageNet<T>({.in = 5,
                                .hidden = 6,
                                .out = 3,
                                .dropout = dropout,
                                .conv = {.reduce = Reduce::max, .project = true}}));
  add("gcn, entries dropped",
      GcnNet<T>({.in = 5, .hidden = 6, .out = 3, .dropout = dropout, .conv = {.entry_dropout = dropout}}));
  add("gcn, nodes dropped", GcnNet<T>({.in = 5,
                                       .hidden = 6,
                                       .out = 3,
                                       .dropout = dropout,
                                       .input_dropout = true,
                                       .node_dropout = dropout}));
  add("sage, entries dropped",
      SageNet<T>({.in = 5, .hidden = 6, .out = 3, .dropout = dropout, .conv = {.entry_dropout = dropout}}));
  add("sage, gcn", SageNet<T>({.in = 5,
                               .hidden = 6,
                               .out = 3,
                               .dropout = dropout,
                               .conv = {.root_weight = false, .self_loops = true}}));
  const auto add_normed = [&](std::string name, NormKind kind) {
    add(std::move(name), GcnNet<T>({.in = 5, .hidden = 6, .out = 3, .dropout = dropout, .norm = kind}));
  };
  add_normed("gcn, graph norm", NormKind::graph);
  add_normed("gcn, pair norm", NormKind::pair);
  add_normed("gcn, pair norm of each row", NormKind::pair_individual);
  add_normed("gcn, mean subtraction", NormKind::mean);
  add("sgconv", SgConvNet<T>({.in = 5, .out = 3, .hops = 2}));
  add("tag", TagNet<T>({.in = 5, .hidden = 6, .out = 3, .layers = 1, .hops = 2, .dropout = dropout}));
  add("cheb", ChebNet<T>({.in = 5, .hidden = 6, .out = 3, .layers = 1, .hops = 3, .dropout = dropout}));
  add("tag without hops",
      TagNet<T>({.in = 5, .hidden = 6, .out = 3, .layers = 2, .hops = 0, .dropout = dropout}));
  add("jumping, cat", JumpingGcnNet<T>({.in = 5, .hidden = 6, .out = 3, .dropout = dropout}));
  add("jumping, max",
      JumpingGcnNet<T>({.in = 5, .hidden = 6, .out = 3, .dropout = dropout, .jump = Jump::max}));
  add("jumping, lstm",
      JumpingGcnNet<T>({.in = 5, .hidden = 3, .out = 3, .dropout = dropout, .jump = Jump::lstm}));
  add("gcn, messages dropped", GcnNet<T>({.in = 5,
                                          .hidden = 6,
                                          .out = 3,
                                          .dropout = dropout,
                                          .conv = {.entry_dropout = dropout, .dropped = Dropped::messages}}));
  add("sage, messages dropped",
      SageNet<T>({.in = 5,
                  .hidden = 10,
                  .out = 3,
                  .dropout = dropout,
                  .conv = {.entry_dropout = dropout, .dropped = Dropped::messages}}));
  add("gated gcn", GatedGcnNet<T>({.in = 5, .hidden = 6, .out = 3, .dropout = dropout}));
  add("gen", GenNet<T>({.in = 5,
                        .hidden = 6,
                        .out = 3,
                        .dropout = dropout,
                        .residual = true,
                        .linear_ends = true,
                        .conv = {.learn_t = true, .message_norm = true, .norm = NormKind::layer}}));
  return out;
}

}  // namespace tessera::testing
