// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "support/nn_cases.hpp"
#include "tessera/core/array.hpp"

namespace tessera::testing {

/// An adjacency whose entries have features, stored in another order than the entries.
struct EdgeCase {
  OwnedAdjacency matrix;
  Tensor<float> features;
  Array<EdgeId> id;
  bool transpose_edge = true;

  Adjacency view() const {
    Adjacency a = matrix.view();
    if (!transpose_edge) a.transpose_edge = {};
    a.edge_features = features.view();
    a.edge_id = id;
    return a;
  }
};

/// Random features of `columns` numbers for every entry; the entries' rows lie in reverse.
inline EdgeCase with_edges(OwnedAdjacency matrix, std::size_t columns, std::uint64_t seed) {
  EdgeCase out;
  const std::size_t entries = matrix.forward.num_edges();
  out.matrix = std::move(matrix);
  out.features = random_matrix<float>(entries, columns, seed);
  out.id.resize(entries);
  for (std::size_t e = 0; e < entries; ++e) out.id[e] = static_cast<EdgeId>(entries - 1 - e);
  return out;
}

}  // namespace tessera::testing
