// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/accumulate.hpp"
#include "tessera/kernels/detail/epilogue_row.hpp"
#include "tessera/kernels/detail/gemm_tile.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/epilogue.hpp"

namespace tessera {
namespace detail {

/// Below this many operations a GEMM stays on the calling thread: it ends before others have woken up.
inline constexpr double kGemmSerialFlops = 2e6;

inline void check_gemm(std::string_view name, std::size_t depth_a, std::size_t depth_b, std::size_t rows,
                       std::size_t cols, std::size_t c_rows, std::size_t c_cols) {
  if (depth_a != depth_b) {
    throw ShapeError(message(name, ": the summed extent is ", depth_a, " in a and ", depth_b, " in b"));
  }
  if (c_rows != rows || c_cols != cols) {
    throw ShapeError(message(name, ": c is [", c_rows, ", ", c_cols, "], want [", rows, ", ", cols, "]"));
  }
}

/// One product of matrices of any element types, for the profile.
template <class A, class B, class C>
KernelScope gemm_scope(std::string_view name, MatrixView<const A> a, MatrixView<const B> b, MatrixView<C> c,
                       std::size_t depth, bool narrow = false) noexcept {
  const auto bytes = static_cast<double>(a.size() * sizeof(A) + b.size() * sizeof(B) + c.size() * sizeof(C));
  return KernelScope(name, bytes, 2.0 * static_cast<double>(c.size()) * static_cast<double>(depth), narrow);
}

/// Runs body(begin, end) over [0, count), on this thread alone when `serial`.
template <class F>
void for_tiles(std::size_t count, std::size_t grain, bool serial, F&& body) {
  if (serial) {
    body(std::size_t{0}, count);
  } else {
    parallel_for(count, grain, body);
  }
}

/// C = A B or A B^T by tiles of rows; B is packed once and shared.
template <bool kTransposedB, Real T>
void gemm_rows_of_a(MatrixView<const T> a, MatrixView<const T> b, MatrixView<T> c, Accumulate accumulate,
                    const Epilogue<T>& epilogue) {
  const std::size_t depth = a.cols();
  const Isa isa = tessera::active_isa();
  const PanelPlan plan = gemm_panels<T>(isa, c.cols());
  const bool serial = 2.0 * static_cast<double>(c.size()) * static_cast<double>(depth) < kGemmSerialFlops;

  Array<T> packed(depth * plan.padded_cols());
  for_tiles(depth, kGemmDepth, serial, [&](std::size_t begin, std::size_t end) {
    for (std::size_t k0 = begin; k0 < end; k0 += kGemmDepth) {
      T* const to = packed.data() + k0 * plan.padded_cols();
      const std::size_t count = std::min(kGemmDepth, end - k0);
      if constexpr (kTransposedB) {
        pack_panels_transposed(b, k0, count, plan, to);
      } else {
        pack_panels(b, k0, count, plan, to);
      }
    }
  });

  const bool plain = is_identity(epilogue);
  const auto tile = [&](std::size_t begin, std::size_t end) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      for (std::size_t k0 = 0; k0 < depth; k0 += kGemmDepth) {
        gemm_block<false>(level, a.data() + begin * a.stride() + k0, a.stride(), end - begin,
                          std::min(kGemmDepth, depth - k0), packed.data() + k0 * plan.padded_cols(), plan,
                          c.data() + begin * c.stride(), c.stride(), k0 > 0 || accumulate == Accumulate::yes);
      }
      for (std::size_t i = begin; i < end && !plain; ++i) apply_epilogue_row(level, c.row(i), i, epilogue);
    });
  };
  if (depth == 0 && accumulate == Accumulate::no) {
    for (std::size_t i = 0; i < c.rows(); ++i) std::fill_n(c.row(i).data(), c.cols(), T{0});
  }
  // Tile height is free: it changes no bits. A dozen tiles per thread balance, 96 rows keep A's block in L2.
  constexpr std::size_t kMaxRows = 4 * kGemmRowStep;
  const std::size_t share = c.rows() / (12 * max_threads()) / kGemmRowStep * kGemmRowStep;
  const std::size_t rows = serial ? kMaxRows : std::clamp(share, kGemmRowStep, kMaxRows);
  if (serial) {
    for (std::size_t i = 0; i < c.rows(); i += rows) tile(i, std::min(c.rows(), i + rows));
  } else {
    parallel_for(c.rows(), rows, tile);
  }
}

