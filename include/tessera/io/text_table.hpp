// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/limits.hpp"
#include "tessera/io/text_blocks.hpp"
#include "tessera/io/text_numbers.hpp"

// Tables of numbers in text: one row per line, the same number of columns in each.

namespace tessera::io {

namespace detail {

/// A part of a block: whole lines, and how many rows stand before them.
struct TextChunk {
  std::string_view text;
  std::uint64_t rows = 0;
  std::uint64_t first_row = 0;
  const char* failed = nullptr;  ///< the line that could not be read
  std::uint64_t failed_row = 0;
};

inline std::vector<TextChunk> cut_chunks(std::string_view text, std::size_t bytes = std::size_t{256} << 10) {
  std::vector<TextChunk> chunks;
  while (!text.empty()) {
    std::size_t size = std::min(bytes, text.size());
    size = std::min(text.find('\n', size - 1) + 1, text.size());
    chunks.push_back({text.substr(0, size)});
    text.remove_prefix(size);
  }
  return chunks;
}

inline std::string_view line_at(const char* p) noexcept {
  const char* end = p;
  while (*end != '\n') ++end;
  return {p, static_cast<std::size_t>(end - p)};
}

/// Reads the lines of one block in parallel: parse(p, row) reads one line and returns where the next begins, or
/// nullptr. `grow(rows)` makes room for so many rows in all; `fail(line, row, line number)` must throw.
template <class Grow, class Parse, class Fail>
void read_rows_of(const TextBlock& block, std::uint64_t& rows, Grow&& grow, Parse&& parse, Fail&& fail) {
  std::vector<TextChunk> chunks = cut_chunks(block.text);
  parallel_blocks(chunks.size(),
                  [&](std::size_t i) { chunks[i].rows = TextBlocks::count_lines(chunks[i].text); });
  const std::uint64_t before = rows;
  for (TextChunk& chunk : chunks) {
    chunk.first_row = rows;
    rows += chunk.rows;
  }
  grow(rows);
  parallel_blocks(chunks.size(), [&](std::size_t i) {
    TextChunk& chunk = chunks[i];
    std::uint64_t row = chunk.first_row;
    const char* const end = chunk.text.data() + chunk.text.size();
    for (const char* p = chunk.text.data(); p != end; ++row) {
      const char* const next = parse(p, row);
      if (next == nullptr) {
        chunk.failed = p;
        chunk.failed_row = row;
        return;
      }
      p = next;
    }
  });
  for (const TextChunk& chunk : chunks) {
    if (chunk.failed != nullptr) {
      fail(line_at(chunk.failed), chunk.failed_row, block.first_line + (chunk.failed_row - before));
    }
  }
}

/// The columns of a line: one more than its separators.
inline std::size_t count_columns(const char* line, char separator) noexcept {
  std::size_t columns = 1;
  if (separator != ' ') {
    for (const char* p = line; *p != '\n'; ++p) columns += *p == separator ? 1u : 0u;
    return columns;
  }
  columns = 0;
  for (const char* p = skip_blanks(line); *p != '\n'; p = skip_blanks(p)) {
    ++columns;
    while (*p != '\n' && !is_blank(*p)) ++p;
  }
  return columns;
}

/// count_columns for the first line of a table, which must not be blank.
inline std::size_t require_columns(const TextBlocks& text, const char* line, char separator) {
  const std::size_t columns = count_columns(line, separator);
  if (columns == 0) text.place().fail("CSV-01", "the first line is blank, want numbers");
  return columns;
}

}  // namespace detail

/// How a table of numbers is written.
struct TableFormat {
  char separator = ',';        ///< ' ' stands for any run of blanks and tabs
  std::size_t skip_lines = 0;  ///< heading lines
  bool empty_is_nan = false;   ///< an empty cell is NaN rather than a mistake
};

/// Any number of rows will do.
inline constexpr std::uint64_t kAnyRows = std::numeric_limits<std::uint64_t>::max();

/// How many rows a table must have, and what says so in messages.
struct WantRows {
  std::uint64_t count = kAnyRows;
  std::string_view says = {};  ///< e.g. "num-node-list"

