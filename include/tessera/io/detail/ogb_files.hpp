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
#include "tessera/graph/dataset.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/read_options.hpp"
#include "tessera/io/text_blocks.hpp"
#include "tessera/io/text_table.hpp"

// What node and graph data sets of OGB share.

namespace tessera::io::detail {

/// The folder that holds raw/: `path`, or its parent if `path` is raw/ itself.
inline std::filesystem::path ogb_root(const std::filesystem::path& path) {
  const std::filesystem::path clean = path.has_filename() ? path : path.parent_path();
  if (clean.filename() != "raw") return clean;
  return clean.has_parent_path() ? clean.parent_path() : std::filesystem::path("..");
}

/// The folder of raw files: root/raw, or root where the files lie there directly.
inline std::filesystem::path ogb_raw(const std::filesystem::path& root) {
  std::error_code ignored;
  return std::filesystem::is_directory(root / "raw", ignored) ? root / "raw" : root;
}

/// A file of counts, one per graph, each from 0 on.
inline Array<std::int64_t> read_counts(const std::filesystem::path& file, const WantRows& want = {}) {
  TextBlocks text{file};
  Array<std::int64_t> counts = read_integer_column(text, want);
  for (std::size_t g = 0; g < counts.size(); ++g) {
    if (counts[g] < 0) text.at_line(g + 1).fail("CSV-01", "the count is ", counts[g], ", want 0 or more");
  }
  return counts;
}

/// The split that options name, or the first by name.
///
/// Errors   FormatError SPL-03 if there is none of that name, with the names there are
inline std::filesystem::path ogb_split(const std::filesystem::path& root, std::string_view wanted) {
  namespace fs = std::filesystem;
  std::vector<fs::path> schemes;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(root / "split", ignored)) {
    if (entry.is_directory(ignored)) schemes.push_back(entry.path());
  }
  std::sort(schemes.begin(), schemes.end());
  std::string names;
  for (const fs::path& scheme : schemes) {
    if (wanted.empty() || scheme.filename() == wanted) return scheme;
    names += (names.empty() ? "" : ", ") + scheme.filename().string();
  }
  if (wanted.empty()) return {};
  Place(root / "split")
      .fail("SPL-03", "no split \"", wanted, "\"; the folder has ", names.empty() ? "none" : names);
}

/// Roles from train.csv, valid.csv and test.csv, one number of a node (or graph) per line.
///
/// Errors   FormatError SPL-01 (out of range, or in two files), CSV-01
inline Array<Role> read_ogb_roles(const std::filesystem::path& scheme, std::size_t count,
                                  std::vector<std::string>& warnings, std::string_view what = "node") {
  Array<Role> roles(count, Role::none);
  if (scheme.empty()) {
    warnings.push_back(
        Place(scheme).warning("SPL-02", "there is no split folder, so no ", what, " has a role"));
    return roles;
  }
  constexpr std::string_view kNames[] = {"", "train", "valid", "test"};
  for (std::size_t r = 1; r < 4; ++r) {
    TextBlocks text{require_text(scheme, message(kNames[r], ".csv"))};
    for (const std::int64_t i : read_integer_column(text)) {
      if (i < 0 || static_cast<std::uint64_t>(i) >= count) {
        text.place().fail("SPL-01", what, " ", i, " does not exist; there are ", grouped(count), " ", what,
                          "s");
      }
      Role& role = roles[static_cast<std::size_t>(i)];
      if (role != Role::none && role != static_cast<Role>(r)) {
        text.place().fail("SPL-01", what, " ", i, " is in both ", kNames[static_cast<std::size_t>(role)],
                          " and ", kNames[r]);
      }
      role = static_cast<Role>(r);
    }
  }
  return roles;
}

/// A CSV table of numbers of known length.
inline Tensor<float> read_ogb_table(const std::filesystem::path& file, std::uint64_t rows,
                                    std::string_view says, const ReadOptions& options,
                                    BlankTail tail = BlankTail::ignore) {
  TextBlocks text{file, tail};
  const TableFormat format{.separator = ',', .skip_lines = 0, .empty_is_nan = true};
  return read_number_table(text, {rows, says}, format, {.max_bytes = byte_limit(options)});
}

}  // namespace tessera::io::detail
