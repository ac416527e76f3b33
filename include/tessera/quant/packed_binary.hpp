// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/binary_gemm.hpp"
#include "tessera/kernels/gemm.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/nn/parameter_block.hpp"
#include "tessera/quant/bi_gcn_conv.hpp"
#include "tessera/quant/binary_sage_conv.hpp"

namespace tessera {
namespace detail {

inline std::span<const float> row_of(const ParameterBlock<float>& block, const std::string& name) {
  return block.value(block.find(name)).row(0);
}

inline void check_packed_input(const CsrView<>& a, MatrixView<const float> x, std::size_t columns) {
  if (a.num_rows != a.num_cols || x.rows() != a.num_rows || x.cols() != columns) {
    throw ShapeError(message("packed binary network: graph is [", a.num_rows, ", ", a.num_cols,
                             "], features are [", x.rows(), ", ", x.cols(), "], want a square graph and [",
                             a.num_rows, ", ", columns, "]"));
  }
}

}  // namespace detail

/// A trained Bi-GCN whose rows and weights are bits: products are XOR and popcount, sums over neighbours stay float.
///
/// Shapes   adjacency [N, N] as the network wants it, x [N, F_in] -> logits [N, F_out]
/// Cost     F_in F_out bits of weights; N F_in F_out / 64 words per product
/// Errors   ConfigError for a network in full precision or with ends, norms or residuals; ShapeError if extents do not fit
/// Threads  safe to call concurrently; result independent of T
class PackedBiGcn {
 public:
  explicit PackedBiGcn(const BiGcnNet<float>& net) {
    const auto& options = net.options();
    if (!options.conv.binary || options.linear_ends || options.residual || options.norm != NormKind::none) {
      throw ConfigError("PackedBiGcn: the network is not made of binary convolutions alone");
    }
    const ParameterBlock<float>& block = net.parameters();
    for (std::size_t l = 0; l < net.num_layers(); ++l) {
      const std::string at = message("convs.", l, ".lin.");
      const MatrixView<const float> w = block.value(block.find(at + "weight"));
      Layer& layer = layers_.emplace_back();
      layer.weights = BinaryWeights(w);
      layer.alpha.assign(w.cols(), 0.0f);
      for (std::size_t k = 0; k < w.rows(); ++k) {
        for (std::size_t j = 0; j < w.cols(); ++j) layer.alpha[j] += std::abs(w(k, j));
      }
      for (float& a : layer.alpha) a /= static_cast<float>(w.rows());
      layer.bias = Array<float>::copy_of(detail::row_of(block, at + "bias"));
    }
  }

  Tensor<float> infer(CsrView<> a, MatrixView<const float> x) const {
    detail::check_packed_input(a, x, layers_[0].weights.depth());
    Tensor<float> hidden;
    BitMatrix bits;
    Array<float> beta(x.rows());
    for (const Layer& layer : layers_) {
      pack_signs(x, bits);
      detail::row_magnitudes(x, beta.span());
      Tensor<float> product(x.rows(), layer.weights.cols());
      binary_gemm(bits, layer.weights, {layer.alpha, beta, layer.bias}, product);
      hidden.resize(a.num_rows, layer.weights.cols());
      spmm_sum<float, float>(a, product, hidden);
      x = hidden;
    }
    return hidden;
  }
  /// Bytes of bits, scales and biases.
  std::size_t bytes() const noexcept {
    std::size_t sum = 0;
    for (const Layer& l : layers_) {
      sum += l.weights.bytes() + sizeof(float) * (l.alpha.size() + l.bias.size());
    }
    return sum;
  }

