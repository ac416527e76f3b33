// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/sampling/alias_table.hpp"
#include "tessera/sampling/saint/concepts.hpp"

namespace tessera {

/// What a node's chance in GraphSAINT's node sampler is in proportion to.
enum class SaintNodeRule {
  column_norm,  ///< the squared norm of the node's column of D^-1 A: the paper
  degree        ///< the number of its entries: the authors' code
};

struct SaintNodeOptions {
  std::size_t nodes = 6000;  ///< n: draws, with replacement
  SaintNodeRule rule = SaintNodeRule::column_norm;
};

namespace detail {

/// The rule's weight of every node; of the whole graph, weights of entries are ignored.
inline Array<double> saint_node_weights(const SampleSource& source, SaintNodeRule rule) {
  const CsrView<> graph = source.graph;
  Array<double> weight(graph.num_rows, 0.0);
  const auto term = [&](std::size_t row) {
    const auto degree = static_cast<double>(graph.degree(row));
    return degree > 0 ? 1 / (degree * degree) : 0.0;
  };
  if (rule == SaintNodeRule::degree) {
    for (std::size_t v = 0; v < graph.num_rows; ++v) weight[v] = static_cast<double>(graph.degree(v));
  } else if (source.symmetric) {
    parallel_for(graph.num_rows, 1024, [&](std::size_t v, std::size_t end) {
      for (; v < end; ++v) {
        for (const NodeId i : graph.neighbors(v)) weight[v] += term(i);
      }
    });
  } else {  // in the order of the rows, so that sums do not depend on threads
    for (std::size_t i = 0; i < graph.num_rows; ++i) {
      for (const NodeId v : graph.neighbors(i)) weight[v] += term(i);
    }
  }
  return weight;
}

}  // namespace detail

/// GraphSAINT's node sampler: n nodes with replacement, in proportion to how much aggregation they carry.
/// Nodes without neighbours are never drawn.
///
/// Cost     a draw O(1); 8 bytes per node; construction O(E)
/// Errors   ConfigError for no draws or a graph without entries
/// Source   Zeng et al., GraphSAINT, ICLR 2020, section 3.4, "random node sampler"; the authors' code follows
///          degrees instead: SaintNodeRule::degree
class SaintNodeDraw {
 public:
  using Options = SaintNodeOptions;
  struct Workspace {};

  SaintNodeDraw(const SampleSource& source, const Options& options)
      : options_(options), table_(weights(source, options).span()) {}

  std::size_t budget() const noexcept { return options_.nodes; }
  const Options& options() const noexcept { return options_; }
  /// Shows what determines the draws to f(number), for a cache to tell them apart.
  template <class F>
  void visit_options(F&& f) const {
    f(std::uint64_t{1});  // the kind of sampler
    f(static_cast<std::uint64_t>(options_.nodes));
    f(static_cast<std::uint64_t>(options_.rule));
  }

  void draw(const SampleSource&, BatchKey key, Workspace&, Array<NodeId>& drawn) const {
    drawn.clear();
    drawn.resize(options_.nodes);
    const RngKey rng_key = make_key(key.seed, key.epoch, Purpose::pick);
    parallel_for(drawn.size(), detail::kDrawGrain, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        CounterRng rng(rng_key, static_cast<std::uint32_t>(key.batch), i);
        drawn[i] = table_.draw(rng);
      }
    });
  }

 private:
  static Array<double> weights(const SampleSource& source, const Options& options) {
    detail::check_positive("SaintNodeDraw", "nodes", options.nodes);
    if (source.graph.num_edges() == 0) {
      throw ConfigError("SaintNodeDraw: source.graph has no entries, want a node with a neighbour");
    }
    return detail::saint_node_weights(source, options.rule);
  }

  Options options_;
  AliasTable table_;
};

}  // namespace tessera
