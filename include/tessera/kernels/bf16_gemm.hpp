// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/accumulate.hpp"
#include "tessera/kernels/bf16_isa.hpp"
#include "tessera/kernels/convert.hpp"
#include "tessera/kernels/detail/bf16_tile.hpp"
#include "tessera/kernels/detail/epilogue_row.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/epilogue.hpp"
#include "tessera/kernels/gemm.hpp"

namespace tessera {

/// What products of bf16 numbers read and write: bf16, or floats that are rounded on the way in and kept on the way out.
template <class S>
concept Bf16Storage = std::same_as<S, bf16> || std::same_as<S, float>;

namespace detail {

/// What every processor can do: the operands rounded and widened again, the product one of floats.
template <Bf16Storage S>
MatrixView<const float> rounded(MatrixView<const S> x, Tensor<float>& room) {
  room.resize(x.rows(), x.cols());
  if constexpr (std::is_same_v<S, bf16>) {
    convert_rows(x, room.view());
  } else {
    round_to_bf16(x, room.view());
  }
  return std::as_const(room).view();
}

#if defined(TESSERA_TARGET_BF16)

/// The right operand of a product, packed.
struct Bf16Right {
  Array<bf16> data;
  std::size_t steps = 0;
  std::size_t panels = 0;

  const bf16* panel(std::size_t p) const noexcept { return data.data() + p * steps * kBf16Panel; }
};

template <bool kTransposed, Bf16Storage S>
Bf16Right pack_bf16(MatrixView<const S> b, bool serial) {
  Bf16Right out;
  out.steps = bf16_blocks(kTransposed ? b.cols() : b.rows());
  out.panels = bf16_blocks(kTransposed ? b.rows() : b.cols());
  out.data.resize(out.steps * out.panels * kBf16Panel);
  for_tiles(out.steps * out.panels, 8, serial, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) {
      bf16* const to = out.data.data() + t * kBf16Panel;
      if constexpr (kTransposed) {
        pack_bf16_step_transposed(b, t % out.steps, t / out.steps, to);
      } else {
        pack_bf16_step(b, t % out.steps, t / out.steps, to);
      }
    }
  });
  return out;
}

/// One block at a level that has the instructions.
inline void bf16_block(Bf16Isa isa, const Bf16Block& block) noexcept {
  if (isa == Bf16Isa::amx) {
    bf16_block_amx(block);
  } else {
    bf16_block_pairs(block);
  }
}

/// Calls body() with the tile registers at hand where the level has them.
template <class Body>
void with_bf16_tiles(Bf16Isa isa, Body&& body) {
  if (isa == Bf16Isa::amx) {
    const AmxBf16Tiles tiles;
    body();
  } else {
    body();
  }
}

/// Row i of the result from its sums, which are changed.
template <Bf16Storage C>
TESSERA_ALWAYS_INLINE void finish_bf16_row(Level<Isa::avx512> level, std::span<float> sums, std::size_t i,
                                           MatrixView<C> c, bool add, const Epilogue<float>& epilogue) {
  C* const to = c.data() + i * c.stride();
  if (add) {
    for (std::size_t j = 0; j < sums.size(); ++j) sums[j] += static_cast<float>(to[j]);
  }
  apply_epilogue_row(level, sums, i, epilogue);
  if constexpr (std::is_same_v<C, bf16>) {
    narrow_bf16_row(sums.data(), sums.size(), to);
  } else {
    convert_run(level, sums.data(), sums.size(), to);
  }
}

