// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tessera/core/error.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/init/kaiming.hpp"
#include "tessera/nn/ops/batch_norm.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera::detail {

/// The parameter of this name, added if the block lacks it: a student may be fitted again with the same term.
template <Real T>
Parameter find_or_add(ParameterBlock<T>& block, const std::string& name, std::size_t rows, std::size_t cols) {
  for (const ParameterInfo& info : block.parameters()) {
    if (info.name != name) continue;
    const Parameter p = block.find(name);
    if (p.rows == rows && p.cols == cols) return p;
    throw ConfigError(message("Distill: parameter ", name, " is [", p.rows, ", ", p.cols, "], a term wants [",
                              rows, ", ", cols, "]"));
  }
  return block.add(name, rows, cols);
}

/// head(x) = ReLU(BatchNorm(x W + b)) by the statistics of the batch: what maps hidden rows to a common width.
///
/// Source   chaitjo/efficient-gnns, arxiv_pyg/gnn_kd_and_aux.py
struct ProjectionHead {
  Parameter weight;
  Parameter bias;
  Parameter gamma;
  Parameter beta;

  template <Real T>
  void bind(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out, RngKey key) {
    weight = find_or_add(block, name + ".weight", in, out);
    bias = find_or_add(block, name + ".bias", 1, out);
    gamma = find_or_add(block, name + ".norm.weight", 1, out);
    beta = find_or_add(block, name + ".norm.bias", 1, out);
    kaiming_uniform(block.value(weight), {key, static_cast<std::uint32_t>(weight.index)});
    fan_in_uniform(block.value(bias), in, {key, static_cast<std::uint32_t>(bias.index)});
    const auto fill = [&](Parameter p, T value) {
      const auto row = block.value(p).row(0);
      std::fill(row.begin(), row.end(), value);
    };
    fill(gamma, T{1});
    fill(beta, T{0});
  }

  /// A head that is not trained runs on constants.
  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<typename Ctx::Scalar>& block, Var x, bool trained) const {
    const auto leaf = [&](Parameter p) {
      return trained ? ctx.parameter(block[p]) : ctx.input(block.value(p));
    };
    const Var y = linear(ctx, x, leaf(weight), {.bias = leaf(bias)});
    return relu(ctx, batch_norm(ctx, y, leaf(gamma), leaf(beta), 1e-5));
  }
};

}  // namespace tessera::detail
