// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/graphsage.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/npz.hpp"
#include "tessera/io/planetoid.hpp"

namespace tessera::io {

/// The layouts this version reads.
enum class Layout { graphsage, graphsaint, planetoid, shchur, heterophilous };

/// The name a layout has in options and provenance records.
constexpr std::string_view name_of(Layout layout) noexcept {
  constexpr std::array<std::string_view, 5> kNames = {"graphsage", "graphsaint", "planetoid", "shchur",
                                                      "heterophilous"};
  return kNames[static_cast<std::size_t>(layout)];
}

/// The layout with this name.
///
/// Errors   ConfigError listing the names
inline Layout layout_named(std::string_view name) {
  std::string names;
  for (std::size_t i = 0; i < 5; ++i) {
    const auto layout = static_cast<Layout>(i);
    if (name_of(layout) == name) return layout;
    names += message(names.empty() ? "" : ", ", name_of(layout));
  }
  throw ConfigError(message("format is \"", name.substr(0, 80), "\", want one of ", names));
}

/// What a folder or file turned out to be. `path` is what the reader of the layout takes.
struct Detected {
  Layout layout;
  std::filesystem::path path;
};

namespace detail {

constexpr std::string_view kReadable =
    "this version reads GraphSAGE (<p>-G.json), GraphSAINT (adj_full.npz), Planetoid (ind.<name>.graph), "
    "gnn-benchmark "
    "npz (adj_data) and heterophilous npz (edges, node_features)";

/// Names of what a folder holds, and questions about them.
class FolderNames {
 public:
  explicit FolderNames(const std::filesystem::path& folder) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
      (entry.is_directory(ignored) ? folders_ : files_).push_back(entry.path().filename().string());
    }
    std::sort(files_.begin(), files_.end());
    std::sort(folders_.begin(), folders_.end());
  }

  bool has(std::string_view name) const {
    return std::binary_search(files_.begin(), files_.end(), name, std::less<>());
  }
  template <class Matches>
  bool any(Matches&& matches) const {
    return std::any_of(files_.begin(), files_.end(), matches);
  }
  bool any_ending(std::string_view suffix) const {
    return any([&](const std::string& name) { return name.ends_with(suffix); });
  }
  const std::vector<std::string>& files() const noexcept { return files_; }
  const std::vector<std::string>& folders() const noexcept { return folders_; }

 private:
  std::vector<std::string> files_;
  std::vector<std::string> folders_;
};

/// The readable layout that the names in a folder show; npz archives need a look inside and are left out.
inline bool layout_by_names(const FolderNames& names, Layout& out) {
  if (names.any(is_graph_json)) return out = Layout::graphsage, true;
  const bool saint = names.has("adj_full.npz") || (names.has("class_map.json") && names.has("feats.npy"));
  if (saint) return out = Layout::graphsaint, true;
  if (names.any([](const std::string& name) { return !planetoid_name(name).empty(); })) {
    return out = Layout::planetoid, true;
  }
  return false;
}

/// What a folder holds that this version does not read; empty if it is nothing known.
inline std::string_view unread_layout(const std::filesystem::path& folder, const FolderNames& names) {
  std::error_code ignored;
  if (names.has("reddit_data.npz")) return "the DGL/PyG Reddit archive";
  if (names.has("train_graph.json")) return "the DGL/PyG PPI archive";
  if (names.has("reddit_adj.npz")) return "the FastGCN Reddit archive";
  if (names.has("edge.csv.gz") || std::filesystem::exists(folder / "raw" / "edge.csv.gz", ignored)) {
    return "an OGB data set in CSV files";
  }
  if (std::filesystem::exists(folder / "raw" / "data.npz", ignored)) return "an OGB data set in binary files";
  if (names.any_ending("_graph_indicator.txt")) return "a TU data set of many graphs";
  if (names.any_ending(".mtx")) return "a Matrix Market file";
  if (names.any_ending(".graph") ||
      names.any([](const std::string& n) { return n.find(".graph.part.") != n.npos; })) {
    return "a METIS graph";
  }
  for (const std::string_view suffix : {".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz"}) {
    if (names.any([&](const std::string& n) { return n.ends_with(suffix) && n.find("edge") != n.npos; })) {
      return "an edge list";
    }
  }
  for (const std::string_view suffix : {".pt", ".pth", ".bin", ".pkl"}) {
    if (names.any_ending(suffix))
      return "a cache of a Python framework; point at the folder with the raw files";
  }
  return {};
}

/// The layout of one archive, by its members.
inline bool npz_layout(const NpzFile& npz, Layout& out) {
  if (npz.has("adj_data") || npz.has("adj_matrix")) return out = Layout::shchur, true;
  if (npz.has("edges") && npz.has("node_features")) return out = Layout::heterophilous, true;
  return false;
}

[[noreturn]] inline void refuse_npz(const NpzFile& npz) {
  if (npz.keys().empty()) {
    npz.place().fail("GEN-02", "a zip archive without arrays; if it is the download, extract it first");
  }
  std::string keys;
  for (std::size_t i = 0; i < npz.keys().size() && i < 12; ++i)
    keys += message(i == 0 ? "" : ", ", npz.keys()[i]);
  npz.place().fail("GEN-02", "the archive is in no known layout, it has: ", keys.empty() ? "nothing" : keys,
                   "; ", kReadable);
}