  /// Errors   FormatError CSV-02
  void refuse_more(std::uint64_t rows, const Place& place) const {
    if (rows > count) place.fail("CSV-02", says, " says ", grouped(count), ", the file has more lines");
  }
  void refuse_fewer(std::uint64_t rows, const Place& place) const {
    if (count == kAnyRows || rows >= count) return;
    place.fail("CSV-02", says, " says ", grouped(count), ", the file has ", grouped(rows),
               rows == 1 ? " line" : " lines", ": truncated");
  }
};

namespace detail {

/// Runs over the lines of a file in parallel: parse(p, row) and grow(rows) as in read_rows_of.
template <class Begin, class Grow, class Parse, class Describe>
std::uint64_t read_rows(TextBlocks& text, const WantRows& want, std::size_t skip_lines, Begin&& begin,
                        Grow&& grow, Parse&& parse, Describe&& fail) {
  std::uint64_t rows = 0;
  bool begun = false;
  for_each_block(text, [&](TextBlock block) {
    for (; skip_lines > 0 && !block.text.empty(); --skip_lines) {
      block.text.remove_prefix(block.text.find('\n') + 1);
      ++block.first_line;
    }
    if (block.text.empty()) return;
    if (!begun) begin(block.text.data());
    begun = true;
    const auto checked_grow = [&](std::uint64_t total) {
      want.refuse_more(total, text.place());
      grow(total);
    };
    read_rows_of(block, rows, checked_grow, parse, fail);
  });
  want.refuse_fewer(rows, text.place());
  return rows;
}

/// Room for rows of floats: the tensor itself where the number of rows is known and the file can hold them, else
/// an array that grows.
class FloatRows {
 public:
  FloatRows(const TextBlocks& text, const WantRows& want, const Limits& limits)
      : text_(text), want_(want), limits_(limits) {}

  void set_columns(std::size_t columns) {
    columns_ = columns;
    const std::uint64_t cells = saturating_product(want_.count, columns);
    known_ = want_.count != kAnyRows && cells <= text_.most_bytes();
    if (known_) {
      require_within(text_.place(), saturating_product(cells, sizeof(float)), limits_.max_bytes);
      tensor_.resize(want_.count, columns);
    }
  }
  void grow(std::uint64_t rows) {
    if (known_) return;
    const std::uint64_t cells = saturating_product(rows, columns_);
    require_within(text_.place(), saturating_product(cells, sizeof(float)), limits_.max_bytes);
    if (flat_.capacity() < cells) flat_.reserve(std::max<std::size_t>(cells, 2 * flat_.capacity()));
    flat_.resize(cells);
  }
  std::size_t columns() const noexcept { return columns_; }
  float* row(std::uint64_t i) noexcept {
    return known_ ? tensor_.data() + i * tensor_.stride() : flat_.data() + i * columns_;
  }
  Tensor<float> take(std::uint64_t rows) {
    if (known_) return std::move(tensor_);
    return Tensor<float>::copy_of(MatrixView<const float>(flat_.data(), rows, columns_));
  }

