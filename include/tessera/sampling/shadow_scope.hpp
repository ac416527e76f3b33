// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/sampling/ppr_table.hpp"

namespace tessera {

/// The scope of a target by hops: the target, its neighbours, theirs.
struct ShadowHops {
  std::size_t depth = 2;
  int budget = 20;  ///< draws with replacement from the row of a node that has more neighbours; -1 = all
};

/// The scope of a target by personalised PageRank: the first `k` of its row of a table.
struct ShadowPpr {
  std::size_t k = 200;
  double threshold = 0;  ///< stop at the first score below this share of the second largest
};

namespace detail {

/// Sorts out[known, end), drops what repeats or lies in out[0, known), which ends up sorted too.
inline void keep_new(Array<NodeId>& out, std::size_t known) {
  NodeId* const begin = out.data();
  NodeId* const middle = begin + known;
  std::sort(begin, middle);
  std::sort(middle, begin + out.size());
  NodeId* to = middle;
  for (const NodeId* from = middle; from != out.end(); ++from) {
    const bool repeated = to != middle && to[-1] == *from;
    if (!repeated && !std::binary_search(begin, middle, *from)) *to++ = *from;
  }
  out.resize(static_cast<std::size_t>(to - begin));
}

/// Fills `out` with the scope of one target, ascending.
inline void hop_scope(CsrView<> graph, NodeId target, const ShadowHops& hops, RngKey key, std::uint32_t batch,
                      Array<NodeId>& out) {
  out.clear();
  out.push_back(target);
  for (std::size_t hop = 0, level = 0; hop < hops.depth && level < out.size(); ++hop) {
    const std::size_t end = out.size();
    for (std::size_t at = level; at < end; ++at) {
      const NodeId node = out[at];
      const auto row = graph.neighbors(node);
      const bool all = hops.budget < 0 || row.size() <= static_cast<std::size_t>(hops.budget);
      for (std::size_t t = 0; all && t < row.size(); ++t) out.push_back(row[t]);
      // A node is expanded once per scope, so target and node name its draws.
      CounterRng rng(key, batch, std::uint64_t{target} << 32 | node);
      for (int t = 0; !all && t < hops.budget; ++t) out.push_back(row[rng.below(row.size())]);
    }
    keep_new(out, end);
    level = end;
  }
  std::sort(out.begin(), out.end());
}

inline void ppr_scope(std::span<const NodeId> nodes, std::span<const float> scores, NodeId target,
                      const ShadowPpr& ppr, Array<NodeId>& out) {
  out.clear();
  out.push_back(target);
  const std::size_t k = std::min(ppr.k, nodes.size());
  for (std::size_t t = 0; nodes.size() > 1 && t < k; ++t) {
    if (static_cast<double>(scores[t]) < ppr.threshold * static_cast<double>(scores[1])) break;
    if (nodes[t] != target) out.push_back(nodes[t]);
  }
  std::sort(out.begin(), out.end());
}

/// Calls found(position in `row`, position in `scope`) for the nodes in both, ascending.
template <class F>
void intersect(std::span<const NodeId> row, std::span<const NodeId> scope, F&& found) {
  if (row.size() > 16 * scope.size()) {  // a hub: look its few members up instead of reading the row
    auto from = row.begin();
    for (std::size_t p = 0; p < scope.size(); ++p) {
      from = std::lower_bound(from, row.end(), scope[p]);
      if (from == row.end()) return;
      if (*from == scope[p]) found(static_cast<std::size_t>(from - row.begin()), p);
    }
    return;
  }
  for (std::size_t t = 0, p = 0; t < row.size() && p < scope.size();) {
    const NodeId a = row[t];
    const NodeId b = scope[p];
    if (a == b) found(t, p);
    t += a <= b ? 1u : 0u;
    p += b <= a ? 1u : 0u;
  }
}

}  // namespace detail

}  // namespace tessera
