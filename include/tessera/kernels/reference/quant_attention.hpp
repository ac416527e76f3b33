// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/attention.hpp"
#include "tessera/kernels/attention_codes.hpp"
#include "tessera/kernels/edge_dropout.hpp"
#include "tessera/kernels/fake_quantize.hpp"

namespace tessera::reference {

/// A number after its quantiser, and whether the gradient passes.
template <Real T>
struct Rounded {
  T value;
  bool passes;

  Rounded(T v, const QuantGrid<T>& grid, bool exact, QuantGradient gradient) : value(v), passes(true) {
    if (exact || grid.scale.empty()) return;
    const T code = std::nearbyint(v * grid.inverse[0]);
    value = std::clamp(code, grid.low[0], grid.high[0]) * grid.scale[0];
    if (gradient == QuantGradient::clipped) passes = code > grid.low[0] && code < grid.high[0];
    if (gradient == QuantGradient::clipped_inclusive) passes = code >= grid.low[0] && code <= grid.high[0];
  }
};

/// quant_attention_sum and its gradients as their formulas say: every share stored, one head after the other. Arguments
/// are trusted.
template <Real T>
void quant_attention(CsrView<> a, MatrixView<const T> x, MatrixView<const T> source,
                     MatrixView<const T> target, const AttentionOptions& options,
                     const AttentionCodes<T>& codes, MatrixView<const T> grad_y, MatrixView<T> y,
                     MatrixView<T> grad_x, MatrixView<T> grad_source, MatrixView<T> grad_target) {
  for (const MatrixView<T>& m : {y, grad_x, grad_source, grad_target}) {
    for (std::size_t i = 0; i < m.rows(); ++i) std::fill(m.row(i).begin(), m.row(i).end(), T{0});
  }
  const std::size_t width = x.cols() / options.heads;
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    const std::span<const NodeId> row = a.neighbors(i);
    for (std::size_t h = 0; h < options.heads; ++h) {
      std::vector<T> share, steep, factor, gradient;
      T largest = -std::numeric_limits<T>::infinity();
      for (const NodeId j : row) {
        const Rounded<T> r(source(j, h) + target(i, h), codes.score, codes.keeps(j), codes.gradient);
        steep.push_back(r.passes ? (r.value > T{0} ? T{1} : static_cast<T>(options.slope)) : T{0});
        share.push_back(r.value > T{0} ? r.value : static_cast<T>(options.slope) * r.value);
        largest = std::max(largest, share.back());
      }
      T sum{0};
      T sum_of_codes{0};
      for (T& s : share) {
        sum += s = std::exp(s - largest);
        factor.push_back(std::nearbyint(255 * s));
        sum_of_codes += factor.back();
      }
      T inner{0};
      for (std::size_t k = 0; k < row.size(); ++k) {
        share[k] /= sum;
        const bool kept = edge_dropout_keeps(options.dropout, static_cast<NodeId>(i), row[k], h);
        const T drop = kept ? dropout_scale<T>(options.dropout) : T{0};
        factor[k] = (codes.shares ? factor[k] / sum_of_codes : share[k]) * drop;
        T dot{0};
        for (std::size_t f = h * width; f < (h + 1) * width; ++f) {
          const Rounded<T> m(factor[k] * x(row[k], f), codes.message, codes.keeps(row[k]), codes.gradient);
          y(i, f) += m.value;
          if (!m.passes) continue;
          grad_x(row[k], f) += factor[k] * grad_y(i, f);
          dot += grad_y(i, f) * x(row[k], f);
        }
        gradient.push_back(dot * drop);
        inner += share[k] * gradient[k];
      }
      for (std::size_t k = 0; k < row.size(); ++k) {
        const T g = steep[k] * share[k] * (gradient[k] - inner);
        grad_source(row[k], h) += g;
        grad_target(i, h) += g;
      }
    }
  }
}

}  // namespace tessera::reference
