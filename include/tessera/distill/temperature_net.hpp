// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/detail/soft_row.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/gemm.hpp"
#include "tessera/nn/init/kaiming.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// The entropy, in nats, of what the teacher says of a node's neighbours on average; the node itself is left out.
///
/// Shapes   graph [N, N], t [N, C] logits -> [N]; a node without neighbours gets 1e-4
/// Cost     O(E C)
/// Errors   ShapeError if the extents differ
/// Threads  result independent of T
template <Real T>
Array<T> neighbour_entropy(CsrView<> graph, MatrixView<const T> t) {
  constexpr double kIsolated = 1e-4;
  detail::check_shape("neighbour_entropy", "t", t, graph.num_rows, t.cols());
  Tensor<double> p(t.rows(), t.cols());
  parallel_for(t.rows(), 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      detail::log_softmax_row(t.row(i), 1.0, p.row(i));
      for (double& x : p.row(i)) x = std::exp(x);
    }
  });
  Array<T> out(t.rows());
  parallel_for(t.rows(), 64, [&](std::size_t i, std::size_t end) {
    Array<double> mean(t.cols());
    for (; i < end; ++i) {
      std::fill(mean.begin(), mean.end(), 0.0);
      std::size_t count = 0;
      for (const NodeId j : graph.neighbors(i)) {
        if (j == i) continue;
        ++count;
        for (std::size_t c = 0; c < t.cols(); ++c) mean[c] += p(j, c);
      }
      double entropy = count == 0 ? kIsolated : 0;
      for (std::size_t c = 0; c < t.cols() && count > 0; ++c) {
        const double x = mean[c] / static_cast<double>(count);
        if (x > 0) entropy -= x * std::log(x);
      }
      out[i] = static_cast<T>(std::isnan(entropy) ? kIsolated : entropy);
    }
  });
  return out;
}

/// A small perceptron that gives every node the temperature its teacher is read at:
/// u = [z | |z| | H], s = w2 . drop(relu(W1 drop(u) + b1)) + b2, tau = k (sigmoid(s) - 0.2), never within 1e-4 of 0.
///
/// Temperatures below 0 reverse the teacher's order. Dropout is always on: it is drawn from the key of a pass.
/// Shapes   z [N, C] student logits, H [N] neighbour_entropy -> tau [N]
/// Units    tau in (-0.2 k, 0.8 k)
/// Source   Yang, Guo, Xu, Shi et al., Learning to distill graph neural networks, WSDM 2023, and BUPT-GAMMA/LTD; the
///          code's dropout of 0.4
template <Real T>
class TemperatureNet {
 public:
  using Scalar = T;
  struct Options {
    std::size_t classes = 0;
    std::size_t hidden = 64;
    double k = 1;
    float dropout = 0.4f;
    std::uint64_t seed = 0;
  };

  /// What a pass leaves for the derivatives.
  struct Pass {
    Tensor<T> u;        ///< dropped input [N, C + 2]
    Tensor<T> keep_u;   ///< its mask, scaled
    Tensor<T> a;        ///< dropped hidden layer [N, hidden]
    Tensor<T> slope_a;  ///< d a / d s1: mask and ReLU
    Array<T> slope;     ///< k sigma'(s), 0 where tau is held at 1e-4
    Array<T> bend;      ///< k sigma''(s), likewise
    Array<T> tau;
  };

  explicit TemperatureNet(const Options& o) : options_(o) {
    if (o.classes == 0 || o.hidden == 0 || !(o.k > 0) || !(o.dropout >= 0 && o.dropout < 1)) {
      throw ConfigError(message("TemperatureNet: classes ", o.classes, ", hidden ", o.hidden, ", k ", o.k,
                                ", dropout ", o.dropout, "; want sizes and k above 0, dropout in [0, 1)"));
    }
    w1_ = block_.add("lins.0.weight", o.classes + 2, o.hidden);
    b1_ = block_.add("lins.0.bias", 1, o.hidden);
    w2_ = block_.add("lins.1.weight", o.hidden, 1);
    b2_ = block_.add("lins.1.bias", 1, 1);
    reset_parameters(o.seed);
  }

