// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"

namespace tessera::bench {

/// A graph that only has the shape of a real one: sizes, degree law, locality of ids.
struct PlantedShape {
  std::size_t nodes = 0;
  std::size_t edges = 0;          ///< about as many are drawn
  std::size_t community = 200;    ///< consecutive ids
  std::size_t neighborhood = 64;  ///< communities that make up the next larger unit
  double inside = 0.7;            ///< share of edges inside the community
  double nearby = 0.2;            ///< share inside the next larger unit; the rest goes anywhere
  double sigma = 1.0;             ///< of the logarithm of the degrees
};

struct PlantedCsr {
  Array<EdgeId> row_ptr;
  Array<NodeId> col;
  Array<float> weight;

  CsrView<> view() const { return {row_ptr.size() - 1, row_ptr.size() - 1, row_ptr, col, weight}; }
};

namespace detail {

inline void sort_rows(PlantedCsr& graph) {
  const std::size_t nodes = graph.row_ptr.size() - 1;
  parallel_for(nodes, 256, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::sort(graph.col.data() + graph.row_ptr[i], graph.col.data() + graph.row_ptr[i + 1]);
    }
  });
}

inline void draw_weights(PlantedCsr& graph, std::uint64_t seed) {
  graph.weight.resize(graph.col.size());
  parallel_for(graph.col.size(), 1 << 16, [&](std::size_t begin, std::size_t end) {
    CounterRng rng(make_key(seed, 1, Purpose::generate), 1, begin);
    for (std::size_t e = begin; e < end; ++e) {
      graph.weight[e] = static_cast<float>(rng.next32()) * 0x1p-32f;
    }
  });
}

}  // namespace detail

/// Draws the graph in community order: degrees log-normal, rows ascending, weights uniform.
inline PlantedCsr planted_csr(const PlantedShape& shape, std::uint64_t seed) {
  PlantedCsr out;
  const std::size_t n = shape.nodes;
  const RngKey key = make_key(seed, 0, Purpose::generate);
  const double mean = static_cast<double>(shape.edges) / static_cast<double>(n);
  const double mu = std::log(mean) - shape.sigma * shape.sigma / 2;
  out.row_ptr.resize(n + 1);
  parallel_for(n, 4096, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      CounterRng rng(key, 0, i);
      const double degree = std::exp(mu + shape.sigma * rng.normal());
      out.row_ptr[i] = static_cast<EdgeId>(std::min(degree + 0.5, static_cast<double>(n) / 2));
    }
  });
  out.row_ptr[n] = 0;
  out.col.resize(static_cast<std::size_t>(parallel_exclusive_scan<EdgeId>(out.row_ptr)));
  const auto inside = static_cast<std::uint32_t>(shape.inside * 0xffffffffu);
  const auto nearby = static_cast<std::uint32_t>((shape.inside + shape.nearby) * 0xffffffffu);
  parallel_for(n, 256, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      CounterRng rng(key, 1, i);
      for (EdgeId e = out.row_ptr[i]; e < out.row_ptr[i + 1]; ++e) {
        const std::uint32_t law = rng.next32();
        std::size_t unit = n;
        if (law < nearby) unit = shape.community * shape.neighborhood;
        if (law < inside) unit = shape.community;
        const std::size_t first = i / unit * unit;
        const std::size_t size = std::min(unit, n - first);
        const std::uint64_t pick = (std::uint64_t{rng.next32()} * size) >> 32;
        out.col[e] = static_cast<NodeId>(first + pick);
      }
    }
  });
  detail::sort_rows(out);
  detail::draw_weights(out, seed);
  return out;
}

/// The same graph under a random renumbering of its nodes.
inline PlantedCsr shuffled_csr(const PlantedCsr& graph, std::uint64_t seed) {
  const std::size_t n = graph.row_ptr.size() - 1;
  Array<NodeId> old_id(n);  // of a new one
  for (std::size_t i = 0; i < n; ++i) old_id[i] = static_cast<NodeId>(i);
  shuffle<NodeId>(old_id, CounterRng(make_key(seed, 2, Purpose::shuffle), 0, 0));
  Array<NodeId> new_id(n);
  parallel_for(n, 4096, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) new_id[old_id[i]] = static_cast<NodeId>(i);
  });
  PlantedCsr out;
  out.row_ptr.resize(n + 1);
  parallel_for(n, 4096, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      out.row_ptr[i] = graph.row_ptr[old_id[i] + 1] - graph.row_ptr[old_id[i]];
    }
  });
  out.row_ptr[n] = 0;
  out.col.resize(static_cast<std::size_t>(parallel_exclusive_scan<EdgeId>(out.row_ptr)));
  parallel_for(n, 256, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const EdgeId from = graph.row_ptr[old_id[i]];
      for (EdgeId e = out.row_ptr[i]; e < out.row_ptr[i + 1]; ++e) {
        out.col[e] = new_id[graph.col[from + (e - out.row_ptr[i])]];
      }
    }
  });
  detail::sort_rows(out);
  detail::draw_weights(out, seed);
  return out;
}

}  // namespace tessera::bench
