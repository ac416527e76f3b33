// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string_view>

#include "tessera/core/config.hpp"
#include "tessera/graph/dataset.hpp"

// Data sets back into the layouts other tools read. What a writer wrote, its reader gives back: the same graph,
// features, labels and roles. Edge weights are written where the layout has room for them, which is METIS
// (metis.hpp) alone. Every file appears whole or not at all; the same data give the same bytes.

namespace tessera::io {

/// Writes a GraphSAINT folder: adj_full.npz, adj_train.npz, feats.npy, class_map.json, role.json.
///
/// adj_train.npz is data.train_graph, or the edges between training nodes where that is empty. A directed graph
/// must be read back with Symmetrise::off.
/// Errors   ConfigError for an edge with a weight other than 1, or if no node has a label; FormatError GEN-01, GEN-04
void write_graphsaint(const std::filesystem::path& folder, const Dataset& data);

/// Writes the GraphSAGE files of a prefix: <p>-G.json, <p>-id_map.json, <p>-class_map.json, <p>-feats.npy.
///
/// The layout has no word for a node outside the split, since every node that is not held out trains; such nodes are
/// given the role `unassigned`, or refused while that is Role::none.
/// Errors   ConfigError for a node without a role, an edge with a weight other than 1, or if no node has a label;
///          FormatError GEN-01, GEN-04
void write_graphsage(const std::filesystem::path& folder, std::string_view prefix, const Dataset& data,
                     Role unassigned = Role::none);

/// Writes the raw CSV files of an OGB node data set, compressed with gzip where the library has zlib, and
/// split/<scheme>/.
///
/// Each undirected edge is stored once; a directed graph must be read back with Symmetrise::off. The layout has no
/// place for a training graph of its own.
/// Errors   ConfigError for an edge with a weight other than 1, or if no node has a label; FormatError GEN-01, GEN-04
void write_ogb(const std::filesystem::path& folder, const Dataset& data, std::string_view scheme = "stored");

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/export.hpp"
#endif
