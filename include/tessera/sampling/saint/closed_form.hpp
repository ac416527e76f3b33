// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/detail/row_ranges.hpp"
#include "tessera/sampling/saint/edge_draw.hpp"
#include "tessera/sampling/saint/node_draw.hpp"
#include "tessera/sampling/saint/normalization.hpp"

namespace tessera {

/// The chances of one of several independent draws that each bring a few nodes.
///
/// Shapes   node [N]: that a draw brings the node
struct SaintSingleDraw {
  Array<double> node;
  std::size_t draws = 0;
};

/// q_v of the node sampler.
inline SaintSingleDraw single_draw(const SampleSource& source, const SaintNodeDraw& draws) {
  SaintSingleDraw out{detail::saint_node_weights(source, draws.options().rule), draws.options().nodes};
  double total = 0;
  for (const double w : out.node) total += w;
  for (double& w : out.node) w /= total;
  return out;
}

/// That one draw brings both ends of entry u -> v: two draws of the node sampler are never one.
inline double both_in_draw(const SampleSource&, const SaintNodeDraw&, NodeId, NodeId) noexcept { return 0; }

/// P_v of the edge sampler: the sum over the edges at v, a loop once.
inline SaintSingleDraw single_draw(const SampleSource& source, const SaintEdgeDraw& draws) {
  const CsrView<> graph = source.graph;
  SaintSingleDraw out{Array<double>(graph.num_rows, 0.0), draws.options().edges};
  const double share = 1 / static_cast<double>(draws.num_starts());
  const auto step = [&](std::size_t row) { return share / static_cast<double>(graph.degree(row)); };
  if (source.symmetric) {
    parallel_for(graph.num_rows, 1024, [&](std::size_t v, std::size_t end) {
      for (; v < end; ++v) {
        if (graph.degree(v) > 0) out.node[v] = share;
        for (const NodeId u : graph.neighbors(v)) out.node[v] += u == v ? 0.0 : step(u);
      }
    });
    return out;
  }
  for (std::size_t v = 0; v < graph.num_rows; ++v) {  // in the order of the rows
    if (graph.degree(v) > 0) out.node[v] += share;
    for (const NodeId u : graph.neighbors(v)) out.node[u] += u == v ? 0.0 : step(v);
  }
  return out;
}

inline double both_in_draw(const SampleSource& source, const SaintEdgeDraw& draws, NodeId u,
                           NodeId v) noexcept {
  const CsrView<> graph = source.graph;
  double sum = 1 / static_cast<double>(graph.degree(v));
  bool mutual = source.symmetric;
  if (!mutual) {
    const std::span<const NodeId> row = graph.neighbors(u);
    mutual = std::binary_search(row.begin(), row.end(), v);
  }
  if (mutual) sum += 1 / static_cast<double>(graph.degree(u));
  return sum / static_cast<double>(draws.num_starts());
}

/// Samplers whose inclusion probabilities are known exactly.
template <class D>
concept ClosedFormDraw = requires(const SampleSource& source, const D& draws, NodeId v) {
  { single_draw(source, draws) } -> std::same_as<SaintSingleDraw>;
  { both_in_draw(source, draws, v, v) } -> std::same_as<double>;
};

/// The exact probabilities that a subgraph of independent draws holds each node and each entry.
///
/// With P_v the chance of node v in one of m draws and p_uv that of both ends of an entry:
/// p_v = 1 - (1 - P_v)^m, and p_uv = p_u + p_v - (1 - (1 - P_u - P_v + p_uv)^m).
/// Cost     work O(E / T), two transcendental functions per entry; a directed graph takes O(E) more on one
///          thread
/// Threads  parallel; the result does not depend on T
/// Source   derived from Zeng et al., GraphSAINT, ICLR 2020, section 3.4
template <ClosedFormDraw D>
SaintNormalization exact_inclusions(const SampleSource& source, const D& draws,
                                    const SaintNormalizationOptions& options) {
  validate(options);
  detail::check_targets("exact_inclusions", source);
  const CsrView<> graph = source.graph;
  const SaintSingleDraw single = single_draw(source, draws);
  const auto many = static_cast<double>(single.draws);
  // 1 - (1 - p)^m without loss where p is small.
  const auto in_any = [many](double p) { return p >= 1 ? 1.0 : -std::expm1(many * std::log1p(-p)); };
  SaintNormalization out;
  out.clip = options.clip;
  out.unseen = options.unseen;
  out.node.resize(graph.num_rows);
  out.edge.resize(graph.num_edges());
  parallel_for(graph.num_rows, 1024, [&](std::size_t v, std::size_t end) {
    for (; v < end; ++v) out.node[v] = static_cast<float>(in_any(single.node[v]));
  });
  detail::parallel_rows(graph.row_ptr, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const auto v = static_cast<NodeId>(i);
      const double p_v = in_any(single.node[v]);
      for (EdgeId e = graph.begin(v); e < graph.end(v); ++e) {
        const NodeId u = graph.col[e];
        const double either = single.node[u] + single.node[v] - both_in_draw(source, draws, u, v);
        const double both = (in_any(single.node[u]) + p_v) - in_any(either);
        out.edge[e] = static_cast<float>(u == v ? p_v : std::max(0.0, both));
      }
    }
  });
  detail::count_unseen(source, out);
  return out;
}

}  // namespace tessera
