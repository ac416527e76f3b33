// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "tessera/core/config.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/precompute/hop_features.hpp"
#include "tessera/precompute/operator.hpp"
#include "tessera/precompute/propagate_options.hpp"

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
#include "tessera/core/error.hpp"
#include "tessera/precompute/detail/propagation.hpp"
#endif

namespace tessera {

/// Multiplies features by powers of operators, a panel of columns at a time, and stores the rows wanted.
///
/// With a file target, a file that already holds the same computation (by a fingerprint of graph, features and
/// options) is opened instead; a computation that was interrupted goes on behind its last finished pair of
/// panel and family. The result is the same bits for any panel, budget, target and thread count.
/// Shapes   x [N, F] -> [rows, blocks F], blocks as `Emit` says, in the order of `families`
/// Cost     work O(F sum over families of K products E); memory of `propagate_bytes`; a file target needs twice
///          its size on disk while it is put together
/// Errors   ConfigError for options that cannot be, or a budget that one column does not fit; ShapeError if
///          operators and x differ in rows; IndexError for a row that is no node; FormatError HOP-05 if the file
///          holds something else, GEN-04 if the disk is full
/// Threads  parallel; result independent of T
/// Source   Wu et al., SGC, ICML 2019; Frasca et al., SIGN, 2020
HopFeatures propagate(std::span<const PropagationFamily> families, MatrixView<const float> x,
                      const PropagateOptions& options = {});

/// The same for one operator.
inline HopFeatures propagate(const PropagationOperator& op, std::size_t hops, MatrixView<const float> x,
                             const PropagateOptions& options = {}) {
  const PropagationFamily family{&op, hops};
  return propagate(std::span(&family, 1), x, options);
}

/// Bytes that `propagate` takes beside graph, features and operators with panels of `panel` columns.
std::size_t propagate_bytes(std::span<const PropagationFamily> families, std::size_t rows, std::size_t cols,
                            std::size_t panel, const PropagateOptions& options);

/// Weights of simple spectral graph convolution: (1 / K) sum over k >= 1 of ((1 - alpha) S^k + alpha I).
///
/// Errors   ConfigError unless hops >= 1 and alpha is in [0, 1]
/// Source   Zhu & Koniusz, Simple spectral graph convolution, ICLR 2021, eq. (11)
std::vector<double> ssgc_weights(std::size_t hops, double alpha = 0.05);

/// Weights of personalised PageRank, w_k = alpha (1 - alpha)^k; GBP's, and APPNP's where the last is
/// (1 - alpha)^K.
///
/// Errors   ConfigError unless alpha is in (0, 1]
std::vector<double> ppr_weights(std::size_t hops, double alpha, bool closed = false);

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
TESSERA_DEFINE std::size_t propagate_bytes(std::span<const PropagationFamily> families, std::size_t rows,
                                           std::size_t cols, std::size_t panel,
                                           const PropagateOptions& options) {
  return detail::Propagation::bytes(families, rows, cols, panel, options);
}

TESSERA_DEFINE HopFeatures propagate(std::span<const PropagationFamily> families, MatrixView<const float> x,
                                     const PropagateOptions& options) {
  return detail::Propagation(families, x, options).run();
}

TESSERA_DEFINE std::vector<double> ssgc_weights(std::size_t hops, double alpha) {
  if (hops == 0) throw ConfigError("ssgc_weights: hops is 0, want at least 1");
  if (!(alpha >= 0 && alpha <= 1))
    throw ConfigError(message("ssgc_weights: alpha is ", alpha, ", want 0 to 1"));
  std::vector<double> out(hops + 1, (1 - alpha) / static_cast<double>(hops));
  out[0] = alpha;
  return out;
}

TESSERA_DEFINE std::vector<double> ppr_weights(std::size_t hops, double alpha, bool closed) {
  if (!(alpha > 0 && alpha <= 1))
    throw ConfigError(message("ppr_weights: alpha is ", alpha, ", want in (0, 1]"));
  std::vector<double> out(hops + 1);
  double left = 1;
  for (double& w : out) {
    w = alpha * left;
    left *= 1 - alpha;
  }
  if (closed) out.back() += left;
  return out;
}
#endif

}  // namespace tessera