/// C = A B with a packed B, in blocks of 32 rows; nothing is shared between blocks but B.
template <Bf16Storage A, Bf16Storage C>
void bf16_rows_of_a(Bf16Isa isa, MatrixView<const A> a, const Bf16Right& b, MatrixView<C> c, bool add,
                    const Epilogue<float>& epilogue, bool serial) {
  const std::size_t blocks = bf16_blocks(c.rows());
  const std::size_t depth = a.cols();
  const std::size_t padded = b.panels * kBf16Block;
  // A dozen tasks per thread balance; below a MFLOP a task costs more to hand out than it shares.
  constexpr std::size_t kTaskProducts = std::size_t{1} << 19;
  const std::size_t least = 1 + kTaskProducts / (kBf16Block * kBf16Block * b.steps * padded);
  const std::size_t grain =
      std::clamp(blocks / (12 * max_threads()), std::min<std::size_t>(least, 8), std::size_t{8});
  for_tiles(blocks, grain, serial, [&](std::size_t begin, std::size_t end) {
    Array<float> sums(kBf16Block * padded);
    Array<bf16> room(kBf16Block * kBf16Block * b.steps);
    with_bf16_tiles(isa, [&] {
      for (std::size_t block = begin; block < end; ++block) {
        const std::size_t first = block * kBf16Block;
        const std::size_t rows = std::min(kBf16Block, c.rows() - first);
        const A* const from = a.data() + first * a.stride();
        Bf16Block work;
        work.c = sums.data();
        work.ldc = padded;
        work.last = depth - (b.steps - 1) * kBf16Block;
        if (std::is_same_v<A, float> || rows < kBf16Block) {
          work.lda = kBf16Block * b.steps;
          pad_bf16_rows(from, a.stride(), rows, depth, room.data(), work.lda);
          work.a = room.data();
          work.steps = b.steps;
        } else if constexpr (std::is_same_v<A, bf16>) {
          work.a = from;
          work.lda = a.stride();
          work.steps = depth / kBf16Block;
          if (work.steps < b.steps) {
            const std::size_t done = work.steps * kBf16Block;
            pad_bf16_rows(from + done, a.stride(), rows, depth - done, room.data(), kBf16Block);
            work.tail = room.data();
          }
        }
        for (std::size_t p = 0; p < b.panels; ++p) {
          work.panel = b.panel(p);
          work.c = sums.data() + p * kBf16Block;
          work.cols = std::min(kBf16Block, c.cols() - p * kBf16Block);
          bf16_block(isa, work);
        }
        dispatch(Isa::avx512, [&](auto level) TESSERA_INLINE_LAMBDA {
          if constexpr (decltype(level)::isa == Isa::avx512) {
            for (std::size_t i = 0; i < rows; ++i) {
              finish_bf16_row(level, std::span<float>(sums.data() + i * padded, c.cols()), first + i, c, add,
                              epilogue);
            }
          }
        });
      }
    });
  });
}

/// How the rows of A^T B are summed: chunks of rows one after the other, blocks of the result in parallel; where these
/// are few, each in several parts. Depends on the extents alone.
struct Bf16TnPlan {
  /// The most rows of a chunk: packed operands of 400 columns fill an L2. Chunks are equally long, because each reads and
  /// writes the whole result.
  static constexpr std::size_t kChunk = 1280;
  std::size_t chunk, strips, panels, tiles, parts;

  Bf16TnPlan(std::size_t depth, std::size_t rows, std::size_t cols) noexcept
      : strips(bf16_blocks(rows)), panels(bf16_blocks(cols)), tiles(strips * panels) {
    const std::size_t chunks = std::max<std::size_t>(1, (depth + kChunk - 1) / kChunk);
    chunk = bf16_blocks((depth + chunks - 1) / chunks) * kBf16Block;
    const std::size_t wanted = (16 + tiles - 1) / tiles;
    parts = std::clamp<std::size_t>(wanted, 1, std::max<std::size_t>(1, chunk / kBf16Block / 2));
  }
};

