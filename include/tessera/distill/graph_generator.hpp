// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/linear.hpp"

namespace tessera {

/// Makes graphs of noise: a perceptron whose output is, per graph, the features of its nodes and the logit of every
/// link.
///
/// Shapes   z [B, noise] -> [B, nodes features + nodes (nodes - 1) / 2]: feature f of node i in column
///          i features + f, then the pairs (1, 0), (2, 0), (2, 1), (3, 0) ...
/// Errors   ConfigError for sizes of 0, fewer than 2 nodes or a degree outside (0, nodes - 1)
template <Real T = float>
class GraphGenerator {
 public:
  using Scalar = T;
  struct Options {
    std::size_t features = 0;
    std::size_t nodes = 20;
    std::size_t noise = 32;
    std::size_t hidden = 128;
    std::size_t hidden_layers = 2;
    double mean_degree = 3;  ///< of the graphs it makes before it has learnt anything
    std::uint64_t seed = 0;
  };

  explicit GraphGenerator(const Options& o) : options_(o) {
    if (o.features == 0 || o.nodes < 2 || o.noise == 0 || o.hidden == 0) {
      throw ConfigError(message("GraphGenerator: features ", o.features, ", nodes ", o.nodes, ", noise ",
                                o.noise, ", hidden ", o.hidden, "; want at least 1 of each and 2 nodes"));
    }
    if (!(o.mean_degree > 0 && o.mean_degree < static_cast<double>(o.nodes - 1))) {
      throw ConfigError(message("GraphGenerator: mean_degree is ", o.mean_degree,
                                ", want a number between 0 and ", o.nodes - 1));
    }
    for (std::size_t l = 0; l <= o.hidden_layers; ++l) {
      lins_.emplace_back(block_, "lins." + std::to_string(l), l == 0 ? o.noise : o.hidden,
                         l == o.hidden_layers ? width() : o.hidden);
    }
    reset_parameters(o.seed);
  }

  void reset_parameters(std::uint64_t seed) {
    const RngKey key = make_key(seed, 0, Purpose::init);
    for (const LinearLayer<T>& lin : lins_) lin.reset_parameters(block_, key);
    const double p = options_.mean_degree / static_cast<double>(options_.nodes - 1);
    const auto bias = block_.value(block_.find("lins." + std::to_string(options_.hidden_layers) + ".bias"));
    for (std::size_t c = num_feature_columns(); c < width(); ++c)
      bias(0, c) += static_cast<T>(std::log(p / (1 - p)));
    block_.zero_grads();
  }

  ParameterBlock<T>& parameters() noexcept { return block_; }
  const ParameterBlock<T>& parameters() const noexcept { return block_; }
  const Options& options() const noexcept { return options_; }
  std::size_t num_pairs() const noexcept { return options_.nodes * (options_.nodes - 1) / 2; }
  std::size_t num_feature_columns() const noexcept { return options_.nodes * options_.features; }
  std::size_t width() const noexcept { return num_feature_columns() + num_pairs(); }
  /// The column of a link among the pairs' columns; i and j differ.
  static std::size_t pair(std::size_t i, std::size_t j) noexcept {
    return i > j ? i * (i - 1) / 2 + j : j * (j - 1) / 2 + i;
  }

  template <class Ctx>
  Var forward(Ctx& ctx, Var z) const {
    Var h = z;
    for (std::size_t l = 0; l < lins_.size(); ++l) {
      const bool last = l + 1 == lins_.size();
      h = lins_[l].transform(ctx, block_, h, {.activation = last ? Activation::none : Activation::relu});
    }
    return h;
  }

 private:
  Options options_;
  ParameterBlock<T> block_;
  std::vector<LinearLayer<T>> lins_;
};

}  // namespace tessera
