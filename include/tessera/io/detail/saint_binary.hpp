// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/io/archives.hpp"
#include "tessera/io/dataset_name.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/finite.hpp"
#include "tessera/io/label_array.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/npy_convert.hpp"
#include "tessera/io/splits.hpp"

namespace tessera::io {
namespace detail {

/// One raw array: its elements as T, as many as dims.bin says.
template <class T>
Array<T> read_raw(const std::filesystem::path& path, std::uint64_t count) {
  const MappedFile file(path);
  if (file.size() != saturating_product(count, sizeof(T))) {
    Place(path).fail("BIN-01", "has ", grouped(file.size()), " bytes, dims.bin says ", grouped(count),
                     " elements of ", sizeof(T), " bytes");
  }
  Array<T> out(static_cast<std::size_t>(count));
  if (count != 0) std::memcpy(out.data(), file.bytes().data(), file.size());
  return out;
}

inline CsrGraph read_saint_raw_graph(const std::filesystem::path& folder, std::string_view which,
                                     std::uint64_t entries, std::uint64_t rows, const ReadOptions& options,
                                     Provenance& provenance) {
  const Place place(folder / message("adj_", which, "_indptr.bin"));
  const Array<std::int32_t> indptr = read_raw<std::int32_t>(place.file, rows);
  const Place index_place(folder / message("adj_", which, "_indices.bin"));
  const Array<std::int32_t> indices = read_raw<std::int32_t>(index_place.file, entries);
  if (rows == 0 || indptr[0] != 0 || indptr[rows - 1] < 0 ||
      static_cast<std::uint64_t>(indptr[rows - 1]) != entries) {
    place.fail("SPM-02", "does not run from 0 to ", grouped(entries));
  }
  const std::size_t nodes = rows - 1;
  for (std::size_t i = 0; i < nodes; ++i) {
    if (indptr[i + 1] < indptr[i]) {
      place.fail("SPM-02", "indptr[", i + 1, "] = ", indptr[i + 1], " is less than indptr[", i,
                 "] = ", indptr[i]);
    }
  }
  Array<NodeId> row(indices.size());
  Array<NodeId> col(indices.size());
  for (std::size_t i = 0; i < nodes; ++i) {
    for (auto e = static_cast<std::size_t>(indptr[i]); e < static_cast<std::size_t>(indptr[i + 1]); ++e) {
      if (indices[e] < 0 || static_cast<std::size_t>(indices[e]) >= nodes) {
        index_place.fail("EDG-01", "edge ", grouped(e), " (row ", i, "): neighbour ", indices[e],
                         " but N = ", grouped(nodes));
      }
      row[e] = static_cast<NodeId>(i);
      col[e] = static_cast<NodeId>(indices[e]);
    }
  }
  return build_graph(nodes, {row, col, {}}, Stored::both, options, place, provenance);
}

/// A column-major matrix of doubles as float.
inline Tensor<float> read_raw_matrix(const std::filesystem::path& path, std::uint64_t rows,
                                     std::uint64_t cols, const ReadOptions& options,
                                     std::vector<std::string>& warnings) {
  const MappedFile file(path);
  const std::uint64_t count = saturating_product(rows, cols);
  if (file.size() != saturating_product(count, sizeof(double))) {
    Place(path).fail("BIN-01", "has ", grouped(file.size()), " bytes, dims.bin says ", grouped(rows), " x ",
                     grouped(cols), " doubles");
  }
  Tensor<float> out(rows, cols);
  const Elements<double> element{file.bytes().data()};
  parallel_for(rows, 1024,
               [&](std::size_t begin, std::size_t end) { narrow_rows(element, true, begin, end, out); });
  check_finite(out.view(), Place(path), options.nan, &warnings);
  return out;
}

}  // namespace detail

TESSERA_DEFINE Dataset read_saint_binary(const std::filesystem::path& path, const ReadOptions& options) {
  using namespace detail;
  const Place place(path / "dims.bin");
  const Array<std::int32_t> dims = read_raw<std::int32_t>(place.file, 11);
  for (const std::int32_t d : dims) {
    if (d < 0) place.fail("BIN-01", "holds the size ", d);
  }
  const auto size = [&](std::size_t k) { return static_cast<std::uint64_t>(dims[k]); };
  Dataset out;
  out.name = dataset_name(path);
  out.provenance.layout = "graphsaint-bin";
  std::vector<std::string>& warnings = out.provenance.warnings;
  if (size(1) != size(3) || size(3) == 0 || size(7) + 1 != size(3) || size(9) != size(7)) {
    place.fail("BIN-01", "says ", dims[1], " and ", dims[3], " row pointers, ", dims[7],
               " rows of features and ", dims[9], " of labels, which do not fit each other");
  }
  Provenance train;
  out.train_graph = read_saint_raw_graph(path, "train", size(0), size(1), options, train);
  out.graph = read_saint_raw_graph(path, "full", size(2), size(3), options, out.provenance);
  out.roles.assign(out.num_nodes(), Role::none);
  // dims.bin counts test before val, whatever the text beside it says.
  const std::pair<std::string_view, std::uint64_t> sets[] = {
      {"train", size(4)}, {"val", size(6)}, {"test", size(5)}};
  for (std::size_t r = 1; r < 4; ++r) {
    const Place file(path / message("node_", sets[r - 1].first, ".bin"));
    for (const std::int32_t i : read_raw<std::int32_t>(file.file, sets[r - 1].second)) {
      if (i < 0 || static_cast<std::size_t>(i) >= out.num_nodes())
        file.fail("SPL-01", "node ", i, " does not exist");
      Role& role = out.roles[static_cast<std::size_t>(i)];
      if (role != Role::none && role != static_cast<Role>(r))
        file.fail("SPL-01", "node ", i, " is in two sets");
      role = static_cast<Role>(r);
    }
  }
  out.features = read_raw_matrix(path / "feats_norm_col.bin", size(7), size(8), options, warnings);
  out.provenance.feature_state = "standardised(in the file)";
  Tensor<float> labels = read_raw_matrix(path / "labels_col.bin", size(9), size(10), options, warnings);
  bool single = true;
  for (std::size_t i = 0; i < labels.rows() && single; ++i) {
    const auto row = labels.row(i);
    single = std::count(row.begin(), row.end(), 1.0f) == 1;
  }
  if (single && options.multilabel != MultiLabel::on) {
    out.labels.classes.resize(labels.rows());
    for (std::size_t i = 0; i < labels.rows(); ++i) {
      const auto row = labels.row(i);
      out.labels.classes[i] =
          static_cast<std::int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
    }
    out.labels.num_classes = labels.cols();
  } else {
    out.labels = indicator_labels(std::move(labels), Place(path / "labels_col.bin"), options);
  }
  check_split(out, Place(path), warnings);
  return out;
}

}  // namespace tessera::io
