// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/history/detail/table_file.hpp"
#include "tessera/history/row_format.hpp"
#include "tessera/history/staleness.hpp"
#include "tessera/kernels/dispatch.hpp"

namespace tessera {

/// One row per node of what a layer once computed for it, in memory or in a mapped file, and when.
///
///     HistoryTable<float> table(N, 256, HistoryFormat::bf16);
///     table.push_rows(batch_ids, h, step);
///     table.pull_rows(halo_ids, buffer, step);
///
/// Rows that were never pushed are zero.
/// Shapes   [N, F]; pushed and pulled matrices have F columns
/// Units    steps count from 1; stamp 0 is "never"
/// Cost     N (row bytes + 4); pushing and pulling move rows at memory speed, converting on the way
/// Errors   ShapeError if widths or counts differ, IndexError for an id of N or more, both before anything is written
/// Threads  concurrent calls are safe on distinct rows; ids of one push must be distinct
template <Real T>
class HistoryTable {
 public:
  HistoryTable(std::size_t rows, std::size_t cols, HistoryFormat format)
      : rows_(rows), cols_(cols), format_(format), stride_(history_row_bytes<T>(format, cols)) {
    memory_.resize(rows * stride_);
    stamps_.resize(rows);
    data_ = memory_.data();
    stamp_ = stamps_.span();
    clear();
  }
  /// In a file: made anew, or what an earlier run left there where `file.resume` is set.
  ///
  /// Errors   FormatError for a full disk, a damaged file or one of another history
  HistoryTable(std::size_t rows, std::size_t cols, HistoryFormat format, const detail::TableFileOptions& file)
      : rows_(rows), cols_(cols), format_(format), stride_(history_row_bytes<T>(format, cols)) {
    file_.emplace(file, detail::TableShape{rows, cols, stride_, sizeof(T), format});
    data_ = file_->rows();
    stamp_ = file_->stamps();
    if (!file_->resumed()) clear();
  }

  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return cols_; }
  HistoryFormat format() const noexcept { return format_; }
  /// Of one row, padding included.
  std::size_t row_bytes() const noexcept { return stride_; }
  std::size_t bytes() const noexcept { return rows_ * (stride_ + sizeof(std::uint32_t)); }
  /// Whether the rows are those an earlier run left.
  bool resumed() const noexcept { return file_ && file_->resumed(); }
  std::uint32_t stamp(NodeId row) const noexcept { return stamp_[row]; }

  /// Forgets every row.
  void clear() {
    parallel_for(rows_, 4096, [&](std::size_t i, std::size_t end) {
      std::fill(data_ + i * stride_, data_ + end * stride_, std::byte{0});
      std::fill(stamp_.begin() + static_cast<std::ptrdiff_t>(i),
                stamp_.begin() + static_cast<std::ptrdiff_t>(end), 0u);
    });
  }

  /// Rows ids[i] become x_i.
  void push_rows(std::span<const NodeId> ids, MatrixView<const T> x, std::uint32_t step) {
    check("push_rows", ids, x.rows(), x.cols());
    if (file_) file_->open();
    move_rows(ids.size(), [&](auto level, std::size_t i) TESSERA_INLINE_LAMBDA {
      detail::encode_row(level, format_, x.data() + i * x.stride(), cols_, data_ + ids[i] * stride_);
      stamp_[ids[i]] = step;
    });
  }
  /// Rows [first, first + n) become x.
  void push_range(std::size_t first, MatrixView<const T> x, std::uint32_t step) {
    if (x.cols() != cols_ || first > rows_ || x.rows() > rows_ - first) {
      throw ShapeError(message("HistoryTable::push_range: x is [", x.rows(), ", ", x.cols(), "] from row ",
                               first, " on, the table is [", rows_, ", ", cols_, "]"));
    }
    if (file_) file_->open();
    move_rows(x.rows(), [&](auto level, std::size_t i) TESSERA_INLINE_LAMBDA {
      detail::encode_row(level, format_, x.data() + i * x.stride(), cols_, data_ + (first + i) * stride_);
      stamp_[first + i] = step;
    });
  }
  /// out_i = row ids[i].
  void pull_rows(std::span<const NodeId> ids, MatrixView<T> out) const {
    check("pull_rows", ids, out.rows(), out.cols());
    move_rows(ids.size(), [&](auto level, std::size_t i) TESSERA_INLINE_LAMBDA {
      constexpr std::size_t kAhead = 8;
      if (i + kAhead < ids.size()) detail::prefetch_bytes(data_ + ids[i + kAhead] * stride_, stride_);
      detail::decode_row(level, format_, data_ + ids[i] * stride_, cols_, out.data() + i * out.stride());
    });
  }
  /// out = row `row`.
  void read_row(std::size_t row, std::span<T> out) const {
    TESSERA_ASSERT(light, row < rows_ && out.size() == cols_);
    dispatch(active_isa(), [&](auto level) TESSERA_INLINE_LAMBDA {
      detail::decode_row(level, format_, data_ + row * stride_, cols_, out.data());
    });
  }
  /// How old rows are at a step.
  void count_ages(std::span<const NodeId> ids, std::uint32_t step, StalenessCount& count) const {
    for (const NodeId v : ids) {
      if (stamp_[v] == 0) {
        ++count.never_written;
      } else {
        count.add(step - std::min(step, stamp_[v]));
      }
    }
  }

