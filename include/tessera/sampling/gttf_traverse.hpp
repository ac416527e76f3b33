// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/builders.hpp"

namespace tessera {

/// Weighs the neighbours of the last node of a path: bias(path, neighbors, weight) fills one weight of 0 or
/// more per neighbour; where all are 0 the walk ends. Called concurrently.
template <class W>
concept TraversalBias = requires(const W& bias, std::span<const NodeId> path, std::span<const NodeId> row,
                                 std::span<double> weight) {
  bias(path, row, weight);
};

/// Folds a traversal into a result: accumulate(path, next) sees every node that was reached, by the path that
/// led to it, with the nodes drawn from there (kNoNode where the walk ended). Called one after the other, in
/// the order of levels and positions.
template <class A>
concept TraversalAccumulator = requires(A& accumulate, std::span<const NodeId> path,
                                        std::span<const NodeId> next) {
  accumulate(path, next);
};

/// Every neighbour is equally likely. Drawn without looking at the row.
struct UniformBias {
  void operator()(std::span<const NodeId>, std::span<const NodeId>, std::span<double> weight) const noexcept {
    std::fill(weight.begin(), weight.end(), 1.0);
  }
};

/// Names the draws of one traversal.
struct TraversalKey {
  RngKey key{};
  std::uint32_t batch = 0;
};

namespace detail {

/// One draw in proportion to the weights; `size` where all are zero.
inline std::size_t draw_weighted(std::span<const double> weight, CounterRng& rng) {
  double total = 0;
  for (const double w : weight) {
    if (!(w >= 0) || !std::isfinite(w)) {
      throw Error(message("traverse: the bias gave a weight of ", w, ", want a finite number of 0 or more"));
    }
    total += w;
  }
  if (!(total > 0)) return weight.size();
  if (!std::isfinite(total)) throw Error("traverse: the weights that the bias gave sum to infinity");
  const double point = rng.uniform() * total;
  double sum = 0;
  std::size_t last = weight.size();
  for (std::size_t t = 0; t < weight.size(); ++t) {
    if (weight[t] == 0) continue;
    last = t;
    sum += weight[t];
    if (point < sum) return t;
  }
  return last;  // rounding
}

/// Entry i of the last level, preceded by the entries that led to it.
inline void path_to(std::span<const Array<NodeId>> levels, std::span<const std::size_t> fanouts,
                    std::size_t i, std::span<NodeId> path) {
  for (std::size_t l = levels.size(); l-- > 0;) {
    path[l] = levels[l][i];
    if (l > 0) i /= fanouts[l - 1];
  }
}

}  // namespace detail

/// Walks a forest from the seeds: each node reached at level l draws fanouts[l] of its neighbours, with
/// replacement, by the bias's weights. With all fan-outs 1 these are random walks; most samplers are an
/// accumulator of a few lines.
///
///     SampledAdjacency found;                                       // what the walks saw
///     traverse(graph, seeds, {{5, 3}}, UniformBias{}, found, {make_key(seed, epoch, Purpose::walk), batch});
///     CsrGraph trimmed = found.graph(graph.num_rows, false);
///
/// A walk at a node without neighbours ends: kNoNode, from which nothing is drawn or accumulated.
/// Shapes   level 0 is the seeds [B], level l has B f_1 ... f_l entries
/// Cost     uniform: O(entries); other biases read the whole row of every node reached
/// Errors   IndexError for a seed that is no node; ShapeError if the forest is larger than what a NodeId
///          counts; Error for a weight that is negative or not finite
/// Threads  draws are parallel, accumulation is not; the result does not depend on T
/// Source   Markowitz et al., Graph traversal with tensor functionals, ICLR 2021, algorithm 1; differs: a node
///          without neighbours ends the walk, the reference program goes on to node 0
template <TraversalBias W, TraversalAccumulator A>
void traverse(CsrView<> graph, std::span<const NodeId> seeds, std::span<const std::size_t> fanouts,
              const W& bias, A& accumulate, TraversalKey key) {
  for (std::size_t s = 0; s < seeds.size(); ++s) {
    if (seeds[s] < graph.num_rows) continue;
    throw IndexError(message("traverse: seeds[", s, "] is ", seeds[s], ", want less than ", graph.num_rows));
  }
  std::vector<Array<NodeId>> levels;
  levels.reserve(fanouts.size() + 1);
  levels.push_back(Array<NodeId>::copy_of(seeds));
  std::vector<NodeId> whole(fanouts.size() + 1);
  for (std::size_t l = 0; l < fanouts.size(); ++l) {
    const std::size_t from = levels[l].size();
    std::size_t to = 0;
    if (__builtin_mul_overflow(from, fanouts[l], &to) || to >= kNoNode) {
      throw ShapeError(message("traverse: level ", l + 1, " has ", from, " times ", fanouts[l],
                               " entries, want less than ", kNoNode));
    }
    Array<NodeId> next(to);
    parallel_for(from, 256, [&](std::size_t i, std::size_t end) {
      Array<double> weight;
      Array<NodeId> path(l + 1);
      for (; i < end; ++i) {
        const NodeId node = levels[l][i];
        const std::span<NodeId> children = next.span().subspan(i * fanouts[l], fanouts[l]);
        std::fill(children.begin(), children.end(), kNoNode);
        if (node == kNoNode) continue;
        const auto row = graph.neighbors(node);
        CounterRng rng(key.key, key.batch, std::uint64_t{l} << 32 | i);
        if constexpr (std::is_same_v<W, UniformBias>) {
          for (NodeId& child : children) child = row.empty() ? kNoNode : row[rng.below(row.size())];
        } else {
          weight.resize(row.size());
          detail::path_to({levels.data(), l + 1}, fanouts, i, path.span());
          bias(std::span<const NodeId>(path.span()), row, weight.span());
          for (NodeId& child : children) {
            const std::size_t t = detail::draw_weighted(weight.span(), rng);
            child = t < row.size() ? row[t] : kNoNode;
          }
        }
      }
    });
    levels.push_back(std::move(next));
    for (std::size_t i = 0; i < from; ++i) {
      if (levels[l][i] == kNoNode) continue;
      const std::span<NodeId> path(whole.data(), l + 1);
      detail::path_to({levels.data(), l + 1}, fanouts, i, path);
      accumulate(std::span<const NodeId>(path),
                 std::span<const NodeId>(levels[l + 1].span().subspan(i * fanouts[l], fanouts[l])));
    }
  }
}

/// The links a traversal used, as a graph any full-graph model runs on.
class SampledAdjacency {
 public:
  void operator()(std::span<const NodeId> path, std::span<const NodeId> next) {
    for (const NodeId child : next) {
      if (child == kNoNode) continue;
      source_.push_back(child);
      target_.push_back(path.back());
    }
  }

  /// Links drawn so far, repetitions included.
  std::size_t num_links() const noexcept { return source_.size(); }
  /// Row i lists the nodes that were drawn from i, each once; both directions unless `directed`.
  CsrGraph graph(std::size_t num_nodes, bool directed) const {
    return build_csr(num_nodes, {source_, target_, {}},
                     {.symmetrize = !directed, .self_loops = SelfLoops::keep})
        .graph;
  }

 private:
  Array<NodeId> source_;
  Array<NodeId> target_;
};

}  // namespace tessera