/// C = A^T B for operands with at least one row.
template <Bf16Storage A, Bf16Storage B>
void bf16_columns_of_a(Bf16Isa isa, MatrixView<const A> a, MatrixView<const B> b, MatrixView<float> c,
                       bool add, bool serial) {
  const Bf16TnPlan plan(a.rows(), a.cols(), b.cols());
  const std::size_t chunk = plan.chunk;
  constexpr std::size_t kTile = kBf16Block * kBf16Block;
  const std::size_t steps_per_chunk = chunk / kBf16Block;
  Array<bf16> left(plan.strips * steps_per_chunk * kTile);
  Array<bf16> right(plan.panels * steps_per_chunk * kBf16Panel);
  Array<float> sums(plan.parts * plan.tiles * kTile);
  // Where a whole block of c goes, if it is summed there.
  const auto in_place = [&](std::size_t t) -> float* {
    const std::size_t i = t / plan.panels * kBf16Block;
    const std::size_t j = t % plan.panels * kBf16Block;
    const bool whole = i + kBf16Block <= c.rows() && j + kBf16Block <= c.cols();
    return whole && plan.parts == 1 && !add ? c.data() + i * c.stride() + j : nullptr;
  };
  for (std::size_t first = 0; first < a.rows(); first += chunk) {
    const std::size_t rows = std::min(chunk, a.rows() - first);
    const std::size_t steps = bf16_blocks(rows);
    const MatrixView<const A> x = a.middle_rows(first, rows);
    const MatrixView<const B> g = b.middle_rows(first, rows);
    for_tiles(steps, 1, serial, [&](std::size_t begin, std::size_t end) {
      for (std::size_t s = begin; s < end; ++s) {
        for (std::size_t i = 0; i < plan.strips; ++i) {
          pack_bf16_columns(x, s, i, left.data() + (i * steps_per_chunk + s) * kTile);
        }
        for (std::size_t p = 0; p < plan.panels; ++p) {
          pack_bf16_step(g, s, p, right.data() + (p * steps_per_chunk + s) * kBf16Panel);
        }
      }
    });
    for_tiles(plan.parts * plan.tiles, plan.parts == 1 ? std::min<std::size_t>(4, plan.panels) : 1, serial,
              [&](std::size_t begin, std::size_t end) {
                with_bf16_tiles(isa, [&] {
                  for (std::size_t t = begin; t < end; ++t) {
                    const std::size_t part = t / plan.tiles;
                    const std::size_t strip = t % plan.tiles / plan.panels;
                    const std::size_t panel = t % plan.panels;
                    const std::size_t from = steps * part / plan.parts;
                    const std::size_t to = steps * (part + 1) / plan.parts;
                    Bf16Block work;
                    work.a = left.data() + (strip * steps_per_chunk + from) * kTile;
                    work.lda = kBf16Block;
                    work.stride = kTile;
                    work.steps = to - from;
                    work.panel = right.data() + (panel * steps_per_chunk + from) * kBf16Panel;
                    float* const whole = in_place(t);
                    work.c = whole != nullptr ? whole : sums.data() + t * kTile;
                    work.ldc = whole != nullptr ? c.stride() : kBf16Block;
                    work.add = first > 0;
                    work.cols = std::min(kBf16Block, c.cols() - panel * kBf16Block);
                    if (to == steps) work.last = rows - (steps - 1) * kBf16Block;
                    bf16_block(isa, work);
                  }
                });
              });
  }
  for_tiles(plan.tiles, 4, serial, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) {
      if (in_place(t) != nullptr) continue;
      float* const sum = sums.data() + t * kTile;
      for (std::size_t part = 1; part < plan.parts; ++part) {
        add_run(Isa::avx512, sums.data() + (part * plan.tiles + t) * kTile, kTile, sum);
      }
      const std::size_t i0 = t / plan.panels * kBf16Block;
      const std::size_t j0 = t % plan.panels * kBf16Block;
      const std::size_t count = std::min(kBf16Block, c.cols() - j0);
      for (std::size_t i = i0; i < std::min(i0 + kBf16Block, c.rows()); ++i) {
        const float* const from = sum + (i - i0) * kBf16Block;
        float* const to = c.data() + i * c.stride() + j0;
        for (std::size_t j = 0; j < count; ++j) to[j] = add ? to[j] + from[j] : from[j];
      }
    }
  });
}

#endif

/// Whether a product this small stays on the calling thread: it ends before others have woken up.
inline bool bf16_serial(std::size_t rows, std::size_t cols, std::size_t depth) noexcept {
  constexpr double kSerialFlops = 6e6;
  return 2.0 * static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(depth) <
         kSerialFlops;
}

template <bool kTransposedB, Bf16Storage A, Bf16Storage B, Bf16Storage C>
void bf16_product(MatrixView<const A> a, MatrixView<const B> b, MatrixView<C> c, Accumulate accumulate,
                  const Epilogue<float>& epilogue) {
  const Bf16Isa isa = active_bf16_isa();
#if defined(TESSERA_TARGET_BF16)
  if (isa != Bf16Isa::portable && a.cols() > 0) {
    const bool serial = bf16_serial(c.rows(), c.cols(), a.cols());
    const Bf16Right packed = pack_bf16<kTransposedB>(b, serial);
    return bf16_rows_of_a(isa, a, packed, c, accumulate == Accumulate::yes, epilogue, serial);
  }
#endif
  static_cast<void>(isa);
  Tensor<float> wide_a, wide_b, wide_c;
  MatrixView<float> out;
  if constexpr (std::is_same_v<C, float>) {
    out = c;
  } else {
    wide_c.resize(c.rows(), c.cols());
    if (accumulate == Accumulate::yes) convert_rows(MatrixView<const C>(c), wide_c.view());
    out = wide_c.view();
  }
  const MatrixView<const float> left = rounded(a, wide_a);
  const MatrixView<const float> right = rounded(b, wide_b);
  if constexpr (kTransposedB) {
    gemm_nt(left, right, out, accumulate);
  } else {
    gemm(left, right, out, accumulate, epilogue);
  }
  if constexpr (std::is_same_v<C, bf16>) convert_rows(std::as_const(wide_c).view(), c);
}

}  // namespace detail

