// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/gin_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"
#include "tessera/quant/int8_model.hpp"
#include "tessera/quant/quantized.hpp"

namespace tessera {
namespace detail {

/// Reads weights and quantisers of one layer after the other.
class Int8Exporter {
 public:
  Int8Exporter(const ParameterBlock<float>& block, const QuantPlan& plan, std::size_t layer)
      : block_(block), plan_(plan), layer_(layer), prefix_(message("convs.", layer)) {}

  const std::string& prefix() const noexcept { return prefix_; }
  /// The quantiser of the k-th tensor of this role.
  Int8Quantizer quantizer(QuantRole role, std::size_t k = 0) const {
    return Int8Quantizer(
        observed_params(block_.value(point(role, k).state), point(role, k).format, point(role, k).name));
  }
  /// Whether the layer's second quantiser is one of weights: its product comes before its sum over neighbours.
  QuantRole role_at(std::size_t position) const {
    return plan_.points.at(plan_.layer_begin[layer_] + position).role;
  }

  Int8Map map(const std::string& weight, std::size_t k, const std::string& bias) const {
    const MatrixView<const float> w = block_.value(block_.find(weight));
    const QuantPoint& at = point(QuantRole::weight, k);
    Tensor<std::int8_t> codes(w.rows(), w.cols());
    Int8Map out;
    out.scale.resize(w.cols());
    out.bias.assign(w.cols(), 0.0f);
    std::int32_t zero_point = 0;
    for (std::size_t j = 0; j < w.cols(); ++j) {
      const QuantParams p =
          observed_params(block_.value(at.state), at.format, at.name, at.channels == 1 ? 0 : j);
      check_weight_codes(p, at.name);
      zero_point = p.zero_point;
      out.scale[j] = p.scale;
      for (std::size_t k_row = 0; k_row < w.rows(); ++k_row) {
        codes(k_row, j) = static_cast<std::int8_t>(tessera::quantize(w(k_row, j), p));
      }
    }
    out.weights = Int8Weights(codes.view(), zero_point);
    if (!bias.empty()) std::copy_n(row(bias).data(), w.cols(), out.bias.begin());
    return out;
  }
  std::span<const float> row(const std::string& name) const { return block_.value(block_.find(name)).row(0); }
  bool has(const std::string& name) const noexcept {
    for (const ParameterInfo& info : block_.parameters()) {
      if (info.name == name) return true;
    }
    return false;
  }
  std::string if_there(const std::string& name) const { return has(name) ? name : std::string(); }

  /// Codes of an attention vector.
  float vector(const std::string& name, std::size_t k, std::int8_t* out) const {
    const QuantPoint& at = point(QuantRole::attention, k);
    const QuantParams p = observed_params(block_.value(at.state), at.format, at.name);
    check_weight_codes(p, at.name);
    if (p.zero_point != 0) {
      throw ConfigError(
          "export_int8: attention vectors have a zero point, want per_channel (symmetric) weights");
    }
    const std::span<const float> values = row(name);
    for (std::size_t f = 0; f < values.size(); ++f)
      out[f] = static_cast<std::int8_t>(tessera::quantize(values[f], p));
    return p.scale;
  }

 private:
  const QuantPoint& point(QuantRole role, std::size_t k) const {
    const QuantPoint& at =
        plan_.find(message("quant.", layer_, ".", role_name(role), k == 0 ? std::string() : message(".", k)));
    if (!at.active) throw ConfigError(message("export_int8: quantizer ", at.name, " is turned off"));
    return at;
  }
  static void check_weight_codes(const QuantParams& p, const std::string& name) {
    if (p.qmin < -128 || p.qmax > 127) {
      throw ConfigError(message("export_int8: quantizer ", name, " has codes ", p.qmin, " to ", p.qmax,
                                ", want 8 signed bits or fewer"));
    }
  }

