// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/precompute/detail/smoothing.hpp"
#include "tessera/precompute/operator.hpp"

namespace tessera {

/// How the spread residual is brought back to size.
enum class ResidualScale {
  automatic,  ///< per row, to the mean size of the known residuals ("autoscale")
  fixed       ///< by one number, known residuals held while they spread ("FDiff-scale")
};

struct CorrectOptions {
  ResidualScale scaling = ResidualScale::automatic;
  double alpha = 0.87;  ///< automatic: share taken from the neighbours, in [0, 1]
  double scale = 1;     ///< fixed: what the spread residual is multiplied by
  std::size_t iterations = 50;
};

struct SmoothOptions {
  double alpha = 0.81;  ///< share taken from the neighbours, in [0, 1]
  std::size_t iterations = 50;
};

namespace detail {

template <Real T>
void check_predictions(std::string_view who, const PropagationOperator& op, MatrixView<const T> z) {
  check_shape(who, "predictions", z, op.num_nodes(), z.cols());
  if (z.cols() == 0) throw ShapeError(message(who, ": predictions has no columns, want one per class"));
}

/// Errors   ConfigError naming the first row that does not look like probabilities
template <Real T>
void check_probabilities(std::string_view who, MatrixView<const T> z) {
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  const std::size_t bad = parallel_reduce(
      z.rows(), 1024, kNone,
      [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
          double sum = 0;
          bool negative = false;
          for (const T v : z.row(i)) {
            sum += static_cast<double>(v);
            negative = negative || v < T{0};
          }
          if (negative || !(std::abs(sum - 1) < 1e-3)) return i;
        }
        return kNone;
      },
      [](std::size_t a, std::size_t b) { return std::min(a, b); });
  if (bad != kNone) {
    throw ConfigError(message(who, ": row ", bad,
                              " of predictions is no distribution over classes (entries >= 0 "
                              "that sum to 1); apply softmax to logits first"));
  }
}

}  // namespace detail

/// Corrects predictions by the error they make on labelled nodes, spread over the graph: Z + s E with
/// E <- clip(alpha M E + (1 - alpha) E0), E0 = Y - Z on labelled rows.
///
/// Shapes   op [N, N] without loops, predictions [N, C] whose rows are probabilities, classes [N], labelled a
///          subset of the rows -> [N, C]
/// Cost     iterations * E C multiplications; three matrices [N, C]
/// Errors   ConfigError if alpha is outside [0, 1], nothing is labelled or a row is no distribution; ShapeError,
///          IndexError if extents, rows or classes do not fit
/// Threads  parallel; result independent of T
/// Source   Huang et al., Combining label propagation and simple models out-performs graph neural networks,
///          ICLR 2021, section 2.2; as their code: a row's scale of more than 1000 or infinity counts as 1, a row
///          that becomes NaN keeps its prediction, fixed scaling spreads with alpha = 1
template <Real T>
Tensor<T> correct(const PropagationOperator& op, std::type_identity_t<MatrixView<const T>> predictions,
                  std::span<const std::int32_t> classes, std::span<const NodeId> labelled,
                  const CorrectOptions& options = {}) {
  const std::size_t n = op.num_nodes();
  const std::size_t num_classes = predictions.cols();
  detail::check_smoothing("correct", op, options.alpha);
  detail::check_predictions("correct", op, predictions);
  detail::check_labelled("correct", n, classes, labelled, num_classes);
  detail::check_probabilities("correct", predictions);
  const bool fixed = options.scaling == ResidualScale::fixed;

  Tensor<T> residual = Tensor<T>::zeros(n, num_classes);
  Array<std::uint8_t> held(fixed ? n : 0, std::uint8_t{0});
  double size = 0;
  for (const NodeId row : labelled) {
    for (std::size_t c = 0; c < num_classes; ++c) {
      residual(row, c) = (static_cast<std::size_t>(classes[row]) == c ? T{1} : T{0}) - predictions(row, c);
      size += std::abs(static_cast<double>(residual(row, c)));
    }
    if (fixed) held[row] = 1;
  }
  const T mean_size = static_cast<T>(size / static_cast<double>(labelled.size()));
  const detail::SmoothingRule<T> how{
      fixed ? 1.0 : options.alpha, options.iterations, !fixed, T{-1}, T{1}, held};
  Tensor<T> spread = detail::smooth_labels<T>(op, std::as_const(residual).view(), how);
  parallel_for(n, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      T scale = static_cast<T>(options.scale);
      if (!fixed) {
        T norm = 0;
        for (const T v : spread.row(i)) norm += std::abs(v);
        scale = mean_size / norm;  // 0 / 0 is NaN: the row keeps its prediction
        if (scale > T{1000}) scale = 1;
      }
      for (std::size_t c = 0; c < num_classes; ++c) {
        const T value = predictions(i, c) + scale * spread(i, c);
        spread(i, c) = std::isnan(value) ? predictions(i, c) : value;
      }
    }
  });
  return spread;
}

/// Smooths predictions over the graph, labelled rows being their label: G <- clip(alpha M G + (1 - alpha) G0).
///
/// Shapes   op [N, N] without loops, predictions [N, C], classes [N], labelled a subset of the rows -> [N, C]
/// Cost     iterations * E C multiplications; three matrices [N, C]
/// Errors   ConfigError if alpha is outside [0, 1] or nothing is labelled; ShapeError, IndexError if extents,
///          rows or classes do not fit
/// Threads  parallel; result independent of T
/// Source   Huang et al., ICLR 2021, section 2.3; clipped to [0, 1] as their code does
template <Real T>
Tensor<T> smooth(const PropagationOperator& op, std::type_identity_t<MatrixView<const T>> predictions,
                 std::span<const std::int32_t> classes, std::span<const NodeId> labelled,
                 const SmoothOptions& options = {}) {
  detail::check_smoothing("smooth", op, options.alpha);
  detail::check_predictions("smooth", op, predictions);
  detail::check_labelled("smooth", op.num_nodes(), classes, labelled, predictions.cols());
  Tensor<T> start = Tensor<T>::copy_of(predictions);
  for (const NodeId row : labelled) {
    for (std::size_t c = 0; c < start.cols(); ++c) {
      start(row, c) = static_cast<std::size_t>(classes[row]) == c ? T{1} : T{0};
    }
  }
  return detail::smooth_labels<T>(op, std::as_const(start).view(),
                                  {options.alpha, options.iterations, true, T{0}, T{1}, {}});
}

/// Correct, then smooth: post-processing for the probabilities of any model.
///
///     softmax(logits, probabilities);
///     Tensor<float> scores = correct_and_smooth(op, op, probabilities, classes, train_rows);
///
/// Errors   those of the two steps
template <Real T>
Tensor<T> correct_and_smooth(const PropagationOperator& correct_op, const PropagationOperator& smooth_op,
                             MatrixView<const T> predictions, std::span<const std::int32_t> classes,
                             std::span<const NodeId> labelled, const CorrectOptions& correct_options = {},
                             const SmoothOptions& smooth_options = {}) {
  const Tensor<T> corrected = correct<T>(correct_op, predictions, classes, labelled, correct_options);
  return smooth<T>(smooth_op, corrected.view(), classes, labelled, smooth_options);
}

}  // namespace tessera
