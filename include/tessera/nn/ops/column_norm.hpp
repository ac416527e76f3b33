// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/kernels/batch_norm.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/autograd/tape.hpp"

// What norms over the rows of a batch share: with n = (x - center) inv per column, their derivatives need the column
// means of g and of g n, and are a (g - b - n c) with a, b and c per column.

namespace tessera::detail {

/// The means over the rows of g and of g n; 0 without rows.
template <Real T>
struct ColumnMeans {
  Array<T> g;
  Array<T> gn;

  ColumnMeans(MatrixView<const T> g_rows, MatrixView<const T> x, std::span<const T> center,
              std::span<const T> inv)
      : g(x.cols(), T{0}), gn(x.cols(), T{0}) {
    batch_norm_backward<T>(g_rows, x, {}, center, inv, MatrixView<T>(), gn.span(), g.span());
    const T count = static_cast<T>(std::max<std::size_t>(1, x.rows()));
    for (T& value : g) value /= count;
    for (T& value : gn) value /= count;
  }
};

/// g = scale (g - shift - n along).
template <Real T>
void project_columns(MatrixView<T> g, MatrixView<const T> x, std::span<const T> center,
                     std::span<const T> inv, std::span<const T> scale, std::span<const T> shift,
                     std::span<const T> along) {
  const T *const m = center.data(), *const r = inv.data();
  const T *const a = scale.data(), *const b = shift.data(), *const c = along.data();
  const std::size_t cols = g.cols();
  for_rows(g, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const from = x.data() + i * x.stride();
    for (std::size_t j = 0; j < cols; ++j) to[j] = a[j] * (to[j] - b[j] - (from[j] - m[j]) * r[j] * c[j]);
  });
}

/// grad of the one-row leaf v += factor * row, where v wants a gradient.
template <Real T>
void add_row_grad(Tape<T>& tape, Var v, std::span<const T> row, T factor) {
  if (!tape.needs_grad(v)) return;
  const GradSlot<T> slot = tape.grad_slot(v);
  const std::span<T> to = slot.grad.row(0);
  for (std::size_t j = 0; j < to.size(); ++j) to[j] = (slot.add ? to[j] : T{0}) + factor * row[j];
}

}  // namespace tessera::detail