  const ParameterBlock<float>& block_;
  const QuantPlan& plan_;
  std::size_t layer_;
  std::string prefix_;
};

inline void export_layer(const Int8Exporter& from, const GcnConv<float>::Options&, Int8Layer& to) {
  const bool sum_first = from.role_at(0) == QuantRole::features;
  to.kind = sum_first ? Int8Kind::gcn_aggregate_first : Int8Kind::gcn;
  to.codes = {from.quantizer(QuantRole::input), from.quantizer(QuantRole::features)};
  if (sum_first) std::swap(to.codes[0], to.codes[1]);
  to.maps.push_back(from.map(from.prefix() + ".lin.weight", 0, from.if_there(from.prefix() + ".bias")));
}

inline void export_layer(const Int8Exporter& from, const SageConv<float>::Options& options, Int8Layer& to) {
  if (options.reduce != Reduce::mean || options.normalize || options.project || options.self_loops) {
    throw ConfigError(
        "export_int8: SageConv runs in integers as a mean without loops, projection or normalisation");
  }
  to.kind = from.role_at(1) == QuantRole::weight ? Int8Kind::sage_transform_first : Int8Kind::sage;
  to.codes = {from.quantizer(QuantRole::input), from.quantizer(QuantRole::input, 1)};
  to.maps.push_back(
      from.map(from.prefix() + ".lin_l.weight", 0, from.if_there(from.prefix() + ".lin_l.bias")));
  if (options.root_weight) to.maps.push_back(from.map(from.prefix() + ".lin_r.weight", 1, {}));
}

inline void export_layer(const Int8Exporter& from, const GinConv<float>::Options& options, Int8Layer& to) {
  const std::string nn = from.prefix() + ".nn.";
  to.kind = Int8Kind::gin;
  to.own = 1.0f + (options.learn_eps ? from.row(from.prefix() + ".eps")[0] : 0.0f);
  to.maps.push_back(from.map(nn + "0.weight", 0, nn + "0.bias"));
  for (std::size_t k = 0; k < 1 + options.mlp_layers; ++k)
    to.codes.push_back(from.quantizer(QuantRole::input, k));
  if (options.mlp_layers == 1) return;
  to.maps.push_back(from.map(nn + "1.weight", 1, nn + "1.bias"));
  if (!options.batch_norm) return;
  // Between the product and its rectifier nothing is rounded: the norm's scale and shift become the product's.
  const BatchNorm<float>::Options norm;
  Int8Map& map = to.maps[0];
  for (std::size_t j = 0; j < map.scale.size(); ++j) {
    const double gain = static_cast<double>(from.row(nn + "norm.weight")[j]) /
                        std::sqrt(static_cast<double>(from.row(nn + "norm.running_var")[j]) + norm.eps);
    const double mean = static_cast<double>(from.row(nn + "norm.running_mean")[j]);
    map.bias[j] = static_cast<float>((static_cast<double>(map.bias[j]) - mean) * gain +
                                     static_cast<double>(from.row(nn + "norm.bias")[j]));
    map.scale[j] = static_cast<float>(static_cast<double>(map.scale[j]) * gain);
  }
}

inline void export_layer(const Int8Exporter& from, const GatConv<float>::Options& options, Int8Layer& to) {
  to.kind = Int8Kind::gat;
  to.heads = options.heads;
  to.slope = static_cast<float>(options.slope);
  to.concat = options.concat;
  to.codes = {from.quantizer(QuantRole::input), from.quantizer(QuantRole::features)};
  to.maps.push_back(from.map(from.prefix() + ".lin.weight", 0, {}));
  const std::size_t columns = to.maps[0].weights.cols();
  to.attention.resize(2 * columns);
  to.attention_scale[0] = from.vector(from.prefix() + ".att_src", 0, to.attention.data());
  to.attention_scale[1] = from.vector(from.prefix() + ".att_dst", 1, to.attention.data() + columns);
  to.bias.assign(to.concat ? columns : columns / to.heads, 0.0f);
  if (options.bias) std::copy_n(from.row(from.prefix() + ".bias").data(), to.bias.size(), to.bias.begin());
}

}  // namespace detail

/// A convolution that has an integer layer: GcnConv, SageConv, GinConv, GatConv. EgcConv has none: its networks have norms
/// and residuals between layers, which stay float, and each node weights its sums by numbers of its own.
template <class Conv>
concept Int8Conv = requires(const detail::Int8Exporter& from, const typename Conv::Options& options,
                            Int8Layer& to) {
  detail::export_layer(from, options, to);
};

/// The integer network of a trained or calibrated one: GCN, GraphSAGE (mean), GIN or GAT.
///
/// Weights become bytes with a scale per column (or per matrix), a batch norm between a product and its rectifier becomes
/// part of them, everything else keeps its quantiser. Sums that 32 bits could not hold are split and added in 64: of
/// products by their depth (`Int8Weights`), over neighbours by the degree (`int8_spmm_max_degree`).
/// Errors   ConfigError for placements other than fused, more than 8 bits, quantisers that never observed anything, or
///          networks with norms between layers, residuals or linear ends
template <Int8Conv Conv, QuantPolicy P>
Int8Model export_int8(const Quantized<GnnStack<Conv>, P>& model) {
  const auto& options = model.model().options();
  if (model.settings().placement != Placement::fused) {
    throw ConfigError(
        "export_int8: the model was trained with the faithful placement, want Placement::fused");
  }
  if (options.norm != NormKind::none || options.residual || options.linear_ends) {
    throw ConfigError(
        "export_int8: norm, residual and linear_ends have no integer layers, want none of them");
  }
  std::vector<Int8Layer> layers(options.layers);
  for (std::size_t l = 0; l < options.layers; ++l) {
    const detail::Int8Exporter from(model.parameters(), model.plan(), l);
    auto conv = options.conv;
    if constexpr (requires { Conv::layer_options(conv, l, options.layers); }) {
      conv = Conv::layer_options(conv, l, options.layers);
    }
    detail::export_layer(from, conv, layers[l]);
    if (l + 1 < options.layers) layers[l].activation = Conv::kDefaults.activation;
  }
  return Int8Model(std::move(layers));
}

}  // namespace tessera
