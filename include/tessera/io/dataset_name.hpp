// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>

namespace tessera::io {

/// What a folder's data set is called: the folder's name, or its parent's where the folder is named after
/// a layout.
inline std::string dataset_name(const std::filesystem::path& folder) {
  constexpr std::string_view kLayouts[] = {"graphsaint", "graphsage", "planetoid", "npz",
                                           "ogb",        "csv",       "raw",       "data"};
  std::filesystem::path path = std::filesystem::absolute(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // "cora/" ends in an empty name
  const std::string name = path.filename().string();
  const bool layout = std::find(std::begin(kLayouts), std::end(kLayouts), name) != std::end(kLayouts);
  const std::string parent = path.parent_path().filename().string();
  return layout && !parent.empty() ? parent : name;
}

}  // namespace tessera::io
