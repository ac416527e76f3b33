// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/core/config.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/generator_options.hpp"

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/detail/community_features.hpp"
#include "tessera/graph/detail/community_links.hpp"
#include "tessera/graph/detail/community_plan.hpp"
#include "tessera/graph/detail/random_order.hpp"
#endif

namespace tessera {

/// Generates a node-classification task on a degree-corrected community graph with planted labels and
/// features, undirected, without loops or repeated links.
///
///     Dataset data = generate_community_graph({.nodes = 50'000, .classes = 20, .homophily = 0.7});
///
/// Nodes fall into classes, classes into communities of uneven sizes. Every link joins two nodes of one class
/// with probability `homophily` (and then of one community with probability `community_share`), otherwise two
/// of different classes; its ends are drawn in proportion to their planned degrees. A feature row is the mean
/// of the class, of norm 1, plus half as much of the community's, plus noise: one row says little, the
/// average over a neighbourhood a lot.
/// Shapes   graph [nodes, nodes], features [nodes, features]; name "community-like"
/// Cost     work O(E log N + N F); memory of the result and about 12 bytes per entry
/// Errors   ConfigError names the first option that cannot be
/// Threads  parallel; equal options give equal bits for any T
/// Source   after Karrer & Newman, Stochastic blockmodels and community structure in networks, 2011; differs:
///          exactly no repeated link, two levels of blocks, planned degrees are log-normal or Pareto
Dataset generate_community_graph(const CommunityGraphOptions& options = {});

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
namespace detail {

/// Nodes in the order in which they become training, validation and test nodes: at random, or popular ones
/// first, as far as the options say. Isolated nodes come first then.
inline Array<NodeId> split_order(const CommunityGraphOptions& options, const CommunityPlan& plan,
                                 std::span<const NodeId> node_of) {
  const RngKey key = make_key(options.seed, 0, Purpose::split);
  if (options.popularity == 0) return random_order(options.nodes, key);
  struct Ranked {
    double rank;
    NodeId node;
  };
  struct Moments {
    double count = 0;
    double sum = 0;
    double squares = 0;
  };
  constexpr std::size_t kGrain = 1 << 13;
  const std::size_t n = options.nodes;
  const Moments all = parallel_reduce(
      n, kGrain, Moments{},
      [&](std::size_t begin, std::size_t end) {
        Moments part;
        for (std::size_t s = begin; s < end; ++s) {
          if (plan.degree(s) == 0) continue;
          const double x = std::log(plan.degree(s));
          part = {part.count + 1, part.sum + x, part.squares + x * x};
        }
        return part;
      },
      [](const Moments& x, const Moments& y) {
        return Moments{x.count + y.count, x.sum + y.sum, x.squares + y.squares};
      });
  const double mean = all.sum / std::max(1.0, all.count);
  const double deviation = std::sqrt(std::max(1e-12, all.squares / std::max(1.0, all.count) - mean * mean));
  const double noise = std::sqrt(1 - options.popularity * options.popularity);
  Array<Ranked> ranked(n);
  parallel_for(n, kGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t s = begin; s < end; ++s) {
      const NodeId node = node_of.empty() ? static_cast<NodeId>(s) : node_of[s];
      const double popular = (std::log(plan.degree(s)) - mean) / deviation;
      ranked[s] = {plan.degree(s) == 0
                       ? std::numeric_limits<double>::infinity()
                       : options.popularity * popular + noise * CounterRng(key, 0, s).normal(),
                   node};
    }
  });
  parallel_sort(ranked.begin(), ranked.end(), [](const Ranked& x, const Ranked& y) {
    return x.rank != y.rank ? x.rank > y.rank : x.node < y.node;
  });
  Array<NodeId> order(n);
  for (std::size_t k = 0; k < n; ++k) order[k] = ranked[k].node;
  return order;
}

inline Array<Role> planned_roles(const CommunityGraphOptions& options, const CommunityPlan& plan,
                                 std::span<const NodeId> node_of) {
  const auto share = [&](double fraction) {
    return static_cast<std::size_t>(std::llround(fraction * static_cast<double>(options.nodes)));
  };
  const std::size_t train = std::min(options.nodes, share(options.train));
  const std::size_t val = std::min(options.nodes, train + share(options.val));
  const std::size_t test = std::min(options.nodes, val + share(options.test));
  const Array<NodeId> order = split_order(options, plan, node_of);
  Array<Role> roles(options.nodes, Role::none);
  for (std::size_t k = 0; k < test; ++k)
    roles[order[k]] = k < train ? Role::train : k < val ? Role::val : Role::test;
  return roles;
}

}  // namespace detail

TESSERA_DEFINE Dataset generate_community_graph(const CommunityGraphOptions& options) {
  validate(options);
  const detail::CommunityPlan plan(options);
  const Array<NodeId> node_of =
      options.shuffle_nodes ? detail::random_order(options.nodes, make_key(options.seed, 0, Purpose::shuffle))
                            : Array<NodeId>();
  Dataset data;
  data.name = "community-like";
  data.graph = detail::community_links(options, plan, node_of);
  detail::CommunityFeatures(options, plan, node_of).write(data.features, data.labels);
  data.roles = detail::planned_roles(options, plan, node_of);
  data.provenance.layout = "generated";
  data.provenance.edge_policy = "symmetrised, no loops, no duplicates";
  data.provenance.feature_state = "raw";
  return data;
}
#endif

}  // namespace tessera
