// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/id_map.hpp"
#include "tessera/io/json_scanner.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// A networkx node-link file as it stands, before anybody decided what the endpoints of the links mean.
///
/// Shapes   node_name, node_flags [nodes]; source, target [links]
struct NodeLinkGraph {
  static constexpr std::uint32_t kVal = 1;
  static constexpr std::uint32_t kTest = 2;
  static constexpr std::uint32_t kHasVal = 4;
  static constexpr std::uint32_t kHasTest = 8;
  static constexpr std::uint32_t kIntegerId = 16;

  bool directed = false;
  bool multigraph = false;
  TextIndex names;                   ///< every id text of the file
  Array<std::uint32_t> node_name;    ///< position in the "nodes" array -> number in `names`
  Array<std::uint8_t> node_flags;    ///< the bits above
  bool endpoints_are_names = false;  ///< false: the JSON integers themselves
  Array<std::uint32_t> source;
  Array<std::uint32_t> target;
  std::vector<std::string> ignored_attributes;  ///< of links, each name once

  std::size_t num_nodes() const noexcept { return node_name.size(); }
  std::size_t num_links() const noexcept { return source.size(); }
  std::string_view node_id(std::size_t position) const noexcept { return names[node_name[position]]; }
};

namespace detail {

/// Reads the file in one pass; the order of its sections does not matter.
class NodeLinkReader {
 public:
  /// `file_bytes` bounds how many links there can be.
  NodeLinkReader(JsonScanner& json, std::uint64_t file_bytes)
      : json_(json), place_(json.file()), file_bytes_(file_bytes) {}

  NodeLinkGraph read() {
    read_while([](const NodeLinkGraph&, std::uint64_t) { return false; });
    return std::move(out_);
  }

  /// Reads up to an array of links that follows the nodes and offers it: take(graph so far, file offset of the
  /// array). True if it was taken; the rest of the file is not read then.
  template <class Take>
  bool read_until_taken(Take&& take) {
    return read_while(take);
  }
  /// What was read so far.
  NodeLinkGraph take() { return std::move(out_); }

 private:
  template <class Take>
  bool read_while(Take&& take) {
    bool nodes = false;
    bool links = false;
    json_.expect(JsonEvent::begin_object, "a node-link object");
    while (json_.next() == JsonEvent::key) {
      const std::string key(json_.text().substr(0, 80));
      if (key == "nodes") {
        if (nodes) place_.fail("JSN-02", "\"nodes\" occurs twice");
        nodes = true;
        read_nodes();
      } else if (key == "links" || key == "edges") {
        if (links) place_.fail("JSN-02", "the file has both \"links\" and \"edges\", or one of them twice");
        links = true;
        if (nodes && take(out_, json_.next_position())) return true;
        make_room();
        read_links(key);
      } else if (key == "directed" || key == "multigraph") {
        (key == "directed" ? out_.directed : out_.multigraph) = read_flag(key);
      } else {
        json_.skip_value();
      }
    }
    json_.expect(JsonEvent::end, "nothing after the object");
    if (!nodes) place_.fail("JSN-02", "no \"nodes\" array");
    if (!links) place_.fail("JSN-02", "no \"links\" (or \"edges\") array");
    return false;
  }

  void make_room() {
    // The shortest link is {"source":0,"target":1} and a comma. Pages that stay untouched cost nothing.
    const auto most = static_cast<std::size_t>(file_bytes_ / 24 + 1);
    out_.source.reserve(most);
    out_.target.reserve(most);
  }

  bool read_flag(std::string_view what) {
    const JsonEvent event = json_.next();
    if (event == JsonEvent::boolean) return json_.boolean();
    if (event == JsonEvent::integer && (json_.integer() == 0 || json_.integer() == 1))
      return json_.integer() == 1;
    json_.fail("JSN-02", message("\"", what, "\" is neither true nor false"));
  }

  void read_nodes() {
    json_.set_section("nodes");
    json_.expect(JsonEvent::begin_array, "an array of nodes");
    while (json_.next() != JsonEvent::end_array) {
      if (json_.last() != JsonEvent::begin_object) json_.fail("JSN-02", "a node is not an object");
      read_node();
    }
    json_.set_section({});
  }

