// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/ids.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/class_map.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/label_array.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// Makes targets of a table of numbers: one column holds classes (whole numbers, NaN or -1 for none), several
/// hold zeros and ones.
///
/// Shapes   table [N, 1] or [N, C]
/// Errors   FormatError LBL-01 (not N rows, or no label at all), LBL-02, LBL-03
inline Labels read_label_table(Tensor<float> table, std::size_t num_nodes, const Place& place,
                               const ReadOptions& options, std::vector<std::string>& warnings) {
  if (table.rows() != num_nodes) {
    place.fail("LBL-01", "the file has ", grouped(table.rows()), " labels, the graph has ",
               grouped(num_nodes), " nodes");
  }
  if (table.cols() > 1) return indicator_labels(std::move(table), place, options);
  constexpr float kMaxClass = 1 << 24;
  Labels out;
  out.classes.resize(num_nodes);
  for (std::size_t i = 0; i < num_nodes; ++i) {
    const float value = table(i, 0);
    if (std::isnan(value)) {
      out.classes[i] = kUnlabelled;
      continue;
    }
    if (value != std::trunc(value)) {
      place.fail("LBL-03", "label ", value, " of node ", grouped(i), " is not an integer");
    }
    if (value < kUnlabelled || value > kMaxClass) {
      place.fail("LBL-03", "label ", value, " of node ", grouped(i), ", want -1 (none) or a class from 0 on");
    }
    out.classes[i] = static_cast<std::int32_t>(value);
  }
  out.num_classes = count_classes(out.classes, place, warnings);
  if (options.multilabel == MultiLabel::on) to_indicators(out);
  return out;
}

}  // namespace tessera::io
