// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/kernels/detail/inner_product.hpp"
#include "tessera/kernels/fake_quantize.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/parameter_block.hpp"
#include "tessera/quant/fake_quantize.hpp"
#include "tessera/quant/observer.hpp"
#include "tessera/quant/quant_plan.hpp"

namespace tessera {

namespace detail {

/// The largest logit's quantiser forward; backward, every candidate's share of the mixture.
template <Real T>
struct MixedQuantizeOp {
  static constexpr std::string_view kName = "mixed_quantize";
  Var x;
  Var logits;
  T temperature = 1;
  std::vector<OwnedGrid<T>> grids{};
  std::size_t chosen = 0;
  OwnedQuantRows rows{};

  std::array<Var, 2> inputs() const noexcept { return {x, logits}; }
  std::array<Var, 2> reads() const noexcept { return inputs(); }
  bool reads_output() const noexcept { return false; }

  // y = sum of (stop(onehot - pi) + pi)_k o_k: dx is the chosen quantiser's, d logit_k = pi_k (c_k - sum of pi c) / T with
  // c_k = <g, o_k>.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const MatrixView<const T> value = tape.value(x);
    if (tape.needs_grad(logits)) {
      const std::vector<T> share = softmax(tape.value(logits), temperature);
      std::vector<T> inner(share.size());
      Tensor<T> o(value.rows(), value.cols());
      T mean{0};
      for (std::size_t k = 0; k < share.size(); ++k) {
        fake_quantize<T>(value, grids[k].view(), o.view(), rows.view());
        inner[k] = static_cast<T>(inner_product<T>(g, o.view()));
        mean += share[k] * inner[k];
      }
      Tensor<T> grad(1, share.size());
      for (std::size_t k = 0; k < share.size(); ++k) grad(0, k) = share[k] * (inner[k] - mean) / temperature;
      tape.add_grad(logits, std::move(grad));
    }
    if (!tape.needs_grad(x)) return;
    Tensor<T> passed(value.rows(), value.cols());
    fake_quantize_backward<T>(value, grids[chosen].view(), g, passed.view(), QuantGradient::clipped_inclusive,
                              rows.view());
    tape.add_grad(x, std::move(passed));
  }

  static std::vector<T> softmax(MatrixView<const T> logits, T temperature) {
    std::vector<T> out(logits.row(0).begin(), logits.row(0).end());
    const T top = *std::max_element(out.begin(), out.end());
    T total{0};
    for (T& v : out) total += v = std::exp((v - top) / temperature);
    for (T& v : out) v /= total;
    return out;
  }
};

}  // namespace detail

/// What a search for bit widths may choose from, and what widths cost.
struct BitSearchOptions {
  std::vector<int> widths{2, 4, 8};
  double temperature = 1;  ///< of the mixture
  double beta =
      0;  ///< loss per bit: of a weight's elements, of an activation's columns; times the tensor's share
};

/// Searches the width of every quantiser by gradient: each has a logit per width, the forward pass takes the largest, the
/// backward pass treats the result as the mixture softmax(logits / temperature) of all.
///
///     BitSearch<float> search(model.plan(), {.widths = {2, 4, 8}, .beta = 1});
///     model.search(&search);
///     ... steps of the model's weights on training nodes, and of search.parameters() on validation nodes: a backward
///         pass fills both blocks' gradients; search.add_size_gradient() adds the price of bits ...
///     model.search(nullptr);
///     search.apply(model);
///
/// The price is beta times the sum of pi_k bits_k size, size being a tensor's share of all elements.
///
/// Searched are quantisers of whole tensors: dense rows, rows before they are summed, weights, attention vectors, sums,
/// products, updates, and messages without coefficients (GraphSAGE, GIN). Where an operator rounds numbers on its way the
/// width stays as it was: features given by their entries, the adjacency's coefficients, messages multiplied by
/// them (GCN, faithful), attention's scores, messages and shares. Their logits only feel the price.
/// Source   Zhao et al., Learned low precision graph neural networks, 2020 (arXiv 2009.09232); formulas after the abstract
template <Real T>
class BitSearch {
 public:
  /// Errors   ConfigError for no widths, one outside 2 to 16, or a temperature that is not positive
  BitSearch(const QuantPlan& plan, BitSearchOptions options) : options_(std::move(options)) {
    if (options_.widths.empty()) throw ConfigError("BitSearch: widths is empty, want at least one");
    for (const int bits : options_.widths) {
      if (bits < 2 || bits > 16) throw ConfigError(message("BitSearch: widths has ", bits, ", want 2 to 16"));
    }
    if (!(options_.temperature > 0)) {
      throw ConfigError(
          message("BitSearch: temperature is ", options_.temperature, ", want a positive number"));
    }
    double total = 0;
    for (const QuantPoint& point : plan.points) {
      logits_.push_back(block_.add(point.name, 1, options_.widths.size(), 0.0f));
      size_.push_back(
          static_cast<double>(std::max<std::size_t>(1, point.elements > 0 ? point.elements : point.columns)));
      total += size_.back();
    }
    for (double& s : size_) s /= total;
    searched_.assign(size_.size(), 0);
  }

