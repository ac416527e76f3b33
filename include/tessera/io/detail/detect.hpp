// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/container_format.hpp"
#include "tessera/io/csv_folder.hpp"
#include "tessera/io/detail/folder_names.hpp"
#include "tessera/io/detect.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/graphsage.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/npz.hpp"
#include "tessera/io/planetoid.hpp"

namespace tessera::io {
namespace detail {

constexpr std::string_view kReadable =
    "this version reads GraphSAGE (<p>-G.json), GraphSAINT (adj_full.npz), Planetoid (ind.<name>.graph), "
    "gnn-benchmark npz (adj_data), heterophilous npz (edges, node_features), OGB (raw/), DGL's and FastGCN's "
    "archives, CSV folders, METIS, Matrix Market, DIMACS and edge lists; docs/formats.md lists them all";

/// A name without ".gz".
inline std::string_view without_gz(std::string_view name) {
  return name.ends_with(".gz") ? name.substr(0, name.size() - 3) : name;
}

/// The layout of a file that holds a graph alone, by its name.
inline bool graph_file_layout(std::string_view file_name, Layout& out) {
  const std::string_view name = without_gz(file_name);
  if (name.ends_with(".graph") && planetoid_name(std::string(name)).empty()) return out = Layout::metis, true;
  if (name.ends_with(".mtx")) return out = Layout::matrix_market, true;
  for (const std::string_view suffix : {".gr", ".col", ".clq"}) {
    if (name.ends_with(suffix)) return out = Layout::dimacs, true;
  }
  return false;
}

/// Whether a name is that of an edge list: text, and "edge" in it or an ending that says so.
inline bool names_edge_list(std::string_view file_name) {
  const std::string_view name = without_gz(file_name);
  for (const std::string_view suffix : {".edges", ".edgelist", ".el"}) {
    if (name.ends_with(suffix)) return true;
  }
  for (const std::string_view suffix : {".csv", ".tsv", ".txt"}) {
    if (name.ends_with(suffix) && name.find("edge") != name.npos) return true;
  }
  return false;
}

inline bool is_text_file_name(std::string_view file_name) {
  const std::string_view name = without_gz(file_name);
  for (const std::string_view suffix : {".csv", ".tsv", ".txt", ".edges", ".edgelist", ".el"}) {
    if (name.ends_with(suffix)) return true;
  }
  return false;
}

inline bool is_ogb(const std::filesystem::path& folder, const FolderNames& names) {
  const FolderNames raw(folder / "raw");
  for (const FolderNames* files : {&raw, &names}) {
    if (files->has_text("num-node-list.csv") || files->has_text("num-node-dict.csv")) return true;
  }
  return raw.has("data.npz") || raw.has_text("edge.csv") || names.has_text("edge.csv");
}

inline bool is_fastgcn(const FolderNames& names) {
  return names.any([&](const std::string& name) {
    constexpr std::string_view kSuffix = "_adj.npz";
    return name.ends_with(kSuffix) && names.has(name.substr(0, name.size() - kSuffix.size()) + ".npz");
  });
}

/// The layout of a folder that the names in it show; npz archives need a look inside and are left out.
inline bool layout_by_names(const std::filesystem::path& folder, const FolderNames& names, Layout& out) {
  if (names.any(is_graph_json)) return out = Layout::graphsage, true;
  if (names.has("reddit_data.npz")) return out = Layout::dgl_reddit, true;
  if (names.has("train_graph.json")) return out = Layout::dgl_ppi, true;
  if (is_fastgcn(names)) return out = Layout::fastgcn, true;
  if (names.has("dims.bin")) return out = Layout::graphsaint_bin, true;
  const bool saint = names.has("adj_full.npz") || (names.has("class_map.json") && names.has("feats.npy"));
  if (saint) return out = Layout::graphsaint, true;
  if (names.any([](const std::string& name) { return !planetoid_name(name).empty(); })) {
    return out = Layout::planetoid, true;
  }
  if (names.any_ending("_feat.npy") && names.any_ending("_labels.npz")) return out = Layout::gbp, true;
  if (is_ogb(folder, names)) return out = Layout::ogb, true;
  const CsvFiles csv = find_csv_files(folder);
  if (!csv.edges.empty() && !(csv.targets.empty() && csv.features.empty())) return out = Layout::csv, true;
  return false;
}

/// One file of a folder that holds a graph alone; refuses several.
inline bool lone_graph_file(const std::filesystem::path& folder, const FolderNames& names, Detected& out) {
  std::vector<Detected> found;
  for (const std::string& name : names.files()) {
    Layout layout{};
    if (graph_file_layout(name, layout)) {
      found.push_back({layout, folder / name});
    } else if (names_edge_list(name)) {
      found.push_back({Layout::edge_list, folder / name});
    }
  }
  if (found.empty()) return false;
  if (found.size() > 1) {
    Place(folder).fail("GEN-02", "the folder holds several graphs, ", found[0].path.filename().string(),
                       " and ", found[1].path.filename().string(), "; name one of these files");
  }
  out = found.front();
  return true;
}

/// What a folder holds that load cannot read; empty if it is nothing known.
inline std::string_view unread_layout(const std::filesystem::path& folder, const FolderNames& names) {
  const FolderNames raw(folder / "raw");
  if (names.any_ending("_graph_indicator.txt") || raw.has_text("graph-label.csv") ||
      names.has_text("graph-label.csv")) {
    return "many graphs; read it with load_graphs (examples/graph_classification)";
  }
  if (names.any([](const std::string& n) { return n.find(".graph.part.") != n.npos; })) {
    return "a partition without its graph; the .graph file must lie beside it";
  }
  for (const std::string_view suffix : {".pt", ".pth", ".bin", ".pkl"}) {
    if (names.any_ending(suffix))
      return "a cache of a Python framework; point at the folder with the raw files";
  }
  return {};
}

/// The layout of one archive, by its members.
inline bool npz_layout(const NpzFile& npz, Layout& out) {
  if (npz.has("full_adj_data") && npz.has("train_adj_data")) {
    npz.place().fail(
        "GEN-02",
        "this is a cache of VR-GCN's code, whose adjacency is normalised already; point at the GraphSAGE "
        "files it was made from");
  }
  if (npz.has("adj_data") || npz.has("adj_matrix")) return out = Layout::shchur, true;
  if (npz.has("edges") && npz.has("node_features")) return out = Layout::heterophilous, true;
  if (npz.has("y") && npz.has("train_map") && npz.has("edge")) return out = Layout::amazon2m_npz, true;
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

inline std::filesystem::path folder_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

/// The archive itself, or its folder where the reader wants that.
inline Detected as_detected(Layout layout, const std::filesystem::path& file) {
  return {layout, layout == Layout::amazon2m_npz ? folder_of(file) : file};
}

inline Detected detect_npz(const std::filesystem::path& path) {
  const NpzFile npz(path);
  Layout layout{};
  if (npz_layout(npz, layout)) return as_detected(layout, path);
  if (path.filename() == "adj_full.npz" || path.filename() == "adj_train.npz") {
    return {Layout::graphsaint, folder_of(path)};
  }
  if (layout_by_names(folder_of(path), FolderNames(folder_of(path)), layout)) {
    npz.place().fail("GEN-02", "this is one file of a ", name_of(layout), " data set; name its folder, ",
                     folder_of(path).string());
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
    if (npz_layout(NpzFile(path), layout)) fitting.push_back(as_detected(layout, path));
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
    if (layout_by_names(folder / name, inside, layout)) {
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
  const std::string_view unread = unread_layout(folder, names);
  if (unread.starts_with("many graphs")) place.fail("GEN-02", "the folder holds ", unread);
  Layout layout{};
  if (layout_by_names(folder, names, layout)) return {layout, folder};
  if (names.any_ending(".npz")) return detect_among_npz(folder, names);
  Detected lone{};
  if (lone_graph_file(folder, names, lone)) return lone;
  const std::string inside = readable_subfolders(folder, names);
  const std::string hint = inside.empty() ? "" : message("; these sub-folders hold data sets: ", inside);
  if (!unread.empty()) place.fail("GEN-02", "the folder holds ", unread, "; ", kReadable, hint);
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
  const std::filesystem::path folder = folder_of(path);
  if (is_graph_json(name)) return {Layout::graphsage, path};
  if (!planetoid_name(name).empty()) return {Layout::planetoid, path};
  const MappedFile file(path);
  if (is_container(file.bytes())) return {Layout::container, path};
  const std::string_view head = as_text(file.bytes().first(std::min<std::size_t>(file.bytes().size(), 16)));
  if (head.starts_with("PK\x03\x04") || head.starts_with("PK\x05\x06")) return detect_npz(path);
  if (starts_with_ignoring_case(head, "%%matrixmarket")) return {Layout::matrix_market, path};
  Layout layout{};
  if (graph_file_layout(name, layout)) return {layout, path};
  if (name.find(".graph.part.") != name.npos) {
    Place(path).fail("GEN-02", "this is a partition; name the graph it belongs to");
  }
  // One file of a data set is refused, except for its edges, which make a graph by themselves.
  if (layout_by_names(folder, FolderNames(folder), layout) &&
      !(layout == Layout::csv && names_edge_list(name))) {
    Place(path).fail("GEN-02", "this is one file of a ", name_of(layout), " data set; name its folder, ",
                     folder.string());
  }
  if (is_text_file_name(name)) return {Layout::edge_list, path};
  refuse_wrong_kind(Place(path), file.bytes(), "data set");
  Place(path).fail("GEN-02", "no known layout: starts with ", first_bytes(file.bytes()), "; ", kReadable);
}

}  // namespace detail

TESSERA_DEFINE Detected detect(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return detail::detect_folder(path);
  if (fs::exists(path, ignored)) return detail::detect_file(path);
  const fs::path graph = detail::sibling(path.parent_path(), path.filename().string() + "-G.json");
  if (!path.filename().empty() && fs::exists(graph, ignored)) return {Layout::graphsage, graph};
  fail_system(path, "open", ENOENT);
}

}  // namespace tessera::io
