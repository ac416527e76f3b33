// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
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
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/matrix_market.hpp"
#include "tessera/io/text_blocks.hpp"
#include "tessera/io/text_numbers.hpp"

namespace tessera::io {
namespace detail {

class MatrixMarketReader {
 public:
  MatrixMarketReader(TextBlocks& text, const ReadOptions& options) : text_(text), options_(options) {}

  Dataset read(std::string name) {
    for_each_block(text_, [&](const TextBlock& block) { read_block(block); });
    if (state_ == State::banner) text_.place().fail("MTX-01", "the file is empty");
    if (state_ != State::entries) text_.place().fail("MTX-01", "there is no size line");
    if (read_ < entries_) {
      text_.place().fail("MTX-02", "the size line says ", grouped(entries_), " entries, the file has ",
                         grouped(read_), ": truncated");
    }
    Dataset out = bare_dataset(std::move(name), "matrix-market", nodes_);
    std::vector<std::string>& warnings = out.provenance.warnings;
    if (zeros_ > 0)
      warnings.push_back(
          text_.place().warning("EDG-04", "dropped ", grouped(zeros_), " entries with the value 0"));
    const bool weighted =
        !weight_.empty() && std::any_of(weight_.begin(), weight_.end(), [](float w) { return w != 1; });
    // A symmetric file holds one triangle; others are taken as they are.
    const Stored stored = symmetric_ ? Stored::once : Stored::directed;
    out.graph = build_graph(nodes_, {col_, row_, weighted ? weight_.span() : std::span<const float>()},
                            stored, options_, text_.place(), out.provenance);
    if (weighted) warnings.push_back(text_.place().warning("EDG-04", "values other than 1 are edge weights"));
    return out;
  }

 private:
  enum class State { banner, size, entries };

  void read_block(const TextBlock& block) {
    line_ = block.first_line;
    const char* p = block.text.data();
    const char* const end = p + block.text.size();
    for (; p != end; ++line_) {
      const char* next = p;
      while (*next != '\n') ++next;
      const std::string_view line(p, static_cast<std::size_t>(next - p));
      if (state_ == State::banner) {
        read_banner(line);
      } else if (*skip_blanks(p) == '\n') {
        // blank lines are legal everywhere after the banner
      } else if (state_ == State::size) {
        if (*p != '%') read_size(p, line);
      } else {
        read_entry(p, line);
      }
      p = next + 1;
    }
  }

  Place here() const { return text_.at_line(line_); }

