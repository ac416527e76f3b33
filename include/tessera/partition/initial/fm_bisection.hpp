// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "tessera/core/array.hpp"
#include "tessera/partition/detail/indexed_heap.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/initial/bisection.hpp"

namespace tessera::detail::multilevel {

/// Two-way refinement: move the best node, lock it, go on through worse cuts, return to the best state seen.
///
/// Never makes (overload, cut, imbalance) worse. Keeps its scratch from call to call.
/// Cost     O(E log n) per pass
/// Source   Fiduccia and Mattheyses, A linear-time heuristic for improving network partitions, 1982; differs:
///          heaps instead of buckets, a limit on fruitless moves
class FmBisection {
 public:
  struct Options {
    int passes = 5;
    std::size_t fruitless = 100;  ///< moves in a row without a new best state
  };

  void run(const LevelGraph& graph, const BisectionTargets& targets, Options options, Bisection& state) {
    graph_ = &graph;
    targets_ = &targets;
    weigh(state);
    for (int i = 0; i < options.passes; ++i) {
      if (!pass(options, state)) break;
    }
  }

 private:
  bool pass(Options options, Bisection& state) {
    fill_heaps(state);
    const auto before = state.rank(*targets_);
    auto best = before;
    moves_.clear();
    std::size_t best_moves = 0;
    while (moves_.size() - best_moves < options.fruitless) {
      const int from = choose_side(state);
      if (from < 0) break;
      move(heap_[static_cast<std::size_t>(from)].top(), static_cast<std::uint8_t>(from), state);
      const auto rank = state.rank(*targets_);
      if (rank < best) {
        best = rank;
        best_moves = moves_.size();
      }
    }
    roll_back(best_moves, state);
    heap_[0].clear();
    heap_[1].clear();
    return best < before;
  }

  // Gains and degrees, once per run: moves and their undoing keep the gains exact.
  void weigh(const Bisection& state) {
    const std::size_t n = graph_->num_nodes;
    gain_.resize(n);
    degree_.resize(n);
    for (std::size_t v = 0; v < n; ++v) {
      Weight external = 0, degree = 0;
      const std::uint8_t side = state.side[v];
      graph_->for_neighbors(v, [&](NodeId u, Weight w) {
        degree += w;
        external += state.side.data()[u] != side ? w : 0;
      });
      gain_[v] = 2 * external - degree;
      degree_[v] = degree;
    }
    for (IndexedHeap& heap : heap_) heap.reset(n);
    locked_.assign(n, 0);
  }

  void fill_heaps(const Bisection& state) {
    std::fill(locked_.begin(), locked_.end(), std::uint8_t{0});
    for (std::size_t v = 0; v < graph_->num_nodes; ++v) {
      const std::uint8_t side = state.side[v];
      // An overloaded side must find something to give away even where it touches the other nowhere.
      const bool candidate =
          gain_[v] > -degree_[v] || degree_[v] == 0 || state.weight[side] > targets_->limit[side];
      if (candidate) heap_[side].push(static_cast<std::uint32_t>(v), gain_[v]);
    }
  }

  // The side to move from: the overloaded one, else the one with the better node that fits; -1 to stop.
  int choose_side(const Bisection& state) {
    for (int s = 0; s < 2; ++s) {
      const auto from = static_cast<std::size_t>(s);
      if (state.weight[from] > targets_->limit[from]) return heap_[from].empty() ? -1 : s;
    }
    for (std::size_t from = 0; from < 2; ++from) {  // what fits nowhere now is out of this pass
      const std::size_t to = 1 - from;
      while (!heap_[from].empty() &&
             state.weight[to] + graph_->weight_of(heap_[from].top()) > targets_->limit[to]) {
        locked_[heap_[from].top()] = 1;
        heap_[from].pop();
      }
    }
    if (heap_[0].empty() && heap_[1].empty()) return -1;
    if (heap_[0].empty()) return 1;
    if (heap_[1].empty()) return 0;
    const Weight key0 = heap_[0].top_key(), key1 = heap_[1].top_key();
    if (key0 != key1) return key0 > key1 ? 0 : 1;
    return state.weight[0] - targets_->target[0] >= 0 ? 0 : 1;
  }

  void move(std::uint32_t v, std::uint8_t from, Bisection& state) {
    const auto to = static_cast<std::uint8_t>(1 - from);
    heap_[from].pop();
    locked_[v] = 1;
    moves_.push_back(v);
    flip(v, from, to, state);
    graph_->for_neighbors(v, [&](NodeId u, Weight w) {
      const std::uint8_t side = state.side[u];
      gain_[u] += side == from ? 2 * w : -2 * w;
      if (locked_[u] != 0) return;
      if (heap_[side].contains(u)) {
        heap_[side].update(u, gain_[u]);
      } else {
        heap_[side].push(u, gain_[u]);
      }
    });
  }

  void flip(std::uint32_t v, std::uint8_t from, std::uint8_t to, Bisection& state) {
    const Weight weight = graph_->weight_of(v);
    state.side[v] = to;
    state.weight[from] -= weight;
    state.weight[to] += weight;
    state.cut -= gain_[v];
    gain_[v] = -gain_[v];
  }

  // Undone in reverse order every flip sees the neighbours it saw when made, so only its own gain is needed.
  void roll_back(std::size_t keep, Bisection& state) {
    while (moves_.size() > keep) {
      const std::uint32_t v = moves_[moves_.size() - 1];
      moves_.resize(moves_.size() - 1);
      const std::uint8_t from = state.side[v];
      flip(v, from, static_cast<std::uint8_t>(1 - from), state);
      graph_->for_neighbors(v,
                            [&](NodeId u, Weight w) { gain_[u] += state.side[u] == from ? 2 * w : -2 * w; });
    }
  }

  const LevelGraph* graph_ = nullptr;
  const BisectionTargets* targets_ = nullptr;
  std::array<IndexedHeap, 2> heap_;
  Array<Weight> gain_;
  Array<Weight> degree_;
  Array<std::uint8_t> locked_;
  Array<std::uint32_t> moves_;
};

}  // namespace tessera::detail::multilevel
