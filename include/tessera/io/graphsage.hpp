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

#include "tessera/core/array.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/class_map.hpp"
#include "tessera/io/detail/link_ranges.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/id_map.hpp"
#include "tessera/io/json_scanner.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/node_link.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/io/npy_convert.hpp"
#include "tessera/io/read_options.hpp"
#include "tessera/io/splits.hpp"
#include "tessera/io/train_graph.hpp"

namespace tessera::io {

/// The files of one data set in GraphSAGE layout.
struct GraphSageFiles {
  std::string prefix;  ///< e.g. "reddit"
  std::filesystem::path graph;
  std::filesystem::path id_map;
  std::filesystem::path class_map;
  std::filesystem::path features;
};

namespace detail {

inline bool is_graph_json(std::string_view name) noexcept {
  return name.ends_with("-G.json") || name.ends_with("-G_full.json");
}

/// The file of this name in `folder`, or the one that differs in upper and lower case only.
inline std::filesystem::path sibling(const std::filesystem::path& folder, const std::string& name) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::exists(folder / name, ignored)) return folder / name;
  const auto same = [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); };
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string other = entry.path().filename().string();
    if (std::equal(name.begin(), name.end(), other.begin(), other.end(), same)) return entry.path();
  }
  return folder / name;
}

inline std::vector<std::filesystem::path> graph_jsons(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> out;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (is_graph_json(entry.path().filename().string())) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());  // "x-G.json" comes before "x-G_full.json"
  return out;
}

}  // namespace detail

/// Finds the files of a data set: `path` is its folder, its graph file, or folder/prefix.
///
/// A folder with both <p>-G.json and <p>-G_full.json means the former; name the latter to read it.
/// Errors   FormatError GEN-01 if there is none, GEN-02 if a folder holds several data sets
inline GraphSageFiles find_graphsage(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  GraphSageFiles out;
  if (fs::is_directory(path, ignored)) {
    const std::vector<fs::path> graphs = detail::graph_jsons(path);
    if (graphs.empty()) Place(path).fail("GEN-01", "the folder has no <prefix>-G.json");
    const auto prefix_of = [](const fs::path& p) {
      const std::string name = p.filename().string();
      return name.substr(0, name.rfind("-G"));
    };
    for (const fs::path& other : graphs) {
      if (prefix_of(other) != prefix_of(graphs.front())) {
        Place(path).fail("GEN-02", "the folder holds several data sets, ", graphs.front().filename().string(),
                         " and ", other.filename().string(), "; name one of these files");
      }
    }
    out.graph = graphs.front();
  } else {
    out.graph = detail::is_graph_json(path.filename().string())
                    ? path
                    : detail::sibling(path.parent_path(), path.filename().string() + "-G.json");
  }
  const std::string name = out.graph.filename().string();
  out.prefix = name.substr(0, name.rfind("-G"));
  const fs::path folder = out.graph.has_parent_path() ? out.graph.parent_path() : fs::path(".");
  out.id_map = detail::sibling(folder, out.prefix + "-id_map.json");
  out.class_map = detail::sibling(folder, out.prefix + "-class_map.json");
  out.features = detail::sibling(folder, out.prefix + "-feats.npy");
  return out;
}

namespace detail {

/// Joins the links of a node-link file with the rows of the id map.
class GraphSageAssembler {
 public:
  GraphSageAssembler(const IdMap& ids, const ReadOptions& options, Place place, Place id_place, Dataset& out)
      : ids_(ids),
        options_(options),
        place_(std::move(place)),
        id_place_(std::move(id_place)),
        out_(out),
        warnings_before_(out.provenance.warnings.size()) {}

  /// Reads the graph file. The common one, undirected and regular, goes from text to graph in ranges; what a
  /// range cannot judge by itself is read again as a whole.
  void assemble(const std::filesystem::path& path) {
    std::optional<RangedGraph> ranged;
    if (const std::uint64_t links_at = offset_of_plain_links(path); links_at != 0) {
      ranged = read_ranges(path, links_at);
      if (!ranged.has_value()) out_.provenance.warnings.resize(warnings_before_);
    } else if (links_ != nullptr) {
      return assemble(*links_);
    }
    if (!ranged.has_value()) {
      NodeLinkGraph file = read_node_link(path);
      return assemble(file);
    }
    out_.graph = std::move(ranged->graph);
    out_.provenance.edge_policy = describe(ranged->counts, out_.graph.num_edges(), true);
    finish(LinkEndpoints::position, ranged->dropped_links);
  }

 private:
  static constexpr NodeId kDropped = kNoNode;
  static constexpr NodeId kUnknown = kNoNode - 1;

