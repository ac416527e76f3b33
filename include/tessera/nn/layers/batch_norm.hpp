// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>

#include "tessera/core/array.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/ops/batch_norm.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Normalises each column over the rows of the batch, then scales and shifts by learned rows; outside
/// training by running averages of what it saw in training.
///
/// The running averages lie in the parameter block as state (`ParameterBlock::add_state`): copies, checkpoints
/// and kept best weights hold them, optimisers leave them alone. A training pass over one row has no variance
/// and does not touch them.
/// Shapes   x [N, F] -> y [N, F]; weight, bias, running_mean and running_var [1, F]
/// Threads  a training pass writes the running averages: one at a time per model
/// Source   Ioffe & Szegedy, Batch normalization, 2015; running averages as torch.nn.BatchNorm1d (the
///          variance divided by N - 1)
template <Real T = float>
class BatchNorm {
 public:
  using Scalar = T;
  struct Options {
    double eps = 1e-5;
    double momentum = 0.1;      ///< share of the newest batch in the running averages
    bool running_stats = true;  ///< false: the batch's own statistics outside training too
  };

  /// Adds `<name>.weight`, `<name>.bias` and, as state, `<name>.running_mean` and `<name>.running_var`.
  ///
  /// Errors   ConfigError if momentum is outside [0, 1] or eps is negative
  BatchNorm(ParameterBlock<T>& block, const std::string& name, std::size_t features,
            const Options& options = {})
      : weight_(block.add(name + ".weight", 1, features)),
        bias_(block.add(name + ".bias", 1, features)),
        options_(options) {
    if (!(options.momentum >= 0 && options.momentum <= 1)) {
      throw ConfigError(message("BatchNorm: momentum is ", options.momentum, ", want a number from 0 to 1"));
    }
    if (!(options.eps >= 0)) throw ConfigError(message("BatchNorm: eps is ", options.eps, ", want >= 0"));
    if (options.running_stats) {
      running_mean_ = block.add_state(name + ".running_mean", 1, features);
      running_var_ = block.add_state(name + ".running_var", 1, features);
    }
    reset_parameters(block);
  }

  /// Scale 1, shift 0, running mean 0, running variance 1.
  void reset_parameters(ParameterBlock<T>& block) const {
    fill(block.value(weight_), T{1});
    fill(block.value(bias_), T{0});
    if (!options_.running_stats) return;
    fill(block.value(running_mean_), T{0});
    fill(block.value(running_var_), T{1});
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, Var x, const Pass& pass) const {
    const Var gamma = ctx.parameter(block[weight_]);
    const Var beta = ctx.parameter(block[bias_]);
    if (!options_.running_stats) return batch_norm(ctx, x, gamma, beta, options_.eps);
    const std::size_t rows = ctx.rows(x);
    if (!pass.training) {
      return batch_norm_by(ctx, x, gamma, beta, options_.eps, block.value(running_mean_).row(0),
                           block.value(running_var_).row(0));
    }
    Array<T> mean(weight_.cols);
    Array<T> variance(weight_.cols);
    const Var y = batch_norm(ctx, x, gamma, beta, options_.eps, mean.span(), variance.span());
    if (rows < 2) return y;
    const T take = static_cast<T>(options_.momentum);
    const T unbiased = static_cast<T>(rows) / static_cast<T>(rows - 1);
    const std::span<T> running_mean = block.state(running_mean_).row(0);
    const std::span<T> running_var = block.state(running_var_).row(0);
    for (std::size_t j = 0; j < mean.size(); ++j) {
      running_mean[j] += take * (mean[j] - running_mean[j]);
      running_var[j] += take * (unbiased * variance[j] - running_var[j]);
    }
    return y;
  }

  Parameter weight() const noexcept { return weight_; }
  Parameter bias() const noexcept { return bias_; }

 private:
  static void fill(MatrixView<T> row, T value) { std::fill(row.row(0).begin(), row.row(0).end(), value); }

  Parameter weight_;
  Parameter bias_;
  Parameter running_mean_;
  Parameter running_var_;
  Options options_;
};

}  // namespace tessera
