// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/io/detail/bare_graph.hpp"
#include "tessera/io/dimacs.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/text_blocks.hpp"
#include "tessera/io/text_numbers.hpp"

namespace tessera::io {
namespace detail {

class DimacsReader {
 public:
  DimacsReader(TextBlocks& text, const ReadOptions& options) : text_(text), options_(options) {}

  Dataset read(std::string name) {
    for_each_block(text_, [&](const TextBlock& block) {
      line_ = block.first_line;
      const char* const end = block.text.data() + block.text.size();
      for (const char* p = block.text.data(); p != end; ++line_) p = read_line(p);
    });
    if (!seen_) text_.place().fail("DIM-01", "there is no problem line (p edge N M, or p sp N M)");
    Dataset out = bare_dataset(std::move(name), "dimacs", nodes_);
    if (source_.size() != links_) {
      const std::string what = message("the problem line says ", grouped(links_), " edges, the file has ",
                                       grouped(source_.size()));
      if (arcs_) text_.place().fail("DIM-02", what);
      out.provenance.warnings.push_back(text_.place().warning("DIM-02", what));
    }
    const bool weighted = std::any_of(weight_.begin(), weight_.end(), [](float w) { return w != 1; });
    out.graph = build_graph(nodes_, {source_, target_, weighted ? weight_.span() : std::span<const float>()},
                            arcs_ ? Stored::directed : Stored::once, options_, text_.place(), out.provenance);
    return out;
  }

 private:
  const char* read_line(const char* p) {
    const char* last = p;
    while (*last != '\n') ++last;
    const std::string_view line(p, static_cast<std::size_t>(last - p));
    p = skip_blanks(p);
    const char kind = *p;
    if (kind == '\n' || kind == 'c') return last + 1;
    if (kind == 'p') {
      read_problem(p, line);
    } else if (seen_ && kind == (arcs_ ? 'a' : 'e')) {
      read_link(p + 1, line);
    } else if (!seen_ || kind != 'n') {  // `n` lines colour nodes; they are no edges
      text_.at_line(line_).fail("DIM-03", quoted_line(line),
                                seen_ ? (arcs_ ? ": want a line \"a u v w\"" : ": want a line \"e u v\"")
                                      : " stands before the problem line");
    }
    return last + 1;
  }

  void read_problem(const char* p, std::string_view line) {
    const Place place = text_.at_line(line_);
    if (seen_) place.fail("DIM-01", "there are two problem lines");
    p = skip_blanks(p + 1);
    const char* word = p;
    while (*p != '\n' && !is_blank(*p)) ++p;
    const std::string_view kind(word, static_cast<std::size_t>(p - word));
    arcs_ = kind == "sp";
    if (!arcs_ && kind != "edge" && kind != "col" && kind != "edges") {
      place.fail("DIM-01", "the problem is '", kind.substr(0, 20), "', want edge, col or sp");
    }
    p = scan_unsigned(skip_blanks(p), nodes_);
    p = p == nullptr ? nullptr : scan_unsigned(skip_blanks(p), links_);
    if (p == nullptr || end_line(p) == nullptr)
      place.fail("DIM-01", quoted_line(line), ", want \"p edge N M\" or \"p sp N M\"");
    if (nodes_ >= kNoNode) place.fail("EDG-03", grouped(nodes_), " nodes do not fit 32-bit node numbers");
    require_plausible_nodes(place, nodes_, text_.most_bytes());
    require_within(place, saturating_product(nodes_, sizeof(EdgeId)), byte_limit(options_));
    seen_ = true;
  }

  void read_link(const char* p, std::string_view line) {
    std::uint64_t u = 0;
    std::uint64_t v = 0;
    float weight = 1;
    p = is_blank(*p) ? scan_unsigned(skip_blanks(p), u) : nullptr;
    p = p == nullptr || !is_blank(*p) ? nullptr : scan_unsigned(skip_blanks(p), v);
    if (arcs_) p = p == nullptr || !is_blank(*p) ? nullptr : scan_float(skip_blanks(p), weight);
    const Place place = text_.at_line(line_);
    if (p == nullptr || end_line(p) == nullptr || !std::isfinite(weight)) {
      place.fail("DIM-03", quoted_line(line), arcs_ ? ": want \"a u v w\"" : ": want \"e u v\"");
    }
    if (u < 1 || v < 1 || u > nodes_ || v > nodes_) {
      place.fail("EDG-01", "edge ", grouped(source_.size()), ": ", u, " - ", v, " but nodes are 1..", nodes_);
    }
    source_.push_back(static_cast<NodeId>(u - 1));
    target_.push_back(static_cast<NodeId>(v - 1));
    if (arcs_) weight_.push_back(weight);
  }

  TextBlocks& text_;
  const ReadOptions& options_;
  std::uint64_t line_ = 1;
  bool seen_ = false;
  bool arcs_ = false;
  std::uint64_t nodes_ = 0;
  std::uint64_t links_ = 0;
  Array<NodeId> source_;
  Array<NodeId> target_;
  Array<float> weight_;
};

}  // namespace detail

TESSERA_DEFINE Dataset read_dimacs(const std::filesystem::path& path, const ReadOptions& options) {
  TextBlocks text{path};
  return detail::DimacsReader(text, options).read(detail::graph_file_name(path));
}

}  // namespace tessera::io
