// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/graph/symmetry.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/metis.hpp"
#include "tessera/io/text_blocks.hpp"
#include "tessera/io/text_numbers.hpp"

namespace tessera::io {
namespace detail {

/// Reads one .graph file line by line; every line that is no comment is the header or one vertex.
class MetisReader {
 public:
  MetisReader(TextBlocks& text, std::uint64_t max_bytes) : text_(text), max_bytes_(max_bytes) {}

  MetisGraph read() {
    for_each_block(text_, [&](const TextBlock& block) { read_block(block); });
    const Place& place = text_.place();
    if (!header_seen_) place.fail("MET-01", "the file has no header line");
    if (vertices_ < num_nodes_) {
      place.fail("MET-02", "the header says ", grouped(num_nodes_), " vertices, the file has ",
                 grouped(vertices_), " lines of them");
    }
    check_count();
    check_rows();
    if (weighted_ &&
        std::all_of(out_.graph.weight.begin(), out_.graph.weight.end(), [](float w) { return w == 1; })) {
      out_.graph.weight = {};
    }
    out_.graph.num_cols = num_nodes_;
    check_symmetry();
    return std::move(out_);
  }

 private:
  void read_block(const TextBlock& block) {
    line_ = block.first_line;
    const char* p = block.text.data();
    const char* const end = p + block.text.size();
    for (; p != end; ++line_) {
      if (*p == '%') {
        while (*p++ != '\n') {
        }
      } else if (!header_seen_) {
        p = read_header(p);
      } else {
        p = read_vertex(p);
      }
    }
  }

  [[noreturn]] void fail(std::string_view code, const std::string& problem) const {
    text_.at_line(line_).fail(code, problem);
  }

  /// The next number of the line, or nothing at its end.
  bool number(const char*& p, std::uint64_t& value, std::string_view what) const {
    p = skip_blanks(p);
    if (*p == '\n') return false;
    const char* const after = scan_unsigned(p, value);
    if (after == nullptr || !(is_blank(*after) || *after == '\n')) {
      const char* last = p;
      while (*last != '\n' && !is_blank(*last) && last - p < 40) ++last;
      fail(header_seen_ ? "MET-03" : "MET-01",
           message(what, ": \"", std::string_view(p, static_cast<std::size_t>(last - p)),
                   "\" is not a whole number"));
    }
    p = after;
    return true;
  }

  const char* read_header(const char* p) {
    std::uint64_t n = 0;
    std::uint64_t m = 0;
    std::uint64_t format = 0;
    std::uint64_t constraints = 0;
    if (!number(p, n, "vertices")) return p + 1;  // a blank line before the header
    if (!number(p, m, "edges"))
      fail("MET-01", "the header has one number, want \"vertices edges [fmt [ncon]]\"");
    const bool has_format = number(p, format, "fmt");
    const bool has_constraints = has_format && number(p, constraints, "ncon");
    std::uint64_t more = 0;
    if (number(p, more, "header")) fail("MET-01", "the header has more than four numbers");
    if (n == 0) fail("MET-01", "the graph has no vertices");
    if (n >= kNoNode) fail("EDG-03", message(grouped(n), " vertices do not fit 32-bit node numbers"));
    if (format > 111 || format % 10 > 1 || format / 10 % 10 > 1) {
      fail("MET-01", message("fmt is ", format,
                             ", want up to three digits 0 or 1 (sizes, vertex weights, edge weights)"));
    }
    sized_ = format / 100 == 1;
    const bool vertex_weighted = format / 10 % 10 == 1;
    weighted_ = format % 10 == 1;
    if (has_constraints && constraints > 0 && !vertex_weighted) {
      fail("MET-01",
           message("ncon is ", constraints, " but fmt ", format, " says there are no vertex weights"));
    }
    constexpr std::uint64_t kMostWeights = 1024;
    if (constraints > kMostWeights)
      fail("MET-01", message("ncon is ", constraints, ", want at most ", kMostWeights));
    out_.num_weights = vertex_weighted ? std::max<std::uint64_t>(1, constraints) : 0;
    num_nodes_ = n;
    edges_ = m;
    // Every vertex takes a line, every entry two characters; a header that says more is wrong.
    const std::uint64_t most = text_.most_bytes();
    if (n > most)
      fail("MET-02", message("the header says ", grouped(n), " vertices, which the file cannot hold"));
    require_within(text_.place(), saturating_product(n, sizeof(EdgeId)), max_bytes_);
    out_.graph.row_ptr.assign(n + 1, 0);
    if (m <= most) {
      out_.graph.col.reserve(std::min(2 * m, most / 2 + 1));
      if (weighted_) out_.graph.weight.reserve(std::min(2 * m, most / 4 + 1));
    }
    header_seen_ = true;
    return p + 1;
  }