  void assemble(NodeLinkGraph& file) {
    file_ = &file;
    links_ = &file;
    place_nodes();
    assign_roles();
    const LinkEndpoints meaning = endpoint_meaning(file, options_.link_endpoints, place_);
    const std::size_t dropped = resolve_links(meaning);
    const Stored stored = file.directed ? Stored::directed : Stored::once;
    out_.graph =
        build_graph(ids_.size(), {file.source, file.target, {}}, stored, options_, place_, out_.provenance);
    finish(meaning, dropped);
  }

  /// Reads the nodes and places them. The offset of the links where ranges may read them; 0 where they may not,
  /// and the whole file was read into links_.
  std::uint64_t offset_of_plain_links(const std::filesystem::path& path) {
    const bool plain = options_.symmetrise != Symmetrise::off && options_.duplicates == Duplicates::merge &&
                       options_.self_loops != SelfLoops::add_missing;
    std::uint64_t links_at = 0;
    JsonScanner json(ByteSource::file(path));
    NodeLinkReader reader(json, std::filesystem::file_size(path));
    reader.read_until_taken([&](const NodeLinkGraph& head, std::uint64_t offset) {
      if (!plain || head.directed || !endpoints_must_be_positions(head, options_.link_endpoints))
        return false;
      links_at = offset;
      return true;
    });
    whole_ = reader.take();
    if (links_at == 0) {
      links_ = &whole_;
      return 0;
    }
    file_ = &whole_;
    place_nodes();
    assign_roles();
    file_ = nullptr;
    whole_ = {};  // the ids take as much memory as a sixth of the graph, and are done with
    row_of_name_ = {};
    BufferPool::global().trim();
    return links_at;
  }

  std::optional<RangedGraph> read_ranges(const std::filesystem::path& path, std::uint64_t offset) const {
    const std::uint64_t bytes = std::filesystem::file_size(path);
    bool identity = row_of_position_.size() == ids_.size();
    for (std::size_t k = 0; k < row_of_position_.size() && identity; ++k) identity = row_of_position_[k] == k;
    LinkEnds ends{row_of_position_.size(), ids_.size(), {}, kDropped};
    if (!identity) ends.row_of_position = row_of_position_;
    // Blanks between the key's colon and the array: there is at most one in any file seen.
    const MappedFile file(path);
    const std::string_view text = as_text(file.bytes());
    while (offset < bytes && (text[offset] == ' ' || text[offset] == '\n')) ++offset;
    LinkRanges ranges(path, bytes, ends, options_.self_loops == SelfLoops::keep);
    const std::uint64_t end = ranges.read(offset);
    if (end == 0 || !rest_is_plain(path, bytes, end)) return std::nullopt;
    return ranges.build();
  }

  /// Whether what follows the links says nothing that changes their meaning.
  bool rest_is_plain(const std::filesystem::path& path, std::uint64_t bytes, std::uint64_t begin) const {
    constexpr std::uint64_t kMost = std::uint64_t{1} << 20;
    if (bytes - begin > kMost) return false;
    const MappedFile file(path);
    const std::string text = "{\"links\": []" + std::string(as_text(file.bytes().subspan(begin)));
    try {
      JsonScanner json(ByteSource::memory(text, place_.file));
      json.expect(JsonEvent::begin_object, "an object");
      while (json.next() == JsonEvent::key) {
        const bool matters = json.text() == "nodes" || json.text() == "edges" || json.text() == "directed";
        if (matters) return false;
        json.skip_value();
      }
      json.expect(JsonEvent::end, "nothing after the object");
    } catch (const FormatError&) {
      return false;  // the full parser says what is wrong, and where
    }
    return true;
  }

  void finish(LinkEndpoints meaning, std::size_t dropped) {
    std::string& policy = out_.provenance.edge_policy;
    policy += meaning == LinkEndpoints::id ? ", endpoints are node ids" : ", endpoints are positions";
    if (links_ != nullptr && links_->directed) policy += ", the file says directed";
    if (dropped != 0) policy += message(", ", dropped, " links of dropped nodes left out");
    if (links_ != nullptr && !links_->ignored_attributes.empty()) {
      std::string names;
      for (const std::string& a : links_->ignored_attributes) names += (names.empty() ? "" : ", ") + a;
      warn(place_, "EDG-04", "attributes of links are ignored: ", names);
    }
  }

  template <class... Parts>
  void warn(const Place& place, std::string_view code, const Parts&... parts) {
    out_.provenance.warnings.push_back(place.warning(code, parts...));
  }

