// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/io/dataset_name.hpp"
#include "tessera/io/detail/bucketed_links.hpp"
#include "tessera/io/detail/link_table.hpp"
#include "tessera/io/detail/ogb_files.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/finite.hpp"
#include "tessera/io/label_table.hpp"
#include "tessera/io/npz.hpp"
#include "tessera/io/npz_stream.hpp"
#include "tessera/io/ogb.hpp"
#include "tessera/io/splits.hpp"

namespace tessera::io {
namespace detail {

/// The published directed sets; everything else under raw/ stores each undirected edge once.
inline Stored ogb_stored(std::string_view name) {
  for (const std::string_view directed : {"arxiv", "mag", "papers100M", "papers100m"}) {
    if (name.find(directed) != name.npos) return Stored::directed;
  }
  return Stored::once;
}

/// Reads one node data set; `raw` may hold files directly or, for ogbn-mag, per node type and relation.
class OgbReader {
 public:
  OgbReader(const std::filesystem::path& path, const ReadOptions& options)
      : root_(ogb_root(path)),
        raw_(ogb_raw(root_)),
        options_(options),
        limits_{.max_bytes = byte_limit(options)} {
    out_.name = dataset_name(root_);
    stored_ = ogb_stored(out_.name);
  }

  Dataset read() {
    std::error_code ignored;
    const std::filesystem::path relation = raw_ / "relations" / "paper___cites___paper";
    std::filesystem::path split = ogb_split(root_, options_.split);
    if (std::filesystem::exists(raw_ / "data.npz", ignored)) {
      read_binary();
    } else if (std::filesystem::is_directory(relation, ignored)) {
      warn("EDG-04", "read as the graph of papers and citations; other nodes and relations are left out");
      stored_ = Stored::directed;
      if (!split.empty()) split /= "paper";
      read_csv(relation, raw_ / "node-feat" / "paper", raw_ / "node-label" / "paper", count_papers());
    } else {
      read_csv(raw_, raw_, raw_, count_nodes());
    }
    out_.roles = read_ogb_roles(split, out_.num_nodes(), warnings());
    if (!split.empty()) check_split(out_, Place(split), warnings());
    if (stored_ == Stored::directed && options_.symmetrise == Symmetrise::automatic) {
      warn("EDG-05",
           "the edges have a direction and keep it; published results mostly symmetrise, pass --symmetrise");
    }
    return std::move(out_);
  }

 private:
  std::vector<std::string>& warnings() noexcept { return out_.provenance.warnings; }
  template <class... Parts>
  void warn(std::string_view code, const Parts&... parts) {
    warnings().push_back(Place(root_).warning(code, parts...));
  }

  std::size_t as_node_count(std::int64_t count, const Place& place) const {
    if (count < 1) place.fail("CSV-01", "the data set has ", count, " nodes");
    const auto nodes = static_cast<std::uint64_t>(count);
    if (nodes >= kNoNode) place.fail("EDG-03", grouped(nodes), " nodes do not fit 32-bit node numbers");
    require_within(place, nodes * sizeof(EdgeId), limits_.max_bytes);
    return nodes;
  }

  std::size_t count_nodes() const {
    const std::filesystem::path file = require_text(raw_, "num-node-list.csv");
    const Array<std::int64_t> counts = read_counts(file);
    if (counts.size() != 1) {
      Place(file).fail("GEN-02", "lists ", grouped(counts.size()),
                       " graphs, so this is a graph property data set; read it with load_graphs");
    }
    return as_node_count(counts[0], Place(file));
  }

  /// num-node-dict.csv: a line of node types, a line of counts.
  std::size_t count_papers() const {
    const std::filesystem::path file = require_text(raw_, "num-node-dict.csv");
    TextBlocks text{file};
    const std::optional<TextBlock> block = text.next();
    std::string_view names = block ? block->text : std::string_view();
    const std::size_t newline = names.find('\n');
    std::string_view counts = newline == names.npos ? std::string_view() : names.substr(newline + 1);
    names = names.substr(0, newline);
    const auto cell = [](std::string_view& line) {
      const std::size_t end = std::min(line.find_first_of(",\r\n"), line.size());
      const std::string_view out = line.substr(0, end);
      line.remove_prefix(std::min(end + 1, line.size()));
      return out;
    };
    while (!names.empty() && !counts.empty()) {
      const std::string_view name = cell(names);
      const std::string number = std::string(cell(counts)) + '\n';
      std::uint64_t count = 0;
      if (name != "paper") continue;
      if (scan_unsigned(number.c_str(), count) == nullptr || count >> 62 != 0) break;
      return as_node_count(static_cast<std::int64_t>(count), Place(file));
    }
    Place(file).fail("CSV-01", "no count of papers is given");
  }

