// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "tessera/nn/concepts.hpp"
#include "tessera/nn/init/glorot.hpp"
#include "tessera/nn/init/kaiming.hpp"
#include "tessera/nn/layers/batch_norm.hpp"
#include "tessera/nn/layers/prelu.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// What stands between the linear maps of a head.
enum class HeadActivation { relu, prelu };

/// How the linear maps of a head start.
enum class HeadInit {
  fan_in,       ///< PyTorch's Linear
  glorot_root2  ///< Glorot uniform with gain sqrt 2, bias 0: DGL's feed-forward networks
};

/// A linear map with a bias, as heads are made of.
///
/// Shapes   x [N, F_in] -> y [N, F_out]; weight [F_in, F_out], bias [1, F_out]
template <Real T>
class HeadLinear {
 public:
  HeadLinear(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out)
      : weight_(block.add(name + ".weight", in, out)), bias_(block.add(name + ".bias", 1, out)) {}

  void reset_parameters(ParameterBlock<T>& block, RngKey key, HeadInit init) const {
    const InitStream stream{key, static_cast<std::uint32_t>(weight_.index)};
    if (init == HeadInit::glorot_root2) {
      glorot_uniform(block.value(weight_), stream, std::sqrt(2.0));
      for (T& b : block.value(bias_).row(0)) b = 0;
    } else {
      kaiming_uniform(block.value(weight_), stream);
      fan_in_uniform(block.value(bias_), weight_.rows, {key, static_cast<std::uint32_t>(bias_.index)});
    }
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, Var x, Finish finish = {}) const {
    finish.bias = ctx.parameter(block[bias_]);
    return linear(ctx, x, ctx.parameter(block[weight_]), finish);
  }
  /// The same added to `sum`, whose memory it takes; the bias is left out.
  template <class Ctx>
  Var add_to(Ctx& ctx, const ParameterBlock<T>& block, Var sum, Var x) const {
    return add_linear(ctx, sum, x, ctx.parameter(block[weight_]));
  }

 private:
  Parameter weight_;
  Parameter bias_;
};

/// What follows a linear map inside a head: [batch norm ->] activation -> dropout.
///
/// Shapes   x [N, F] -> y [N, F]
template <Real T>
class HiddenFinish {
 public:
  HiddenFinish(ParameterBlock<T>& block, const std::string& name, std::size_t features,
               HeadActivation activation, bool batch_norm, float dropout)
      : dropout_(dropout) {
    if (batch_norm) norm_.emplace(block, name + ".norm", features);
    if (activation == HeadActivation::prelu) prelu_.emplace(block, name + ".act");
  }

  void reset_parameters(ParameterBlock<T>& block) const {
    if (norm_) norm_->reset_parameters(block);
    if (prelu_) prelu_->reset_parameters(block);
  }

  /// Applies `map` to x and finishes what comes out; `call` numbers the dropout.
  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const HeadLinear<T>& map, Var x, const Pass& pass,
                 std::uint32_t call) const {
    if (norm_ || prelu_) return finish(ctx, block, map(ctx, block, x), pass, call);
    return map(ctx, block, x, {.activation = Activation::relu, .dropout = mask(pass, call)});
  }
  /// Finishes z, whose memory may be taken.
  template <class Ctx>
  Var finish(Ctx& ctx, const ParameterBlock<T>& block, Var z, const Pass& pass, std::uint32_t call) const {
    if (norm_) {
      const Var y = (*norm_)(ctx, block, z, pass);
      ctx.forget(z);
      z = y;
    }
    if (!prelu_)
      return finish_in_place(ctx, z, {.activation = Activation::relu, .dropout = mask(pass, call)});
    const Var y = (*prelu_)(ctx, block, z);
    ctx.forget(z);
    return dropout(ctx, y, mask(pass, call));
  }

 private:
  DropoutMask mask(const Pass& pass, std::uint32_t call) const noexcept {
    if (!pass.training) return {};
    return {dropout_, pass.dropout_key, call};
  }

  std::optional<BatchNorm<T>> norm_;
  std::optional<Prelu<T>> prelu_;
  float dropout_;
};

}  // namespace tessera