  const char* read_vertex(const char* p) {
    if (vertices_ == num_nodes_) {
      p = skip_blanks(p);
      if (*p == '\n') return p + 1;  // blank lines after the last vertex
      fail("MET-02", message("the header says ", grouped(num_nodes_), " vertices, here is one more line"));
    }
    std::uint64_t value = 0;
    if (sized_) {
      if (!number(p, value, "vertex size")) fail("MET-03", "the vertex has no size");
      out_.vertex_sizes.push_back(checked(value));
    }
    for (std::size_t k = 0; k < out_.num_weights; ++k) {
      if (!number(p, value, "vertex weight")) {
        fail("MET-03", message("the vertex has ", k, " weights, want ", out_.num_weights));
      }
      out_.vertex_weights.push_back(checked(value));
    }
    while (number(p, value, "neighbour")) {
      if (value == 0 || value > num_nodes_) {
        fail("MET-03", message("neighbour ", value, " of vertex ", vertices_ + 1, ", want one of 1..",
                               num_nodes_, value == 0 ? " (vertices count from 1)" : ""));
      }
      if (value == vertices_ + 1)
        fail("MET-03", message("vertex ", value, " is its own neighbour; self loops are not allowed"));
      out_.graph.col.push_back(static_cast<NodeId>(value - 1));
      if (!weighted_) continue;
      const std::uint64_t neighbour = value;
      if (!number(p, value, "edge weight"))
        fail("MET-03", message("neighbour ", neighbour, " has no edge weight"));
      if (value == 0)
        fail("MET-03", message("the weight of the edge to ", neighbour, " is 0, want 1 or more"));
      out_.graph.weight.push_back(static_cast<float>(value));
    }
    end_vertex();
    ++vertices_;
    return p + 1;
  }

  void end_vertex() { out_.graph.row_ptr[vertices_ + 1] = out_.graph.col.size(); }

  std::int64_t checked(std::uint64_t value) const {
    if (value >> 63 != 0) fail("MET-03", message(value, " does not fit 63 bits"));
    return static_cast<std::int64_t>(value);
  }

  void check_count() const {
    const std::uint64_t entries = out_.graph.col.size();
    if (edges_ <= std::numeric_limits<std::uint64_t>::max() / 2 && entries == 2 * edges_) return;
    if (entries == edges_) {
      text_.place().fail("MET-02", "header says ", grouped(edges_), " edges, lists hold ", grouped(entries),
                         " entries: the header counts every edge twice, or edges are listed at one end only");
    }
    text_.place().fail("MET-02", "header says ", grouped(edges_), " edges, lists hold ", grouped(entries),
                       " entries, want twice as many as edges");
  }

  /// Sorts the rows and refuses neighbours listed twice.
  void check_rows() {
    CsrGraph& graph = out_.graph;
    std::vector<std::pair<NodeId, float>> row;
    for (std::size_t i = 0; i < num_nodes_; ++i) {
      const auto begin = static_cast<std::size_t>(graph.row_ptr[i]);
      const auto end = static_cast<std::size_t>(graph.row_ptr[i + 1]);
      NodeId* const cols = graph.col.data();
      if (!std::is_sorted(cols + begin, cols + end)) {
        if (!weighted_) {
          std::sort(cols + begin, cols + end);
        } else {
          row.clear();
          for (std::size_t e = begin; e < end; ++e) row.emplace_back(cols[e], graph.weight[e]);
          std::sort(row.begin(), row.end());
          for (std::size_t e = begin; e < end; ++e) std::tie(cols[e], graph.weight[e]) = row[e - begin];
        }
      }
      const NodeId* twice = std::adjacent_find(cols + begin, cols + end);
      if (twice != cols + end) {
        text_.place().fail("MET-03", "vertex ", i + 1, " lists its neighbour ", *twice + 1, " twice");
      }
    }
  }

