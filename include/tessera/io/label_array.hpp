// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/class_map.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/npy_convert.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

namespace detail {

inline Array<std::int32_t> read_classes(const NpyArray& array) {
  const Place& place = array.place();
  if (array.type().kind != 'f') {
    return to_integers<std::int32_t>(array, kUnlabelled, 1 << 24,
                                     [&](std::size_t node, const std::string& value) {
                                       place.fail("LBL-03", "label ", value, " of node ", grouped(node),
                                                  ", want -1 (none) or a class from 0 on");
                                     });
  }
  Array<std::int32_t> out(array.size());
  with_numbers(array, [&](const auto element) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto value = static_cast<double>(element(i));
      if (std::isnan(value)) {
        out[i] = kUnlabelled;
        continue;
      }
      if (value != std::trunc(value) || value < kUnlabelled || value > (1 << 24)) {
        place.fail("LBL-03", "label ", value, " of node ", grouped(i), " is not a class");
      }
      out[i] = static_cast<std::int32_t>(value);
    }
  });
  return out;
}

/// Refuses indicators other than 0 and 1.
inline void require_indicators(MatrixView<const float> indicators, const Place& place) {
  for (std::size_t i = 0; i < indicators.rows(); ++i) {
    for (std::size_t j = 0; j < indicators.cols(); ++j) {
      const float value = indicators(i, j);
      if (value != 0.0f && value != 1.0f) {
        place.fail("LBL-03", "multi-label entry ", j, " of node ", grouped(i), " is ", value,
                   ", want 0 or 1");
      }
    }
  }
}

}  // namespace detail

/// Makes targets of an indicator matrix of zeros and ones.
///
/// Errors   FormatError LBL-02 if the options want single classes, LBL-03 for other values
inline Labels indicator_labels(Tensor<float> indicators, const Place& place, const ReadOptions& options) {
  if (options.multilabel == MultiLabel::off) {
    place.fail("LBL-02", "labels are lists of ", indicators.cols(), ", but single classes were asked for");
  }
  detail::require_indicators(indicators, place);
  Labels out;
  out.num_classes = indicators.cols();
  out.indicators = std::move(indicators);
  return out;
}

/// Makes targets of a label array: one class per node (integers, or whole floats with NaN for none), or
/// indicators.
///
/// Shapes   (N) or (N, 1): classes; (N, C): indicators of 0 and 1
/// Errors   FormatError LBL-01 (not N of them), LBL-02, LBL-03, NPY-04, NPY-07
inline Labels read_label_array(const NpyArray& array, std::size_t num_nodes, const ReadOptions& options,
                               std::vector<std::string>& warnings) {
  const Place& place = array.place();
  if (array.rank() == 0 || array.dim(0) != num_nodes) {
    place.fail("LBL-01", "labels have the shape ", shape_text(array.header().shape), ", the graph has ",
               grouped(num_nodes), " nodes");
  }
  if (array.rank() == 2 && array.dim(1) != 1) {
    const Limits limits{.max_bytes = byte_limit(options)};
    return indicator_labels(to_matrix(array, NanPolicy::error, nullptr, limits), place, options);
  }
  if (array.rank() > 2) array.require_rank(1, "(N,)");
  Labels out;
  out.classes = detail::read_classes(array);
  out.num_classes = count_classes(out.classes, place, warnings);
  if (options.multilabel == MultiLabel::on) to_indicators(out);
  return out;
}

}  // namespace tessera::io
