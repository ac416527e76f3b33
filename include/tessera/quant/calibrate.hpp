// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/nn/autograd/no_tape.hpp"
#include "tessera/nn/parameter_block.hpp"
#include "tessera/quant/quantized.hpp"

namespace tessera {

/// Shows a trained model some data, so that every quantiser learns its range: post-training quantisation.
///
///     Quantized<GcnNet<>> model(std::move(trained), {{.weight_bits = 8, .activation_bits = 8}});
///     calibrate(model, AdjacencyStack(levels), features);
///
/// Weights stay what they are; ranges are those of unrounded passes, and follow the settings' rule where there are several.
/// Shapes   as the model's forward pass
/// Cost     an inference and a pass over every rounded tensor
template <class M, QuantPolicy P>
void calibrate(Quantized<M, P>& model, AdjacencyStack adjacencies,
               MatrixView<const typename M::Scalar> features) {
  struct Restore {
    Quantized<M, P>& model;
    ~Restore() { model.observe_only(false); }
  } restore{model};
  model.observe_only(true);
  NoTape<typename M::Scalar> ctx;
  std::as_const(model).forward(ctx, adjacencies, ctx.input(features), Pass{});
}

/// Copies what two models have under the same name, e.g. the weights of a trained network into a quantised one.
///
/// Errors   ShapeError if a name has two shapes; ConfigError if `to` trains a parameter that `from` lacks
template <Real T>
void copy_parameters(const ParameterBlock<T>& from, ParameterBlock<T>& to) {
  std::vector<std::pair<const ParameterInfo*, const ParameterInfo*>> copies;
  for (const ParameterInfo& info : to.parameters()) {
    const auto same = [&](const ParameterInfo& other) { return other.name == info.name; };
    const auto found = std::find_if(from.parameters().begin(), from.parameters().end(), same);
    if (found == from.parameters().end()) {
      if (info.trained) throw ConfigError(message("copy_parameters: there is no ", info.name, " to copy"));
      continue;
    }
    if (found->rows != info.rows || found->cols != info.cols) {
      throw ShapeError(message("copy_parameters: ", info.name, " is [", found->rows, ", ", found->cols,
                               "], want [", info.rows, ", ", info.cols, "]"));
    }
    copies.emplace_back(&*found, &info);
  }
  for (const auto& [source, target] : copies) {
    std::copy_n(from.values().data() + source->offset, source->size(), to.values().data() + target->offset);
  }
}

}  // namespace tessera
