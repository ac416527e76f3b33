// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/ops/pair_norm.hpp"

namespace tessera {

/// Keeps the total distance of the rows from each other constant; it learns nothing.
///
/// The statistics are always those of the rows given, so a model with it evaluates whole graphs. Its authors advise
/// row-normalised aggregation (the mean) with it.
/// Shapes   x [N, F] -> y [N, F]
/// Errors   ConfigError if eps is not positive or scale not finite
/// Source   Zhao & Akoglu, PairNorm, ICLR 2020
class PairNorm {
 public:
  struct Options {
    double scale = 1;
    bool individually = false;  ///< PairNorm-SI: every row to the same length instead of all by one factor
    double eps = 1e-5;
  };

  PairNorm() : PairNorm(Options{}) {}
  explicit PairNorm(const Options& options) : options_(options) {
    detail::check_pair_norm("PairNorm", options.scale, options.eps);
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, Var x) const {
    return options_.individually ? pair_norm_individually(ctx, x, options_.scale, options_.eps)
                                 : pair_norm(ctx, x, options_.scale, options_.eps);
  }

 private:
  Options options_;
};

}  // namespace tessera
