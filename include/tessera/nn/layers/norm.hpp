// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <variant>

#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/batch_norm.hpp"
#include "tessera/nn/layers/graph_norm.hpp"
#include "tessera/nn/layers/layer_norm.hpp"
#include "tessera/nn/layers/norm_kind.hpp"
#include "tessera/nn/layers/pair_norm.hpp"

namespace tessera {

/// A norm chosen at run time, compiled once for all networks.
///
/// Shapes   x [N, F] -> y [N, F]
/// Errors   as the norm of its kind; ConfigError for NormKind::none, which is no norm
template <Real T = float>
class Norm {
 public:
  using Scalar = T;

  /// Adds what the norm learns under `<name>.`; `eps` is that of a LayerNorm, the others keep 1e-5.
  Norm(ParameterBlock<T>& block, const std::string& name, std::size_t features, NormKind kind,
       double eps = 1e-5)
      : norm_(make(block, name, features, kind, eps)) {}

  void reset_parameters(ParameterBlock<T>& block) const {
    const auto reset = [&](const auto& norm) {
      if constexpr (requires { norm.reset_parameters(block); }) norm.reset_parameters(block);
    };
    std::visit(reset, norm_);
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, Var x, const Pass& pass) const {
    return std::visit([&](const auto& norm) { return apply(norm, ctx, block, x, pass); }, norm_);
  }

  /// The norm and what follows it, in one pass over the rows where the kind can; x may be given up by the way.
  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, Var x, const Pass& pass,
                 const Finish& finish) const {
    const auto run = [&](const auto& norm) {
      if constexpr (requires { norm(ctx, block, x, finish); }) {
        return norm(ctx, block, x, finish);
      } else {
        return finish_in_place(ctx, apply(norm, ctx, block, x, pass), finish);
      }
    };
    return std::visit(run, norm_);
  }

  /// Whether the rows before the norm may be kept as bf16 where operators compute in it.
  bool reads_narrow() const noexcept { return std::holds_alternative<LayerNorm<T>>(norm_); }

 private:
  struct SubtractMean {
    template <class Ctx>
    Var operator()(Ctx& ctx, Var x) const {
      return subtract_mean(ctx, x);
    }
  };
  template <class N, class Ctx>
  static Var apply(const N& norm, Ctx& ctx, const ParameterBlock<T>& block, Var x, const Pass& pass) {
    if constexpr (requires { norm(ctx, block, x, pass); }) {
      return norm(ctx, block, x, pass);
    } else if constexpr (requires { norm(ctx, block, x); }) {
      return norm(ctx, block, x);
    } else {
      return norm(ctx, x);
    }
  }

  using Kinds = std::variant<LayerNorm<T>, BatchNorm<T>, GraphNorm<T>, PairNorm, SubtractMean>;

  static Kinds make(ParameterBlock<T>& block, const std::string& name, std::size_t features, NormKind kind,
                    double eps) {
    switch (kind) {
      case NormKind::layer:
        return LayerNorm<T>(block, name, features, eps);
      case NormKind::batch:
        return BatchNorm<T>(block, name, features);
      case NormKind::graph:
        return GraphNorm<T>(block, name, features);
      case NormKind::pair:
        return PairNorm();
      case NormKind::pair_individual:
        return PairNorm({.individually = true});
      case NormKind::mean:
        return SubtractMean();
      case NormKind::none:
        break;
    }
    throw ConfigError(message("Norm: kind is ", static_cast<int>(kind), ", want a NormKind but none"));
  }

  Kinds norm_;
};

}  // namespace tessera
