// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tessera/core/error.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/generator_options.hpp"
#include "tessera/graph/generators.hpp"

namespace tessera {

/// The public data sets a stand-in can be generated for.
enum class StandIn {
  reddit,         ///< the paper graph: GraphSAGE, GraphSAINT, FastGCN, PyG's Reddit2
  reddit_full,    ///< all links: DGL, PyG's Reddit
  amazon2m,       ///< Cluster-GCN's split
  ogbn_products,  ///< the same graph, split by popularity
  flickr,
  yelp,
  ogbn_arxiv,  ///< symmetrised
  papers100m   ///< symmetrised; most nodes are unlabelled
};

/// What is known of a data set, and what its stand-in is generated from.
///
/// Units    counts of the whole data set; links are undirected, each once
/// Source   specification of the formats, section 14: published and measured values; `sigma`, the skew and
///          the noise are fitted to them
struct StandInShape {
  StandIn which;
  std::string_view name;
  std::size_t nodes;
  std::size_t links;
  std::size_t features;
  std::size_t classes;
  std::size_t train;
  std::size_t val;
  std::size_t test;
  std::size_t isolated;
  std::size_t max_degree;
  DegreeLaw degree_law;
  double sigma;
  double homophily;
  double community;  ///< share of all links that stay inside a community
  double class_skew;
  std::size_t rare_classes;
  FeatureLaw feature_law;
  double feature_noise;
  double popularity;
  double mean_labels;  ///< per node; 0 where a node has one class
};

/// Every stand-in, in the order of the enumeration.
///
/// `feature_noise` is where a linear classifier on the raw features scores the published accuracy of models
/// without a graph: Reddit 58.5 %, products 61.1, arxiv 55.5, papers100M 47.2. Flickr's 46.5 is our guess: nothing
/// published says.
inline std::span<const StandInShape> stand_in_shapes() noexcept {
  using D = DegreeLaw;
  using F = FeatureLaw;
  // clang-format off
  static constexpr StandInShape kShapes[] = {
    {StandIn::reddit, "reddit", 232'965, 11'606'919, 602, 41, 153'932, 23'699, 55'334, 1'522, 3'649,
     D::log_normal, 1.0, 0.78, 0.4, 0.65, 0, F::heavy_columns, 0.434, 0.06, 0},
    {StandIn::reddit_full, "reddit-full", 232'965, 57'307'946, 602, 41, 153'431, 23'831, 55'703, 0, 21'657,
     D::log_normal, 1.15, 0.76, 0.4, 0.65, 0, F::heavy_columns, 0.434, 0.06, 0},
    {StandIn::amazon2m, "amazon2m", 2'449'029, 61'859'140, 100, 47, 1'709'997, 0, 739'032, 0, 17'481,
     D::log_normal, 1.3, 0.81, 0.5, 1.12, 3, F::decaying, 0.470, 0, 0},
    {StandIn::ogbn_products, "ogbn-products", 2'449'029, 61'859'140, 100, 47, 196'615, 39'323, 2'213'091, 0,
     17'481, D::log_normal, 1.3, 0.81, 0.5, 1.12, 3, F::decaying, 0.470, 0.9, 0},
    {StandIn::flickr, "flickr", 89'250, 449'878, 500, 7, 44'625, 22'312, 22'313, 0, 5'425,
     D::log_normal_tail, 1.1, 0.33, 0.1, 1.13, 0, F::counts, 1.20, 0, 0},
    {StandIn::yelp, "yelp", 716'847, 6'977'409, 300, 100, 537'635, 107'527, 71'685, 0, 4'886,
     D::log_normal, 1.4, 0.6, 0.3, 0.65, 0, F::gaussian, 0.43, 0, 9.4},
    {StandIn::ogbn_arxiv, "ogbn-arxiv", 169'343, 1'157'799, 128, 40, 90'941, 29'799, 48'603, 0, 13'161,
     D::log_normal_tail, 1.1, 0.66, 0.2, 0.79, 0, F::gaussian, 0.468, 0.06, 0},
    {StandIn::papers100m, "papers100m", 111'059'956, 1'615'685'872, 128, 172, 1'207'179, 125'265, 214'338, 0,
     250'000, D::log_normal_tail, 1.1, 0.6, 0.2, 0.79, 0, F::gaussian, 0.418, 0, 0},
  };
  // clang-format on
  return kShapes;
}

inline const StandInShape& shape_of(StandIn which) {
  for (const StandInShape& shape : stand_in_shapes()) {
    if (shape.which == which) return shape;
  }
  throw ConfigError("shape_of: the data set is none of its enumerators");
}

/// The stand-in of a data set's name, as StandInShape::name spells it.
///
/// Errors   ConfigError with the names there are
inline StandIn stand_in_named(std::string_view name) {
  std::string names;
  for (const StandInShape& shape : stand_in_shapes()) {
    if (shape.name == name) return shape.which;
    names += message(names.empty() ? "" : ", ", shape.name);
  }
  throw ConfigError(message("stand_in_named: \"", name, "\" is unknown, want one of ", names));
}

struct StandInOptions {
  double scale = 1.0;  ///< nodes, links and split shrink by it; degrees, shares and widths stay
  std::uint64_t seed = 0;
  bool shuffle_nodes = true;  ///< number the nodes at random; else by class and community
  std::size_t features = 0;   ///< another width; 0: that of the data set
};

/// The options of the generator that make a stand-in.
///
/// Errors   ConfigError if scale is not in (0, 1] or leaves fewer than 50 nodes per class
inline CommunityGraphOptions stand_in_options(StandIn which, const StandInOptions& options = {}) {
  const StandInShape& shape = shape_of(which);
  const auto scaled = [&](std::size_t count) {
    return static_cast<std::size_t>(std::llround(static_cast<double>(count) * options.scale));
  };
  if (!(options.scale > 0 && options.scale <= 1) || scaled(shape.nodes) < 50 * shape.classes) {
    throw ConfigError(message("generate_stand_in: scale is ", options.scale, ", want from ",
                              50 * static_cast<double>(shape.classes) / static_cast<double>(shape.nodes),
                              " to 1 for ", shape.name));
  }
  const std::size_t nodes = scaled(shape.nodes);
  const auto share = [&](std::size_t count) {
    return static_cast<double>(count) / static_cast<double>(shape.nodes);
  };
  CommunityGraphOptions out;
  out.nodes = nodes;
  out.classes = shape.classes;
  out.features = options.features == 0 ? shape.features : options.features;
  out.links = scaled(shape.links);
  out.isolated = scaled(shape.isolated);
  out.min_degree = 2.02;  // at least one link each, whatever rounding does
  out.max_degree = shape.max_degree;
  out.degree_law = shape.degree_law;
  out.degree_sigma = shape.sigma;
  out.degree_exponent = 2.4;
  out.homophily = shape.homophily;
  out.community_share = shape.community / shape.homophily;
  out.class_skew = shape.class_skew;
  out.rare_classes = shape.rare_classes;
  out.feature_law = shape.feature_law;
  out.feature_noise = shape.feature_noise;
  out.train = share(shape.train);
  out.val = share(shape.val);
  out.test = share(shape.test);
  out.popularity = shape.popularity;
  out.multilabel = shape.mean_labels > 0;
  out.mean_labels = shape.mean_labels;
  out.shuffle_nodes = options.shuffle_nodes;
  out.seed = options.seed;
  return out;
}

/// Generates a data set like a published one, for benchmarks where the real files cannot be had.
///
///     const Dataset data = generate_stand_in(StandIn::amazon2m, {.scale = 0.1});
///
/// At scale 1, nodes, links, features, classes and split have the published counts exactly; degrees,
/// homophily and class shares follow the published or measured laws (StandInShape).
/// The name ends in "-like": accuracies say nothing about the real data set.
/// Shapes   name "<name>-like", with the scale where it is not 1
/// Cost     as generate_community_graph; Amazon2M in full 2.9 GB
/// Errors   ConfigError if the scale leaves too few nodes, or too few for the degrees (reddit-full below 0.08)
/// Threads  parallel; equal options give equal bits for any T
inline Dataset generate_stand_in(StandIn which, const StandInOptions& options = {}) {
  const StandInShape& shape = shape_of(which);
  Dataset data = generate_community_graph(stand_in_options(which, options));
  data.name = message(shape.name, "-like");
  if (options.scale != 1) data.name += message(" (scale ", options.scale, ")");
  data.provenance.layout = message("generated (stand-ins version 1, seed ", options.seed, ")");
  if (which == StandIn::papers100m) {
    for (std::size_t i = 0; i < data.roles.size(); ++i) {
      if (data.roles[i] == Role::none) data.labels.classes[i] = kUnlabelled;
    }
  }
  return data;
}

}  // namespace tessera