  // The row of every name and of every position.
  void place_nodes() {
    row_of_name_.assign(file_->names.size(), kUnknown);
    row_of_position_.resize(file_->num_nodes());
    Array<std::uint32_t> position_of_name(file_->names.size(), TextIndex::kAbsent);
    std::size_t not_in_map = 0;
    std::size_t without_flags = 0;
    for (std::size_t k = 0; k < file_->num_nodes(); ++k) {
      const std::uint32_t name = file_->node_name[k];
      if (position_of_name[name] != TextIndex::kAbsent) refuse_repeated(position_of_name[name], k);
      position_of_name[name] = static_cast<std::uint32_t>(k);
      NodeId row = ids_.find(file_->node_id(k));
      const std::uint32_t flags = file_->node_flags[k];
      const bool flagged = (flags & NodeLinkGraph::kHasVal) != 0 && (flags & NodeLinkGraph::kHasTest) != 0;
      not_in_map += row == kNoNode ? 1u : 0u;
      without_flags += row != kNoNode && !flagged ? 1u : 0u;
      if (row == kNoNode || !flagged) row = kDropped;
      row_of_name_[name] = row;
      row_of_position_[k] = row;
    }
    if (file_->num_nodes() != 0 && without_flags == file_->num_nodes()) {
      place_.fail("JSN-02", "no node has the keys \"val\" and \"test\"");
    }
    if (not_in_map != 0) {
      if (not_in_map == file_->num_nodes()) {
        id_place_.fail("IDM-01", "none of the ", grouped(not_in_map), " nodes of ", place_.file,
                       " is in this map");
      }
      warn(place_, "IDM-01", grouped(not_in_map),
           " nodes are not in the id map and were dropped with their links");
    }
    if (without_flags != 0) {
      warn(place_, "JSN-02", grouped(without_flags),
           " nodes lack \"val\" or \"test\" and were dropped with their links");
    }
    const std::size_t occurring = file_->num_nodes() - not_in_map;
    if (occurring < ids_.size()) {
      warn(place_, "IDM-04", grouped(occurring), " of ", grouped(ids_.size()), " ids occur; ",
           grouped(ids_.size() - occurring), " kept as isolated nodes");
    }
  }

  [[noreturn]] void refuse_repeated(std::size_t first, std::size_t second) const {
    const auto integer = [&](std::size_t k) {
      return (file_->node_flags[k] & NodeLinkGraph::kIntegerId) != 0;
    };
    const std::string id(file_->node_id(second).substr(0, 80));
    if (integer(first) != integer(second)) {
      place_.fail("IDM-03", "node ids mix integers and strings and \"", id, "\" occurs as both");
    }
    place_.fail("IDM-02", "nodes ", first, " and ", second, " share the id \"", id, "\"");
  }

  void assign_roles() {
    const Role unlisted = options_.node_set == NodeSet::cluster_gcn ? Role::train : Role::none;
    out_.roles.assign(ids_.size(), unlisted);
    for (std::size_t k = 0; k < file_->num_nodes(); ++k) {
      if (row_of_position_[k] == kDropped) continue;
      const std::uint32_t flags = file_->node_flags[k];
      out_.roles[row_of_position_[k]] = (flags & NodeLinkGraph::kTest) != 0  ? Role::test
                                        : (flags & NodeLinkGraph::kVal) != 0 ? Role::val
                                                                             : Role::train;
    }
  }

  // Replaces endpoints by rows and closes the gaps of dropped links; returns how many there were.
  std::size_t resolve_links(LinkEndpoints meaning) {
    const bool by_number = meaning == LinkEndpoints::id && !links_->endpoints_are_names;
    const std::span<const NodeId> rows =
        meaning == LinkEndpoints::id ? row_of_name_.span() : row_of_position_.span();
    const auto resolve = [&](std::uint32_t end) -> NodeId {
      if (by_number) {
        const std::uint32_t name = links_->names.find(message(end));
        return name == TextIndex::kAbsent ? kUnknown : row_of_name_[name];
      }
      return end < rows.size() ? rows[end] : kUnknown;
    };
    constexpr std::size_t kBlock = 1 << 16;
    constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
    struct Facts {
      std::size_t dropped;
      std::size_t first_unknown;
    };
    const std::size_t links = links_->num_links();
    Array<Facts> facts((links + kBlock - 1) / kBlock, Facts{0, kNone});
    parallel_for(links, kBlock, [&](std::size_t begin, std::size_t end) {
      Facts& fact = facts[begin / kBlock];
      for (std::size_t e = begin; e < end; ++e) {
        const NodeId source = resolve(links_->source[e]);
        const NodeId target = resolve(links_->target[e]);
        if (source == kUnknown || target == kUnknown) {
          fact.first_unknown = e;
          return;
        }
        fact.dropped += source == kDropped || target == kDropped ? 1u : 0u;
        links_->source[e] = source;
        links_->target[e] = target;
      }
    });
    std::size_t dropped = 0;
    for (const Facts& fact : facts) {
      if (fact.first_unknown != kNone) refuse_unknown(fact.first_unknown, meaning, resolve);
      dropped += fact.dropped;
    }
    if (dropped != 0) close_gaps();
    return dropped;
  }

