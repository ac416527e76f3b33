// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/run_teacher.hpp"
#include "tessera/distill/teacher_outputs.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/kernels/softmax.hpp"
#include "tessera/nn/concepts.hpp"

namespace tessera {

/// What a sequence of generations leaves.
template <Model M>
struct BornAgain {
  std::vector<M> generations;   ///< the trained networks, oldest first
  Tensor<float> probabilities;  ///< [N, C]: the mean of their softmax outputs
};

/// Born-again networks: every generation has the same form and is taught by the one before.
///
///     auto family = born_again(3, data, make, [&](auto& model, const TeacherOutputs* teacher) { ... fit ... });
///
/// make(g) gives generation g, freshly drawn; fit(model, teacher) trains it, with null for the first: plain training.
/// The published loss adds both terms: Distill{*teacher, TaskLoss{}, Logit{.alpha = 1, .temperature = 1}}.
/// Cost     generations trainings and inferences
/// Errors   ConfigError for no generation; those of fit
/// Source   Furlanello et al., Born-again neural networks, ICML 2018
template <NodeData D, class Make, class Fit>
auto born_again(std::size_t generations, const D& data, Make&& make, Fit&& fit) {
  using M = decltype(make(std::size_t{}));
  if (generations == 0) throw ConfigError("born_again: generations is 0, want at least 1");
  BornAgain<M> out;
  out.generations.reserve(generations);
  std::optional<TeacherOutputs> teacher;
  Tensor<float> scratch;
  for (std::size_t g = 0; g < generations; ++g) {
    M& model = out.generations.emplace_back(make(g));
    fit(model, teacher ? &*teacher : nullptr);
    teacher.emplace(teacher_outputs(std::as_const(model), data));
    const MatrixView<const float> logits = teacher->logits<float>({}, teacher->num_nodes(), scratch);
    Tensor<float> p(logits.rows(), logits.cols());
    softmax<float>(logits, p.view());
    if (g == 0) out.probabilities = Tensor<float>::zeros(p.rows(), p.cols());
    axpy(1.0f / static_cast<float>(generations), p.view(), out.probabilities.view());
  }
  return out;
}

}  // namespace tessera