  void read_csv(const std::filesystem::path& edges, const std::filesystem::path& feats,
                const std::filesystem::path& labels, std::size_t num_nodes) {
    out_.provenance.layout = "ogb";
    const std::filesystem::path label_file = require_text(labels, "node-label.csv");
    if (TextBlocks label_text{label_file}; num_nodes > label_text.most_bytes()) {
      label_text.place().fail("CSV-02", "num-node-list says ", grouped(num_nodes),
                              ", the file has fewer lines: truncated");
    }
    const Array<std::int64_t> edge_counts = read_counts(require_text(edges, "num-edge-list.csv"));
    std::uint64_t links = 0;
    for (const std::int64_t n : edge_counts) links += static_cast<std::uint64_t>(n);
    const std::filesystem::path edge_file = require_text(edges, "edge.csv");
    const std::filesystem::path feat_file = find_text(feats, "node-feat.csv");
    const std::filesystem::path edge_feat = find_text(edges, "edge-feat.csv");
    const bool spread = feat_file.empty() && !edge_feat.empty();
    IdPairs pairs;
    std::vector<std::string> feature_warnings;
    // Inflating a file is serial, so the two large ones are read side by side.
    parallel_invoke(
        [&] {
          pairs = read_edges(edge_file, num_nodes, {links, "num-edge-list"}, spread);
        },
        [&] {
          if (feat_file.empty()) return;
          out_.features = read_ogb_table(feat_file, num_nodes, "num-node-list", options_);
          check_finite(out_.features, Place(feat_file), options_.nan, &feature_warnings);
        });
    warnings().insert(warnings().end(), feature_warnings.begin(), feature_warnings.end());
    if (spread) {
      average_edge_features(edge_feat, pairs, num_nodes);
    } else if (feat_file.empty()) {
      out_.features = Tensor<float>(num_nodes, 0);
      warn("FEA-03", "there are no features");
    }
    read_labels(labels, num_nodes);
  }

  /// The graph; and the links themselves where they are wanted or the options need the general builder.
  IdPairs read_edges(const std::filesystem::path& file, std::size_t num_nodes, const WantRows& want,
                     bool want_pairs) {
    TextBlocks text{file};
    const BucketRules rules{.num_rows = num_nodes,
                            .keep_loops = options_.self_loops == SelfLoops::keep,
                            .symmetrize = adds_reverse(options_.symmetrise, stored_)};
    const bool direct = !want_pairs && options_.duplicates == Duplicates::merge &&
                        options_.self_loops != SelfLoops::add_missing && BucketedLinks(rules).fits();
    if (direct) {
      BuiltGraph built = read_link_table(text, rules, want, limits_);
      out_.provenance.edge_policy = describe(built.counts, built.graph.num_edges(), rules.symmetrize);
      out_.graph = std::move(built.graph);
      return {};
    }
    IdPairs pairs = read_id_pairs(text, num_nodes, 0, want, {}, limits_);
    out_.graph = build_graph(num_nodes, {pairs.source, pairs.target, {}}, stored_, options_, text.place(),
                             out_.provenance);
    return pairs;
  }

  void read_labels(const std::filesystem::path& folder, std::size_t num_nodes) {
    const std::filesystem::path file = require_text(folder, "node-label.csv");
    out_.labels =
        read_label_table(read_ogb_table(file, num_nodes, "num-node-list", options_, BlankTail::keep),
                         num_nodes, Place(file), options_, warnings());
  }

