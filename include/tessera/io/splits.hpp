// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/json_scanner.hpp"

namespace tessera::io {

/// Reads `role.json`: an object with the keys "tr", "va" and "te", each an array of row numbers.
///
/// Shapes   -> [num_nodes]; rows in no array get Role::none
/// Errors   FormatError SPL-01 (row out of range, or in two arrays), JSN-01 (syntax), JSN-02 (a key is
/// missing)
inline Array<Role> read_roles(JsonScanner& json, std::size_t num_nodes, std::vector<std::string>& warnings) {
  constexpr std::string_view kKeys[] = {"tr", "va", "te"};
  const Place place(json.file());
  Array<Role> roles(num_nodes, Role::none);
  bool seen[3] = {};
  std::size_t repeated = 0;
  json.expect(JsonEvent::begin_object, "an object with the keys tr, va and te");
  while (json.next() == JsonEvent::key) {
    const std::string key(json.text());
    const auto which = static_cast<std::size_t>(std::find(kKeys, kKeys + 3, key) - kKeys);
    if (which == 3) {
      warnings.push_back(place.warning("SPL-01", "unknown key \"", key.substr(0, 80), "\" is ignored"));
      json.skip_value();
      continue;
    }
    if (seen[which]) place.fail("SPL-01", "key \"", key, "\" occurs twice");
    seen[which] = true;
    json.set_section(key);
    const auto role = static_cast<Role>(which + 1);
    json.expect(JsonEvent::begin_array, "an array of row numbers");
    while (json.next() != JsonEvent::end_array) {
      if (json.last() != JsonEvent::integer) json.fail("SPL-01", "want row numbers");
      const std::int64_t row = json.integer();
      if (row < 0 || static_cast<std::uint64_t>(row) >= num_nodes) {
        place.fail("SPL-01", "node ", row, " in ", key, " does not exist; there are ", grouped(num_nodes),
                   " nodes");
      }
      Role& now = roles[static_cast<std::size_t>(row)];
      if (now != Role::none && now != role) {
        place.fail("SPL-01", "node ", row, " is in both ", kKeys[static_cast<std::size_t>(now) - 1], " and ",
                   key);
      }
      repeated += now == role ? 1 : 0;
      now = role;
    }
    json.set_section({});
  }
  json.expect(JsonEvent::end, "nothing after the object");
  for (std::size_t k = 0; k < 3; ++k) {
    if (!seen[k]) place.fail("JSN-02", "no \"", kKeys[k], "\" array");
  }
  if (repeated != 0)
    warnings.push_back(place.warning("SPL-01", repeated, " nodes are listed twice in one set"));
  return roles;
}

inline Array<Role> read_roles(const std::filesystem::path& path, std::size_t num_nodes,
                              std::vector<std::string>& warnings) {
  JsonScanner json(ByteSource::file(path));
  return read_roles(json, num_nodes, warnings);
}

/// The role files of a folder, `role.json` and `role-<name>.json`, by name.
inline std::vector<std::filesystem::path> role_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> out;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool matches = name == "role.json" || (name.starts_with("role-") && name.ends_with(".json"));
    if (matches) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// The name of the split a role file holds: "20-30-rest-s0" for role-20-30-rest-s0.json, "" for role.json.
inline std::string split_name(const std::filesystem::path& role_file) {
  const std::string stem = role_file.stem().string();
  return stem.size() > 5 ? stem.substr(5) : "";
}

/// The role file a split name asks for: its name, its file name, or the first by name where none is asked
/// for.
///
/// Errors   FormatError SPL-03 if there is no such file, with the names there are
inline std::filesystem::path find_role_file(const std::filesystem::path& folder, std::string_view split) {
  const std::vector<std::filesystem::path> files = role_files(folder);
  if (split.empty() && !files.empty()) return files.front();
  std::string names;
  for (const auto& file : files) {
    if (split_name(file) == split || file.filename() == split || file.stem() == split) return file;
    names +=
        (names.empty() ? "" : ", ") + (split_name(file).empty() ? file.stem().string() : split_name(file));
  }
  Place(folder).fail("SPL-03", "no split \"", split, "\"; the folder has ", names.empty() ? "none" : names);
}

/// Checks a split against the labels and adds what the user should know to the warnings.
///
/// Errors   FormatError LBL-04 if a node in the split has no class
inline void check_split(const Dataset& data, const Place& place, std::vector<std::string>& warnings) {
  constexpr std::string_view kNames[] = {"", "training", "validation", "test"};
  std::size_t count[4] = {};
  std::size_t unlabelled[4] = {};
  const bool single = data.labels.classes.size() == data.roles.size();
  for (std::size_t i = 0; i < data.roles.size(); ++i) {
    const auto role = static_cast<std::size_t>(data.roles[i]);
    ++count[role];
    if (single && data.labels.classes[i] == kUnlabelled) ++unlabelled[role];
  }
  for (std::size_t r = 1; r < 4; ++r) {
    if (unlabelled[r] != 0)
      place.fail("LBL-04", grouped(unlabelled[r]), " ", kNames[r], " nodes have no label");
  }
  for (std::size_t r = 1; r < 4; ++r) {
    if (count[r] != 0) continue;
    const std::string_view rule = r == 3   ? "; reporting on validation nodes"
                                  : r == 2 ? "; the last epoch counts, not the best"
                                           : "; nothing can be trained";
    warnings.push_back(place.warning("SPL-02", kNames[r], " set is empty", rule));
  }
}

}  // namespace tessera::io