  template <class Resolve>
  [[noreturn]] void refuse_unknown(std::size_t link, LinkEndpoints meaning, Resolve&& resolve) const {
    const bool source = resolve(links_->source[link]) == kUnknown;
    const std::uint32_t end = source ? links_->source[link] : links_->target[link];
    const std::string_view which = source ? "source" : "target";
    if (meaning == LinkEndpoints::position) {
      place_.fail("EDG-01", "link ", grouped(link), ": ", which, " ", grouped(end),
                  " is read as a position, but there are ", grouped(links_->num_nodes()),
                  " nodes; are the endpoints ids (--link-endpoints=id)?");
    }
    const std::string id =
        links_->endpoints_are_names ? std::string(links_->names[end].substr(0, 80)) : message(end);
    const bool in_map = ids_.find(id) != kNoNode;
    place_.fail("IDM-01", "link ", grouped(link), ": ", which, " \"", id, "\" is ",
                in_map ? "not in \"nodes\"" : "neither in \"nodes\" nor in the id map", " (",
                grouped(ids_.size()), " ids)");
  }

  void close_gaps() {
    std::size_t at = 0;
    for (std::size_t e = 0; e < links_->num_links(); ++e) {
      if (links_->source[e] == kDropped || links_->target[e] == kDropped) continue;
      links_->source[at] = links_->source[e];
      links_->target[at] = links_->target[e];
      ++at;
    }
    links_->source.resize(at);
    links_->target.resize(at);
  }

  const NodeLinkGraph* file_ = nullptr;  // nodes
  NodeLinkGraph* links_ = nullptr;       // the same, where its links are resolved in place
  NodeLinkGraph whole_;
  const IdMap& ids_;
  const ReadOptions& options_;
  Place place_;
  Place id_place_;
  Dataset& out_;
  std::size_t warnings_before_;
  Array<NodeId> row_of_name_;
  Array<NodeId> row_of_position_;
};

}  // namespace detail

/// Reads a data set in GraphSAGE layout: <p>-G.json, <p>-id_map.json, <p>-class_map.json, <p>-feats.npy.
///
/// Rows are those of the id map; nodes the graph file does not mention stay as isolated nodes without a role
/// (NodeSet::cluster_gcn makes them training nodes). `train_graph` holds the edges between training nodes.
/// Cost     one pass over the graph file, in parallel; while the graph is built 10 bytes per link of a regular file
///          (nodes first, endpoints that must be positions), 24 of any other, which takes one core
/// Errors   FormatError GEN-01 (a file is missing), JSN, IDM, LBL, EDG, SPL, NPY; FEA-03 if the features have
/// another
///          number of rows than the id map
inline Dataset read_graphsage(const std::filesystem::path& path, const ReadOptions& options = {}) {
  const GraphSageFiles files = find_graphsage(path);
  const Place place(files.graph);
  Dataset out;
  out.name = files.prefix;
  out.provenance.layout = "graphsage";
  std::vector<std::string>& warnings = out.provenance.warnings;
  const IdMap ids = read_id_map(files.id_map);
  if (ids.size() == 0) Place(files.id_map).fail("IDM-02", "the map is empty");
  out.labels = read_class_map(files.class_map, ids, options, warnings);
  {
    detail::GraphSageAssembler assembler(ids, options, place, Place(files.id_map), out);
    assembler.assemble(files.graph);
  }
  const NpyArray features = read_npy(files.features, {.max_bytes = byte_limit(options)}, &warnings);
  features.require_rank(2, "(N, F)");
  if (features.dim(0) != ids.size()) {
    Place(files.features)
        .fail("FEA-03", "feats has ", grouped(features.dim(0)), " rows but ids run to ",
              grouped(ids.size() - 1));
  }
  out.features = to_matrix(features, options.nan, &warnings, {.max_bytes = byte_limit(options)});
  check_split(out, place, warnings);
  const bool held_out = std::any_of(out.roles.begin(), out.roles.end(),
                                    [](Role role) { return role == Role::val || role == Role::test; });
  if (held_out) out.train_graph = edges_among_training_nodes(out.graph, out.roles);
  return out;
}

}  // namespace tessera::io
