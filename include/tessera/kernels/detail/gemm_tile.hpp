// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"

// The register-blocked heart of the three GEMMs: C tile += A tile * B panel.
//
// B is packed into panels of up to kGemmMaxVectors registers, [depth][width] each and zero-padded to whole
// registers, so the kernel knows no edges on that side. Rows of A are read where they lie; too few of them
// are copied next to rows of zeros. Every element is therefore the same sequence of multiply-adds wherever it
// sits in its tile, and results depend on neither the tiling nor the number of threads.

namespace tessera::detail {

/// Depth of one packed block: with the widest panel, 128 rows of four 64-byte registers fill 32 KiB, two
/// thirds of a current L1 cache; the rest is for A and C.
inline constexpr std::size_t kGemmDepth = 128;

/// Rows of a task are cut in multiples of this: a common multiple of every kernel's row count.
inline constexpr std::size_t kGemmRowStep = 24;

/// Registers across a panel. Wide and low tiles beat square ones here: 6 x 4 registers need 10 loads for 24
/// multiply-adds, 14 x 2 need 16 for 28, and two loads per cycle is what the core has.
constexpr std::size_t gemm_max_vectors(Isa isa) noexcept { return isa == Isa::avx512 ? 4 : 3; }

/// Rows of a tile `vectors` registers wide: accumulators, one row of B and one broadcast fill the file.
constexpr std::size_t gemm_rows(Isa isa, std::size_t vectors) noexcept {
  if (isa == Isa::avx512) return vectors == 4 ? 6 : vectors == 3 ? 8 : 12;
  return vectors == 3 ? 4 : vectors == 2 ? 6 : 12;
}

template <class T>
constexpr std::size_t gemm_lanes(Isa isa) noexcept {
  return isa == Isa::avx512 ? Level<Isa::avx512>::lanes<T>()
         : isa == Isa::avx2 ? Level<Isa::avx2>::lanes<T>()
                            : Level<Isa::baseline>::lanes<T>();
}

/// How the columns of B are cut into panels of nearly equal width.
class PanelPlan {
 public:
  constexpr PanelPlan(std::size_t cols, std::size_t lanes, std::size_t max_vectors) noexcept
      : cols_(cols),
        lanes_(lanes),
        vectors_((cols + lanes - 1) / lanes),
        panels_((vectors_ + max_vectors - 1) / max_vectors) {}

  constexpr std::size_t panels() const noexcept { return panels_; }
  constexpr std::size_t padded_cols() const noexcept { return vectors_ * lanes_; }
  constexpr std::size_t first_vector(std::size_t panel) const noexcept {
    return panel * (vectors_ / panels_) + std::min(panel, vectors_ % panels_);
  }
  constexpr std::size_t vectors(std::size_t panel) const noexcept {
    return vectors_ / panels_ + (panel < vectors_ % panels_ ? 1 : 0);
  }
  constexpr std::size_t first_col(std::size_t panel) const noexcept { return first_vector(panel) * lanes_; }
  constexpr std::size_t padded_width(std::size_t panel) const noexcept { return vectors(panel) * lanes_; }
  /// Columns of the panel that exist.
  constexpr std::size_t width(std::size_t panel) const noexcept {
    return std::min(padded_width(panel), cols_ - first_col(panel));
  }

