// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/fingerprint.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/graph/graph_key.hpp"
#include "tessera/nn/concepts.hpp"

namespace tessera {

/// The content id of a history: a number that changes with the graph, its features and the shape of the model, for
/// HistoryStoreOptions::key. Weights do not enter, they change while a history is in use.
///
/// Shapes   graph [N, N], features [N, F_in]
/// Cost     one pass over the graph and the features, at memory speed
/// Threads  result independent of T
template <TrainableModel M>
std::uint64_t history_key(CsrView<> graph, MatrixView<const float> features, const M& model) {
  detail::Fingerprint print;
  print.add(graph_key(graph)).add(features);
  const AggregationSpec spec = model.aggregation();
  print.add(static_cast<std::uint64_t>(spec.normalization)).add(std::uint64_t{spec.self_loops});
  print.add(std::span<const float>(&spec.diag_lambda, 1));
  for (const ParameterInfo& p : model.parameters().parameters()) {
    print.add(std::span<const char>(p.name)).add(std::uint64_t{p.rows}).add(std::uint64_t{p.cols});
  }
  return print.value();
}

}  // namespace tessera