  void check_symmetry() {
    const CsrView<> view = out_.graph.view();
    out_.graph.symmetric = true;
    for (std::size_t i = 0; i < num_nodes_; ++i) {
      const auto row = view.neighbors(i);
      for (std::size_t k = 0; k < row.size(); ++k) {
        const auto back = view.neighbors(row[k]);
        const auto at = std::lower_bound(back.begin(), back.end(), static_cast<NodeId>(i));
        if (at == back.end() || *at != i) {
          text_.place().fail("MET-04", "vertex ", i + 1, " lists ", row[k] + 1, ", but ", row[k] + 1,
                             " does not list ", i + 1,
                             "; METIS graphs are undirected, list every edge at both ends");
        }
        if (!view.weighted()) continue;
        const float there = view.weights(row[k])[static_cast<std::size_t>(at - back.begin())];
        if (view.weights(i)[k] != there) {
          text_.place().fail("MET-04", "the edge between ", i + 1, " and ", row[k] + 1, " weighs ",
                             view.weights(i)[k], " at one end and ", there, " at the other");
        }
      }
    }
  }

  TextBlocks& text_;
  std::uint64_t max_bytes_;
  std::uint64_t line_ = 1;
  bool header_seen_ = false;
  bool sized_ = false;
  bool weighted_ = false;
  std::uint64_t num_nodes_ = 0;
  std::uint64_t edges_ = 0;
  std::uint64_t vertices_ = 0;
  MetisGraph out_;
};

inline std::filesystem::path partition_sidecar(const std::filesystem::path& path) {
  std::filesystem::path out = path;
  out += ".id";
  return out;
}

/// K of <graph>.part.<K>; 0 if the name does not end so.
inline std::uint64_t parts_in_name(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const std::size_t at = name.rfind(".part.");
  std::uint64_t parts = 0;
  if (at == name.npos) return 0;
  const char* const end = name.data() + name.size();
  const auto [last, error] = std::from_chars(name.data() + at + 6, end, parts);
  return error == std::errc() && last == end ? parts : 0;
}

}  // namespace detail

TESSERA_DEFINE MetisGraph read_metis(const std::filesystem::path& path, const ReadOptions& options) {
  TextBlocks text(path, BlankTail::keep);
  return detail::MetisReader(text, byte_limit(options)).read();
}

TESSERA_DEFINE void write_metis(const std::filesystem::path& path, CsrView<> graph, bool wide) {
  if (graph.num_rows != graph.num_cols || !is_symmetric(graph)) {
    throw ConfigError(
        "write_metis: graph is not symmetric; METIS files hold undirected graphs, symmetrise first");
  }
  std::size_t entries = 0;
  for (std::size_t i = 0; i < graph.num_rows; ++i) {
    const auto row = graph.neighbors(i);
    for (std::size_t k = 0; k < row.size(); ++k) {
      entries += row[k] != i ? 1u : 0u;
      const float w = graph.weighted() ? graph.weights(i)[k] : 1.0f;
      if (!(w >= 1 && w <= 2147483647.0f) || w != std::trunc(w)) {
        throw ConfigError(message("write_metis: the edge ", i, " - ", row[k], " weighs ", w,
                                  ", METIS wants whole numbers from 1 on"));
      }
    }
  }
  if (!wide && entries > 0x7fffffff) {
    throw ConfigError(message("write_metis: ", entries,
                              " entries exceed 31 bits; pass wide for a METIS built with 64-bit indices"));
  }
  AtomicFile file(path);
  file.write(message(graph.num_rows, " ", entries / 2, graph.weighted() ? " 001\n" : "\n"));
  std::string line;
  for (std::size_t i = 0; i < graph.num_rows; ++i) {
    line.clear();
    const auto row = graph.neighbors(i);
    for (std::size_t k = 0; k < row.size(); ++k) {
      if (row[k] == i) continue;
      if (!line.empty()) line.push_back(' ');
      tessera::detail::append(line, row[k] + std::uint64_t{1});
      if (graph.weighted()) {
        line.push_back(' ');
        tessera::detail::append(line, static_cast<std::uint64_t>(graph.weights(i)[k]));
      }
    }
    line.push_back('\n');
    file.write(line);
  }
  file.commit();
}

TESSERA_DEFINE Array<PartId> read_partition(const std::filesystem::path& path, std::size_t num_nodes,
                                            std::vector<std::string>* warnings, std::string_view graph_id) {
  using namespace detail;
  std::error_code ignored;
  const std::filesystem::path sidecar = partition_sidecar(path);
  if (!graph_id.empty() && std::filesystem::exists(sidecar, ignored)) {
    const MappedFile file(sidecar);
    std::string_view id = as_text(file.bytes());
    id = id.substr(0, id.find_first_of("\r\n"));
    if (id != graph_id) {
      Place(path).fail("PRT-03", "belongs to the graph ", id.substr(0, 64), ", not to ", graph_id,
                       "; partition again");
    }
  }
  TextBlocks text{path};
  Array<PartId> out;
  const std::uint64_t named = parts_in_name(path);
  const std::uint64_t bound = named != 0 ? named : std::uint64_t{0xffffffff};
  std::uint64_t highest = 0;
  for_each_block(text, [&](const TextBlock& block) {
    std::uint64_t line = block.first_line;
    const char* p = block.text.data();
    const char* const end = p + block.text.size();
    for (; p != end; ++line) {
      std::uint64_t part = 0;
      const char* after = scan_unsigned(skip_blanks(p), part);
      after = after == nullptr ? nullptr : end_line(after);
      if (after == nullptr || part >= bound) {
        const char* last = p;
        while (*last != '\n') ++last;
        text.at_line(line).fail("PRT-02", quoted_line({p, static_cast<std::size_t>(last - p)}),
                                " is no part; want a number from 0 on",
                                named != 0 ? message(" less than ", named) : std::string());
      }
      if (num_nodes != 0 && out.size() == num_nodes) {
        text.place().fail("PRT-01", "has more lines than the graph has nodes (", grouped(num_nodes), ")");
      }
      highest = std::max(highest, part);
      out.push_back(part_id(part));
      p = after;
    }
  });
  if (num_nodes != 0 && out.size() != num_nodes) {
    text.place().fail("PRT-01", "has ", grouped(out.size()), " lines, the graph has ", grouped(num_nodes),
                      " nodes");
  }
  const std::uint64_t parts = named != 0 ? named : highest + 1;
  if (warnings != nullptr && !out.empty() && parts <= (std::uint64_t{1} << 28)) {
    std::vector<bool> used(parts, false);
    for (const PartId p : out) used[index(p)] = true;
    const auto empty = static_cast<std::uint64_t>(std::count(used.begin(), used.end(), false));
    if (empty > 0)
      warnings->push_back(
          text.place().warning("PRT-02", grouped(empty), " of ", grouped(parts), " parts are empty"));
  }
  return out;
}

TESSERA_DEFINE void write_partition(const std::filesystem::path& path, std::span<const PartId> parts,
                                    std::string_view graph_id) {
  AtomicFile file(path);
  std::string line;
  for (const PartId part : parts) {
    line.clear();
    tessera::detail::append(line, static_cast<std::uint64_t>(index(part)));
    line.push_back('\n');
    file.write(line);
  }
  file.commit();
  if (!graph_id.empty()) write_file(detail::partition_sidecar(path), message(graph_id, "\n"));
}

}  // namespace tessera::io