/// Rows [k0, k1) of the sum A^T B into c [A.cols(), B.cols()], for columns [i0, i1) of A.
template <Real T>
void gemm_tn_block(Isa isa, MatrixView<const T> a, MatrixView<const T> b, std::size_t k0, std::size_t k1,
                   std::size_t i0, std::size_t i1, const PanelPlan& plan, MatrixView<T> c, bool add) {
  const std::size_t rows = i1 - i0;
  const std::size_t padded_rows = (rows + kGemmRowStep - 1) / kGemmRowStep * kGemmRowStep;
  const std::size_t max_depth = std::min(kGemmDepth, k1 - k0);
  Array<T> packed(max_depth * (plan.padded_cols() + padded_rows));
  T* const packed_b = packed.data();
  T* const packed_a = packed.data() + max_depth * plan.padded_cols();
  for (std::size_t k = k0; k < k1; k += kGemmDepth) {
    const std::size_t depth = std::min(kGemmDepth, k1 - k);
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      pack_panels(b, k, depth, plan, packed_b);
      pack_columns(a, k, depth, i0, rows, packed_a);
      gemm_block<true>(level, packed_a, 0, rows, depth, packed_b, plan, c.data() + i0 * c.stride(),
                       c.stride(), add || k > k0);
    });
  }
}

/// to[j] += from[j], compiled for `isa`.
template <class T>
void add_run(Isa isa, const T* from, std::size_t count, T* to) {
  dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA { add_vectors<T>(from, count, to); });
}

/// How A^T B is cut: tiles of rows of the result, times blocks of summed rows, both of nearly equal extents, because a
/// task each is all there is to balance. Depends on the extents alone.
struct TnPlan {
  static constexpr std::size_t kMaxTileRows = 8 * kGemmRowStep;
  static constexpr std::size_t kDepthStep = 32;  // kGemmDepth would leave the last block short
  static constexpr std::size_t kTasks = 32;      // enough to balance, few enough to add up cheaply
  static constexpr std::size_t kMinDepth = 512;  // so that a partial sum costs little to write and read

  TnPlan(std::size_t depth, std::size_t rows) noexcept {
    tiles = (rows + kMaxTileRows - 1) / kMaxTileRows;
    tile_rows = ((rows + tiles - 1) / tiles + kGemmRowStep - 1) / kGemmRowStep * kGemmRowStep;
    const std::size_t most = (depth + kMinDepth - 1) / kMinDepth;
    const std::size_t wanted = std::min((kTasks + tiles - 1) / tiles, most);
    const std::size_t share = (depth + wanted - 1) / wanted;
    block = (share + kDepthStep - 1) / kDepthStep * kDepthStep;
    blocks = (depth + block - 1) / block;
  }

  std::size_t tiles, tile_rows, block, blocks;
};

/// C = A^T B, or C^T = A^T B if `swapped`.
template <Real T>
void gemm_columns_of_a(MatrixView<const T> a, MatrixView<const T> b, MatrixView<T> c, bool swapped,
                       Accumulate accumulate) {
  const std::size_t depth = a.rows();
  const std::size_t rows = a.cols();
  const std::size_t cols = b.cols();
  const Isa isa = tessera::active_isa();
  const PanelPlan panels = gemm_panels<T>(isa, cols);
  const TnPlan plan(depth, rows);
  const bool serial = 2.0 * static_cast<double>(c.size()) * static_cast<double>(depth) < kGemmSerialFlops;

  const bool direct = plan.blocks == 1 && !swapped;
  Array<T> partial(direct ? 0 : plan.blocks * rows * cols);
  for_tiles(plan.blocks * plan.tiles, 1, serial, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) {
      const std::size_t part = t / plan.tiles;
      const std::size_t k0 = part * plan.block;
      const std::size_t i0 = t % plan.tiles * plan.tile_rows;
      gemm_tn_block(isa, a, b, k0, std::min(depth, k0 + plan.block), i0, std::min(rows, i0 + plan.tile_rows),
                    panels, direct ? c : MatrixView<T>(partial.data() + part * rows * cols, rows, cols),
                    direct && accumulate == Accumulate::yes);
    }
  });
  if (direct) return;

  const std::size_t grain = std::max<std::size_t>(1, 8192 / cols);
  for_tiles(rows, grain, serial, [&](std::size_t begin, std::size_t end) {
    T* const sum = partial.data() + begin * cols;
    const std::size_t count = (end - begin) * cols;
    for (std::size_t r = 1; r < plan.blocks; ++r) add_run(isa, sum + r * rows * cols, count, sum);
    for (std::size_t i = begin; i < end; ++i) {
      const T* const from = partial.data() + i * cols;
      if (!swapped) {
        if (accumulate == Accumulate::yes) {
          add_run(isa, from, cols, c.row(i).data());
        } else {
          std::copy_n(from, cols, c.row(i).data());
        }
        continue;
      }
      for (std::size_t j = 0; j < cols; ++j) {
        T& to = c.data()[j * c.stride() + i];
        to = accumulate == Accumulate::yes ? to + from[j] : from[j];
      }
    }
  });
}

}  // namespace detail

