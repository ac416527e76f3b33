// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/fingerprint.hpp"
#include "tessera/core/raw_file.hpp"
#include "tessera/history/row_format.hpp"

namespace tessera::detail {

struct TableFileOptions {
  std::filesystem::path path;
  std::uint64_t key = 0;  ///< content id of the graph and model the rows belong to
  bool resume = false;    ///< take what the file holds if it exists; else it is replaced
};

struct TableShape {
  std::uint64_t rows, cols, stride, scalar_bytes;
  HistoryFormat format;
};

/// The mapped file of one history table: a header of 4096 bytes, the rows, the stamps (4 bytes each).
///
/// While a run writes, the header says that the rows are not to be trusted; `close` checksums them. So a file of a
/// killed run, a cut or a changed one is refused instead of believed.
/// Errors   FormatError: HIS-01 not a history file or another version, HIS-02 of another graph or model, HIS-03 another
///          shape, HIS-04 truncated, HIS-05 not closed by the run that wrote it, HIS-06 damaged; GEN-04 with the bytes
///          wanted where the disk is full, before an older file of that name is touched
class TableFile {
 public:
  TableFile(const TableFileOptions& options, const TableShape& shape)
      : path_(options.path), wanted_(header_of(options, shape)) {
    rows_bytes_ = static_cast<std::size_t>(shape.rows * shape.stride);
    bytes_ = kHeaderBytes + rows_bytes_ + static_cast<std::size_t>(shape.rows) * sizeof(std::uint32_t);
    if (options.resume && std::filesystem::exists(path_)) {
      file_ = RawFile(path_, O_RDWR);
      check();
      mapping_ = WritableMapping(file_, bytes_);
      check_content();
      resumed_ = true;
    } else {
      create();
    }
    set_clean(false);
  }
  TableFile(TableFile&&) = default;

  std::byte* rows() const noexcept { return mapping_.data() + kHeaderBytes; }
  std::span<std::uint32_t> stamps() const noexcept {
    // Rows are multiples of 16 bytes, so stamps are aligned.
    return {reinterpret_cast<std::uint32_t*>(mapping_.data() + kHeaderBytes + rows_bytes_),
            static_cast<std::size_t>(wanted_.rows)};
  }
  bool resumed() const noexcept { return resumed_; }
  std::uint64_t mark() const noexcept { return header().mark; }

  /// Checksums the rows and says that they may be believed; `mark` is the caller's to tell saves apart.
  void close(std::uint64_t mark) {
    set_clean(false);
    Header& h = header();
    h.mark = mark;
    h.checksum = checksum();
    mapping_.flush(file_);
    set_clean(true);
    mapping_.flush(file_);
  }
  /// The rows are about to change.
  void open() { set_clean(false); }

 private:
  static constexpr std::size_t kHeaderBytes = 4096;
  static constexpr std::uint64_t kMagic = 0x31304853'49485354;  // "TSHISH01", little-endian

  struct Header {
    std::uint64_t magic, key, rows, cols, stride, scalar_bytes, format, mark, checksum, clean;
  };

  static Header header_of(const TableFileOptions& options, const TableShape& s) {
    return {kMagic,
            options.key,
            s.rows,
            s.cols,
            s.stride,
            s.scalar_bytes,
            static_cast<std::uint64_t>(s.format),
            std::uint64_t{0},
            0,
            0};
  }

  void create() {
    const std::filesystem::path temporary = path_.string() + ".tmp-" + std::to_string(::getpid());
    try {
      file_ = RawFile(temporary, O_RDWR | O_CREAT | O_TRUNC);
      file_.reserve(bytes_);
      mapping_ = WritableMapping(file_, bytes_);
      header() = wanted_;
    } catch (...) {
      std::error_code ignored;
      std::filesystem::remove(temporary, ignored);
      throw;
    }
    rename_durably(temporary, path_);
  }

  void check() const {
    Header h;
    const bool whole = file_.read_at(0, std::as_writable_bytes(std::span(&h, 1)));
    if (!whole || h.magic != kMagic)
      fail("HIS-01", "not a history table of this version. Remove it to start anew");
    if (h.key != wanted_.key) {
      fail("HIS-02", message("belongs to another graph or model (content id ", h.key, ", want ", wanted_.key,
                             "). Name another file, or remove it to start anew"));
    }
    if (h.rows != wanted_.rows || h.cols != wanted_.cols || h.stride != wanted_.stride ||
        h.scalar_bytes != wanted_.scalar_bytes || h.format != wanted_.format) {
      fail("HIS-03", message("holds [", h.rows, ", ", h.cols, "] in ", h.stride, " bytes a row, want [",
                             wanted_.rows, ", ", wanted_.cols, "] in ", wanted_.stride));
    }
    if (file_.size() != bytes_) {
      fail("HIS-04", message("is truncated: ", file_.size(), " bytes, want ", bytes_));
    }
    if (h.clean != 1) {
      fail("HIS-05", "was not saved by the run that wrote it last. Remove it: a refresh restores the rows");
    }
  }
  void check_content() const {
    if (header().checksum == checksum()) return;
    fail("HIS-06",
         "is damaged: its rows do not match their checksum. Remove it: a refresh restores the rows");
  }
  [[noreturn]] void fail(const char* code, const std::string& text) const {
    throw FormatError(code, path_.string(), text);
  }

  std::uint64_t checksum() const {
    Fingerprint print;
    print.add(std::span<const std::byte>(mapping_.data() + kHeaderBytes, bytes_ - kHeaderBytes));
    print.add(header().mark);
    return print.value();
  }

  Header& header() const noexcept { return *reinterpret_cast<Header*>(mapping_.data()); }
  void set_clean(bool clean) noexcept {
    // Threads that push rows all say the same.
    std::atomic_ref<std::uint64_t>(header().clean).store(clean ? 1 : 0, std::memory_order_relaxed);
  }

  std::filesystem::path path_;
  Header wanted_;
  std::size_t rows_bytes_ = 0;
  std::size_t bytes_ = 0;
  RawFile file_;
  WritableMapping mapping_;
  bool resumed_ = false;
};

}  // namespace tessera::detail
