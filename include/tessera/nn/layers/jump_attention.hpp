// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/nn/init/kaiming.hpp"
#include "tessera/nn/init/uniform.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/ops/columns.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/lstm_cell.hpp"
#include "tessera/nn/ops/mix_layers.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Chooses between the layers of a network, node by node: an LSTM reads the sequence of a node's hidden rows both
/// ways, a Linear map scores every layer by the two states there, and Y = sum over layers of softmax(score) H^l.
///
/// Shapes   L matrices H^l [N, F] -> y [N, F]; per direction H = floor(L F / 2) units: w_x [F, 4 H], w_h [H, 4 H],
///          bias [1, 4 H]; att.weight [2 H, 1], att.bias [1, 1]
/// Cost     16 N L (F + H) H flops; keeps 12 N L H numbers
/// Errors   ConfigError unless there are as many matrices as layers
/// Source   Xu et al., Representation learning on graphs with jumping knowledge networks, ICML 2018, section 4; as
///          PyTorch Geometric's JumpingKnowledge("lstm"), whose two biases of a direction are one here, their sum
template <Real T = float>
class JumpAttention {
 public:
  JumpAttention(ParameterBlock<T>& block, const std::string& name, std::size_t width, std::size_t layers)
      : layers_(layers), units_(layers * width / 2), score_(block, name + ".att", 2 * units_, 1) {
    if (layers == 0 || units_ == 0) {
      throw ConfigError(message("JumpAttention: ", layers, " layers of width ", width,
                                ", want at least two numbers together"));
    }
    for (const char* direction : {"forward", "backward"}) {
      const std::string prefix = name + ".lstm." + direction;
      lstm_.push_back({block.add(prefix + ".w_x", width, 4 * units_),
                       block.add(prefix + ".w_h", units_, 4 * units_),
                       block.add(prefix + ".bias", 1, 4 * units_)});
    }
  }

  /// U(-1 / sqrt H, 1 / sqrt H) for the LSTM, PyTorch's Linear for the scores.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    for (const Direction& d : lstm_) {
      for (const Parameter p : {d.input, d.state, d.bias}) {
        fan_in_uniform(block.value(p), units_, {key, static_cast<std::uint32_t>(p.index)});
      }
    }
    score_.reset_parameters(block, key);
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, std::span<const Var> layers) const {
    if (layers.size() != layers_) {
      throw ConfigError(message("JumpAttention: got ", layers.size(), " matrices, want ", layers_));
    }
    std::vector<Var> up(layers_), down(layers_);
    for (std::size_t l = 0; l < layers_; ++l) {
      const std::size_t last = layers_ - 1 - l;
      up[l] = step(ctx, block, lstm_[0], layers[l], l == 0 ? Var{} : up[l - 1]);
      down[last] = step(ctx, block, lstm_[1], layers[last], l == 0 ? Var{} : down[last + 1]);
    }
    std::vector<Var> scores;
    for (std::size_t l = 0; l < layers_; ++l) {
      const Var both = concat_columns(ctx, columns(ctx, up[l], 0, units_), columns(ctx, down[l], 0, units_));
      scores.push_back(score_.transform(ctx, block, both));
    }
    return mix_layers(ctx, layers, scores);
  }

 private:
  struct Direction {
    Parameter input;
    Parameter state;
    Parameter bias;
  };

  template <class Ctx>
  Var step(Ctx& ctx, const ParameterBlock<T>& block, const Direction& d, Var x, Var before) const {
    const Finish bias{.bias = ctx.parameter(block[d.bias])};
    const Var w = ctx.parameter(block[d.input]);
    if (!before) return lstm_cell(ctx, linear(ctx, x, w, bias));
    const Var h = columns(ctx, before, 0, units_);
    return lstm_cell(ctx, linear_pair(ctx, x, w, h, ctx.parameter(block[d.state]), bias), before);
  }

  std::size_t layers_;
  std::size_t units_;
  LinearLayer<T> score_;
  std::vector<Direction> lstm_;
};

}  // namespace tessera
