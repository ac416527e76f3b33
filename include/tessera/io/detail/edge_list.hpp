// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/detail/bare_graph.hpp"
#include "tessera/io/edge_list.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/text_blocks.hpp"
#include "tessera/io/text_numbers.hpp"

namespace tessera::io {
namespace detail {

/// The lines of an edge list as two columns of ids (numbers, or positions in `names`) and perhaps weights.
class EdgeListReader {
 public:
  EdgeListReader(TextBlocks& text, const ReadOptions& options) : text_(text), options_(options) {}

  EdgeListGraph read(std::string name) {
    if (options_.symmetrise == Symmetrise::automatic) {
      text_.place().fail(
          "EDG-07",
          "an edge list does not say whether its edges have a direction; pass --symmetrise for an "
          "undirected graph or --directed");
    }
    for_each_block(text_, [&](const TextBlock& block) { read_block(block); });
    check_declared();
    EdgeListGraph out;
    const std::size_t nodes = number_nodes(out);
    out.data = bare_dataset(std::move(name), "edge-list", nodes);
    std::vector<std::string>& warnings = out.data.provenance.warnings;
    warnings.insert(warnings.end(), warnings_.begin(), warnings_.end());
    const bool weighted = std::any_of(weight_.begin(), weight_.end(), [](float w) { return w != 1; });
    const Stored stored = options_.symmetrise == Symmetrise::on ? Stored::once : Stored::directed;
    out.data.graph =
        build_graph(nodes, {source_, target_, weighted ? weight_.span() : std::span<const float>()}, stored,
                    options_, text_.place(), out.data.provenance);
    out.names = std::move(names_);
    return out;
  }

 private:
  static constexpr std::string_view kGaps = " \t,;";

  void read_block(const TextBlock& block) {
    line_ = block.first_line;
    const char* p = block.text.data();
    const char* const end = p + block.text.size();
    for (; p != end; ++line_) {
      const char* const start = skip_blanks(p);
      if (*start == '#' || *start == '%' || (*start == '/' && start[1] == '/') || *start == '\n') {
        p = read_comment(start);
      } else if (const char* next =
                     !first_ && options_.edge_list_ids != EdgeListIds::text ? read_numbers(start) : nullptr) {
        p = next;
      } else {
        p = read_slowly(start);
      }
    }
  }

  /// The usual line; nullptr if it is anything else.
  const char* read_numbers(const char* p) {
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    if ((p = scan_unsigned(p, a)) == nullptr) return nullptr;
    if ((p = skip_separator(p, separator_)) == nullptr) return nullptr;
    if ((p = scan_unsigned(p, b)) == nullptr) return nullptr;
    float weight = 1;
    if (columns_ > 2) {
      if ((p = skip_separator(p, separator_)) == nullptr || (p = scan_float(p, weight)) == nullptr)
        return nullptr;
      if (columns_ > 3) {
        while (*p != '\n') ++p;
      }
      if (!std::isfinite(weight)) return nullptr;
    }
    if ((p = end_line(p)) == nullptr) return nullptr;
    add(a, b, weight);
    return p;
  }

  void add(std::uint64_t a, std::uint64_t b, float weight) {
    wide_source_.push_back(a);
    wide_target_.push_back(b);
    if (columns_ > 2) weight_.push_back(weight);
  }