  void read_banner(std::string_view line) {
    std::array<std::string, 6> words;
    std::size_t count = 0;
    for (std::size_t at = 0; at < line.size() && count < words.size();) {
      while (at < line.size() && is_blank(line[at])) ++at;
      std::size_t end = at;
      while (end < line.size() && !is_blank(line[end])) ++end;
      if (end > at) words[count++] = std::string(line.substr(at, std::min<std::size_t>(end - at, 32)));
      at = end;
    }
    for (std::string& word : words) {
      std::transform(word.begin(), word.end(), word.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    }
    const Place place = here();
    if (words[0] != "%%matrixmarket" || count != 5) {
      place.fail(
          "MTX-01",
          "not the banner of a Matrix Market file, \"%%MatrixMarket matrix coordinate <field> <symmetry>\": ",
          quoted_line(line));
    }
    if (words[1] != "matrix") place.fail("MTX-01", "the object is '", words[1], "', want 'matrix'");
    if (words[2] == "array") place.fail("MTX-01", "array (dense) Matrix Market files are not graphs");
    if (words[2] != "coordinate") place.fail("MTX-01", "the format is '", words[2], "', want 'coordinate'");
    pattern_ = words[3] == "pattern";
    if (!pattern_ && words[3] != "real" && words[3] != "double" && words[3] != "integer") {
      place.fail("MTX-01", "field '", words[3], "' is not supported; want real, double, integer or pattern");
    }
    symmetric_ = words[4] == "symmetric";
    if (!symmetric_ && words[4] != "general") {
      place.fail("MTX-01", "symmetry '", words[4], "' is not supported; want general or symmetric");
    }
    state_ = State::size;
  }

  void read_size(const char* p, std::string_view line) {
    std::uint64_t rows = 0;
    std::uint64_t cols = 0;
    std::uint64_t* const fields[] = {&rows, &cols, &entries_};
    for (std::uint64_t* field : fields) {
      p = p == nullptr ? nullptr : scan_unsigned(skip_blanks(p), *field);
    }
    if (p == nullptr || end_line(p) == nullptr) {
      here().fail("MTX-01", "the size line is ", quoted_line(line), ", want \"rows columns entries\"");
    }
    if (rows != cols)
      here().fail("MTX-01", rows, " x ", cols, " is not an adjacency matrix; graphs are square");
    if (rows >= kNoNode) here().fail("EDG-03", grouped(rows), " nodes do not fit 32-bit node numbers");
    // Every entry takes a line of at least four characters ("1 1\n").
    const std::uint64_t most = text_.most_bytes() / 4 + 1;
    if (entries_ > most) {
      text_.place().fail("MTX-02", "the size line says ", grouped(entries_),
                         " entries, which the file cannot hold: truncated");
    }
    const Place& place = text_.place();
    require_plausible_nodes(place, rows, text_.most_bytes());
    require_within(place, saturating_product(rows, sizeof(EdgeId)), byte_limit(options_));
    nodes_ = rows;
    if (text_.compressed()) {  // the bound is loose: grow as entries come
      state_ = State::entries;
      return;
    }
    row_.reserve(entries_);
    col_.reserve(entries_);
    if (!pattern_) weight_.reserve(entries_);
    state_ = State::entries;
  }

  void read_entry(const char* p, std::string_view line) {
    if (read_ == entries_) {
      here().fail("MTX-02", "the size line says ", grouped(entries_),
                  " entries, here is one more: ", quoted_line(line));
    }
    std::uint64_t i = 0;
    std::uint64_t j = 0;
    float value = 1;
    p = scan_unsigned(skip_blanks(p), i);
    p = p == nullptr || !is_blank(*p) ? nullptr : scan_unsigned(skip_blanks(p), j);
    if (!pattern_) p = p == nullptr || !is_blank(*p) ? nullptr : scan_float(skip_blanks(p), value);
    if (p == nullptr || end_line(p) == nullptr) {
      here().fail("MTX-03", quoted_line(line), " is no entry, want ",
                  pattern_ ? "\"row column\"" : "\"row column value\"");
    }
    if (i < 1 || j < 1 || i > nodes_ || j > nodes_) {
      here().fail("MTX-03", "entry (", i, ", ", j, ") lies outside 1..", nodes_);
    }
    if (symmetric_ && j > i) {
      here().fail("MTX-03", "entry (", i, ", ", j,
                  ") lies above the diagonal; symmetric files hold the lower triangle");
    }
    if (!std::isfinite(value)) here().fail("FEA-01", "the value of entry (", i, ", ", j, ") is not finite");
    ++read_;
    if (value == 0) {
      ++zeros_;
      return;
    }
    row_.push_back(static_cast<NodeId>(i - 1));
    col_.push_back(static_cast<NodeId>(j - 1));
    if (!pattern_) weight_.push_back(value);
  }

  TextBlocks& text_;
  const ReadOptions& options_;
  State state_ = State::banner;
  std::uint64_t line_ = 1;
  bool pattern_ = false;
  bool symmetric_ = false;
  std::uint64_t nodes_ = 0;
  std::uint64_t entries_ = 0;
  std::uint64_t read_ = 0;
  std::uint64_t zeros_ = 0;
  Array<NodeId> row_;
  Array<NodeId> col_;
  Array<float> weight_;
};

}  // namespace detail

TESSERA_DEFINE Dataset read_matrix_market(const std::filesystem::path& path, const ReadOptions& options) {
  TextBlocks text{path};
  return detail::MatrixMarketReader(text, options).read(detail::graph_file_name(path));
}

}  // namespace tessera::io
