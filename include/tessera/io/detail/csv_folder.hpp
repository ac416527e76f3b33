// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tessera/io/byte_source.hpp"
#include "tessera/io/csv_folder.hpp"
#include "tessera/io/dataset_name.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/finite.hpp"
#include "tessera/io/id_map.hpp"
#include "tessera/io/json_scanner.hpp"
#include "tessera/io/label_table.hpp"
#include "tessera/io/npz_dataset.hpp"
#include "tessera/io/text_blocks.hpp"
#include "tessera/io/text_table.hpp"

namespace tessera::io {
namespace detail {

/// The cells of a line of CSV; quoted cells may hold commas and doubled quotes, not line ends.
inline std::vector<std::string> csv_cells(std::string_view line, const Place& place) {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted) {
      if (c != '"') {
        cells.back().push_back(c);
      } else if (i + 1 < line.size() && line[i + 1] == '"') {
        cells.back().push_back(c);
        ++i;
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      cells.emplace_back();
    } else {
      cells.back().push_back(c);
    }
  }
  if (quoted) place.fail("CSV-01", quoted_line(line), " ends inside a quoted cell");
  return cells;
}

inline bool is_number(const std::string& cell) {
  const std::string text = cell + '\n';
  float ignored = 0;
  const char* after = scan_float(skip_blanks(text.c_str()), ignored);
  return after != nullptr && end_line(after) != nullptr;
}

/// The first line of a file if none of its cells is a number.
inline std::vector<std::string> csv_heading(const std::filesystem::path& file) {
  TextBlocks text{file};
  const std::optional<TextBlock> block = text.next();
  if (!block) return {};
  std::vector<std::string> cells = csv_cells(block->text.substr(0, block->text.find('\n')), text.at_line(1));
  if (std::any_of(cells.begin(), cells.end(), is_number)) return {};
  return cells;
}

inline bool names_ids(const std::string& heading) {
  std::string lower = heading;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower == "id" || lower == "node" || lower == "node_id" || lower == "nodeid" || lower == "new_id";
}

class CsvFolderReader {
 public:
  CsvFolderReader(const std::filesystem::path& folder, const ReadOptions& options)
      : folder_(folder),
        files_(find_csv_files(folder)),
        options_(options),
        limits_{.max_bytes = byte_limit(options)} {}

  Dataset read() {
    if (files_.edges.empty())
      Place(folder_).fail("GEN-01", "the folder has no CSV file with \"edge\" in its name");
    out_.name = dataset_name(folder_);
    out_.provenance.layout = "csv";
    if (!files_.targets.empty()) read_targets();
    if (!files_.features.empty()) read_features();
    if (files_.targets.empty() && files_.features.empty()) {
      Place(folder_).fail("GEN-01",
                          "the folder has neither targets nor features; name the edge list itself, ",
                          files_.edges.filename().string());
    }
    const std::size_t nodes = num_nodes_;
    if (files_.targets.empty()) {
      out_.labels.classes.assign(nodes, kUnlabelled);
      warnings().push_back(Place(folder_).warning("LBL-01", "there are no labels"));
    }
    if (files_.features.empty()) {
      out_.features = Tensor<float>(nodes, 0);
      warnings().push_back(Place(folder_).warning("FEA-03", "there are no features"));
    }
    const TableFormat format{
        .separator = ',', .skip_lines = csv_heading(files_.edges).empty() ? 0u : 1u, .empty_is_nan = false};
    TextBlocks text{files_.edges};
    const IdPairs pairs = read_id_pairs(text, nodes, 0, {}, format, limits_);
    out_.graph = build_graph(nodes, {pairs.source, pairs.target, {}}, Stored::once, options_, text.place(),
                             out_.provenance);
    read_role_split(out_, files_.edges, options_);
    return std::move(out_);
  }

 private:
  std::vector<std::string>& warnings() noexcept { return out_.provenance.warnings; }

