// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"

namespace tessera::io {

/// The layouts this version reads as one graph; data sets of many graphs are for load_graphs.
enum class Layout : std::uint8_t {
  graphsage,
  graphsaint,
  planetoid,
  shchur,
  heterophilous,
  dgl_reddit,
  dgl_ppi,
  fastgcn,
  amazon2m_npz,
  gbp,
  graphsaint_bin,
  ogb,
  csv,
  metis,
  matrix_market,
  dimacs,
  edge_list,
  container
};

inline constexpr std::array<std::string_view, 18> kLayoutNames = {
    "graphsage", "graphsaint", "planetoid",     "shchur", "heterophilous",  "dgl-reddit",
    "dgl-ppi",   "fastgcn",    "amazon2m-npz",  "gbp",    "graphsaint-bin", "ogb",
    "csv",       "metis",      "matrix-market", "dimacs", "edge-list",      "container"};

/// The name a layout has in options and provenance records.
constexpr std::string_view name_of(Layout layout) noexcept {
  return kLayoutNames[static_cast<std::size_t>(layout)];
}

/// The layout with this name.
///
/// Errors   ConfigError listing the names
inline Layout layout_named(std::string_view name) {
  std::string names;
  for (std::size_t i = 0; i < kLayoutNames.size(); ++i) {
    if (kLayoutNames[i] == name) return static_cast<Layout>(i);
    names += message(names.empty() ? "" : ", ", kLayoutNames[i]);
  }
  throw ConfigError(message("format is \"", name.substr(0, 80), "\", want one of ", names));
}

/// What a folder or file turned out to be. `path` is what the reader of the layout takes.
struct Detected {
  Layout layout;
  std::filesystem::path path;
};

/// Recognises the layout of a folder by the names in it, of a file by its name and first bytes.
///
/// Besides folders and files, <folder>/<prefix> means the GraphSAGE files of that prefix.
/// Cost     one listing of the folder; archives are opened, not read
/// Errors   FormatError GEN-01 (nothing there), GEN-02 (something else, saying what), ZIP, GEN-04
Detected detect(const std::filesystem::path& path);

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/detect.hpp"
#endif