  void reset_parameters(std::uint64_t seed) {
    const RngKey key = make_key(seed, 1, Purpose::init);
    const auto draw = [&](Parameter w, Parameter b) {
      kaiming_uniform(block_.value(w), {key, static_cast<std::uint32_t>(w.index)});
      fan_in_uniform(block_.value(b), w.rows, {key, static_cast<std::uint32_t>(b.index)});
    };
    draw(w1_, b1_);
    draw(w2_, b2_);
    block_.zero_grads();
  }

  ParameterBlock<T>& parameters() noexcept { return block_; }
  const ParameterBlock<T>& parameters() const noexcept { return block_; }
  const Options& options() const noexcept { return options_; }

  /// tau of every node, and what the derivatives need.
  ///
  /// Errors   ShapeError if the extents do not fit
  void forward(std::type_identity_t<MatrixView<const T>> z, std::span<const T> entropy, RngKey key,
               Pass& pass) const {
    const std::size_t n = z.rows();
    const std::size_t classes = options_.classes;
    detail::check_shape("TemperatureNet", "z", z, n, classes);
    detail::check_size("TemperatureNet", "entropy", entropy.size(), n);
    pass.u.resize(n, classes + 2);
    draw_mask(key, 0, n, classes + 2, pass.keep_u);
    parallel_for(n, 256, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        double squares = 0;
        for (std::size_t c = 0; c < classes; ++c) {
          squares += static_cast<double>(z(i, c)) * static_cast<double>(z(i, c));
          pass.u(i, c) = z(i, c) * pass.keep_u(i, c);
        }
        pass.u(i, classes) = static_cast<T>(std::sqrt(squares)) * pass.keep_u(i, classes);
        pass.u(i, classes + 1) = entropy[i] * pass.keep_u(i, classes + 1);
      }
    });
    pass.a.resize(n, options_.hidden);
    gemm(pass.u.view(), block_view(w1_), pass.a.view());
    draw_mask(key, 1, n, options_.hidden, pass.slope_a);
    for (Array<T>* x : {&pass.slope, &pass.bend, &pass.tau}) x->resize(n);
    finish(pass);
  }

  /// Adds the gradient of the parameters for a gradient of tau.
  ///
  /// Shapes   grad_tau [N]
  void backward(const Pass& pass, std::span<const T> grad_tau) const {
    Array<T> of_s(grad_tau.size());
    for (std::size_t i = 0; i < of_s.size(); ++i) of_s[i] = grad_tau[i] * pass.slope[i];
    accumulate(pass, of_s.span(), {}, {}, {});
  }

  /// out_v += factor_v d tau_v / d z_v, the length |z_v| held fixed.
  ///
  /// Shapes   factor [N], out [N, C]
  void add_input_gradient(const Pass& pass, std::span<const T> factor, MatrixView<T> out) const {
    const auto w1 = block_view(w1_);
    const auto w2 = block_view(w2_);
    parallel_for(out.rows(), 64, [&](std::size_t v, std::size_t end) {
      for (; v < end; ++v) {
        const T g = factor[v] * pass.slope[v];
        if (g == T{0}) continue;
        for (std::size_t c = 0; c < options_.classes; ++c) {
          T sum{0};
          for (std::size_t h = 0; h < options_.hidden; ++h) sum += w1(c, h) * w2(h, 0) * pass.slope_a(v, h);
          out(v, c) += g * sum * pass.keep_u(v, c);
        }
      }
    });
  }

  /// The derivative of tau along a change zeta of the logits, and the s-derivative behind it.
  ///
  /// Shapes   zeta [N, C] -> udot [N, C + 2], adot [N, hidden], sdot [N]
  void tangent(const Pass& pass, MatrixView<const T> zeta, Tensor<T>& udot, Tensor<T>& adot,
               std::span<T> sdot) const {
    const std::size_t n = zeta.rows();
    udot.resize(n, options_.classes + 2);
    udot.fill(T{0});
    for (std::size_t v = 0; v < n; ++v) {
      for (std::size_t c = 0; c < options_.classes; ++c) udot(v, c) = zeta(v, c) * pass.keep_u(v, c);
    }
    adot.resize(n, options_.hidden);
    gemm(std::as_const(udot).view(), block_view(w1_), adot.view());
    const auto w2 = block_view(w2_);
    parallel_for(n, 256, [&](std::size_t v, std::size_t end) {
      for (; v < end; ++v) {
        T sum{0};
        for (std::size_t h = 0; h < options_.hidden; ++h) {
          adot(v, h) *= pass.slope_a(v, h);
          sum += adot(v, h) * w2(h, 0);
        }
        sdot[v] = sum;
      }
    });
  }

  /// Adds the gradient for adjoints of s and, where udot is not empty, of sdot.
  void accumulate(const Pass& pass, std::span<const T> of_s, std::span<const T> of_sdot,
                  MatrixView<const T> udot, MatrixView<const T> adot) const {
    const std::size_t n = of_s.size();
    const auto w2 = block_view(w2_);
    Tensor<T> through(n, options_.hidden);
    const auto add = [&](std::span<const T> adjoint, MatrixView<const T> u, MatrixView<const T> a) {
      parallel_for(n, 256, [&](std::size_t v, std::size_t end) {
        for (; v < end; ++v) {
          for (std::size_t h = 0; h < options_.hidden; ++h)
            through(v, h) = adjoint[v] * w2(h, 0) * pass.slope_a(v, h);
        }
      });
      gemm_tn(u, std::as_const(through).view(), block_.grad(w1_), Accumulate::yes);
      gemm_tn(a, MatrixView<const T>(adjoint.data(), n, 1), block_.grad(w2_), Accumulate::yes);
    };
    add(of_s, pass.u.view(), pass.a.view());
    for (std::size_t h = 0; h < options_.hidden; ++h) block_.grad(b1_)(0, h) += column(through, h);
    block_.grad(b2_)(0, 0) +=
        static_cast<T>(parallel_sum<double>(n, 4096, [&](std::size_t v, std::size_t end) {
          double sum = 0;
          for (; v < end; ++v) sum += static_cast<double>(of_s[v]);
          return sum;
        }));
    if (!udot.empty()) add(of_sdot, udot, adot);
  }

 private:
  MatrixView<const T> block_view(Parameter p) const noexcept { return block_.value(p); }

  static T column(const Tensor<T>& x, std::size_t h) {
    return static_cast<T>(parallel_sum<double>(x.rows(), 4096, [&](std::size_t v, std::size_t end) {
      double sum = 0;
      for (; v < end; ++v) sum += static_cast<double>(x(v, h));
      return sum;
    }));
  }

  void draw_mask(RngKey key, std::uint32_t layer, std::size_t rows, std::size_t cols, Tensor<T>& mask) const {
    mask.resize(rows, cols);
    const double p = static_cast<double>(options_.dropout);
    const auto below = static_cast<std::uint64_t>(p * 0x1p32);
    const T keep = static_cast<T>(1 / (1 - p));
    parallel_for(rows, 256, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        CounterRng rng(key, 0x17D0u + layer, i);
        for (std::size_t j = 0; j < cols; ++j) mask(i, j) = rng.next32() < below ? T{0} : keep;
      }
    });
  }

  /// From a = u W1 to tau, row by row.
  void finish(Pass& pass) const {
    const auto b1 = block_view(b1_);
    const auto w2 = block_view(w2_);
    const double b2 = static_cast<double>(block_view(b2_)(0, 0));
    parallel_for(pass.tau.size(), 256, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        double s = b2;
        for (std::size_t h = 0; h < options_.hidden; ++h) {
          const T s1 = pass.a(i, h) + b1(0, h);
          if (!(s1 > T{0})) pass.slope_a(i, h) = T{0};
          pass.a(i, h) = s1 > T{0} ? s1 * pass.slope_a(i, h) : T{0};
          s += static_cast<double>(pass.a(i, h)) * static_cast<double>(w2(h, 0));
        }
        const double sigma = 1 / (1 + std::exp(-s));
        const double tau = options_.k * (sigma - 0.2);
        const double slope = options_.k * sigma * (1 - sigma);
        const bool held = std::abs(tau) < kSmallest;
        pass.tau[i] = static_cast<T>(held ? kSmallest : tau);
        pass.slope[i] = static_cast<T>(held ? 0 : slope);
        pass.bend[i] = static_cast<T>(held ? 0 : slope * (1 - 2 * sigma));
      }
    });
  }

  static constexpr double kSmallest = 1e-4;

  Options options_;
  ParameterBlock<T> block_;
  Parameter w1_;
  Parameter b1_;
  Parameter w2_;
  Parameter b2_;
};

}  // namespace tessera