  void read_targets() {
    const std::vector<std::string> heading = csv_heading(files_.targets);
    const Place place(files_.targets);
    if (!heading.empty() && names_ids(heading.front()) && heading.size() >= 2) {
      read_named_targets(heading.size());
      return;
    }
    TextBlocks text{files_.targets};
    Tensor<float> table = read_number_table(
        text, {}, {.separator = ',', .skip_lines = heading.empty() ? 0u : 1u, .empty_is_nan = true}, limits_);
    num_nodes_ = table.rows();
    if (table.cols() == 2 && counts_rows(table.view())) {
      Tensor<float> last(table.rows(), 1);
      for (std::size_t i = 0; i < table.rows(); ++i) last(i, 0) = table(i, 1);
      table = std::move(last);
    }
    out_.labels = read_label_table(std::move(table), num_nodes_, place, options_, warnings());
  }

  static bool counts_rows(MatrixView<const float> table) {
    for (std::size_t i = 0; i < table.rows(); ++i) {
      if (table(i, 0) != static_cast<float>(i)) return false;
    }
    return table.rows() > 2;
  }

  /// Lines of `id, ..., class` in any order of ids.
  void read_named_targets(std::size_t columns) {
    TextBlocks text{files_.targets};
    std::vector<std::uint64_t> ids;
    TextIndex words;
    Array<std::uint32_t> word_of;
    bool heading = true;
    for_each_block(text, [&](const TextBlock& block) {
      std::uint64_t line = block.first_line;
      std::string_view rest = block.text;
      for (; !rest.empty(); ++line) {
        const std::size_t end = rest.find('\n');
        const std::string_view now = rest.substr(0, end);
        rest.remove_prefix(end + 1);
        if (std::exchange(heading, false)) continue;
        const Place place = text.at_line(line);
        const std::vector<std::string> cells = csv_cells(now, place);
        if (cells.size() != columns) {
          place.fail("CSV-01", quoted_line(now), " has ", cells.size(), " cells, want ", columns);
        }
        const std::string id = cells.front() + '\n';
        std::uint64_t number = 0;
        const char* after = scan_unsigned(id.c_str(), number);
        if (after == nullptr || *after != '\n')
          place.fail("CSV-01", "\"", cells.front().substr(0, 40), "\" is not a node number");
        ids.push_back(number);
        word_of.push_back(words.add(cells.back()).first);
      }
    });
    num_nodes_ = ids.size();
    place_classes(ids, words, word_of, text.place());
  }

  void place_classes(const std::vector<std::uint64_t>& ids, const TextIndex& words,
                     const Array<std::uint32_t>& word_of, const Place& place) {
    bool numbers = true;
    for (std::size_t w = 0; w < words.size(); ++w)
      numbers = numbers && (words[w].empty() || is_number(std::string(words[w])));
    std::vector<std::string> sorted;
    for (std::size_t w = 0; w < words.size(); ++w) {
      if (!words[w].empty()) sorted.emplace_back(words[w]);
    }
    std::sort(sorted.begin(), sorted.end());
    Array<float> value(words.size());
    for (std::size_t w = 0; w < words.size(); ++w) {
      const std::string word(words[w]);
      value[w] = std::numeric_limits<float>::quiet_NaN();
      if (word.empty()) continue;
      if (numbers) {
        scan_float(skip_blanks((word + '\n').c_str()), value[w]);
      } else {
        value[w] = static_cast<float>(std::lower_bound(sorted.begin(), sorted.end(), word) - sorted.begin());
      }
    }
    Tensor<float> table = Tensor<float>::filled(ids.size(), 1, std::numeric_limits<float>::quiet_NaN());
    std::vector<bool> seen(ids.size());
    for (std::size_t k = 0; k < ids.size(); ++k) {
      if (ids[k] >= ids.size() || seen[ids[k]]) {
        place.fail("IDM-02", "node ", ids[k],
                   ids[k] < ids.size() ? " occurs twice" : message(" but there are ", ids.size(), " nodes"),
                   "; numbers must be 0..N-1, each once");
      }
      seen[ids[k]] = true;
      table(ids[k], 0) = value[word_of[k]];
    }
    out_.labels = read_label_table(std::move(table), ids.size(), place, options_, warnings());
  }

