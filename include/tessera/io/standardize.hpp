// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/io/file_error.hpp"

namespace tessera::io {

/// Per column: what (x - mean) / scale needs.
///
/// Shapes   mean [F], scale [F]; scale is 1 for constant columns
struct FeatureScaler {
  Array<double> mean;
  Array<double> scale;
  std::size_t constant_columns = 0;
  bool already_standard = false;  ///< every other column has mean 0 and variance 1 on the fitting rows
};

/// Mean and population deviation of every column over the fitting rows, accumulated in double.
///
/// Shapes   x [N, F], rows: indices into x, at least one
/// Cost     two passes over the rows, in parallel; 16 bytes per column and 4096 rows
/// Errors   ConfigError if there are no fitting rows
/// Threads  the result does not depend on T
inline FeatureScaler fit_scaler(MatrixView<const float> x, std::span<const NodeId> rows) {
  if (rows.empty()) throw ConfigError("fit_scaler: there are no fitting rows");
  constexpr std::size_t kRows = 4096;
  const std::size_t blocks = (rows.size() + kRows - 1) / kRows;
  const auto count = static_cast<double>(rows.size());
  Tensor<double> partial(blocks, x.cols());
  // sums add(column, value) per block of rows, then over the blocks in order
  const auto sum_columns = [&](auto&& add) {
    parallel_for(rows.size(), kRows, [&](std::size_t begin, std::size_t end) {
      const std::span<double> sum = partial.row(begin / kRows);
      std::fill(sum.begin(), sum.end(), 0.0);
      for (std::size_t i = begin; i < end; ++i) {
        const std::span<const float> row = x.row(rows[i]);
        for (std::size_t j = 0; j < row.size(); ++j) sum[j] += add(j, static_cast<double>(row[j]));
      }
    });
    Array<double> total(x.cols(), 0.0);
    for (std::size_t b = 0; b < blocks; ++b) {
      for (std::size_t j = 0; j < total.size(); ++j) total[j] += partial(b, j);
    }
    return total;
  };
  FeatureScaler out;
  out.mean = sum_columns([](std::size_t, double v) { return v; });
  for (double& m : out.mean) m /= count;
  out.scale = sum_columns([&](std::size_t j, double v) { return (v - out.mean[j]) * (v - out.mean[j]); });
  const Array<double> different = sum_columns([&, first = x.row(rows[0])](std::size_t j, double v) {
    return v == static_cast<double>(first[j]) ? 0.0 : 1.0;
  });
  out.already_standard = true;
  bool any_varies = false;
  for (std::size_t j = 0; j < x.cols(); ++j) {
    if (different[j] == 0) {
      ++out.constant_columns;
      out.scale[j] = 1.0;
      continue;
    }
    any_varies = true;
    const double variance = out.scale[j] / count;
    out.scale[j] = std::sqrt(variance);
    out.already_standard =
        out.already_standard && std::abs(out.mean[j]) < 1e-3 && std::abs(variance - 1) < 1e-2;
  }
  out.already_standard = out.already_standard && any_varies;
  return out;
}

/// x = (x - mean) / scale, column by column.
///
/// Errors   ShapeError if the scaler has another number of columns
inline void apply_scaler(const FeatureScaler& scaler, MatrixView<float> x) {
  if (scaler.mean.size() != x.cols()) {
    throw ShapeError(message("apply_scaler: x has ", x.cols(), " columns, want ", scaler.mean.size()));
  }
  parallel_for(x.rows(), 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::span<float> row = x.row(i);
      for (std::size_t j = 0; j < row.size(); ++j) {
        row[j] = static_cast<float>((static_cast<double>(row[j]) - scaler.mean[j]) / scaler.scale[j]);
      }
    }
  });
}

namespace detail {

/// Features are transformed once; a second wish leaves them as they are, with a warning.
inline bool may_transform(std::string_view name, Provenance& provenance, std::string_view wish) {
  if (provenance.feature_state == "raw") return true;
  provenance.warnings.push_back(Place(std::string(name))
                                    .warning("FEA-04", "features are ", provenance.feature_state,
                                             " already: not transforming them again (", wish, ")"));
  return false;
}

}  // namespace detail

/// The rows a data set's scaler is fitted on, as the authors of its layout do: in GraphSAINT folders the rows
/// with an edge in the training graph, elsewhere the training nodes.
inline Array<NodeId> fitting_rows(const DatasetView& data, const Provenance& provenance) {
  const CsrView<> train = data.train_graph.matrix;
  if (provenance.layout != "graphsaint" || train.num_rows != data.num_nodes()) return data.nodes(Role::train);
  Array<NodeId> out;
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    if (train.degree(i) != 0) out.push_back(static_cast<NodeId>(i));
  }
  return out.empty() ? data.nodes(Role::train) : std::move(out);
}
inline Array<NodeId> fitting_rows(const Dataset& data) { return fitting_rows(data, data.provenance); }

/// Standardises the features `x` of a data set, its own or a copy of them, over its fitting rows, at most once; see
/// fit_scaler.
///
/// Features that were transformed before, or look standardised, stay as they are with warning FEA-04.
/// Errors   ConfigError if there are no fitting rows
/// Source   Hamilton et al. 2017, Chiang et al. 2019, Zeng et al. 2020: their published loaders
inline void standardize(const DatasetView& data, MatrixView<float> x, Provenance& provenance) {
  if (x.empty() || !detail::may_transform(data.name, provenance, "standardise")) return;
  const FeatureScaler scaler = fit_scaler(x, fitting_rows(data, provenance));
  auto& warnings = provenance.warnings;
  const Place place{std::string(data.name)};
  if (scaler.already_standard) {
    warnings.push_back(place.warning(
        "FEA-04", "columns have mean 0 and variance 1 on the fitting rows: not standardising again"));
    provenance.feature_state = "standardised(in the file)";
    return;
  }
  if (scaler.constant_columns != 0) {
    warnings.push_back(place.warning("FEA-02", scaler.constant_columns,
                                     " columns are constant over the fitting rows; left unscaled"));
  }
  apply_scaler(scaler, x);
  provenance.feature_state = provenance.layout == "graphsaint" ? "standardised(rows with training edges)"
                                                               : "standardised(train rows)";
}
inline void standardize(Dataset& data) { standardize(data, data.features.view(), data.provenance); }

/// Divides every row by the sum of its absolute values; rows of zeros stay.
///
/// Cost     one pass, in parallel; sums in double
inline void normalize_rows(MatrixView<float> x) {
  parallel_for(x.rows(), 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      double sum = 0;
      for (const float v : x.row(i)) sum += std::abs(static_cast<double>(v));
      if (sum == 0) continue;
      for (float& v : x.row(i)) v = static_cast<float>(static_cast<double>(v) / sum);
    }
  });
}

/// Row-normalises the features `x` of a data set, its own or a copy of them, at most once, as the GCN papers do.
///
/// Features that were transformed before stay as they are with warning FEA-04.
/// Source   Kipf & Welling 2017
inline void normalize_rows(const DatasetView& data, MatrixView<float> x, Provenance& provenance) {
  if (x.empty() || !detail::may_transform(data.name, provenance, "row-normalise")) return;
  normalize_rows(x);
  provenance.feature_state = "row-L1";
}
inline void normalize_rows(Dataset& data) { normalize_rows(data, data.features.view(), data.provenance); }

}  // namespace tessera::io
