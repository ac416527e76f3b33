// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tessera/graph/dataset.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/npz.hpp"
#include "tessera/io/read_options.hpp"
#include "tessera/io/splits.hpp"

// What the layouts with a whole data set in one .npz file share.

namespace tessera::io {

/// The archive a path means: itself, or the one .npz file of a folder (the one with the array `key` among
/// several).
///
/// Errors   FormatError GEN-01 if a folder has none, GEN-02 if it has several that fit
inline std::filesystem::path find_npz(const std::filesystem::path& path, std::string_view key) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(path, ignored)) {
    if (entry.path().extension() == ".npz") found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  if (found.size() > 1) {
    std::vector<fs::path> fitting;
    std::copy_if(found.begin(), found.end(), std::back_inserter(fitting),
                 [&](const fs::path& p) { return NpzFile(p).has(key); });
    found = std::move(fitting);
  }
  const Place place(path);
  if (found.empty()) place.fail("GEN-01", "the folder has no .npz file with the array '", key, "'");
  if (found.size() > 1) {
    place.fail("GEN-02", "the folder holds several data sets, ", found[0].filename().string(), " and ",
               found[1].filename().string(), "; name one of these files");
  }
  return found.front();
}

/// Gives the nodes the roles of the role file that options.split names, or of the first there is; without
/// any, none.
///
/// Errors   FormatError SPL-01, SPL-03 (no such split), JSN, LBL-04
inline void read_role_split(Dataset& data, const std::filesystem::path& npz, const ReadOptions& options) {
  const std::filesystem::path folder = npz.has_parent_path() ? npz.parent_path() : ".";
  std::vector<std::string>& warnings = data.provenance.warnings;
  if (options.split.empty() && role_files(folder).empty()) {
    data.roles.assign(data.num_nodes(), Role::none);
    warnings.push_back(
        Place(npz).warning("SPL-02", "there is no role-*.json beside it, so no node has a role"));
    return;
  }
  const std::filesystem::path roles = find_role_file(folder, options.split);
  data.roles = read_roles(roles, data.num_nodes(), warnings);
  check_split(data, Place(roles), warnings);
}

}  // namespace tessera::io
