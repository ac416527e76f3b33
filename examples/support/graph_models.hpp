// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/nn/any_model.hpp"

namespace examples {

/// What the networks about whole graphs have in common.
struct GraphModelOptions {
  std::string model = "gin";
  std::size_t hidden = 32;
  std::size_t layers = 4;
  float dropout = 0;          ///< of the rows behind each convolution
  float head_dropout = 0.5f;  ///< of what each level says (gin recipe), or of the head's hidden rows
  /// layers: every level, GIN's recipe; last: the last level, then an MLP; concat: all levels, then an MLP
  std::string readout = "layers";
  std::string reduce = "sum";     ///< or attention
  std::size_t edge_features = 0;  ///< of the data; 0: none
  double mean_log_degree = 1.0;   ///< of the training graphs, for PNA
};

/// What `--model` takes.
std::vector<std::string> graph_model_names();

/// A fresh network with the initial weights of `seed`.
///
/// Errors   ConfigError for a name that graph_model_names() lacks, or sizes the network refuses
tessera::AnyTrainableModel<> make_graph_model(const GraphModelOptions& o, std::size_t features,
                                              std::size_t out, std::uint64_t seed);

}  // namespace examples