 private:
  const TextBlocks& text_;
  WantRows want_;
  Limits limits_;
  std::size_t columns_ = 0;
  bool known_ = false;
  Tensor<float> tensor_;
  Array<float> flat_;
};

}  // namespace detail

/// Reads a table of numbers as float; NaN and infinite values pass.
///
/// Shapes   -> [rows, K], K taken from the first line
/// Cost     blocks are parsed in parallel while the next is inflated; no second copy where `want` is known
/// Errors   FormatError CSV-01 (a line of other length, or not a number), CSV-02 (fewer or more lines than
///          wanted), GEN-03 (limit), and those of TextBlocks
inline Tensor<float> read_number_table(TextBlocks& text, const WantRows& want = {},
                                       const TableFormat& format = {}, const Limits& limits = {}) {
  const char separator = format.separator;
  detail::FloatRows out(text, want, limits);
  const auto parse = [&](const char* p, std::uint64_t row) -> const char* {
    float* const cell = out.row(row);
    p = detail::skip_blanks(p);
    for (std::size_t j = 0; j < out.columns(); ++j) {
      if (j != 0 && (p = detail::skip_separator(p, separator)) == nullptr) return nullptr;
      if (format.empty_is_nan && (*p == separator || *p == '\n')) {
        cell[j] = std::numeric_limits<float>::quiet_NaN();
        continue;
      }
      p = detail::scan_float(p, cell[j]);
      if (p == nullptr) return nullptr;
    }
    return detail::end_line(p);
  };
  const std::uint64_t rows = detail::read_rows(
      text, want, format.skip_lines,
      [&](const char* line) { out.set_columns(detail::require_columns(text, line, separator)); },
      [&](std::uint64_t total) { out.grow(total); }, parse,
      [&](std::string_view line, std::uint64_t, std::uint64_t number) {
        text.at_line(number).fail("CSV-01", detail::describe_line(line, separator, out.columns()));
      });
  return out.take(rows);
}

/// Hands a table of numbers to body(first row, values [rows, K]) block by block, in order.
///
/// Cost     memory for one block
/// Errors   as read_number_table
template <class F>
void for_each_number_block(TextBlocks& text, const WantRows& want, const TableFormat& format, F&& body) {
  const char separator = format.separator;
  std::size_t columns = 0;
  std::uint64_t rows = 0;
  Tensor<float> values;
  for_each_block(text, [&](const TextBlock& block) {
    if (rows == 0) columns = detail::require_columns(text, block.text.data(), separator);
    const std::uint64_t first = rows;
    detail::read_rows_of(
        block, rows,
        [&](std::uint64_t total) {
          want.refuse_more(total, text.place());
          values.resize(total - first, columns);
        },
        [&](const char* p, std::uint64_t row) -> const char* {
          float* const cell = values.data() + (row - first) * values.stride();
          p = detail::skip_blanks(p);
          for (std::size_t j = 0; j < columns && p != nullptr; ++j) {
            if (j != 0) p = detail::skip_separator(p, separator);
            if (p != nullptr) p = detail::scan_float(p, cell[j]);
          }
          return p == nullptr ? nullptr : detail::end_line(p);
        },
        [&](std::string_view line, std::uint64_t, std::uint64_t number) {
          text.at_line(number).fail("CSV-01", detail::describe_line(line, separator, columns));
        });
    body(first, MatrixView<const float>(values));
  });
  want.refuse_fewer(rows, text.place());
}

/// Two columns of node numbers.
///
/// Shapes   source [L], target [L]
struct IdPairs {
  Array<NodeId> source;
  Array<NodeId> target;