  /// The first lines, words, and everything that is wrong.
  const char* read_slowly(const char* p) {
    const char* last = p;
    while (*last != '\n') ++last;
    std::string_view line(p, static_cast<std::size_t>(last - p));
    while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
    if (separator_ == '\0') find_separator(line);
    std::vector<std::string> cells = split(line);
    const bool text = options_.edge_list_ids == EdgeListIds::text;
    std::uint64_t ends[2] = {};
    bool numeric[2] = {};
    for (std::size_t k = 0; k < 2 && k < cells.size(); ++k) {
      const std::string copy = cells[k] + '\n';
      const char* after = scan_unsigned(copy.c_str(), ends[k]);
      numeric[k] = after != nullptr && *after == '\n';
    }
    if (first_ && cells.size() >= 2 && (!numeric[0] && !numeric[1]) && cells[0].front() != '-' &&
        (!text || looks_like_heading(cells))) {
      warnings_.push_back(text_.at_line(line_).warning("CSV-01", "taken as a heading: ", quoted_line(line)));
      return last + 1;
    }
    if (first_) {
      columns_ = cells.size();
      if (columns_ > 3)
        warnings_.push_back(text_.at_line(line_).warning("CSV-01", "columns after the third are ignored"));
    }
    first_ = false;
    if (cells.size() < 2 || (columns_ <= 3 && cells.size() != columns_)) {
      text_.at_line(line_).fail("CSV-01", quoted_line(line), " has ", cells.size(),
                                cells.size() == 1 ? " column" : " columns", ", want ",
                                columns_ < 2 ? "two node ids" : message(columns_));
    }
    float weight = 1;
    if (columns_ > 2) {
      const std::string copy = cells.size() > 2 ? cells[2] + '\n' : "\n";
      const char* after = scan_float(copy.c_str(), weight);
      if (after == nullptr || *after != '\n') {
        text_.at_line(line_).fail("CSV-01", quoted_line(line), ": \"",
                                  cells.size() > 2 ? cells[2].substr(0, 40) : "", "\" is not a weight");
      }
      if (!std::isfinite(weight)) text_.at_line(line_).fail("FEA-01", "the weight is not finite");
    }
    if (text) {
      add(names_.add(cells[0]).first, names_.add(cells[1]).first, weight);
      return last + 1;
    }
    for (std::size_t k = 0; k < 2; ++k) {
      if (numeric[k]) continue;
      const std::string_view which = k == 0 ? "source" : "target";
      if (cells[k].starts_with('-')) {
        text_.at_line(line_).fail("EDG-02", "edge ", grouped(wide_source_.size()), ": ", which, " ",
                                  cells[k].substr(0, 40));
      }
      text_.at_line(line_).fail("CSV-01", quoted_line(line), ": ", which, " \"", cells[k].substr(0, 40),
                                "\" is not a whole number; are the ids words (--ids=text)?");
    }
    add(ends[0], ends[1], weight);
    return last + 1;
  }