  /// The logits, for an optimiser.
  ParameterBlock<T>& parameters() noexcept { return block_; }
  const ParameterBlock<T>& parameters() const noexcept { return block_; }
  const BitSearchOptions& options() const noexcept { return options_; }

  /// Shares of the widths of one quantiser; their sum is 1.
  std::vector<T> shares(std::size_t point) const {
    return detail::MixedQuantizeOp<T>::softmax(block_.value(logits_.at(point)),
                                               static_cast<T>(options_.temperature));
  }
  /// The width with the largest logit, the first of equal ones.
  int chosen(std::size_t point) const { return options_.widths[best(point)]; }
  /// Bits per element that the shares expect.
  double expected_bits() const {
    double sum = 0;
    for (std::size_t p = 0; p < logits_.size(); ++p) {
      const std::vector<T> pi = shares(p);
      for (std::size_t k = 0; k < pi.size(); ++k)
        sum += size_[p] * static_cast<double>(pi[k]) * options_.widths[k];
    }
    return sum;
  }

  /// Adds the gradient of beta times the expected bits to the logits'.
  void add_size_gradient() const {
    for (std::size_t p = 0; p < logits_.size(); ++p) {
      const std::vector<T> pi = shares(p);
      double mean = 0;
      for (std::size_t k = 0; k < pi.size(); ++k) mean += static_cast<double>(pi[k]) * options_.widths[k];
      const MatrixView<T> grad = block_.grad(logits_[p]);
      for (std::size_t k = 0; k < pi.size(); ++k) {
        grad(0, k) += static_cast<T>(options_.beta * size_[p] * static_cast<double>(pi[k]) *
                                     (options_.widths[k] - mean) / options_.temperature);
      }
    }
  }

  /// Gives every quantiser of `model` that was searched its chosen width. Those whose operators round numbers themselves
  /// (sparse features, coefficients, messages, scores and shares) are not searched and keep theirs.
  template <class M>
  void apply(M& model) const {
    for (std::size_t p = 0; p < logits_.size(); ++p) {
      if (searched_[p] != 0) model.set_bits(p, chosen(p));
    }
  }

  /// For QuantScope: x as quantiser `point` rounds it while widths are searched.
  template <class Ctx>
  Var mix(Ctx& ctx, Var x, std::size_t point, QuantFormat format, MatrixView<const T> state,
          std::string_view name, const QuantRows& rows) const {
    searched_.at(point) = 1;
    detail::MixedQuantizeOp<T> op{x, ctx.parameter(block_[logits_.at(point)]),
                                  static_cast<T>(options_.temperature)};
    op.rows.keep = Array<std::uint8_t>::copy_of(rows.keep);
    op.rows.row_factor = Array<float>::copy_of(rows.row_factor);
    for (const int bits : options_.widths) {
      format.bits = bits;
      op.grids.emplace_back(state, format, name);
    }
    op.chosen = best(point);
    const MatrixView<const T> value = ctx.value(x);
    Tensor<T> y(value.rows(), value.cols());
    fake_quantize<T>(value, op.grids[op.chosen].view(), y.view(), rows);
    return ctx.record(std::move(y), std::move(op));
  }

 private:
  std::size_t best(std::size_t point) const {
    const MatrixView<const T> row = block_.value(logits_.at(point));
    return static_cast<std::size_t>(std::max_element(row.row(0).begin(), row.row(0).end()) -
                                    row.row(0).begin());
  }

  BitSearchOptions options_;
  ParameterBlock<T> block_;
  std::vector<Parameter> logits_;
  std::vector<double> size_;                    ///< share of all elements
  mutable std::vector<std::uint8_t> searched_;  ///< whether a pass has mixed its widths
};

}  // namespace tessera
