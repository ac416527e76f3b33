// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/container_write.hpp"
#include "tessera/io/export.hpp"
#include "tessera/io/metis.hpp"

namespace examples {

/// The layouts data sets can be written in, as `--to` names them.
inline const std::vector<std::string>& writable_layouts() {
  static const std::vector<std::string> kNames = {"container", "graphsaint", "graphsage", "ogb", "metis"};
  return kNames;
}

/// Writes a data set to a file (container, metis) or a folder (the others); `prefix` names GraphSAGE's files.
inline void write_layout(const std::string& layout, const std::filesystem::path& out,
                         const std::string& prefix, const tessera::Dataset& data) {
  namespace io = tessera::io;
  if (layout == "container") {
    io::write_container(out, data, data.provenance);
  } else if (layout == "graphsaint") {
    io::write_graphsaint(out, data);
  } else if (layout == "graphsage") {
    std::size_t outside = 0;
    for (std::size_t v = 0; v < data.roles.size(); ++v) {
      if (data.roles[v] != tessera::Role::none) continue;
      ++outside;
      if (v < data.labels.classes.size() && data.labels.classes[v] < 0) {
        throw tessera::ConfigError(tessera::message(
            "node ", v,
            " has neither a role nor a class; GraphSAGE's files cannot hold it, graphsaint and ogb can"));
      }
    }
    if (outside > 0) {
      std::fprintf(stderr,
                   "%zu nodes outside the split become training nodes: GraphSAGE's files have no others\n",
                   outside);
    }
    io::write_graphsage(out, prefix, data, tessera::Role::train);
  } else if (layout == "ogb") {
    io::write_ogb(out, data);
  } else if (layout == "metis") {
    io::write_metis(out, data.graph);
  } else {
    throw tessera::ConfigError(tessera::message("--to is ", layout));
  }
}

}  // namespace examples