 private:
  struct Layer {
    BinaryWeights weights;
    Array<float> alpha;
    Array<float> bias;
  };
  std::vector<Layer> layers_;
};

/// A trained BinarySageNet of the last stage whose hidden rows and weights are bits. The first layer keeps its real
/// rows, as in training.
///
/// Shapes   pattern [N, N], x [N, F_in] -> logits [N, F_out]
/// Errors   ConfigError for a network of an earlier stage, or with ends, norms or residuals; ShapeError if extents do not fit
/// Threads  safe to call concurrently; result independent of T
class PackedBinarySage {
 public:
  explicit PackedBinarySage(const BinarySageNet<float>& net) {
    const auto& options = net.options();
    if (options.conv.stage != BinaryStage::full || options.linear_ends || options.residual ||
        options.norm != NormKind::none) {
      throw ConfigError("PackedBinarySage: the network is not one of the last stage, BinaryStage::full");
    }
    const ParameterBlock<float>& block = net.parameters();
    for (std::size_t l = 0; l < net.num_layers(); ++l) {
      const std::string at = message("convs.", l, ".");
      Layer& layer = layers_.emplace_back();
      layer.neighbours = BinaryWeights(block.value(block.find(at + "lin_l.weight")));
      layer.own = BinaryWeights(block.value(block.find(at + "lin_r.weight")));
      layer.scale = Array<float>::copy_of(detail::row_of(block, at + "scale"));
      layer.slope = detail::row_of(block, at + "act.weight")[0];
      if (l == 0) continue;
      // sgn(gamma (x - mean) / deviation + beta): one multiply-add per element before its sign.
      const auto gamma = detail::row_of(block, at + "norm.weight"),
                 beta = detail::row_of(block, at + "norm.bias");
      const auto mean = detail::row_of(block, at + "norm.running_mean");
      const auto variance = detail::row_of(block, at + "norm.running_var");
      const BatchNorm<float>::Options norm;
      layer.factor.resize(gamma.size());
      layer.shift.resize(gamma.size());
      for (std::size_t j = 0; j < gamma.size(); ++j) {
        layer.factor[j] = static_cast<float>(static_cast<double>(gamma[j]) /
                                             std::sqrt(static_cast<double>(variance[j]) + norm.eps));
        layer.shift[j] =
            static_cast<float>(static_cast<double>(beta[j]) -
                               static_cast<double>(mean[j]) * static_cast<double>(layer.factor[j]));
      }
    }
  }

  Tensor<float> infer(CsrView<> a, MatrixView<const float> x) const {
    detail::check_packed_input(a, x, layers_[0].own.depth());
    Tensor<float> hidden;
    BitMatrix bits;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const Layer& layer = layers_[l];
      const std::size_t cols = layer.own.cols();
      Tensor<float> product(x.rows(), cols), own(x.rows(), cols), mean(x.rows(), cols);
      if (l == 0) {
        gemm<float>(x, signs_of(layer.neighbours), product.view());
        gemm<float>(x, signs_of(layer.own), own.view());
      } else {
        pack_normed(layer, x, bits);
        binary_gemm(bits, layer.neighbours, {}, product);
        binary_gemm(bits, layer.own, {}, own);
      }
      spmm_mean<float, float>(a, product, mean);
      finish(layer, own, mean, l + 1 == layers_.size());
      hidden = std::move(mean);
      x = hidden;
    }
    return hidden;
  }
  /// Bytes of bits, scales and norms.
  std::size_t bytes() const noexcept {
    std::size_t sum = 0;
    for (const Layer& l : layers_) {
      sum += l.neighbours.bytes() + l.own.bytes() +
             sizeof(float) * (l.scale.size() + l.factor.size() + l.shift.size() + 1);
    }
    return sum;
  }

 private:
  struct Layer {
    BinaryWeights neighbours;
    BinaryWeights own;
    Array<float> scale;
    Array<float> factor;
    Array<float> shift;
    float slope = 0;
  };

  static Tensor<float> signs_of(const BinaryWeights& w) {
    Tensor<float> out(w.depth(), w.cols());
    for (std::size_t k = 0; k < w.depth(); ++k) {
      for (std::size_t j = 0; j < w.cols(); ++j) out(k, j) = static_cast<float>(w.sign(k, j));
    }
    return out;
  }
  static void pack_normed(const Layer& layer, MatrixView<const float> x, BitMatrix& bits) {
    Tensor<float> normed(x.rows(), x.cols());
    parallel_for(x.rows(), detail::rows_per_block(x.cols()), [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        for (std::size_t j = 0; j < x.cols(); ++j) {
          normed(i, j) = __builtin_fmaf(x(i, j), layer.factor[j], layer.shift[j]);
        }
      }
    });
    pack_signs(normed, bits);
  }
  static void finish(const Layer& layer, const Tensor<float>& own, Tensor<float>& y, bool last) {
    parallel_for(y.rows(), detail::rows_per_block(y.cols()), [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        for (std::size_t j = 0; j < y.cols(); ++j) {
          const float v = (y(i, j) + own(i, j)) * layer.scale[j];
          y(i, j) = last || v >= 0 ? v : layer.slope * v;
        }
      }
    });
  }

  std::vector<Layer> layers_;
};

}  // namespace tessera
