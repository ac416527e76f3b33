// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"

namespace tessera {

/// How planned degrees are spread.
enum class DegreeLaw {
  log_normal,      ///< Reddit and co-purchase graphs
  power_law,       ///< density ~ degree^-exponent
  log_normal_tail  ///< log-normal, but the top 1 % follow a power law: citations, image tags
};

/// What features look like; each class has a mean of norm 1 before any of it.
enum class FeatureLaw {
  gaussian,
  decaying,       ///< column j is scaled by (j + 1)^-1/2, as after a principal component analysis
  heavy_columns,  ///< columns 0 and 1 are log-normal with heavy tails and say nothing
  counts          ///< whole numbers from 0 on, about half of them 0
};

/// What `generate_community_graph` makes; the defaults train in seconds.
struct CommunityGraphOptions {
  std::size_t nodes = 10'000;
  std::size_t classes = 10;
  std::size_t features = 64;
  double mean_degree = 20;
  DegreeLaw degree_law = DegreeLaw::log_normal;
  double degree_sigma = 1.0;     ///< of the logarithm, for log_normal
  double degree_exponent = 2.5;  ///< for power_law
  std::size_t links = 0;         ///< exactly so many undirected links; 0: as many as mean_degree gives, about
  std::size_t isolated = 0;      ///< so many nodes get no link
  double min_degree = 0;         ///< planned degree of all others; from 2 on every one of them has a link
  std::size_t max_degree = 0;  ///< planned degrees are cut here; 0 cuts only where the classes are too small
  double homophily = 0.8;      ///< share of links inside a class
  double community_share = 0.65;     ///< share of the links inside a class that stay inside a community
  std::size_t community_size = 200;  ///< mean; sizes follow a power law
  double class_skew = 0;             ///< class k has a share ~ (k + 1)^-class_skew of the nodes
  std::size_t rare_classes = 0;      ///< the last so many classes have 5 nodes each
  double feature_noise = 1.0;        ///< deviation per feature, where class means have norm 1
  FeatureLaw feature_law = FeatureLaw::gaussian;
  double train = 0.6;  ///< share of the nodes
  double val = 0.2;
  double test = 0.2;
  double popularity = 0;    ///< correlation of log degree with the order train, val, test; 0: a random split
  bool multilabel = false;  ///< further labels per community, kept by most of its nodes
  double mean_labels = 0;   ///< with multilabel, labels per node, log-normal; 0: about 3 by community
  bool shuffle_nodes = true;  ///< number the nodes at random; else by class and community
  std::uint64_t seed = 0;
};

/// Throws ConfigError naming the first option that cannot be.
inline void validate(const CommunityGraphOptions& o) {
  const auto require = [](bool good, const char* name, auto got, const char* want) {
    if (!good) throw ConfigError(message("generate_community_graph: ", name, " is ", got, ", want ", want));
  };
  const auto share = [&](const char* name, double value) {
    require(value >= 0 && value <= 1, name, value, "a number from 0 to 1");
  };
  require(o.nodes >= 1 && o.nodes < kNoNode, "nodes", o.nodes, "1 to 2^32 - 2");
  require(o.classes >= 1 && o.classes <= o.nodes, "classes", o.classes, "at least 1 and at most nodes");
  require(o.features >= 1, "features", o.features, "at least 1");
  require(std::isfinite(o.mean_degree) && o.mean_degree >= 0, "mean_degree", o.mean_degree,
          "a finite number >= 0");
  require(o.degree_sigma >= 0 && o.degree_sigma <= 4, "degree_sigma", o.degree_sigma, "a number from 0 to 4");
  require(o.degree_exponent > 2 && o.degree_exponent <= 100, "degree_exponent", o.degree_exponent,
          "a number above 2, up to 100");
  share("homophily", o.homophily);
  require(o.classes > 1 || o.homophily == 1, "homophily", o.homophily, "1 where there is one class");
  share("community_share", o.community_share);
  require(o.community_size >= 2, "community_size", o.community_size, "at least 2");
  require(o.isolated < o.nodes, "isolated", o.isolated, "less than nodes");
  require(o.min_degree >= 0 && o.min_degree <= 1000, "min_degree", o.min_degree, "a number from 0 to 1000");
  require(o.rare_classes < o.classes, "rare_classes", o.rare_classes, "less than classes");
  require(o.rare_classes == 0 || o.nodes >= 16 * o.classes, "nodes", o.nodes,
          "at least 16 per class where some are rare");
  require(o.popularity >= 0 && o.popularity < 1, "popularity", o.popularity, "a number from 0 to below 1");
  require(!o.multilabel || o.classes <= 65'536, "classes", o.classes, "at most 65536 with multilabel");
  require(o.mean_labels >= 0 && o.mean_labels <= static_cast<double>(o.classes), "mean_labels", o.mean_labels,
          "a number from 0 to classes");
  require(o.class_skew >= 0 && o.class_skew <= 10, "class_skew", o.class_skew, "a number from 0 to 10");
  require(std::isfinite(o.feature_noise) && o.feature_noise >= 0, "feature_noise", o.feature_noise,
          "a finite number >= 0");
  share("train", o.train);
  share("val", o.val);
  share("test", o.test);
  require(o.train + o.val + o.test <= 1 + 1e-9, "train + val + test", o.train + o.val + o.test, "at most 1");
}

}  // namespace tessera