  std::size_t size() const noexcept { return source.size(); }
};

namespace detail {

/// Scans `12,34` and the end of its line; nullptr if it is anything else.
inline const char* scan_pair(const char* p, char separator, std::uint64_t& a, std::uint64_t& b) noexcept {
  if ((p = scan_unsigned(skip_blanks(p), a)) == nullptr) return nullptr;
  p = *p == separator && is_digit(p[1]) ? p + 1 : skip_separator(p, separator);
  if (p == nullptr || (p = scan_unsigned(p, b)) == nullptr) return nullptr;
  return *p == '\n' ? p + 1 : end_line(p);
}

/// Explains a line that scan_pair or the range check refused.
[[noreturn]] inline void fail_pair(const TextBlocks& text, std::string_view line, std::uint64_t edge,
                                   std::uint64_t number, char separator, std::size_t num_nodes,
                                   NodeId first) {
  const Place place = text.at_line(number);
  const std::string copy = std::string(line) + '\n';
  std::uint64_t ends[2] = {};
  if (scan_pair(copy.c_str(), separator, ends[0], ends[1]) == nullptr) {
    const std::size_t minus = line.find('-');
    const CellCount cells = count_cells(line, separator);
    if (minus != line.npos && cells.numbers == 2 && cells.cells == 2) {
      const bool source = line.find_first_not_of(" \t") == minus;
      place.fail("EDG-02", "edge ", grouped(edge), ": ", source ? "source" : "target", " is negative in ",
                 quoted_line(line));
    }
    place.fail("CSV-01", describe_line(line, separator, 2, "whole number"));
  }
  const bool source = ends[0] < first || ends[0] - first >= num_nodes;
  const std::uint64_t end = source ? ends[0] : ends[1];
  const std::uint64_t last = first + num_nodes - (num_nodes == 0 ? 0 : 1);
  place.fail("EDG-01", "edge ", grouped(edge), ": ", source ? "source " : "target ", grouped(end),
             " but N = ", grouped(num_nodes), " (valid ", first, "..", grouped(last), ")",
             first == 0 && end == num_nodes ? "; do the ids count from 1?" : "");
}

}  // namespace detail

/// Reads a table of two columns of node numbers, each in [first, first + num_nodes); they are returned counted
/// from 0.
///
/// Cost     several hundred MB/s of text on one core; 8 bytes per line
/// Errors   FormatError CSV-01 (not two numbers), CSV-02 (number of lines), EDG-01 (out of range), EDG-02
inline IdPairs read_id_pairs(TextBlocks& text, std::size_t num_nodes, NodeId first, const WantRows& want = {},
                             const TableFormat& format = {}, const Limits& limits = {}) {
  IdPairs out;
  const char separator = format.separator;
  const auto parse = [&](const char* p, std::uint64_t row) -> const char* {
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    p = detail::scan_pair(p, separator, a, b);
    if (a - first >= num_nodes || b - first >= num_nodes) return nullptr;
    out.source[row] = static_cast<NodeId>(a - first);
    out.target[row] = static_cast<NodeId>(b - first);
    return p;
  };
  const auto grow = [&](std::uint64_t total) {
    if (out.source.capacity() < total) {
      const bool known = want.count != kAnyRows && want.count <= text.most_bytes() / 4 + 1;
      const std::uint64_t room = known ? want.count : std::max<std::uint64_t>(total, 2 * out.source.size());
      require_within(text.place(), saturating_product(room, 2 * sizeof(NodeId)), limits.max_bytes);
      out.source.reserve(room);
      out.target.reserve(room);
    }
    out.source.resize(total);
    out.target.resize(total);
  };
  detail::read_rows(
      text, want, format.skip_lines, [](const char*) {}, grow, parse,
      [&](std::string_view line, std::uint64_t row, std::uint64_t number) {
        detail::fail_pair(text, line, row, number, separator, num_nodes, first);
      });
  return out;
}

/// Reads one whole number per line.
///
/// Shapes   -> [rows]
/// Errors   FormatError CSV-01, CSV-02, and those of TextBlocks
inline Array<std::int64_t> read_integer_column(TextBlocks& text, const WantRows& want = {},
                                               const Limits& limits = {}) {
  Array<std::int64_t> out;
  const auto parse = [&](const char* p, std::uint64_t row) -> const char* {
    p = detail::skip_blanks(p);
    const bool negative = *p == '-';
    std::uint64_t value = 0;
    p = detail::scan_unsigned(p + (negative ? 1 : 0), value);
    if (p == nullptr || value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return nullptr;
    out[row] = negative ? -static_cast<std::int64_t>(value) : static_cast<std::int64_t>(value);
    return detail::end_line(p);
  };
  const auto grow = [&](std::uint64_t total) {
    require_within(text.place(), saturating_product(total, sizeof(std::int64_t)), limits.max_bytes);
    if (out.capacity() < total) out.reserve(std::max<std::size_t>(total, 2 * out.capacity()));
    out.resize(total);
  };
  detail::read_rows(
      text, want, 0, [](const char*) {}, grow, parse,
      [&](std::string_view line, std::uint64_t, std::uint64_t number) {
        text.at_line(number).fail("CSV-01", detail::describe_line(line, ',', 1, "whole number"));
      });
  return out;
}

}  // namespace tessera::io