  void read_node() {
    using Graph = NodeLinkGraph;
    std::uint32_t flags = 0;
    std::uint32_t name = TextIndex::kAbsent;
    while (json_.next() == JsonEvent::key) {
      if (json_.text() == "id") {
        const JsonEvent event = json_.next();
        if (event == JsonEvent::integer) flags |= Graph::kIntegerId;
        if (event != JsonEvent::integer && event != JsonEvent::string) {
          json_.fail("JSN-02",
                     message("the id of node ", out_.num_nodes(), " is neither an integer nor a string"));
        }
        name = out_.names.add(json_.text()).first;
      } else if (json_.text() == "val") {
        flags |= read_flag("val") ? Graph::kHasVal | Graph::kVal : Graph::kHasVal;
      } else if (json_.text() == "test") {
        flags |= read_flag("test") ? Graph::kHasTest | Graph::kTest : Graph::kHasTest;
      } else {
        json_.skip_value();
      }
    }
    if (name == TextIndex::kAbsent)
      json_.fail("JSN-02", message("node ", out_.num_nodes(), " has no \"id\""));
    if ((flags & Graph::kVal) != 0 && (flags & Graph::kTest) != 0) {
      json_.fail("SPL-01", message("node ", out_.names[name].substr(0, 80), " is both val and test"));
    }
    out_.node_name.push_back(name);
    out_.node_flags.push_back(static_cast<std::uint8_t>(flags));
  }

  void read_links(std::string_view section) {
    json_.set_section(section);
    json_.expect(JsonEvent::begin_array, "an array of links");
    while (take_plain_link() || json_.next() != JsonEvent::end_array) {
      if (json_.last() == JsonEvent::end_object) continue;  // taken whole
      if (json_.last() != JsonEvent::begin_object) json_.fail("JSN-02", "a link is not an object");
      read_link();
    }
    json_.set_section({});
  }

  // The link as most writers put it: Python's json with its default separators, or with the shortest.
  bool take_plain_link() {
    if (out_.endpoints_are_names) return false;
    std::array<std::int64_t, 2> ends{};
    const bool taken = json_.take_like(R"({"source": #, "target": #})", ends) ||
                       json_.take_like(R"({"source":#,"target":#})", ends);
    if (!taken) return false;
    constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max() - 1;
    if (ends[0] > kMost || ends[1] > kMost) {  // not positions, so ids
      switch_to_names();
      for (std::size_t k = 0; k < 2; ++k) {
        (k == 0 ? out_.source : out_.target).push_back(out_.names.add(message(ends[k])).first);
      }
      return true;
    }
    out_.source.push_back(static_cast<std::uint32_t>(ends[0]));
    out_.target.push_back(static_cast<std::uint32_t>(ends[1]));
    return true;
  }

  void read_link() {
    bool source = false;
    bool target = false;
    while (json_.next() == JsonEvent::key) {
      const std::string_view key = json_.text();
      if (key == "source") {
        if (source) json_.fail("JSN-02", message("link ", out_.num_links() - 1, " has two sources"));
        source = true;
        const std::uint32_t end = read_endpoint("source");
        out_.source.push_back(end);
      } else if (key == "target") {
        if (target) json_.fail("JSN-02", message("link ", out_.target.size() - 1, " has two targets"));
        target = true;
        const std::uint32_t end = read_endpoint("target");
        out_.target.push_back(end);
      } else {
        note_attribute(key);
        json_.skip_value();
      }
    }
    if (!source || !target) {
      json_.fail("JSN-02", message("a link after ", std::min(out_.source.size(), out_.target.size()),
                                   " others has no \"", source ? "target" : "source", "\""));
    }
  }

  std::uint32_t read_endpoint(std::string_view which) {
    const JsonEvent event = json_.next();
    if (event == JsonEvent::integer && !out_.endpoints_are_names) {
      const std::int64_t value = json_.integer();
      if (value < 0) json_.fail("EDG-02", message("link ", out_.target.size(), ": ", which, " ", value));
      if (value < std::numeric_limits<std::uint32_t>::max()) return static_cast<std::uint32_t>(value);
    } else if (event != JsonEvent::integer && event != JsonEvent::string) {
      json_.fail("JSN-02", message("the ", which, " of link ", out_.target.size(),
                                   " is neither an integer nor a string"));
    }
    if (!out_.endpoints_are_names) switch_to_names();
    return out_.names.add(json_.text()).first;
  }