  /// Features of a node: the mean over the links at its ends, in the order of the file.
  void average_edge_features(const std::filesystem::path& file, const IdPairs& pairs, std::size_t num_nodes) {
    Tensor<double> sum;
    Array<std::uint32_t> count(num_nodes, 0);
    TextBlocks text{file};
    for_each_number_block(text, {pairs.size(), "num-edge-list"}, {}, [&](std::uint64_t first, auto values) {
      if (sum.cols() == 0) {
        require_within(text.place(), saturating_product(num_nodes, 12 * values.cols()), limits_.max_bytes);
        sum = Tensor<double>::zeros(num_nodes, values.cols());
      }
      for (std::size_t k = 0; k < values.rows(); ++k) {
        for (const NodeId node : {pairs.source[first + k], pairs.target[first + k]}) {
          for (std::size_t j = 0; j < values.cols(); ++j) sum(node, j) += static_cast<double>(values(k, j));
          ++count[node];
        }
      }
    });
    out_.features.resize(num_nodes, sum.cols());
    for (std::size_t i = 0; i < num_nodes; ++i) {
      for (std::size_t j = 0; j < sum.cols(); ++j) {
        out_.features(i, j) = static_cast<float>(sum(i, j) / std::max<std::uint32_t>(count[i], 1));
      }
    }
    check_finite(out_.features, text.place(), options_.nan, &warnings());
    warn("FEA-03", "there are no node features; each node got the mean features of its edges");
  }

  void read_binary() {
    out_.provenance.layout = "ogb-binary";
    const NpzFile npz(raw_ / "data.npz", limits_);
    npz.require({"num_nodes_list", "edge_index"});
    for (const std::string& key : npz.keys()) {
      const bool known = key.starts_with("num_") || key.starts_with("node_") || key.starts_with("edge_");
      if (!known)
        npz.place().fail("ZIP-05", "unknown member '", key.substr(0, 80),
                         "'; want edge_..., node_... or num_...");
    }
    const Array<std::int64_t> counts = to_integers<std::int64_t>(npz.read("num_nodes_list"));
    if (counts.size() != 1)
      npz.place().fail("GEN-02", "the archive holds ", counts.size(), " graphs, want one");
    const std::size_t num_nodes = as_node_count(counts[0], npz.place().at("member 'num_nodes_list'"));
    if (npz.has("node_feat")) {
      out_.features = stream_matrix(npz, "node_feat", options_.nan, &warnings());
      if (out_.features.rows() != num_nodes) {
        npz.place().fail("FEA-03", "node_feat has ", grouped(out_.features.rows()), " rows, there are ",
                         grouped(num_nodes), " nodes");
      }
    } else {
      out_.features = Tensor<float>(num_nodes, 0);
      warn("FEA-03", "there are no features");
    }
    const NpzFile labels(raw_ / "node-label.npz", limits_);
    out_.labels = read_label_array(labels.read("node_label"), num_nodes, options_, warnings());
    {
      IdPairs pairs = read_edge_index(npz, num_nodes);
      out_.graph = build_graph(num_nodes, {pairs.source, pairs.target, {}}, stored_, options_, npz.place(),
                               out_.provenance);
    }
  }

  /// All sources, then all targets.
  IdPairs read_edge_index(const NpzFile& npz, std::size_t num_nodes) const {
    const Place place = npz.place().at("member 'edge_index'");
    NpyStream stream(npz, "edge_index");
    if (stream.header().rank() != 2 || stream.header().shape[0] != 2 || stream.header().fortran_order) {
      place.fail("NPY-07", "expected the shape (2, E) in C order, found ", shape_text(stream.header().shape));
    }
    const auto count = static_cast<std::size_t>(stream.header().shape[1]);
    IdPairs out{Array<NodeId>(count), Array<NodeId>(count)};
    const auto highest = static_cast<NodeId>(num_nodes - 1);
    const auto read_ends = [&](Array<NodeId>& ends, std::string_view which) {
      stream.integers<NodeId>(ends.span(), 0, highest, [&](std::size_t edge, const std::string& value) {
        if (value.starts_with('-')) place.fail("EDG-02", "edge ", grouped(edge), ": ", which, " ", value);
        place.fail("EDG-01", "edge ", grouped(edge), ": ", which, " ", value,
                   " but N = ", grouped(num_nodes));
      });
    };
    read_ends(out.source, "source");
    read_ends(out.target, "target");
    stream.finish();
    return out;
  }

  std::filesystem::path root_;
  std::filesystem::path raw_;
  ReadOptions options_;
  Limits limits_;
  Stored stored_ = Stored::once;
  Dataset out_;
};

}  // namespace detail

TESSERA_DEFINE Dataset read_ogb(const std::filesystem::path& path, const ReadOptions& options) {
  return detail::OgbReader(path, options).read();
}

}  // namespace tessera::io
