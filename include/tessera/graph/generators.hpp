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

inline Array<Role> random_roles(const CommunityGraphOptions& options) {
  const auto share = [&](double fraction) {
    return static_cast<std::size_t>(std::llround(fraction * static_cast<double>(options.nodes)));
  };
  const std::size_t train = std::min(options.nodes, share(options.train));
  const std::size_t val = std::min(options.nodes, train + share(options.val));
  const std::size_t test = std::min(options.nodes, val + share(options.test));
  const Array<NodeId> order = random_order(options.nodes, make_key(options.seed, 0, Purpose::split));
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
  data.roles = detail::random_roles(options);
  data.provenance.layout = "generated";
  data.provenance.edge_policy = "symmetrised, no loops, no duplicates";
  data.provenance.feature_state = "raw";
  return data;
}
#endif

}  // namespace tessera
