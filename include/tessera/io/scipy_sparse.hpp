// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
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
#include "tessera/io/finite.hpp"
#include "tessera/io/limits.hpp"
#include "tessera/io/npy_convert.hpp"
#include "tessera/io/npz.hpp"
#include "tessera/io/npz_stream.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// A sparse matrix in coordinates, in the order of its file: rows may be unsorted, entries may repeat.
///
/// Shapes   [rows, cols]; row [nnz], col [nnz], value [nnz] or empty (every entry is 1)
struct SparseMatrix {
  std::size_t rows = 0;
  std::size_t cols = 0;
  Array<NodeId> row;
  Array<NodeId> col;
  Array<float> value;

  std::size_t nnz() const noexcept { return row.size(); }
};

namespace detail {

/// Reads what scipy.sparse.save_npz writes, and what the small benchmarks write under a prefix
/// ("adj_data", ...).
class ScipyReader {
 public:
  ScipyReader(const NpzFile& npz, std::string_view prefix, bool square, std::vector<std::string>& warnings)
      : npz_(npz), prefix_(prefix), square_(square), warnings_(warnings) {}

  SparseMatrix read() {
    const std::string format = read_format();
    if (format == "coo") {
      read_coordinates();
    } else {
      read_compressed(format == "csc");
    }
    return std::move(out_);
  }

 private:
  std::string key(std::string_view name) const { return prefix_ + std::string(name); }

  std::string read_format() {
    std::string format = "csr";  // what loaders assume of files without the tag
    if (npz_.has(key("format"))) {
      format = to_text(npz_.read(key("format")), 0);
    } else if (npz_.has(key("offsets"))) {
      format = "dia";
    } else if (!npz_.has(key("indptr")) && (npz_.has(key("row")) || npz_.has(key("coords")))) {
      format = "coo";
    }
    if (format != "csr" && format != "csc" && format != "coo") {
      npz_.place().fail("SPM-01", "sparse format '", format.substr(0, 20),
                        "' is not supported; save as csr or coo");
    }
    return format;
  }

  void read_shape(const NpyArray& shape) {
    const Array<std::int64_t> extents = to_integers<std::int64_t>(shape);
    if (extents.size() != 2 || extents[0] < 0 || extents[1] < 0) {
      std::string text;
      for (const std::int64_t n : extents) text += message(text.empty() ? "" : ", ", n);
      shape.place().fail("SPM-03", "shape is (", text, "), want two sizes");
    }
    out_.rows = static_cast<std::size_t>(extents[0]);
    out_.cols = static_cast<std::size_t>(extents[1]);
    if (square_ && out_.rows != out_.cols) {
      shape.place().fail("SPM-03", "shape ", out_.rows, " x ", out_.cols,
                         " is not an adjacency matrix; is this the feature matrix?");
    }
    if (std::max(out_.rows, out_.cols) >= kNoNode) {
      shape.place().fail("EDG-03", grouped(std::max(out_.rows, out_.cols)),
                         " nodes do not fit 32-bit node numbers");
    }
  }

