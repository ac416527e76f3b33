// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "tessera/graph/build_options.hpp"
#include "tessera/io/limits.hpp"

namespace tessera::io {

/// Whether a reader adds the reverse of every edge.
enum class Symmetrise {
  automatic,  ///< on for every layout whose published files hold undirected graphs, one or both directions
  on,
  off  ///< keep the direction of the file
};

/// What a NaN or infinite feature does.
enum class NanPolicy {
  error,  ///< FEA-01, with the first place and the number of bad values
  zero    ///< becomes 0, with a warning
};

/// Whether features are brought to mean 0 and variance 1, column by column.
enum class Standardise {
  none,
  train  ///< mean and variance of the fitting rows (for most layouts the training nodes), applied to all rows
};

/// What the endpoints of node-link JSON are.
enum class LinkEndpoints {
  automatic,  ///< decided from the ids; refused where both readings are possible
  position,   ///< positions in the "nodes" array (networkx before 2.0)
  id          ///< node ids
};

/// Which nodes of a GraphSAGE folder train; the published loaders disagree.
enum class NodeSet {
  listed,      ///< nodes in the graph file that are not held out ("paper" and "full", by the file given)
  cluster_gcn  ///< every row that is not held out, also rows the graph file does not mention
};

/// Whether targets are any subset of the classes (one indicator each) or exactly one class.
enum class MultiLabel {
  automatic,  ///< as the file has it
  on,         ///< single classes become indicators
  off         ///< indicators are refused
};

/// What the ids of an edge list mean.
enum class EdgeListIds {
  compact,  ///< numbers; the ids that occur become 0, 1, ... in ascending order
  as_is,    ///< numbers of nodes from 0; N is the largest + 1
  text      ///< any words, numbered in the order of their first appearance
};

/// How a folder is read. Every default is what published results on these files use.
///
/// Units    max_bytes counts bytes
struct ReadOptions {
  std::string format = {};  ///< forces a layout by its name (detect.hpp); empty: look
  std::string split = {};   ///< a stored split: role file or mask number ("3"); empty: the first
  Symmetrise symmetrise = Symmetrise::automatic;
  Duplicates duplicates = Duplicates::merge;  ///< keep makes a multigraph, which few algorithms expect
  SelfLoops self_loops = SelfLoops::drop;
  NanPolicy nan = NanPolicy::error;
  Standardise standardise = Standardise::none;
  bool row_normalize = false;  ///< divide every feature row by the sum of its absolute values
  MultiLabel multilabel = MultiLabel::automatic;
  LinkEndpoints link_endpoints = LinkEndpoints::automatic;
  NodeSet node_set = NodeSet::listed;
  EdgeListIds edge_list_ids = EdgeListIds::compact;
  std::uint64_t max_bytes = 0;  ///< most memory one file may make us allocate; 0: 80 % of physical memory
};

/// The allocation limit `options` stands for.
///
/// Units    bytes
inline std::uint64_t byte_limit(const ReadOptions& options) noexcept {
  return options.max_bytes != 0 ? options.max_bytes : default_max_bytes();
}

}  // namespace tessera::io
