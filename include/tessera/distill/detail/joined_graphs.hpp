// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <numeric>
#include <span>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/normalization.hpp"

namespace tessera::detail {

/// Small graphs side by side, with new links whenever they are asked for, and the read-out that goes with them.
///
/// Shapes   node_ptr [G + 1]; graphs [N, N] block-diagonal, read-out [G, N]
class JoinedGraphs {
 public:
  explicit JoinedGraphs(std::span<const std::size_t> node_ptr)
      : node_ptr_(Array<std::size_t>::copy_of(node_ptr)), nodes_(num_nodes()), graph_of_(num_nodes()) {
    std::iota(nodes_.begin(), nodes_.end(), NodeId{0});
    for (const std::size_t p : node_ptr_) row_ptr_.push_back(p);
    for (std::size_t i = 0; i <= num_nodes(); ++i) each_.push_back(i);
    for (std::size_t g = 0; g < num_graphs(); ++g) {
      for (std::size_t i = node_ptr_[g]; i < node_ptr_[g + 1]; ++i) graph_of_[i] = static_cast<NodeId>(g);
    }
    readout_.forward = {num_graphs(), num_nodes(), row_ptr_.span(), nodes_.span(), {}};
    readout_.transpose = {num_nodes(), num_graphs(), each_.span(), graph_of_.span(), {}};
    readout_.transpose_edge = each_.span().first(num_nodes());
  }
  JoinedGraphs(const JoinedGraphs&) = delete;
  JoinedGraphs& operator=(const JoinedGraphs&) = delete;

  std::size_t num_graphs() const noexcept { return node_ptr_.size() - 1; }
  std::size_t num_nodes() const noexcept { return node_ptr_[num_graphs()]; }
  std::size_t num_nodes(std::size_t g) const noexcept { return node_ptr_[g + 1] - node_ptr_[g]; }
  std::size_t first_node(std::size_t g) const noexcept { return node_ptr_[g]; }
  std::span<const std::size_t> node_ptr() const noexcept { return node_ptr_.span(); }
  const Adjacency& readout() const noexcept { return readout_; }

  /// The graphs in which node i of graph g hears node j where linked(g, i, j).
  template <class F>
  CsrGraph link(bool symmetric, F&& linked) const {
    CsrGraph out;
    out.num_cols = num_nodes();
    out.symmetric = symmetric;
    for (std::size_t g = 0; g < num_graphs(); ++g) {
      for (std::size_t i = 0; i < num_nodes(g); ++i) {
        for (std::size_t j = 0; j < num_nodes(g); ++j) {
          if (linked(g, i, j)) out.col.push_back(static_cast<NodeId>(node_ptr_[g] + j));
        }
        out.row_ptr.push_back(out.col.size());
      }
    }
    return out;
  }

 private:
  Array<std::size_t> node_ptr_;
  Array<NodeId> nodes_;
  Array<NodeId> graph_of_;
  Array<EdgeId> row_ptr_;
  Array<EdgeId> each_;
  Adjacency readout_;
};

/// Graphs in the form a model wants. Borrows both arguments and stays where it is.
class JoinedBatch {
 public:
  JoinedBatch(const JoinedGraphs& graphs, const CsrGraph& links, const AggregationSpec& spec)
      : prepared_(prepare_adjacency(links.view(), links.symmetric, spec, true)),
        level_(prepared_.adjacency()),
        readout_(&graphs.readout()) {}
  JoinedBatch(const JoinedBatch&) = delete;
  JoinedBatch& operator=(const JoinedBatch&) = delete;

  AdjacencyStack stack() const noexcept { return AdjacencyStack(std::span(&level_, 1), readout_); }

 private:
  PreparedAdjacency prepared_;
  Adjacency level_;
  const Adjacency* readout_;
};

}  // namespace tessera::detail