  // A string, or an integer no position can have: endpoints are ids, also those read so far.
  void switch_to_names() {
    out_.endpoints_are_names = true;
    for (Array<std::uint32_t>* ends : {&out_.source, &out_.target}) {
      for (std::uint32_t& end : *ends) end = out_.names.add(message(end)).first;
    }
  }

  void note_attribute(std::string_view key) {
    if (key == "train_removed" || key == "test_removed" || key == "key") return;
    auto& seen = out_.ignored_attributes;
    if (seen.size() < 8 && std::find(seen.begin(), seen.end(), key) == seen.end()) {
      seen.emplace_back(key.substr(0, 80));
    }
  }

  JsonScanner& json_;
  Place place_;
  std::uint64_t file_bytes_;
  NodeLinkGraph out_;
};

/// Whether every id is the decimal number of its position.
inline bool ids_count_up(const NodeLinkGraph& file) {
  bool counting = true;
  for (std::size_t k = 0; k < file.num_nodes() && counting; ++k) counting = file.node_id(k) == message(k);
  return counting;
}

/// Whether integer endpoints are positions whatever the links say.
inline bool endpoints_must_be_positions(const NodeLinkGraph& file, LinkEndpoints wanted) {
  if (wanted != LinkEndpoints::automatic) return wanted == LinkEndpoints::position;
  bool any_integer = false;
  for (std::size_t k = 0; k < file.num_nodes(); ++k)
    any_integer |= (file.node_flags[k] & NodeLinkGraph::kIntegerId) != 0;
  return !any_integer || ids_count_up(file);
}

}  // namespace detail

/// Reads a node-link file (networkx, any version) in one pass.
///
/// Cost     one pass; 8 bytes per link and about 30 per node beside the result of nothing else
/// Errors   FormatError JSN-01 (syntax), JSN-02 (a key is missing or of the wrong type), EDG-02 (negative
/// endpoint),
///          SPL-01 (a node is both val and test)
inline NodeLinkGraph read_node_link(const std::filesystem::path& path) {
  JsonScanner json(ByteSource::file(path));
  return detail::NodeLinkReader(json, std::filesystem::file_size(path)).read();
}

/// What the endpoints of the links are: decided from the ids, or as the options say.
///
/// Integers are positions in the "nodes" array where the ids are strings or count from 0; else the file must
/// rule one reading out. Strings are always ids.
/// Errors   FormatError EDG-06 where both readings are possible, or positions are wanted and strings found
inline LinkEndpoints endpoint_meaning(const NodeLinkGraph& file, LinkEndpoints wanted, const Place& place) {
  if (file.endpoints_are_names) {
    if (wanted == LinkEndpoints::position)
      place.fail("EDG-06", "endpoints are names of nodes, not positions");
    return LinkEndpoints::id;
  }
  if (wanted != LinkEndpoints::automatic) return wanted;
  const std::size_t n = file.num_nodes();
  if (detail::endpoints_must_be_positions(file, wanted)) return LinkEndpoints::position;
  std::vector<bool> is_id(n);  // of the values that would also be positions
  std::vector<bool> node_named(file.names.size());
  for (const std::uint32_t name : file.node_name) node_named[name] = true;
  for (std::size_t v = 0; v < n; ++v) {
    const std::uint32_t name = file.names.find(message(v));
    is_id[v] = name != TextIndex::kAbsent && node_named[name];
  }
  bool not_an_id = false;
  for (const Array<std::uint32_t>* ends : {&file.source, &file.target}) {
    for (const std::uint32_t end : *ends) {
      if (end >= n) return LinkEndpoints::id;
      not_an_id = not_an_id || !is_id[end];
    }
  }
  if (not_an_id) return LinkEndpoints::position;
  place.fail("EDG-06",
             "the endpoints of the links can be positions in \"nodes\" as well as node ids; say which with "
             "--link-endpoints=position or --link-endpoints=id");
}

}  // namespace tessera::io
