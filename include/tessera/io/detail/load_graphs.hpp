// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "tessera/core/error.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/load_graphs.hpp"
#include "tessera/io/ogb_graphs.hpp"
#include "tessera/io/tu.hpp"

namespace tessera::io {
namespace detail {

/// Whether a folder holds one of the layouts of many graphs: its name, or nothing.
inline std::string_view graphs_layout(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().filename().string().ends_with("_graph_indicator.txt")) return "tu";
  }
  for (const fs::path& raw : {folder / "raw", folder}) {
    for (const std::string_view name : {"graph-label.csv.gz", "graph-label.csv"}) {
      if (fs::exists(raw / name, ignored)) return "ogb-graphs";
    }
  }
  return {};
}

}  // namespace detail

TESSERA_DEFINE GraphDataset load_graphs(const std::filesystem::path& path, const ReadOptions& options) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) fail_system(path, "open", ENOENT);
  std::filesystem::path folder = path;
  if (!std::filesystem::is_directory(path, ignored))
    folder = path.has_parent_path() ? path.parent_path() : ".";
  const std::string_view layout = options.format.empty() ? detail::graphs_layout(folder) : options.format;
  if (layout.empty()) {
    Place(path).fail("GEN-02",
                     "no data set of many graphs; this version reads TU (<name>_graph_indicator.txt) and OGB "
                     "(raw/graph-label.csv.gz)");
  }
  if (layout != "tu" && layout != "ogb-graphs") {
    throw ConfigError(
        message("load_graphs: format is \"", layout.substr(0, 80), "\", want tu or ogb-graphs"));
  }
  GraphDataset data = layout == "tu" ? read_tu(folder, options) : read_ogb_graphs(folder, options);
  data.name = message(data.name, " (", data.provenance.layout, ", G=", data.num_graphs(),
                      ", N=", data.num_nodes(), ")");
  return data;
}

}  // namespace tessera::io
