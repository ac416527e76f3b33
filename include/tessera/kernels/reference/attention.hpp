// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/attention.hpp"
#include "tessera/kernels/edge_dropout.hpp"

namespace tessera::reference {

/// attention_sum and its gradients as their formulas say: every share stored, one head after the other. Arguments are
/// trusted.
template <Real T>
void attention(CsrView<> a, MatrixView<const T> x, MatrixView<const T> source, MatrixView<const T> target,
               const AttentionOptions& options, MatrixView<const T> grad_y, MatrixView<T> y,
               MatrixView<T> grad_x, MatrixView<T> grad_source, MatrixView<T> grad_target) {
  for (const MatrixView<T>& m : {y, grad_x, grad_source, grad_target}) {
    for (std::size_t i = 0; i < m.rows(); ++i) std::fill(m.row(i).begin(), m.row(i).end(), T{0});
  }
  const std::size_t width = x.cols() / options.heads;
  const T slope = static_cast<T>(options.slope);
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (std::size_t h = 0; h < options.heads; ++h) {
      const std::span<const NodeId> row = a.neighbors(i);
      std::vector<T> score, share, gradient, kept;
      T largest = -std::numeric_limits<T>::infinity();
      T sum{0};
      for (const NodeId j : row) {
        const T r = source(j, h) + target(i, h);
        score.push_back(r);
        share.push_back(r > T{0} ? r : slope * r);
        largest = std::max(largest, share.back());
        const bool keep = edge_dropout_keeps(options.dropout, static_cast<NodeId>(i), j, h);
        kept.push_back(keep ? dropout_scale<T>(options.dropout) : T{0});
      }
      for (T& s : share) sum += s = std::exp(s - largest);
      for (T& s : share) s /= sum;
      T inner{0};
      for (std::size_t k = 0; k < row.size(); ++k) {
        T dot{0};
        for (std::size_t f = h * width; f < (h + 1) * width; ++f) {
          y(i, f) += share[k] * kept[k] * x(row[k], f);
          grad_x(row[k], f) += share[k] * kept[k] * grad_y(i, f);
          dot += grad_y(i, f) * x(row[k], f);
        }
        gradient.push_back(dot * kept[k]);
        inner += share[k] * gradient[k];
      }
      for (std::size_t k = 0; k < row.size(); ++k) {
        const T g = share[k] * (gradient[k] - inner) * (score[k] > T{0} ? T{1} : slope);
        grad_source(row[k], h) += g;
        grad_target(i, h) += g;
      }
    }
  }
}

}  // namespace tessera::reference
