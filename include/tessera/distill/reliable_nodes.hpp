// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/detail/soft_row.hpp"
#include "tessera/distill/detail/unit_rows.hpp"
#include "tessera/kernels/detail/dense_support.hpp"

namespace tessera {

/// What reliable data distillation finds in the outputs of teacher and student.
struct ReliableNodes {
  Array<float> teacher;  ///< [N]: 1 where the teacher is to be believed
  Array<float> learn;    ///< [N]: 1 where, besides, the student is not sure or differs: `Logit::node_weight`
};

namespace detail {

inline void entropies(MatrixView<const float> logits, Array<double>& entropy, Array<std::int32_t>& best) {
  entropy.resize(logits.rows());
  best.resize(logits.rows());
  Array<double> log_p(logits.cols());
  for (std::size_t i = 0; i < logits.rows(); ++i) {
    log_softmax_row(logits.row(i), 1.0, log_p.span());
    entropy[i] = 0;
    for (const double l : log_p) entropy[i] -= std::exp(l) * l;
    best[i] = static_cast<std::int32_t>(std::max_element(log_p.begin(), log_p.end()) - log_p.begin());
  }
}

/// The entropy that a share of the nodes does not exceed.
inline double entropy_at(const Array<double>& entropy, double share) {
  std::vector<double> sorted(entropy.begin(), entropy.end());
  std::sort(sorted.begin(), sorted.end());
  const auto count = static_cast<std::size_t>(share * static_cast<double>(sorted.size()));
  return count == 0 ? -1 : sorted[std::min(count, sorted.size()) - 1];
}

}  // namespace detail

/// Labelled nodes are reliable where the teacher is right; others where the teacher is among the `share` surest and the
/// student agrees. A node is worth learning where the teacher is reliable and the student is not among its own surest
/// or says something else.
///
/// Shapes   teacher, student [N, C] logits, classes [N], -1 where unlabelled
/// Cost     O(N C + N log N)
/// Errors   ShapeError if extents differ; ConfigError for a share outside [0, 1]
/// Source   Zhang et al., Reliable data distillation on graph convolutional network, SIGMOD 2020; from memory of the
///          paper
inline ReliableNodes reliable_nodes(MatrixView<const float> teacher, MatrixView<const float> student,
                                    std::span<const std::int32_t> classes, double share) {
  detail::check_shape("reliable_nodes", "student", student, teacher.rows(), teacher.cols());
  detail::check_size("reliable_nodes", "classes", classes.size(), teacher.rows());
  if (!(share >= 0 && share <= 1))
    throw ConfigError(message("reliable_nodes: share is ", share, ", want a number from 0 to 1"));
  Array<double> h_t;
  Array<double> h_s;
  Array<std::int32_t> y_t;
  Array<std::int32_t> y_s;
  detail::entropies(teacher, h_t, y_t);
  detail::entropies(student, h_s, y_s);
  const double sure_t = detail::entropy_at(h_t, share);
  const double sure_s = detail::entropy_at(h_s, share);
  ReliableNodes out;
  out.teacher.resize(classes.size());
  out.learn.resize(classes.size());
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const bool believed = classes[i] >= 0 ? y_t[i] == classes[i] : h_t[i] <= sure_t && y_t[i] == y_s[i];
    out.teacher[i] = believed ? 1.0f : 0.0f;
    out.learn[i] = believed && (h_s[i] > sure_s || y_s[i] != y_t[i]) ? 1.0f : 0.0f;
  }
  return out;
}

/// gamma(e) = gamma_0 (1 - cos(pi e / E)) / 2: soft targets count more as the student learns.
inline double reliable_weight(double gamma, std::uint64_t epoch, std::uint64_t epochs) noexcept {
  if (epochs == 0) return gamma;
  return gamma * (1 - std::cos(std::numbers::pi * static_cast<double>(epoch) / static_cast<double>(epochs))) /
         2;
}

/// weight mean |p_i - p_j|^2 over the edges between two reliable nodes of one predicted class; 0 without such edges.
///
/// Shapes   graph [N, N], p [N, C] on the tape, reliable [N] -> [1, 1]
/// Cost     O(E C)
/// Errors   ShapeError if extents differ
template <class Ctx>
Var reliable_edge_loss(Ctx& ctx, CsrView<> graph, Var p, std::span<const float> reliable,
                       std::span<const std::int32_t> predicted, double weight = 1) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> x = ctx.value(p);
  detail::check_shape("reliable_edge_loss", "p", x, graph.num_rows, x.cols());
  detail::check_size("reliable_edge_loss", "reliable", reliable.size(), x.rows());
  detail::check_size("reliable_edge_loss", "predicted", predicted.size(), x.rows());
  Tensor<T> grad = Tensor<T>::zeros(x.rows(), x.cols());
  double sum = 0;
  std::size_t count = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (const NodeId j : graph.neighbors(i)) {
      if (i == j || reliable[i] == 0 || reliable[j] == 0 || predicted[i] != predicted[j]) continue;
      ++count;
      for (std::size_t c = 0; c < x.cols(); ++c) {
        const T d = x(i, c) - x(j, c);
        sum += static_cast<double>(d) * static_cast<double>(d);
        grad(i, c) += 2 * d;
        grad(j, c) -= 2 * d;
      }
    }
  }
  const double share = count == 0 ? 0 : weight / static_cast<double>(count);
  scale(static_cast<T>(share), std::as_const(grad).view(), grad.view());
  return detail::record_pair_loss(ctx, share * sum, p, std::move(grad));
}

/// The weight of a member of an ensemble: 1 / sum_v entropy(v) PageRank(v).
///
/// Errors   ShapeError if extents differ
inline double ensemble_weight(MatrixView<const float> logits, std::span<const double> page_rank) {
  detail::check_size("ensemble_weight", "page_rank", page_rank.size(), logits.rows());
  Array<double> h;
  Array<std::int32_t> y;
  detail::entropies(logits, h, y);
  double sum = 0;
  for (std::size_t i = 0; i < h.size(); ++i) sum += h[i] * page_rank[i];
  return 1 / sum;
}

}  // namespace tessera