/// The matrix product C = A B, finished row by row by an epilogue while the rows are in cache.
///
/// Shapes   a [N, K], b [K, F] -> c [N, F]; any strides; c may not overlap a or b
/// Cost     work O(N K F), one packed copy of b from the pool; runs on the calling thread below 2 MFLOP
/// Errors   ShapeError if extents do not fit, ConfigError if the dropout probability is outside [0, 1]
/// Threads  safe to call concurrently on distinct c; result independent of T
/// Source   Goto & van de Geijn, Anatomy of high-performance matrix multiplication, 2008; differs: A is not
///          packed, because B (a weight) is small and A's rows are used by few panels
template <Real T>
void gemm(std::type_identity_t<MatrixView<const T>> a, std::type_identity_t<MatrixView<const T>> b,
          MatrixView<T> c, Accumulate accumulate = Accumulate::no,
          const std::type_identity_t<Epilogue<T>>& epilogue = {}) {
  detail::check_gemm("gemm", a.cols(), b.rows(), a.rows(), b.cols(), c.rows(), c.cols());
  detail::check_epilogue_fits("gemm", epilogue, c.cols());
  if (c.empty()) return;
  const KernelScope profile = detail::gemm_scope("gemm", a, b, c, a.cols());
  detail::gemm_rows_of_a<false, T>(a, b, c, accumulate, epilogue);
}

/// C = A B^T, the gradient of a linear map's input: dX = G W^T.
///
/// Shapes   a [N, K], b [F, K] -> c [N, F]; any strides; c may not overlap a or b
/// Cost     as gemm
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct c; result independent of T
template <Real T>
void gemm_nt(std::type_identity_t<MatrixView<const T>> a, std::type_identity_t<MatrixView<const T>> b,
             MatrixView<T> c, Accumulate accumulate = Accumulate::no) {
  detail::check_gemm("gemm_nt", a.cols(), b.cols(), a.rows(), b.rows(), c.rows(), c.cols());
  if (c.empty()) return;
  const KernelScope profile = detail::gemm_scope("gemm_nt", a, b, c, a.cols());
  detail::gemm_rows_of_a<true, T>(a, b, c, accumulate, {});
}

/// C = A^T B, the gradient of a linear map's weight: dW = X^T G.
///
/// Shapes   a [N, K], b [N, F] -> c [K, F]; any strides; c may not overlap a or b
/// Cost     work O(N K F); up to 32 partial sums of c's size from the pool where c is small
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct c; the rows are summed in blocks that depend on the extents
///          alone and the blocks in order, so the result is independent of T
template <Real T>
void gemm_tn(std::type_identity_t<MatrixView<const T>> a, std::type_identity_t<MatrixView<const T>> b,
             MatrixView<T> c, Accumulate accumulate = Accumulate::no) {
  detail::check_gemm("gemm_tn", a.rows(), b.rows(), a.cols(), b.cols(), c.rows(), c.cols());
  if (c.empty()) return;
  if (a.rows() == 0) {
    for (std::size_t i = 0; i < c.rows() && accumulate == Accumulate::no; ++i) {
      std::fill_n(c.row(i).data(), c.cols(), T{0});
    }
    return;
  }
  const KernelScope profile = detail::gemm_scope("gemm_tn", a, b, c, a.rows());
  // Vectors run along the columns of the right operand. With few columns of B they would be mostly padding,
  // or starve on broadcasts; then the transposed product is cheaper, and turning a thin result is not.
  const bool swapped = b.cols() * 2 <= a.cols() && b.cols() * sizeof(T) <= 128;
  if (swapped) {
    detail::gemm_columns_of_a<T>(b, a, c, true, accumulate);
  } else {
    detail::gemm_columns_of_a<T>(a, b, c, false, accumulate);
  }
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void gemm<float>(MatrixView<const float>, MatrixView<const float>, MatrixView<float>,
                                     Accumulate, const Epilogue<float>&);
TESSERA_INSTANTIATE void gemm<double>(MatrixView<const double>, MatrixView<const double>, MatrixView<double>,
                                      Accumulate, const Epilogue<double>&);
TESSERA_INSTANTIATE void gemm_nt<float>(MatrixView<const float>, MatrixView<const float>, MatrixView<float>,
                                        Accumulate);
TESSERA_INSTANTIATE void gemm_nt<double>(MatrixView<const double>, MatrixView<const double>,
                                         MatrixView<double>, Accumulate);
TESSERA_INSTANTIATE void gemm_tn<float>(MatrixView<const float>, MatrixView<const float>, MatrixView<float>,
                                        Accumulate);
TESSERA_INSTANTIATE void gemm_tn<double>(MatrixView<const double>, MatrixView<const double>,
                                         MatrixView<double>, Accumulate);
#endif

}  // namespace tessera