 private:
  std::size_t cols_, lanes_, vectors_, panels_;
};

template <class T>
PanelPlan gemm_panels(Isa isa, std::size_t cols) noexcept {
  return {cols, gemm_lanes<T>(isa), gemm_max_vectors(isa)};
}

/// Copies rows [k0, k0 + depth) of B [K, N] into panels, one after the other.
template <class T>
TESSERA_ALWAYS_INLINE void pack_panels(MatrixView<const T> b, std::size_t k0, std::size_t depth,
                                       const PanelPlan& plan, T* out) {
  for (std::size_t p = 0; p < plan.panels(); ++p) {
    const std::size_t width = plan.width(p);
    const std::size_t padded = plan.padded_width(p);
    const T* from = b.data() + k0 * b.stride() + plan.first_col(p);
    for (std::size_t k = 0; k < depth; ++k, from += b.stride(), out += padded) {
      copy_vectors(from, width, out);
      std::fill_n(out + width, padded - width, T{0});
    }
  }
}

/// The same from B^T, stored as [N, K].
template <class T>
void pack_panels_transposed(MatrixView<const T> b, std::size_t k0, std::size_t depth, const PanelPlan& plan,
                            T* out) {
  for (std::size_t p = 0; p < plan.panels(); ++p) {
    const std::size_t width = plan.width(p);
    const std::size_t padded = plan.padded_width(p);
    const T* const from = b.data() + plan.first_col(p) * b.stride() + k0;
    constexpr std::size_t kStrip = 16;  // columns in flight: one cache line of `out`, sixteen of B
    for (std::size_t j0 = 0; j0 < width; j0 += kStrip) {
      const std::size_t strip = std::min(kStrip, width - j0);
      for (std::size_t k = 0; k < depth; ++k) {
        for (std::size_t j = 0; j < strip; ++j) out[k * padded + j0 + j] = from[(j0 + j) * b.stride() + k];
      }
    }
    for (std::size_t k = 0; k < depth; ++k) std::fill_n(out + k * padded + width, padded - width, T{0});
    out += depth * padded;
  }
}

/// Copies columns [i0, i0 + rows) of rows [k0, k0 + depth) of A [K, M] into groups of kGemmRowStep columns,
/// each [depth][kGemmRowStep] and zero-padded: the left operand of A^T B, read along short cache-line runs.
template <class T>
TESSERA_ALWAYS_INLINE void pack_columns(MatrixView<const T> a, std::size_t k0, std::size_t depth,
                                        std::size_t i0, std::size_t rows, T* out) {
  for (std::size_t i = 0; i < rows; i += kGemmRowStep) {
    const std::size_t count = std::min(kGemmRowStep, rows - i);
    const T* from = a.data() + k0 * a.stride() + i0 + i;
    for (std::size_t k = 0; k < depth; ++k, from += a.stride(), out += kGemmRowStep) {
      if (count == kGemmRowStep) {
        __builtin_memcpy(out, from, kGemmRowStep * sizeof(T));
      } else {
        __builtin_memset(out, 0, kGemmRowStep * sizeof(T));
        copy_vectors(from, count, out);
      }
    }
  }
}

/// c [R, V * W] = or += A [R, depth] * panel. A's element (m, k) lies at a[m * lda + k] or, if kTransposed,
/// in a group of pack_columns.
template <bool kTransposed, std::size_t W, std::size_t R, std::size_t V, class T>
TESSERA_ALWAYS_INLINE void gemm_micro_kernel(const T* a, std::size_t lda, const T* panel, std::size_t depth,
                                             T* c, std::size_t ldc, bool add) noexcept {
  Simd<T, W> acc[R][V] = {};
  for (std::size_t k = 0; k < depth; ++k) {
    Simd<T, W> b[V];
    unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA { simd_load<W, T>(b[v], panel + v * W); });
    unroll<R>([&](auto r) TESSERA_INLINE_LAMBDA {
      const T x = kTransposed ? a[r] : a[r * lda];
      unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA { acc[r][v] += x * b[v]; });
    });
    panel += V * W;
    a += kTransposed ? kGemmRowStep : 1;
  }
  unroll<R>([&](auto r) TESSERA_INLINE_LAMBDA {
    unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
      T* const to = c + r * ldc + v * W;
      if (add) {
        Simd<T, W> before;
        simd_load<W, T>(before, to);
        acc[r][v] += before;
      }
      simd_store<W, T>(to, acc[r][v]);
    });
  });
}

/// All rows against one panel of `V` registers, `width` of whose columns exist.
template <bool kTransposed, std::size_t W, std::size_t R, std::size_t V, class T>
TESSERA_ALWAYS_INLINE void gemm_panel(const T* a, std::size_t lda, std::size_t rows, std::size_t depth,
                                      const T* panel, std::size_t width, T* c, std::size_t ldc,
                                      bool add) noexcept {
  static_assert(kGemmRowStep % R == 0);
  for (std::size_t i = 0; i < rows; i += R) {
    const std::size_t count = std::min(R, rows - i);
    const T* tile_a =
        kTransposed ? a + i / kGemmRowStep * depth * kGemmRowStep + i % kGemmRowStep : a + i * lda;
    std::size_t tile_lda = lda;
    T* const tile_c = c + i * ldc;
    if (count == R && width == V * W) {
      gemm_micro_kernel<kTransposed, W, R, V>(tile_a, tile_lda, panel, depth, tile_c, ldc, add);
      continue;
    }
    alignas(64) T edge_a[kTransposed ? 1 : R * kGemmDepth];
    alignas(64) T edge_c[R * V * W] = {};
    if (!kTransposed && count < R) {
      for (std::size_t m = 0; m < R; ++m) {
        for (std::size_t k = 0; k < depth; ++k)
          edge_a[m * depth + k] = m < count ? tile_a[m * lda + k] : T{0};
      }
      tile_a = edge_a;
      tile_lda = depth;
    }
    for (std::size_t m = 0; add && m < count; ++m) copy_vectors(tile_c + m * ldc, width, edge_c + m * V * W);
    gemm_micro_kernel<kTransposed, W, R, V>(tile_a, tile_lda, panel, depth, edge_c, V * W, add);
    for (std::size_t m = 0; m < count; ++m) copy_vectors(edge_c + m * V * W, width, tile_c + m * ldc);
  }
}

/// c [rows, N] = or += A [rows, depth] * B, one packed block of B with depth <= kGemmDepth; A is packed too
/// if kTransposed.
template <bool kTransposed, class L, class T>
TESSERA_ALWAYS_INLINE void gemm_block(L, const T* a, std::size_t lda, std::size_t rows, std::size_t depth,
                                      const T* packed, const PanelPlan& plan, T* c, std::size_t ldc,
                                      bool add) noexcept {
  constexpr std::size_t W = L::template lanes<T>();
  for (std::size_t p = 0; p < plan.panels(); ++p) {
    const T* const panel = packed + depth * plan.first_col(p);
    T* const to = c + plan.first_col(p);
    unroll<gemm_max_vectors(L::isa)>([&](auto v) TESSERA_INLINE_LAMBDA {
      constexpr std::size_t V = v + 1;
      if (plan.vectors(p) == V) {
        gemm_panel<kTransposed, W, gemm_rows(L::isa, V), V>(a, lda, rows, depth, panel, plan.width(p), to,
                                                            ldc, add);
      }
    });
  }
}

}  // namespace tessera::detail
