// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tessera/core/config.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// The files of a data set in a folder of CSV files; those that are missing are empty paths.
struct CsvFiles {
  std::filesystem::path edges;    ///< a name with "edge": two node numbers per line
  std::filesystem::path targets;  ///< a name with "target" or "label"
  std::filesystem::path
      features;  ///< a name with "feature": a table (.csv) or lists of column numbers (.json)
};

/// Looks for the files of a data set in CSV; `edges` is empty if the folder is none.
CsvFiles find_csv_files(const std::filesystem::path& folder);

/// Reads a folder with an edge list, targets and features in CSV, as MUSAE, ClusterGCN's inputs and others have it.
///
/// Node numbers count from 0; N is the number of targets, else of feature rows. Targets under a heading that begins
/// with an id column: the last column is the class (words are numbered in alphabetical order); otherwise one
/// column is the class and several are zeros and ones. Features in JSON: {"node": [columns with a one]}.
/// Each edge may be listed once or in both directions; roles come from role*.json.
/// Errors   FormatError GEN-01 (no edges), CSV-01, CSV-02, EDG, JSN, LBL, FEA, SPL
/// Source   Rozemberczki et al., Multi-scale attributed node embedding (MUSAE), 2021
Dataset read_csv_folder(const std::filesystem::path& path, const ReadOptions& options = {});

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/csv_folder.hpp"
#endif