  static bool looks_like_heading(const std::vector<std::string>& cells) {
    constexpr std::string_view kWords[] = {"id_1",  "id1",        "source", "from", "src",
                                           "node1", "fromnodeid", "u",      "user1"};
    std::string first = cells[0];
    std::transform(first.begin(), first.end(), first.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return std::find(std::begin(kWords), std::end(kWords), first) != std::end(kWords);
  }

  void find_separator(std::string_view line) {
    for (const char candidate : {'\t', ',', ';'}) {
      if (line.find(candidate) != line.npos) {
        separator_ = candidate == '\t' ? ' ' : candidate;
        return;
      }
    }
    separator_ = ' ';
  }

  std::vector<std::string> split(std::string_view line) const {
    std::vector<std::string> cells;
    std::size_t at = 0;
    while (at <= line.size() && cells.size() < 8) {
      std::size_t end = at;
      while (end < line.size() && !(separator_ == ' ' ? is_blank(line[end]) : line[end] == separator_)) ++end;
      std::string_view cell = line.substr(at, end - at);
      while (!cell.empty() && is_blank(cell.front())) cell.remove_prefix(1);
      while (!cell.empty() && is_blank(cell.back())) cell.remove_suffix(1);
      if (!cell.empty() || separator_ != ' ') cells.emplace_back(cell);
      at = end + 1;
    }
    return cells;
  }

  /// "# Nodes: 317080 Edges: 1049866", as SNAP writes it.
  const char* read_comment(const char* p) {
    const char* last = p;
    while (*last != '\n') ++last;
    const std::string_view line(p, static_cast<std::size_t>(last - p));
    const auto number_after = [&](std::string_view word, std::uint64_t& value) {
      const std::size_t at = line.find(word);
      if (at != line.npos) scan_unsigned(skip_blanks(p + at + word.size()), value);
    };
    number_after("Nodes:", declared_nodes_);
    number_after("Edges:", declared_edges_);
    return last + 1;
  }

  void check_declared() {
    const std::size_t edges = wide_source_.size();
    if (edges < declared_edges_) {
      text_.place().fail("CSV-02", "the comment says ", grouped(declared_edges_), " edges, the file has ",
                         grouped(edges), ": truncated");
    }
    if (declared_edges_ != 0 && edges > declared_edges_) {
      warnings_.push_back(text_.place().warning("CSV-02", "the comment says ", grouped(declared_edges_),
                                                " edges, the file has ", grouped(edges)));
    }
  }

  /// Turns ids into nodes; returns how many there are.
  std::size_t number_nodes(EdgeListGraph& out) {
    std::uint64_t highest = 0;
    for (const Array<std::uint64_t>* ends : {&wide_source_, &wide_target_}) {
      for (const std::uint64_t end : *ends) highest = std::max(highest, end);
    }
    const std::size_t edges = wide_source_.size();
    std::size_t nodes = edges == 0 ? 0 : static_cast<std::size_t>(highest) + 1;
    if (options_.edge_list_ids == EdgeListIds::as_is) {
      if (highest >= kNoNode - 1) {
        text_.place().fail("EDG-03", "id ", grouped(highest),
                           " does not fit 32-bit node numbers; read with --ids=compact");
      }
      require_plausible_nodes(text_.place(), nodes, text_.most_bytes());
      require_within(text_.place(), saturating_product(nodes, sizeof(EdgeId)), byte_limit(options_));
    } else if (options_.edge_list_ids == EdgeListIds::text) {
      nodes = names_.size();
    } else {
      nodes = compact(out, highest);
    }
    source_ = narrow(wide_source_);
    target_ = narrow(wide_target_);
    if (declared_nodes_ != 0 && declared_nodes_ != nodes) {
      warnings_.push_back(text_.place().warning("CSV-02", "the comment says ", grouped(declared_nodes_),
                                                " nodes, ", grouped(nodes), " have an edge"));
    }
    return nodes;
  }

  std::size_t compact(EdgeListGraph& out, std::uint64_t highest) {
    Array<std::uint64_t>& ids = out.numbers;
    const std::size_t ends = 2 * wide_source_.size();
    // A table over all ids costs less than sorting them while ids are not far apart.
    if (highest / 4 < ends + 1024) {
      Array<NodeId> rank(static_cast<std::size_t>(highest) + 2, 0);
      for (const Array<std::uint64_t>* side : {&wide_source_, &wide_target_}) {
        for (const std::uint64_t id : *side) rank[id] = 1;
      }
      NodeId next = 0;
      for (std::size_t id = 0; id < rank.size(); ++id) {
        if (rank[id] == 0) continue;
        ids.push_back(id);
        rank[id] = next++;
      }
      for (Array<std::uint64_t>* side : {&wide_source_, &wide_target_}) {
        for (std::uint64_t& id : *side) id = rank[id];
      }
      return ids.size();
    }
    ids.resize(ends);
    std::copy(wide_source_.begin(), wide_source_.end(), ids.begin());
    std::copy(wide_target_.begin(), wide_target_.end(), ids.begin() + wide_source_.size());
    parallel_sort(ids.begin(), ids.end());
    ids.resize(static_cast<std::size_t>(std::unique(ids.begin(), ids.end()) - ids.begin()));
    if (ids.size() >= kNoNode)
      text_.place().fail("EDG-03", grouped(ids.size()), " nodes do not fit 32-bit node numbers");
    for (Array<std::uint64_t>* side : {&wide_source_, &wide_target_}) {
      parallel_for(side->size(), 1 << 14, [&](std::size_t begin, std::size_t end) {
        for (std::size_t e = begin; e < end; ++e) {
          const auto at = std::lower_bound(ids.begin(), ids.end(), (*side)[e]);
          (*side)[e] = static_cast<std::uint64_t>(at - ids.begin());
        }
      });
    }
    return ids.size();
  }

  static Array<NodeId> narrow(Array<std::uint64_t>& wide) {
    Array<NodeId> out(wide.size());
    for (std::size_t e = 0; e < wide.size(); ++e) out[e] = static_cast<NodeId>(wide[e]);
    wide = {};
    return out;
  }

  TextBlocks& text_;
  const ReadOptions& options_;
  std::uint64_t line_ = 1;
  char separator_ = '\0';
  bool first_ = true;
  std::size_t columns_ = 2;
  std::uint64_t declared_nodes_ = 0;
  std::uint64_t declared_edges_ = 0;
  TextIndex names_;
  Array<std::uint64_t> wide_source_;
  Array<std::uint64_t> wide_target_;
  Array<float> weight_;
  Array<NodeId> source_;
  Array<NodeId> target_;
  std::vector<std::string> warnings_;
};

}  // namespace detail

TESSERA_DEFINE EdgeListGraph read_edge_list(const std::filesystem::path& path, const ReadOptions& options) {
  TextBlocks text{path};
  return detail::EdgeListReader(text, options).read(detail::graph_file_name(path));
}

TESSERA_DEFINE void write_id_table(const std::filesystem::path& path, const EdgeListGraph& graph) {
  AtomicFile file(path);
  file.write("node,id\n");
  for (std::size_t i = 0; i < graph.data.num_nodes(); ++i) {
    if (graph.names.size() != 0) {
      file.write(message(i, ",", graph.names[i], "\n"));
    } else {
      file.write(message(i, ",", graph.numbers.empty() ? i : graph.numbers[i], "\n"));
    }
  }
  file.commit();
}

}  // namespace tessera::io
