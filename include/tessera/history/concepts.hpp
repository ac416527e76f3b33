// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <optional>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/autograd/sparse_input.hpp"

namespace tessera {

/// A model that keeps what its layers computed, and brings it up to date when it passes over a graph.
///
/// Semantics no compiler can check: `infer_layers` gives the logits `infer` would, and none for a graph its tables do
/// not belong to; `keep_for` says which graph they belong to before the first such pass does.
template <class M>
concept KeepsHistory = requires(const M& model, const Adjacency& adjacency, MatrixView<const float> features,
                                std::size_t bytes, const SparseInput* entries) {
  {
    model.infer_layers(adjacency, features, bytes, entries)
    } -> std::same_as<std::optional<Tensor<typename M::Scalar>>>;
  { model.keeps_history() } -> std::convertible_to<bool>;
  model.keep_for(adjacency);
};

}  // namespace tessera
