// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>

#include "tessera/core/error.hpp"
#include "tessera/kernels/fake_quantize.hpp"
#include "tessera/quant/quant_params.hpp"

namespace tessera {

/// How the range of a tensor is followed from step to step.
enum class RangeRule {
  absolute,   ///< least and largest ever seen
  moving,     ///< exponential moving averages of each step's
  percentile  ///< percentiles of each step, then the rule of `absolute`
};

/// Where in a layer numbers become codes.
enum class Placement {
  faithful,  ///< after every step of a layer: weights, products, norms, messages, sums and sums with bias
  fused  ///< what integer kernels store: operands of products and of sums. Norms of GCN stay factors of rows
};

/// Everything that may vary between ways of training with codes.
struct QuantSettings {
  int weight_bits = 8;      ///< 2 to 16; 32: weights stay as they are
  int activation_bits = 8;  ///< the same of everything else
  bool per_channel =
      true;  ///< weights: symmetric, narrow, one scale per output column; else asymmetric, one scale
  Placement placement = Placement::fused;
  RangeRule range = RangeRule::moving;
  double momentum = 0.01;                     ///< of RangeRule::moving: share of the newest step
  double percentile = 0.001;                  ///< of RangeRule::percentile: share left out at each end
  std::size_t sample = std::size_t{1} << 20;  ///< numbers a percentile looks at, about; 0: all
  QuantGradient gradient = QuantGradient::straight;
  bool protect = false;   ///< leave out random nodes in training (DegreeQuant)
  double p_low = 0;       ///< how often, for the lowest degree
  double p_high = 0.1;    ///< and for the highest
  double noise_rate = 1;  ///< share of the weights' elements that a training step quantises (nQAT)
};

/// Errors   ConfigError for settings that cannot be
inline void check_settings(const QuantSettings& s) {
  const auto check_bits = [](const char* name, int bits) {
    if (bits != 32 && (bits < 2 || bits > 16)) {
      throw ConfigError(message("QuantSettings: ", name, " is ", bits, ", want 2 to 16, or 32 for none"));
    }
  };
  const auto check_share = [](const char* name, double value, double end) {
    if (!(value >= 0 && value <= end)) {
      throw ConfigError(message("QuantSettings: ", name, " is ", value, ", want 0 to ", end));
    }
  };
  check_bits("weight_bits", s.weight_bits);
  check_bits("activation_bits", s.activation_bits);
  check_share("momentum", s.momentum, 1);
  check_share("percentile", s.percentile, 0.5);
  check_share("p_low", s.p_low, 1);
  check_share("p_high", s.p_high, 1);
  check_share("noise_rate", s.noise_rate, 1);
  if (s.p_high < s.p_low) {
    throw ConfigError(message("QuantSettings: p_high is ", s.p_high, ", want at least p_low, ", s.p_low));
  }
}

/// Training with codes everywhere: straight-through gradients, moving averages of ranges.
///
/// Source   Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only
///          inference, CVPR 2018; the preset STE-MOM of Degree-Quant's code
template <int Bits>
struct Qat {
  Placement placement = Placement::fused;

  QuantSettings settings() const {
    return {.weight_bits = Bits, .activation_bits = Bits, .placement = placement};
  }
};

/// Qat whose steps quantise a random share of the weights' elements; the others have exact gradients.
///
/// Source   Fan et al., Training with quantization noise for extreme model compression, ICLR 2021, as Degree-Quant's
///          baseline nQAT
template <int Bits>
struct NoisyQat {
  double rate = 0.5;
  Placement placement = Placement::fused;

  QuantSettings settings() const {
    return {.weight_bits = Bits, .activation_bits = Bits, .placement = placement, .noise_rate = rate};
  }
};

/// Training with codes where random nodes, more often those of high degree, stay in full precision; percentile ranges
/// and clipped gradients.
///
/// Source   Tailor, Fernandez-Marques & Lane, Degree-Quant: quantization-aware training for graph neural networks,
///          ICLR 2021; presets of the released code (GC-PER 0.001 and p 0 to 0.1 at 8 bits, GC-PER 0.01 and 0.1 to 0.2
///          below)
template <int Bits>
struct DegreeQuant {
  double p_low = Bits >= 8 ? 0.0 : 0.1;
  double p_high = Bits >= 8 ? 0.1 : 0.2;
  double percentile = Bits >= 8 ? 0.001 : 0.01;
  Placement placement = Placement::fused;

  QuantSettings settings() const {
    return {.weight_bits = Bits,
            .activation_bits = Bits,
            .placement = placement,
            .range = RangeRule::percentile,
            .percentile = percentile,
            .gradient = QuantGradient::clipped,
            .protect = true,
            .p_low = p_low,
            .p_high = p_high};
  }
};

/// Settings chosen at run time.
struct AnyQuantPolicy {
  QuantSettings chosen{};

  QuantSettings settings() const { return chosen; }
};

/// What a policy is: something that makes settings.
template <class P>
concept QuantPolicy = requires(const P& policy) {
  { policy.settings() } -> std::same_as<QuantSettings>;
};

}  // namespace tessera
