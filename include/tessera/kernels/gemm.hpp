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
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/epilogue_row.hpp"
#include "tessera/kernels/detail/gemm_tile.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/epilogue.hpp"

namespace tessera {

/// Whether a kernel replaces its output or adds to it.
enum class Accumulate : bool { no, yes };

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

template <Real T>
void check_epilogue(std::string_view name, const Epilogue<T>& epilogue, std::size_t cols) {
  if (!epilogue.bias.empty() && epilogue.bias.size() != cols) {
    throw ShapeError(message(name, ": bias has ", epilogue.bias.size(), " elements, want ", cols));
  }
  check_dropout(epilogue.dropout, name);
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
      for (std::size_t i = begin; i < end && !plain; ++i) apply_epilogue_row(c.row(i), i, epilogue);
    });
  };
  if (depth == 0 && accumulate == Accumulate::no) {
    for (std::size_t i = 0; i < c.rows(); ++i) std::fill_n(c.row(i).data(), c.cols(), T{0});
  }
  // Tile height is free: it changes no bits. Four tiles per thread balance, 96 rows keep A's block in L2.
  constexpr std::size_t kMaxRows = 4 * kGemmRowStep;
  const std::size_t share = c.rows() / (4 * max_threads()) / kGemmRowStep * kGemmRowStep;
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
  Array<T> packed(std::min(kGemmDepth, k1 - k0) * plan.padded_cols());
  for (std::size_t k = k0; k < k1; k += kGemmDepth) {
    const std::size_t depth = std::min(kGemmDepth, k1 - k);
    pack_panels(b, k, depth, plan, packed.data());
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      gemm_block<true>(level, a.data() + k * a.stride() + i0, a.stride(), i1 - i0, depth, packed.data(), plan,
                       c.data() + i0 * c.stride(), c.stride(), add || k > k0);
    });
  }
}

/// C = A^T B, or its transpose B^T A written into C when that fills the registers better.
///
/// The summed rows are cut into blocks that depend on the extents alone; block sums are added in order.
template <Real T>
void gemm_columns_of_a(MatrixView<const T> a, MatrixView<const T> b, MatrixView<T> c, bool swapped,
                       Accumulate accumulate) {
  const std::size_t depth = a.rows();
  const std::size_t rows = a.cols();
  const std::size_t cols = b.cols();
  const Isa isa = tessera::active_isa();
  const PanelPlan plan = gemm_panels<T>(isa, cols);
  const bool serial = 2.0 * static_cast<double>(c.size()) * static_cast<double>(depth) < kGemmSerialFlops;

  constexpr std::size_t kTileRows = 4 * kGemmRowStep;
  constexpr std::size_t kTasks = 64;  // enough for any machine to balance, few enough to add up
  const std::size_t tiles = (rows + kTileRows - 1) / kTileRows;
  const std::size_t depth_blocks = (depth + kGemmDepth - 1) / kGemmDepth;
  const std::size_t wanted = std::min((kTasks + tiles - 1) / tiles, (depth_blocks + 1) / 2);
  const std::size_t block = (depth_blocks + wanted - 1) / wanted * kGemmDepth;
  const std::size_t blocks = (depth + block - 1) / block;

  const bool direct = blocks == 1 && !swapped;
  Array<T> partial(direct ? 0 : blocks * rows * cols);
  const auto task = [&](std::size_t t) {
    const std::size_t k0 = t / tiles * block;
    const std::size_t i0 = t % tiles * kTileRows;
    const MatrixView<T> to = direct ? c : MatrixView<T>(partial.data() + t / tiles * rows * cols, rows, cols);
    gemm_tn_block(isa, a, b, k0, std::min(depth, k0 + block), i0, std::min(rows, i0 + kTileRows), plan, to,
                  direct && accumulate == Accumulate::yes);
  };
  if (serial) {
    for (std::size_t t = 0; t < blocks * tiles; ++t) task(t);
  } else {
    parallel_blocks(blocks * tiles, task);
  }
  if (direct) return;

  for_tiles(c.rows(), std::max<std::size_t>(1, 16384 / c.cols()), serial,
            [&](std::size_t begin, std::size_t end) {
              for (std::size_t i = begin; i < end; ++i) {
                T* const to = c.row(i).data();
                if (accumulate == Accumulate::no) std::fill_n(to, c.cols(), T{0});
                for (std::size_t r = 0; r < blocks; ++r) {
                  const T* const from = partial.data() + r * rows * cols + (swapped ? i : i * cols);
                  const std::size_t step = swapped ? cols : 1;
                  for (std::size_t j = 0; j < c.cols(); ++j) to[j] += from[j * step];
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
  detail::check_epilogue("gemm", epilogue, c.cols());
  if (c.empty()) return;
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
  detail::gemm_rows_of_a<true, T>(a, b, c, accumulate, {});
}

/// C = A^T B, the gradient of a linear map's weight: dW = X^T G.
///
/// Shapes   a [N, K], b [N, F] -> c [K, F]; any strides; c may not overlap a or b
/// Cost     work O(N K F); up to 64 partial sums of c's size from the pool where c is small
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