  void read_compressed(bool by_column) {
    const std::string names[] = {key("shape"), key("indptr"), key("indices"), key("data")};
    npz_.require({names[0], names[1], names[2], names[3]});
    read_shape(npz_.read(names[0]));
    const std::size_t major = by_column ? out_.cols : out_.rows;
    const std::size_t minor = by_column ? out_.rows : out_.cols;
    NpyStream indices(npz_, names[2]);
    NpyStream data(npz_, names[3]);
    if (data.header().rank() == 3) {
      npz_.place().fail("SPM-01", "sparse format 'bsr' is not supported; save as csr or coo");
    }
    const Array<EdgeId> indptr = read_indptr(npz_.read(names[1]), major);
    const std::size_t nnz = static_cast<std::size_t>(indptr[major]);
    require_length(indices, nnz);
    require_length(data, nnz);
    Array<NodeId> minor_ids;
    parallel_invoke(
        [&] {
          minor_ids = read_ids(indices, names[2], minor, nnz, [&](std::size_t entry) {
            const auto next = std::upper_bound(indptr.begin(), indptr.end(), entry);
            return message(by_column ? " (column " : " (row ", next - indptr.begin() - 1, ")");
          });
        },
        [&] { read_values(data, names[3], nnz); });
    Array<NodeId> major_ids(nnz);
    parallel_for(major, 4096, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        std::fill(major_ids.begin() + indptr[i], major_ids.begin() + indptr[i + 1], static_cast<NodeId>(i));
      }
    });
    out_.row = std::move(by_column ? minor_ids : major_ids);
    out_.col = std::move(by_column ? major_ids : minor_ids);
  }

  void read_coordinates() {
    const bool stacked = npz_.has(key("coords"));
    npz_.require({key("shape"), key("data"), key(stacked ? "coords" : "row")});
    read_shape(npz_.read(key("shape")));
    NpyStream data(npz_, key("data"));
    const std::size_t nnz = static_cast<std::size_t>(data.header().count);
    constexpr std::size_t kAlways = std::size_t{1} << 24;
    if (out_.rows > kAlways && out_.rows / 64 > nnz) {
      npz_.place().fail("SPM-03", "shape declares ", grouped(out_.rows), " rows for ", grouped(nnz),
                        " entries");
    }
    const auto nowhere = [](std::size_t) { return std::string(); };
    if (stacked) {
      NpyStream coords(npz_, key("coords"));
      const NpyHeader& header = coords.header();
      if (header.rank() != 2 || header.shape[0] != 2 || header.shape[1] != nnz || header.fortran_order) {
        coords.place().fail("SPM-03", "has the shape ", shape_text(header.shape), ", want (2, ", nnz, ")");
      }
      const auto half = [&](std::size_t bound, Array<NodeId>& ids) {
        ids = read_ids(coords, key("coords"), bound, nnz, nowhere, false);
      };
      half(out_.rows, out_.row);
      half(out_.cols, out_.col);
      coords.finish();
      read_values(data, key("data"), nnz);
      return;
    }
    npz_.require({key("col")});
    NpyStream row(npz_, key("row"));
    NpyStream col(npz_, key("col"));
    require_length(row, nnz, true);
    require_length(col, nnz, true);
    parallel_invoke([&] { out_.row = read_ids(row, key("row"), out_.rows, nnz, nowhere); },
                    [&] { out_.col = read_ids(col, key("col"), out_.cols, nnz, nowhere); },
                    [&] { read_values(data, key("data"), nnz); });
  }

  Array<EdgeId> read_indptr(const NpyArray& array, std::size_t major) const {
    const Place& place = array.place();
    if (array.size() != major + 1) {
      place.fail("SPM-02", "indptr has ", grouped(array.size()), " entries, want ", grouped(major + 1),
                 " for ", grouped(major), " rows");
    }
    Array<EdgeId> indptr = to_integers<EdgeId>(
        array, 0, std::numeric_limits<std::int64_t>::max(), [&](std::size_t i, const std::string& value) {
          place.fail("SPM-02", "indptr[", i, "] = ", value, " is not a position");
        });
    if (indptr[0] != 0) place.fail("SPM-02", "indptr[0] = ", grouped(indptr[0]), ", want 0");
    for (std::size_t i = 0; i < major; ++i) {
      if (indptr[i + 1] < indptr[i]) {
        place.fail("SPM-02", "indptr[", i + 1, "] = ", grouped(indptr[i + 1]), " is less than indptr[", i,
                   "] = ", grouped(indptr[i]));
      }
    }
    return indptr;
  }

  /// SciPy tolerates arrays longer than the matrix needs; so do we, with a warning.
  void require_length(const NpyStream& array, std::size_t nnz, bool exact = false) const {
    const std::uint64_t size = array.header().count;
    if (size < nnz || (exact && size != nnz)) {
      array.place().fail("SPM-02", "holds ", grouped(size), " elements, the matrix has ", grouped(nnz),
                         " entries");
    }
    if (size > nnz) {
      warnings_.push_back(array.place().warning("SPM-02", "holds ", grouped(size),
                                                " elements, the matrix has ", grouped(nnz),
                                                " entries; the rest is ignored"));
    }
  }

  template <class Where>
  Array<NodeId> read_ids(NpyStream& stream, const std::string& name, std::size_t bound, std::size_t count,
                         Where&& where, bool whole = true) const {
    require_within(stream.place(), saturating_product(count, 2 * sizeof(NodeId)),
                   npz_.archive().limits().max_bytes);
    if (bound == 0 && count > 0) fail_range(name, 0, "in a matrix without columns", bound, where(0));
    const NodeId highest = bound == 0 ? 0 : static_cast<NodeId>(bound - 1);
    Array<NodeId> out(count);
    stream.integers<NodeId>(out.span(), 0, highest, [&](std::size_t entry, const std::string& value) {
      fail_range(name, entry, value, bound, where(entry));
    });
    if (whole) stream.finish();
    return out;
  }

  [[noreturn]] void fail_range(const std::string& name, std::size_t entry, const std::string& value,
                               std::size_t bound, const std::string& where) const {
    const NpyArray array = npz_.read(name);
    if (value.starts_with('-'))
      array.place().fail("EDG-02", "edge ", grouped(entry), where, ": index ", value);
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    std::uint64_t most = 0;
    with_integers(array, [&](const auto element) {
      for (std::size_t k = 0; k < array.size(); ++k) {
        least = std::cmp_less(element(k), least) ? static_cast<std::int64_t>(element(k)) : least;
        most = std::cmp_greater(element(k), most) ? static_cast<std::uint64_t>(element(k)) : most;
      }
    });
    const bool one_based = least == 1 && most == bound;
    array.place().fail("EDG-01", "edge ", grouped(entry), where, ": neighbour ", value,
                       " but N = ", grouped(bound), " (valid 0..", bound == 0 ? "none" : grouped(bound - 1),
                       ")", one_based ? "; ids look 1-based" : "");
  }

  /// Values are kept from the first that is not 1 on: real adjacency files hold ones only.
  void read_values(NpyStream& stream, const std::string& name, std::size_t nnz) {
    if (stream.header().type.kind == 'b') check_bools(npz_.read(name), warnings_);
    std::size_t ones = 0;
    std::size_t at = 0;
    stream.floats(nnz, [&](std::span<const float> values) {
      for (const float v : values) {
        if (out_.value.empty() && v == 1.0f) {
          ++ones;
        } else {
          if (out_.value.empty()) out_.value.assign(nnz, 1.0f);
          out_.value[at] = v;
        }
        ++at;
      }
    });
    stream.finish();
  }

  const NpzFile& npz_;
  std::string prefix_;
  bool square_;
  std::vector<std::string>& warnings_;
  SparseMatrix out_;
};

}  // namespace detail