/// C = A B with operands rounded to bf16, summed in float and finished by an epilogue row by row.
///
/// Shapes   a [N, K], b [K, F] -> c [N, F], each bf16 or float; c may not overlap a or b
/// Cost     work O(N K F) in bf16 instructions where the processor has them, else a product of floats; one packed copy
///          of b; on the calling thread below 6 MFLOP
/// Errors   ShapeError if extents do not fit, ConfigError if the dropout probability is outside [0, 1]
/// Threads  safe to call concurrently on distinct c; result independent of T, the same at one Bf16Isa
template <Bf16Storage A, Bf16Storage B, Bf16Storage C>
void bf16_gemm(MatrixView<const A> a, MatrixView<const B> b, MatrixView<C> c,
               Accumulate accumulate = Accumulate::no, const Epilogue<float>& epilogue = {}) {
  detail::check_gemm("bf16_gemm", a.cols(), b.rows(), a.rows(), b.cols(), c.rows(), c.cols());
  detail::check_epilogue_fits("bf16_gemm", epilogue, c.cols());
  if (c.empty()) return;
  const KernelScope profile = detail::gemm_scope("bf16_gemm", a, b, c, a.cols(), true);
  detail::bf16_product<false>(a, b, c, accumulate, epilogue);
}

/// C = A B^T: dX = G W^T.
///
/// Shapes   a [N, K], b [F, K] -> c [N, F], each bf16 or float; c may not overlap a or b
/// Cost, errors and threads as bf16_gemm.
template <Bf16Storage A, Bf16Storage B, Bf16Storage C>
void bf16_gemm_nt(MatrixView<const A> a, MatrixView<const B> b, MatrixView<C> c,
                  Accumulate accumulate = Accumulate::no) {
  detail::check_gemm("bf16_gemm_nt", a.cols(), b.cols(), a.rows(), b.rows(), c.rows(), c.cols());
  if (c.empty()) return;
  const KernelScope profile = detail::gemm_scope("bf16_gemm_nt", a, b, c, a.cols(), true);
  detail::bf16_product<true>(a, b, c, accumulate, {});
}

/// C = A^T B: dW = X^T G.
///
/// Shapes   a [N, K], b [N, F], each bf16 or float -> c [K, F]; c may not overlap a or b
/// Cost     as bf16_gemm; packed copies of up to 1280 rows of a and b, up to 16 partial sums of c where it is small
/// Errors   ShapeError if extents do not fit
/// Threads  as bf16_gemm: the order of sums depends on the extents alone
template <Bf16Storage A, Bf16Storage B>
void bf16_gemm_tn(MatrixView<const A> a, MatrixView<const B> b, MatrixView<float> c,
                  Accumulate accumulate = Accumulate::no) {
  detail::check_gemm("bf16_gemm_tn", a.rows(), b.rows(), a.cols(), b.cols(), c.rows(), c.cols());
  if (c.empty()) return;
  const KernelScope profile = detail::gemm_scope("bf16_gemm_tn", a, b, c, a.rows(), true);
  const Bf16Isa isa = active_bf16_isa();
#if defined(TESSERA_TARGET_BF16)
  if (isa != Bf16Isa::portable && a.rows() > 0) {
    const bool serial = detail::bf16_serial(a.rows(), a.cols(), b.cols());
    return detail::bf16_columns_of_a(isa, a, b, c, accumulate == Accumulate::yes, serial);
  }
#endif
  static_cast<void>(isa);
  Tensor<float> wide_a, wide_b;
  const MatrixView<const float> left = detail::rounded(a, wide_a);
  const MatrixView<const float> right = detail::rounded(b, wide_b);
  gemm_tn(left, right, c, accumulate);
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void bf16_gemm<bf16, float, float>(MatrixView<const bf16>, MatrixView<const float>,
                                                       MatrixView<float>, Accumulate, const Epilogue<float>&);
TESSERA_INSTANTIATE void bf16_gemm<bf16, float, bf16>(MatrixView<const bf16>, MatrixView<const float>,
                                                      MatrixView<bf16>, Accumulate, const Epilogue<float>&);
TESSERA_INSTANTIATE void bf16_gemm<float, float, float>(MatrixView<const float>, MatrixView<const float>,
                                                        MatrixView<float>, Accumulate,
                                                        const Epilogue<float>&);
TESSERA_INSTANTIATE void bf16_gemm<float, float, bf16>(MatrixView<const float>, MatrixView<const float>,
                                                       MatrixView<bf16>, Accumulate, const Epilogue<float>&);
TESSERA_INSTANTIATE void bf16_gemm_nt<bf16, float, bf16>(MatrixView<const bf16>, MatrixView<const float>,
                                                         MatrixView<bf16>, Accumulate);
TESSERA_INSTANTIATE void bf16_gemm_tn<bf16, bf16>(MatrixView<const bf16>, MatrixView<const bf16>,
                                                  MatrixView<float>, Accumulate);
TESSERA_INSTANTIATE void bf16_gemm_tn<float, bf16>(MatrixView<const float>, MatrixView<const bf16>,
                                                   MatrixView<float>, Accumulate);
#endif

}  // namespace tessera
