// SPDX-License-Identifier: MIT
#pragma once

namespace tessera {

/// What becomes of links that name the same (source, target) twice.
enum class Duplicates {
  merge,  ///< keep the first in the order of the list, with its weight
  sum,    ///< keep one that weighs as much as all together (added in double, in the order of the list)
  keep    ///< keep them all: a multigraph, in the order of the list
};

/// What becomes of links from a node to itself.
enum class SelfLoops {
  drop,
  keep,
  add_missing  ///< keep, and add a loop of weight 1 to every node without one
};

struct BuildOptions {
  bool symmetrize = false;  ///< store every link in both directions
  Duplicates duplicates = Duplicates::merge;
  SelfLoops self_loops = SelfLoops::drop;
};

}  // namespace tessera
