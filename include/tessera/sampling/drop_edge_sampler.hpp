// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/induced_block.hpp"
#include "tessera/sampling/mini_batch.hpp"

namespace tessera {

/// The whole graph with a share of its links left out, drawn anew every epoch: exactly floor(L (1 - p)) of the L
/// links stay, and what is left is normalised as if it were the graph. Evaluation sees the graph itself.
///
/// A link is a pair of nodes where the graph is symmetric and `pairs_together`, which keeps it symmetric; else a
/// stored entry. Loops count as links. One draw serves all layers of a step.
/// Shapes   a batch is one block over all nodes in order, all of them targets
/// Cost     sample: work O(E), one thread in picking the draw that divides; 16 bytes per link and a copy of the graph
/// Errors   ConfigError if the probability is outside [0, 1)
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
/// Source   Rong, Huang, Xu & Huang, DropEdge: towards deep graph convolutional networks on node classification, ICLR
///          2020, section 4.1; the released code drops the two directions of a link apart (`pairs_together = false`)
class DropEdgeSampler {
 public:
  struct Options {
    double probability = 0.5;
    bool pairs_together = true;
  };
  /// A link with its draw; links are ordered by draws.
  struct Link {
    std::uint64_t draw = 0;
    NodeId target = 0;
    NodeId source = 0;
    friend constexpr auto operator<=>(const Link&, const Link&) = default;
  };
  struct Workspace {
    Array<Link> links;
    CsrGraph kept;
    Array<EdgeId> parent;  ///< of each kept entry: its position in the graph
    InducedBlockWorkspace block;
  };

  explicit DropEdgeSampler(const Options& options) : options_(options) {
    if (!(options.probability >= 0 && options.probability < 1)) {
      throw ConfigError(
          message("DropEdgeSampler: probability is ", options.probability, ", want 0 <= p < 1"));
    }
  }

  std::size_t num_batches(const SampleSource& source) const noexcept {
    return source.graph.num_rows == 0 ? 0 : 1;
  }

  /// Errors   IndexError if key.batch is not 0 or the graph is empty; otherwise as induced_block
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    if (key.batch >= num_batches(source)) {
      throw IndexError(message("DropEdgeSampler::sample: key.batch is ", key.batch, ", want less than ",
                               num_batches(source)));
    }
    const bool pairs = options_.pairs_together && source.symmetric;
    thin(source.graph, pairs, make_key(key.seed, key.epoch, Purpose::dropout), workspace);
    const std::size_t n = source.graph.num_rows;
    batch.node_id.clear();
    batch.node_id.resize(n);
    std::iota(batch.node_id.begin(), batch.node_id.end(), NodeId{0});
    batch.blocks.resize(1);
    Block& block = batch.blocks[0];
    induced_block(workspace.kept.view(), pairs, batch.node_id, spec, workspace.block, block);
    parallel_for(block.edge_id.size(), 4096, [&](std::size_t begin, std::size_t end) {
      for (std::size_t e = begin; e < end; ++e) {
        EdgeId& id = block.edge_id[e];
        if (id != kNoEdge) id = workspace.parent[id];
      }
    });
    batch.num_targets = n;
    batch.halo_begin = n;
    batch.clear_optional();
  }

 private:
  static Link link_of(NodeId i, NodeId j, bool pairs, RngKey key) noexcept {
    if (pairs && j > i) std::swap(i, j);
    const auto words = philox4x32({j, 0, 0, i}, key);
    return {std::uint64_t{words[1]} << 32 | words[0], i, j};
  }

  void thin(CsrView<> graph, bool pairs, RngKey key, Workspace& workspace) const {
    const std::size_t n = graph.num_rows;
    Array<Link>& links = workspace.links;
    links.clear();
    links.reserve(graph.num_edges());
    for (NodeId i = 0; i < n; ++i) {
      for (const NodeId j : graph.neighbors(i)) {
        if (!pairs || j <= i) links.push_back(link_of(i, j, pairs, key));
      }
    }
    const auto keep = static_cast<std::size_t>(
        std::floor(static_cast<double>(links.size()) * (1.0 - options_.probability)));
    // The first link that goes; all stay where there is none.
    const bool drops = keep < links.size();
    if (drops) {
      std::nth_element(links.begin(), links.begin() + static_cast<std::ptrdiff_t>(keep), links.end());
    }
    const Link first = drops ? links[keep] : Link{};
    const auto stays = [&](NodeId i, NodeId j) { return !drops || link_of(i, j, pairs, key) < first; };
    CsrGraph& kept = workspace.kept;
    kept.num_cols = graph.num_cols;
    kept.symmetric = pairs;
    kept.row_ptr.clear();
    kept.row_ptr.resize(n + 1);
    parallel_for(n, 256, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        EdgeId count = 0;
        for (const NodeId j : graph.neighbors(i)) count += stays(static_cast<NodeId>(i), j) ? 1u : 0u;
        kept.row_ptr[i] = count;
      }
    });
    kept.row_ptr[n] = 0;
    const std::size_t stored = parallel_exclusive_scan(kept.row_ptr.span());
    kept.col.resize(stored);
    workspace.parent.resize(stored);
    kept.weight.resize(graph.weighted() ? stored : 0);
    parallel_for(n, 256, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        std::size_t at = kept.row_ptr[i];
        for (auto e = graph.begin(i); e < graph.end(i); ++e) {
          if (!stays(static_cast<NodeId>(i), graph.col[e])) continue;
          kept.col[at] = graph.col[e];
          if (graph.weighted()) kept.weight[at] = graph.weight[e];
          workspace.parent[at++] = e;
        }
      }
    });
  }

  Options options_;
};

static_assert(Sampler<DropEdgeSampler>);

}  // namespace tessera