  /// Makes the table's own file complete on disk, with a checksum and what `mark` says. Nothing to do in memory.
  void save(std::uint64_t mark) {
    if (file_) file_->close(mark);
  }
  /// Writes the table to another file, which replaces an older one as a whole.
  void save_as(const std::filesystem::path& path, std::uint64_t key, std::uint64_t mark) const {
    detail::TableFile out({path, key, false}, {rows_, cols_, stride_, sizeof(T), format_});
    std::copy_n(data_, rows_ * stride_, out.rows());
    std::copy(stamp_.begin(), stamp_.end(), out.stamps().begin());
    out.close(mark);
  }
  /// Takes the rows of a file that `save_as` or `save` wrote; returns its mark.
  ///
  /// Errors   FormatError, then nothing has changed
  std::uint64_t load(const std::filesystem::path& path, std::uint64_t key) {
    if (!std::filesystem::exists(path)) throw FormatError("GEN-01", path.string(), "no such history table");
    detail::TableFile in({path, key, true}, {rows_, cols_, stride_, sizeof(T), format_});
    std::copy_n(in.rows(), rows_ * stride_, data_);
    std::copy(in.stamps().begin(), in.stamps().end(), stamp_.begin());
    const std::uint64_t mark = in.mark();
    in.close(mark);
    return mark;
  }
  /// Of the file's latest save.
  std::uint64_t mark() const noexcept { return file_ ? file_->mark() : 0; }

 private:
  template <class F>
  void move_rows(std::size_t count, F&& body) const {
    const Isa isa = active_isa();
    parallel_for(count, std::max<std::size_t>(1, (std::size_t{1} << 17) / stride_),
                 [&](std::size_t begin, std::size_t end) {
                   dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
                     for (std::size_t i = begin; i < end; ++i) body(level, i);
                   });
                 });
  }

  void check(std::string_view what, std::span<const NodeId> ids, std::size_t n, std::size_t f) const {
    if (n != ids.size() || f != cols_) {
      throw ShapeError(message("HistoryTable::", what, ": the matrix is [", n, ", ", f, "], want [",
                               ids.size(), ", ", cols_, "]"));
    }
    const NodeId largest = parallel_reduce(
        ids.size(), std::size_t{1} << 16, NodeId{0},
        [&](std::size_t i, std::size_t end) {
          NodeId most = 0;
          for (; i < end; ++i) most = std::max(most, ids[i]);
          return most;
        },
        [](NodeId a, NodeId b) { return std::max(a, b); });
    if (!ids.empty() && largest >= rows_) {
      throw IndexError(message("HistoryTable::", what, ": an id is ", largest, ", want less than ", rows_));
    }
  }

  std::size_t rows_;
  std::size_t cols_;
  HistoryFormat format_;
  std::size_t stride_;
  Array<std::byte> memory_;
  Array<std::uint32_t> stamps_;
  std::optional<detail::TableFile> file_;
  std::byte* data_ = nullptr;
  std::span<std::uint32_t> stamp_;
};

}  // namespace tessera
