// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/norm.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/finish.hpp"

namespace tessera {

/// The convolutions of a network with what follows each of them: conv -> [norm] -> activation -> dropout [+ x]. What
/// stands before the first and after the last is the network's.
///
/// `Conv` says what a layer is (layers/) and what its networks do by habit (`kDefaults`). A convolution that
/// drops its own input (Cluster-GCN's) gets one mask per layer and no other dropout; one whose options have an
/// `entry_dropout` (attention) gets a mask for its entries besides; one that takes the `Pass` (a norm inside) gets it. `Conv::layer_options(options, l, layers)`, where
/// there is one, makes the options of layer l.
/// Shapes   layer l maps [N_src, widths[l]] to [N_dst, widths[l + 1]]
template <class Conv>
class ConvTrunk {
 public:
  using Scalar = typename Conv::Scalar;
  static constexpr StackDefaults kDefaults = Conv::kDefaults;

  struct Options {
    float dropout = 0;
    bool input_dropout = false;      ///< of a convolution that drops its own input: in layer 0 too
    NormKind norm = NormKind::none;  ///< between a convolution and its activation
    bool residual = false;           ///< add x where a finished layer keeps its width
    bool finish_last = true;         ///< false: the last layer is its convolution alone
    double layer_norm_eps = kDefaults.layer_norm_eps;
    typename Conv::Options conv = {};
  };

  /// Adds `convs.<l>` (or what the convolution calls its group) and `norms.<l>` to the block.
  ConvTrunk(ParameterBlock<Scalar>& block, std::vector<std::size_t> widths, const Options& options)
      : widths_(std::move(widths)), options_(options) {
    const std::string group = Conv::kGroup;
    for (std::size_t l = 0; l < num_layers(); ++l) {
      convs_.emplace_back(block, group + "." + std::to_string(l), widths_[l], widths_[l + 1],
                          conv_options(l));
    }
    for (std::size_t l = 0; options.norm != NormKind::none && l < num_layers() && finished(l); ++l) {
      const std::string name = "norms." + std::to_string(l);
      norms_.emplace_back(block, name, widths_[l + 1], options.norm, options.layer_norm_eps);
    }
  }

  void reset_parameters(ParameterBlock<Scalar>& block, RngKey key) const {
    for (const Conv& conv : convs_) conv.reset_parameters(block, key);
    for (const Norm<Scalar>& norm : norms_) norm.reset_parameters(block);
  }

  std::size_t num_layers() const noexcept { return widths_.size() - 1; }
  std::size_t width(std::size_t level) const noexcept { return widths_[level]; }

  /// Layer l of x; `start` is what its residual adds. Dropout call l + 1 of the pass is its own, and call
  /// layers + 1 + l for entries.
  template <class Ctx>
  Var layer(Ctx& ctx, const ParameterBlock<Scalar>& block, std::size_t l, const Adjacency& a, Var x,
            Var start, const Pass& pass) const {
    const Var input = drops_input(l, pass) ? dropout(ctx, x, mask(pass, l)) : x;
    const Var y = layer_of(ctx, block, l, a, input, start == x ? input : start, pass);
    if (input != x) ctx.forget(input);
    return y;
  }

  /// The mask of dropout call `call` of a pass.
  DropoutMask mask(const Pass& pass, std::size_t call) const noexcept {
    if (!pass.training) return {};
    return {options_.dropout, pass.dropout_key, static_cast<std::uint32_t>(call)};
  }

 private:
  /// Whether the dropout that ends layer l - 1 stands at the begin of layer l.
  static bool drops_input(std::size_t l, const Pass& pass) noexcept {
    return l > 0 && pass.training && pass.drop_inputs && !kDefaults.drops_own_input;
  }

  template <class Ctx>
  Var layer_of(Ctx& ctx, const ParameterBlock<Scalar>& block, std::size_t l, const Adjacency& a, Var x,
               Var start, const Pass& pass) const {
    if (!finished(l)) return convolve(ctx, block, l, a, x, Finish{}, pass);
    const Var h = convolve_and_finish(ctx, block, l, a, x, pass);
    if (!options_.residual || widths_[l] != widths_[l + 1]) return h;
    const Var y = add(ctx, h, head_rows(ctx, start, a.num_dst()));
    ctx.forget(h);
    return y;
  }

  bool finished(std::size_t l) const noexcept { return l + 1 < num_layers() || options_.finish_last; }

  typename Conv::Options conv_options(std::size_t l) const {
    if constexpr (requires { Conv::layer_options(options_.conv, l, num_layers()); }) {
      return Conv::layer_options(options_.conv, l, num_layers());
    } else {
      return options_.conv;
    }
  }

  template <class Ctx>
  Var convolve(Ctx& ctx, const ParameterBlock<Scalar>& block, std::size_t l, const Adjacency& a, Var x,
               const Finish& finish, const Pass& pass) const {
    if constexpr (kDefaults.drops_own_input) {
      const bool drops = l > 0 || options_.input_dropout;
      return convs_[l](ctx, block, a, x, finish, drops ? mask(pass, l) : DropoutMask{});
    } else if constexpr (requires { options_.conv.entry_dropout; }) {
      DropoutMask entries = mask(pass, num_layers() + 1 + l);
      entries.probability = pass.training ? options_.conv.entry_dropout : 0.0f;
      return convs_[l](ctx, block, a, x, finish, entries);
    } else if constexpr (requires { convs_[l](ctx, block, a, x, finish, pass); }) {
      return convs_[l](ctx, block, a, x, finish, pass);
    } else {
      return convs_[l](ctx, block, a, x, finish);
    }
  }

  // The norm sits between the convolution and the activation, so with one the convolution finishes nothing.
  template <class Ctx>
  Var convolve_and_finish(Ctx& ctx, const ParameterBlock<Scalar>& block, std::size_t l, const Adjacency& a,
                          Var x, const Pass& pass) const {
    Finish finish{.activation = kDefaults.activation};
    const bool left_to_next = pass.drop_inputs && l + 1 < num_layers();
    if constexpr (!kDefaults.drops_own_input) {
      if (!left_to_next) finish.dropout = mask(pass, l + 1);
    }
    if (norms_.empty()) return convolve(ctx, block, l, a, x, finish, pass);
    const Var z = convolve(ctx, block, l, a, x, Finish{.inner = norms_[l].reads_narrow()}, pass);
    const Var y = norms_[l](ctx, block, z, pass, finish);
    ctx.forget(z);
    return y;
  }

  std::vector<std::size_t> widths_;
  Options options_;
  std::vector<Conv> convs_;
  std::vector<Norm<Scalar>> norms_;
};

}  // namespace tessera