/// Reads a SciPy sparse matrix (csr, csc or coo) from the members `<prefix>data`, `<prefix>shape`, ...
///
/// A file without `format` is csr, as the loaders in use assume. Indices of any integer width, unsorted
/// and repeated entries are accepted.
/// Shapes   -> [rows, cols], equal if `square`
/// Cost     O(nnz) beside decompression
/// Errors   FormatError SPM-01 (bsr, dia), SPM-02 (indptr, lengths), SPM-03 (shape), EDG-01..03
///          (indices), ZIP-05 (missing member), and those of NpzFile
inline SparseMatrix read_scipy_sparse(const NpzFile& npz, std::string_view prefix, bool square,
                                      std::vector<std::string>& warnings) {
  return detail::ScipyReader(npz, prefix, square, warnings).read();
}

/// Removes entries whose value is 0 and forgets the other values: the pattern of an unweighted graph.
///
/// Returns the number of entries removed.
inline std::size_t to_pattern(SparseMatrix& matrix, const Place& place, std::vector<std::string>& warnings) {
  if (matrix.value.empty()) return 0;
  std::size_t kept = 0;
  bool weighted = false;
  for (std::size_t k = 0; k < matrix.nnz(); ++k) {
    if (matrix.value[k] == 0.0f) continue;
    weighted |= matrix.value[k] != 1.0f;
    matrix.row[kept] = matrix.row[k];
    matrix.col[kept] = matrix.col[k];
    ++kept;
  }
  const std::size_t zeros = matrix.nnz() - kept;
  matrix.row.resize(kept);
  matrix.col.resize(kept);
  matrix.value = {};
  if (zeros > 0) {
    warnings.push_back(place.warning("EDG-04", "dropped ", grouped(zeros), " entries with the value 0"));
  }
  if (weighted) {
    warnings.push_back(place.warning("EDG-04", "entries have values other than 1; every edge weighs 1"));
  }
  return zeros;
}

/// The matrix with its zeros written out; repeated entries add up, as in SciPy.
///
/// Shapes   -> [rows, cols], every value finite or treated by the policy
/// Cost     O(rows cols), in parallel, and O(nnz)
/// Errors   FormatError GEN-03 if it exceeds the limit, FEA-01 under NanPolicy::error
inline Tensor<float> to_dense(const SparseMatrix& matrix, const Place& place, const Limits& limits = {},
                              NanPolicy nan = NanPolicy::error,
                              std::vector<std::string>* warnings = nullptr) {
  require_within(place, saturating_product(saturating_product(matrix.rows, matrix.cols), sizeof(float)),
                 limits.max_bytes);
  Tensor<float> out(matrix.rows, matrix.cols);
  parallel_for(matrix.rows, 256, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) std::fill(out.row(i).begin(), out.row(i).end(), 0.0f);
  });
  bool finite = true;
  for (std::size_t k = 0; k < matrix.nnz(); ++k) {
    float& at = out(matrix.row[k], matrix.col[k]);
    at += matrix.value.empty() ? 1.0f : matrix.value[k];
    finite &= std::isfinite(at);
  }
  if (!finite) settle_not_finite(out, place, nan, warnings);
  return out;
}

}  // namespace tessera::io
