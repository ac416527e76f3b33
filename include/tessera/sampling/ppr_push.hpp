// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"

namespace tessera {

struct PprPushOptions {
  double alpha = 0.25;  ///< probability of going back to the source
  double eps = 1e-4;    ///< what is left at a node is less than eps times its degree
};

inline void validate(const PprPushOptions& options, std::string_view who) {
  if (!(options.alpha > 0) || !(options.alpha <= 1)) {
    throw ConfigError(message(who, ": alpha is ", options.alpha, ", want a number in (0, 1]"));
  }
  if (!(options.eps > 0) || !std::isfinite(options.eps)) {
    throw ConfigError(message(who, ": eps is ", options.eps, ", want a finite number above 0"));
  }
}

/// The teleport probability of the ordinary walk that equals a lazy walk (which stays put half of the time)
/// with this one: shaDow's published 0.15 is 0.26 in ordinary terms.
constexpr double ordinary_alpha(double lazy_alpha) noexcept { return 2 * lazy_alpha / (1 + lazy_alpha); }

/// Personalised PageRank of one source, by pushing probability along the links until little is left.
///
/// Walks go from a node to one of the nodes in its row, each equally likely; weights are ignored. A node
/// without links loses what it would forward.
/// Units    with p the estimate, rho the residual and ppr exact: p + sum_w rho_w ppr_w = ppr_source; p never
///          exceeds ppr, on undirected graphs by less than eps times the degree
/// Cost     a run: at most 1 / (alpha eps) link visits on undirected graphs, whatever the graph's size; holds
///          17 bytes per node
/// Threads  one run at a time per object; nodes are pushed last in, first out, so results are reproducible
/// Source   Andersen, Chung & Lang, Local graph partitioning using PageRank vectors, FOCS 2006, for the
///          ordinary walk; Bojchevski et al., Scaling graph neural networks with approximate PageRank, KDD
///          2020, algorithm 1
class PprPush {
 public:
  /// Errors   IndexError if the source is no node; ConfigError for wrong options
  void run(CsrView<> graph, NodeId source, const PprPushOptions& options) {
    validate(options, "PprPush");
    if (source >= graph.num_rows) {
      throw IndexError(message("PprPush: source is ", source, ", want less than ", graph.num_rows));
    }
    clear(graph.num_rows);
    alpha_ = options.alpha;
    touch(source);
    mass_[source].residual = options.alpha;
    push(source);
    while (!stack_.empty()) {
      const NodeId u = stack_[stack_.size() - 1];
      stack_.resize(stack_.size() - 1);
      state_[u] = kTouched;
      const double residual = mass_[u].residual;
      mass_[u].estimate += residual;
      mass_[u].residual = 0;
      ++pushes_;
      const auto row = graph.neighbors(u);
      visits_ += row.size();
      const double part = (1 - options.alpha) * residual / static_cast<double>(row.size());
      for (const NodeId w : row) {
        touch(w);
        double& left = mass_[w].residual;
        left += part;
        const double bound = options.alpha * options.eps * static_cast<double>(graph.degree(w));
        if (left >= bound && state_[w] != kOnStack) push(w);
      }
    }
  }

  /// The nodes that received anything, in the order in which they did; the source is first.
  std::span<const NodeId> touched() const noexcept { return touched_; }
  double estimate(NodeId u) const noexcept { return mass_[u].estimate; }
  double residual(NodeId u) const noexcept { return mass_[u].residual / alpha_; }
  std::uint64_t pushes() const noexcept { return pushes_; }
  std::uint64_t link_visits() const noexcept { return visits_; }

 private:
  enum State : std::uint8_t { kUntouched, kTouched, kOnStack };
  struct Mass {
    double estimate;
    double residual;  ///< times alpha
  };

  void clear(std::size_t num_nodes) {
    if (state_.size() != num_nodes) {
      state_.assign(num_nodes, kUntouched);
      mass_.assign(num_nodes, {0, 0});
    } else {
      for (const NodeId u : touched_) {
        state_[u] = kUntouched;
        mass_[u] = {0, 0};
      }
    }
    touched_.clear();
    stack_.clear();
    pushes_ = 0;
    visits_ = 0;
  }
  void touch(NodeId u) {
    if (state_[u] != kUntouched) return;
    state_[u] = kTouched;
    touched_.push_back(u);
  }
  void push(NodeId u) {
    state_[u] = kOnStack;
    stack_.push_back(u);
  }

  Array<std::uint8_t> state_;
  Array<Mass> mass_;
  Array<NodeId> touched_;
  Array<NodeId> stack_;
  double alpha_ = 1;
  std::uint64_t pushes_ = 0;
  std::uint64_t visits_ = 0;
};

}  // namespace tessera
