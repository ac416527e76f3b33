// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <span>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/dataset.hpp"

namespace tessera {

/// Anything that reads as a CSR matrix: CsrGraph, CsrView, a mapped file.
///
/// Semantics no compiler can check: rows ascend without duplicates, and the arrays live as long as the
/// object.
template <class G>
concept GraphView = std::convertible_to<const G&, CsrView<>>;

/// What training and evaluation read of a node task: `Dataset`, or a type of your own with the same members
/// (a mapped file, say).
///
/// Semantics no compiler can check: all parts cover the same N nodes; roles and labels do not change while it
/// is in use; train_graph has N nodes, or none where the data has no separate one.
template <class D>
concept NodeData = requires(const D& data) {
  { data.graph.view() } -> std::convertible_to<CsrView<>>;
  { data.graph.symmetric } -> std::convertible_to<bool>;
  { data.train_graph.view() } -> std::convertible_to<CsrView<>>;
  { data.train_graph.symmetric } -> std::convertible_to<bool>;
  { data.features } -> std::convertible_to<MatrixView<const float>>;
  { data.labels.classes } -> std::convertible_to<std::span<const std::int32_t>>;
  { data.labels.indicators } -> std::convertible_to<MatrixView<const float>>;
  { data.labels.num_classes } -> std::convertible_to<std::size_t>;
  { data.roles } -> std::convertible_to<std::span<const Role>>;
};

}  // namespace tessera
