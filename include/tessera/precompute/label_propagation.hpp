// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/precompute/detail/smoothing.hpp"
#include "tessera/precompute/operator.hpp"

namespace tessera {

struct LabelPropagationOptions {
  double alpha = 0.9;  ///< share taken from the neighbours, in [0, 1]
  std::size_t iterations = 50;
  bool clip = true;    ///< cut entries to [0, 1] after each step
  bool reset = false;  ///< set labelled rows back to their label after each step (use with alpha = 1)
};

/// Spreads known labels over the graph: Y <- clip(alpha M Y + (1 - alpha) Y0), Y0 one-hot on labelled rows.
///
/// Predict the largest entry of a row, the lowest class where several are. A component without a labelled node
/// stays zero: see `without_opinion`.
/// Shapes   op [N, N] (symmetric, row or column, usually of a graph without loops), classes [N], labelled a
///          subset of the rows -> scores [N, C]
/// Cost     iterations * E C multiplications; two matrices [N, C]
/// Errors   ConfigError if alpha is outside [0, 1] or nothing is labelled; IndexError for a row or class outside
///          its range; ShapeError if classes does not fit
/// Threads  parallel; result independent of T
/// Source   Zhou et al., Learning with local and global consistency, NIPS 2004, section 2; differs: clipped, as
///          Huang et al., ICLR 2021, do
template <Real T = float>
Tensor<T> label_propagation(const PropagationOperator& op, std::span<const std::int32_t> classes,
                            std::span<const NodeId> labelled, std::size_t num_classes,
                            const LabelPropagationOptions& options = {}) {
  const std::size_t n = op.num_nodes();
  detail::check_smoothing("label_propagation", op, options.alpha);
  detail::check_labelled("label_propagation", n, classes, labelled, num_classes);
  Tensor<T> start = Tensor<T>::zeros(n, num_classes);
  Array<std::uint8_t> held(options.reset ? n : 0, std::uint8_t{0});
  for (const NodeId row : labelled) {
    start(row, static_cast<std::size_t>(classes[row])) = 1;
    if (options.reset) held[row] = 1;
  }
  return detail::smooth_labels<T>(op, std::as_const(start).view(),
                                  {options.alpha, options.iterations, options.clip, T{0}, T{1}, held});
}

/// 1 for every row that is all zero: no label has reached it, and its largest entry means nothing.
///
/// Shapes   scores [N, C] -> [N]
template <Real T>
Array<std::uint8_t> without_opinion(MatrixView<const T> scores) {
  Array<std::uint8_t> out(scores.rows());
  parallel_for(scores.rows(), 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const auto row = scores.row(i);
      out[i] = std::all_of(row.begin(), row.end(), [](T v) { return v == T{0}; }) ? 1 : 0;
    }
  });
  return out;
}

}  // namespace tessera
