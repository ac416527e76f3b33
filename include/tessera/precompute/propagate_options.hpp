// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "tessera/core/ids.hpp"
#include "tessera/precompute/hop_features.hpp"
#include "tessera/precompute/operator.hpp"

namespace tessera {

/// An operator and how often it is applied.
struct PropagationFamily {
  const PropagationOperator* op = nullptr;
  std::size_t hops = 2;  ///< K; 0 emits nothing but the input
};

/// Which powers are kept.
enum class Emit {
  all,      ///< x, then Op x, ..., Op^K x of every family (SIGN)
  last,     ///< Op^K x of every family (SGC)
  combined  ///< sum over k of weights[k] Op^k x of every family (SSGC, GBP, APPNP's propagation)
};

/// How far a propagation is, after every finished hop.
struct PropagateProgress {
  std::size_t panel = 0;  ///< columns are done in panels
  std::size_t num_panels = 0;
  std::size_t hops_done = 0;  ///< over all panels and families
  std::size_t num_hops = 0;
};

/// What `propagate` computes and where it puts it.
struct PropagateOptions {
  Emit emit = Emit::all;
  bool include_input = true;         ///< Emit::all: the first block is x itself
  std::vector<double> weights = {};  ///< Emit::combined: w_0 ... w_K
  bool standardize = false;  ///< bring every column to mean 0, variance 1 after each hop, and go on with that
  ElementType element = ElementType::f32;  ///< of what is kept; bf16 also holds the panels of plain operators
  std::span<const NodeId> rows = {};       ///< nodes to keep, in this order; empty keeps all
  std::filesystem::path file = {};         ///< where to; empty: memory
  std::size_t memory_budget = 0;           ///< bytes beside graph and x; 0: what the machine has
  std::size_t panel = 0;                   ///< columns at a time; 0: what is fastest within the budget
  std::function<void(const PropagateProgress&)> progress =
      {};  ///< may throw to stop; a file target can be resumed
};

}  // namespace tessera
