// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/hidden_layer.hpp"
#include "tessera/nn/ops/select_columns.hpp"

namespace tessera {

/// What all heads on precomputed features share; their own options add to it.
struct HopHeadOptions {
  std::size_t features = 0;  ///< F of one block of columns
  std::size_t blocks = 1;    ///< operators and hops, the input included: x has blocks * features columns
  std::size_t hidden = 256;
  std::size_t out = 0;
  std::size_t branch_layers = 1;  ///< linear maps of each block's own
  std::size_t head_layers = 1;    ///< linear maps behind them
  HeadActivation activation = HeadActivation::relu;
  HeadInit init = HeadInit::fan_in;
  bool batch_norm = false;  ///< before every activation
  float dropout = 0.5f;
  float input_dropout = 0;
  std::uint64_t seed = 0;
};

namespace detail {

inline void check_head(std::string_view who, const HopHeadOptions& o) {
  for (const auto& [name, value] : {std::pair{"features", o.features},
                                    {"blocks", o.blocks},
                                    {"hidden", o.hidden},
                                    {"out", o.out},
                                    {"branch_layers", o.branch_layers},
                                    {"head_layers", o.head_layers}}) {
    if (value == 0) throw ConfigError(message(who, ": ", name, " is 0, want at least 1"));
  }
  check_dropout({o.dropout, {}, 0}, who);
  check_dropout({o.input_dropout, {}, 0}, who);
}

/// Linear maps with what stands between them: maps[0] finish[0] maps[1] ... maps[n - 1].
template <Real T>
class HeadMlp {
 public:
  /// Widths: in, hidden, ..., hidden, out over `layers` maps.
  HeadMlp(ParameterBlock<T>& block, const std::string& name, std::size_t layers, std::size_t in,
          std::size_t out, const HopHeadOptions& o) {
    for (std::size_t l = 0; l < layers; ++l) {
      const std::string at = name + "." + std::to_string(l);
      maps_.emplace_back(block, at, l == 0 ? in : o.hidden, l + 1 == layers ? out : o.hidden);
      if (l + 1 < layers) finish_.emplace_back(block, at, o.hidden, o.activation, o.batch_norm, o.dropout);
    }
  }
  void reset_parameters(ParameterBlock<T>& block, RngKey key, HeadInit init) const {
    for (const HeadLinear<T>& map : maps_) map.reset_parameters(block, key, init);
    for (const HiddenFinish<T>& finish : finish_) finish.reset_parameters(block);
  }
  std::size_t calls() const noexcept { return finish_.size(); }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, Var x, const Pass& pass,
                 std::uint32_t call) const {
    return from(ctx, block, 0, x, pass, call);
  }
  /// Everything behind the first map, given what it makes.
  template <class Ctx>
  Var after_first(Ctx& ctx, const ParameterBlock<T>& block, Var z, const Pass& pass,
                  std::uint32_t call) const {
    if (finish_.empty()) return z;
    return from(ctx, block, 1, finish_[0].finish(ctx, block, z, pass, call), pass, call + 1);
  }
  const HeadLinear<T>& first() const noexcept { return maps_.front(); }

 private:
  template <class Ctx>
  Var from(Ctx& ctx, const ParameterBlock<T>& block, std::size_t l, Var x, const Pass& pass,
           std::uint32_t call) const {
    for (; l < finish_.size(); ++l) {
      const Var y = finish_[l](ctx, block, maps_[l], x, pass, call++);
      x = y;
    }
    return maps_.back()(ctx, block, x);
  }

  std::vector<HeadLinear<T>> maps_;
  std::vector<HiddenFinish<T>> finish_;
};

}  // namespace detail

/// What a head on precomputed features has in common with every model: a row-wise net of one layer.
///
/// `Net` has logits(ctx, blocks, pass): the block Vars [N, F] (input dropout applied) to logits [N, out].
template <class Net, Real T>
class HopHead {
 public:
  using Scalar = T;

  ParameterBlock<T>& parameters() noexcept { return block_; }
  const ParameterBlock<T>& parameters() const noexcept { return block_; }
  AggregationSpec aggregation() const noexcept { return {Normalization::none, false, 0.0f}; }
  std::size_t num_layers() const noexcept { return 1; }
  std::size_t in_features() const noexcept { return head_.features * head_.blocks; }
  std::size_t out_features() const noexcept { return head_.out; }

  /// Errors   ShapeError if x is not [N_src, blocks * features]
  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack adjacencies, Var x, const Pass& pass) const {
    return layer(ctx, 0, adjacencies[0], x, pass);
  }
  /// Errors   as forward; IndexError unless l is 0
  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    if (l != 0) throw IndexError(message("HopHead::layer: l is ", l, ", want 0"));
    if (ctx.cols(x) != in_features() || ctx.rows(x) != a.num_src()) {
      throw ShapeError(message("HopHead::layer: x is [", ctx.rows(x), ", ", ctx.cols(x), "], want [",
                               a.num_src(), ", ", in_features(), "]"));
    }
    Var rows = head_rows(ctx, x, a.num_dst());
    if (pass.training && head_.input_dropout > 0) {
      rows = dropout(ctx, rows, {head_.input_dropout, pass.dropout_key, 0});
    }
    std::vector<Var> blocks;
    for (std::size_t b = 0; b < head_.blocks; ++b) {
      blocks.push_back(select_columns(ctx, rows, b * head_.features, head_.features));
    }
    return static_cast<const Net&>(*this).logits(ctx, blocks, pass);
  }

 protected:
  explicit HopHead(const HopHeadOptions& options) : head_(options) {}

  HopHeadOptions head_;
  ParameterBlock<T> block_;
};

}  // namespace tessera