  void read_features() {
    const Place place(files_.features);
    if (files_.features.extension() == ".json") {
      read_feature_lists();
    } else {
      const bool heading = !csv_heading(files_.features).empty();
      TextBlocks text{files_.features};
      out_.features = read_number_table(
          text, {}, {.separator = ',', .skip_lines = heading ? 1u : 0u, .empty_is_nan = true}, limits_);
      check_finite(out_.features.view(), place, options_.nan, &warnings());
    }
    if (files_.targets.empty()) num_nodes_ = out_.features.rows();
    if (out_.features.rows() != num_nodes_) {
      place.fail("FEA-03", "there are features of ", grouped(out_.features.rows()), " nodes and targets of ",
                 grouped(num_nodes_));
    }
  }

  /// {"node": [columns that are one], ...}
  void read_feature_lists() {
    JsonScanner json(ByteSource::file(files_.features));
    const Place place(files_.features);
    Array<NodeId> node;
    Array<std::uint32_t> column;
    constexpr std::int64_t kMostColumns = 1 << 24;
    std::uint64_t rows = num_nodes_;
    std::uint32_t columns = 0;
    json.expect(JsonEvent::begin_object, "an object from nodes to lists");
    while (json.next() == JsonEvent::key) {
      const std::string key = std::string(json.text()) + '\n';
      std::uint64_t id = 0;
      const char* after = scan_unsigned(key.c_str(), id);
      const bool valid = after != nullptr && *after == '\n' && id < kNoNode;
      if (!valid || (!files_.targets.empty() && id >= num_nodes_)) {
        json.fail("IDM-01",
                  message("\"", std::string_view(key).substr(0, std::min<std::size_t>(key.size() - 1, 40)),
                          "\" is no node; there are ", num_nodes_));
      }
      rows = std::max(rows, id + 1);
      json.expect(JsonEvent::begin_array, "a list of columns");
      while (json.next() != JsonEvent::end_array) {
        if (json.last() != JsonEvent::integer || json.integer() < 0 || json.integer() >= kMostColumns) {
          json.fail("FEA-03", "a column is no number from 0 on");
        }
        node.push_back(static_cast<NodeId>(id));
        column.push_back(static_cast<std::uint32_t>(json.integer()));
        columns = std::max(columns, column[column.size() - 1] + 1);
      }
    }
    json.expect(JsonEvent::end, "nothing after the object");
    require_within(place, saturating_product(saturating_product(rows, columns), sizeof(float)),
                   limits_.max_bytes);
    out_.features = Tensor<float>::zeros(rows, columns);
    for (std::size_t k = 0; k < node.size(); ++k) out_.features(node[k], column[k]) = 1.0f;
  }

  std::filesystem::path folder_;
  CsvFiles files_;
  ReadOptions options_;
  Limits limits_;
  std::size_t num_nodes_ = 0;
  Dataset out_;
};

}  // namespace detail

TESSERA_DEFINE CsvFiles find_csv_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> all;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".csv") || name.ends_with(".csv.gz") || name.ends_with(".json"))
      all.push_back(entry.path());
  }
  std::sort(all.begin(), all.end());
  CsvFiles out;
  for (const auto& path : all) {
    const std::string name = path.filename().string();
    const auto has = [&](std::string_view word) { return name.find(word) != name.npos; };
    const bool json = name.ends_with(".json");
    if (!json && has("edge") && out.edges.empty()) {
      out.edges = path;
    } else if (!json && (has("target") || has("label")) && out.targets.empty()) {
      out.targets = path;
    } else if (has("feature") && out.features.empty()) {
      out.features = path;
    }
  }
  return out;
}

TESSERA_DEFINE Dataset read_csv_folder(const std::filesystem::path& path, const ReadOptions& options) {
  return detail::CsvFolderReader(path, options).read();
}

}  // namespace tessera::io