inline Detected detect_npz(const std::filesystem::path& path) {
  const NpzFile npz(path);
  Detected out{Layout::shchur, path};
  if (npz_layout(npz, out.layout)) return out;
  if (path.filename() == "adj_full.npz" || path.filename() == "adj_train.npz") {
    return {Layout::graphsaint, path.has_parent_path() ? path.parent_path() : std::filesystem::path(".")};
  }
  refuse_npz(npz);
}

/// One of several archives of a folder, if exactly one is in a layout we read.
inline Detected detect_among_npz(const std::filesystem::path& folder, const FolderNames& names) {
  std::vector<std::filesystem::path> all;
  for (const std::string& name : names.files()) {
    if (name.ends_with(".npz")) all.push_back(folder / name);
  }
  if (all.size() == 1) return detect_npz(all.front());
  std::vector<Detected> fitting;
  for (const auto& path : all) {
    Layout layout{};
    if (npz_layout(NpzFile(path), layout)) fitting.push_back({layout, path});
  }
  if (fitting.size() == 1) return fitting.front();
  if (fitting.empty()) refuse_npz(NpzFile(all.front()));
  Place(folder).fail("GEN-02", "the folder holds several data sets, ", fitting[0].path.filename().string(),
                     " and ", fitting[1].path.filename().string(), "; name one of these files");
}

/// Sub-folders that hold a data set, for a message.
inline std::string readable_subfolders(const std::filesystem::path& folder, const FolderNames& names) {
  std::string out;
  for (const std::string& name : names.folders()) {
    const FolderNames inside(folder / name);
    Layout layout{};
    if (layout_by_names(inside, layout)) {
      out += message(out.empty() ? "" : ", ", name, " (", name_of(layout), ")");
    } else if (inside.any_ending(".npz")) {
      out += message(out.empty() ? "" : ", ", name, " (npz)");
    }
  }
  return out;
}

inline Detected detect_folder(const std::filesystem::path& folder) {
  const FolderNames names(folder);
  const Place place(folder);
  Layout layout{};
  if (layout_by_names(names, layout)) return {layout, folder};
  const std::string_view unread = unread_layout(folder, names);
  const bool foreign_npz = names.has("reddit_data.npz") || names.has("reddit_adj.npz");
  if (names.any_ending(".npz") && !foreign_npz) return detect_among_npz(folder, names);
  const std::string inside = readable_subfolders(folder, names);
  const std::string hint = inside.empty() ? "" : message("; these sub-folders hold data sets: ", inside);
  if (!unread.empty())
    place.fail("GEN-02", "the folder holds ", unread, ", which is not read yet; ", kReadable, hint);
  if (!inside.empty())
    place.fail("GEN-02", "the folder itself holds no data set; these sub-folders do: ", inside);
  if (names.any_ending(".zip"))
    place.fail("GEN-02", "the folder holds a download archive (.zip); extract it first");
  if (names.files().empty() && names.folders().empty()) place.fail("GEN-01", "the folder is empty");
  if (names.files().empty()) {
    place.fail("GEN-02", "the folder holds sub-folders only, none of which is a data set that is read; ",
               kReadable);
  }
  place.fail("GEN-02", "no known layout; ", kReadable);
}

inline Detected detect_file(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const std::filesystem::path folder =
      path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (is_graph_json(name)) return {Layout::graphsage, path};
  if (!planetoid_name(name).empty()) return {Layout::planetoid, path};
  const MappedFile file(path);
  const std::string_view head = as_text(file.bytes().first(std::min<std::size_t>(file.bytes().size(), 4)));
  if (head == "PK\x03\x04" || head == "PK\x05\x06") return detect_npz(path);
  Layout layout{};
  if (layout_by_names(FolderNames(folder), layout)) {
    Place(path).fail("GEN-02", "this is one file of a ", name_of(layout), " data set; name its folder, ",
                     folder.string());
  }
  refuse_wrong_kind(Place(path), file.bytes(), "data set");
  Place(path).fail("GEN-02", "no known layout: starts with ", first_bytes(file.bytes()), "; ", kReadable);
}

}  // namespace detail

/// Recognises the layout of a folder by the names in it, of a file by its name and first bytes.
///
/// Besides folders and files, <folder>/<prefix> means the GraphSAGE files of that prefix.
/// Cost     one listing of the folder; archives are opened, not read
/// Errors   FormatError GEN-01 (nothing there), GEN-02 (something else, saying what), ZIP, GEN-04
inline Detected detect(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return detail::detect_folder(path);
  if (fs::exists(path, ignored)) return detail::detect_file(path);
  const fs::path graph = detail::sibling(path.parent_path(), path.filename().string() + "-G.json");
  if (!path.filename().empty() && fs::exists(graph, ignored)) return {Layout::graphsage, graph};
  fail_system(path, "open", ENOENT);
}

}  // namespace tessera::io
