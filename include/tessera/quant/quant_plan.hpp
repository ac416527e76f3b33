// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/parameter_block.hpp"
#include "tessera/quant/quant_settings.hpp"

namespace tessera {

/// What a quantiser's tensor is inside its layer.
enum class QuantRole {
  input,      ///< rows that enter a product with weights, or a sum over neighbours
  weight,     ///< a matrix of weights
  attention,  ///< the vectors attention scores are made with
  features,   ///< transformed rows before they are summed over neighbours
  norm,       ///< coefficients of the adjacency
  message,    ///< coefficient times row, per entry
  logit,      ///< attention scores per entry, before their rectifier
  share,      ///< attention shares per entry
  aggregate,  ///< sums over neighbours
  product,    ///< what a product with weights gave, with its bias
  update      ///< a finished sum with its bias
};

/// The name a role has in files.
constexpr std::string_view role_name(QuantRole role) noexcept {
  constexpr std::string_view kNames[] = {"input", "weight", "attention", "features", "norm",  "message",
                                         "logit", "share",  "aggregate", "product",  "update"};
  return kNames[static_cast<std::size_t>(role)];
}

/// One quantiser of a model.
struct QuantPoint {
  QuantRole role = QuantRole::input;
  std::size_t layer = 0;
  std::size_t channels = 1;  ///< scales: 1, or the columns of a weight
  std::size_t elements = 0;  ///< of a weight; 0 of anything else
  std::size_t columns = 0;   ///< of its tensor
  bool masked = false;       ///< protected rows bypass it in training
  QuantFormat format{};
  bool active = true;  ///< false: numbers pass as they are
  std::string name;  ///< "quant.<layer>.<role>", with ".1", ".2", ... from the second of a role in a layer on
  Parameter state;   ///< [3, channels]: least, largest, whether anything was seen
};

/// The quantisers of a model in the order its operators meet them. A model's order is the same for all data.
struct QuantPlan {
  QuantSettings settings{};
  std::deque<QuantPoint> points;         ///< a deque: operators refer to a point while the plan grows
  std::vector<std::size_t> layer_begin;  ///< first point of each layer, and their number
  bool normalized = false;               ///< the adjacency holds coefficients
  bool symmetric = false;                ///< and they are products of a factor per node
  Array<float> rank;                     ///< degree ranks of the nodes, for protection

  /// Errors   ConfigError if no point has this name
  const QuantPoint& find(std::string_view name) const {
    for (const QuantPoint& point : points) {
      if (point.name == name) return point;
    }
    throw ConfigError(message("QuantPlan::find: no quantizer is named ", name));
  }
};

/// The format a role's tensors have under these settings.
///
/// Weights are symmetric and leave out their lowest code, so that integer products need no correction for them;
/// everything else is unsigned and asymmetric. Shares of attention are codes of [0, 1].
inline QuantFormat format_of(QuantRole role, const QuantSettings& settings) {
  const bool weight = role == QuantRole::weight || role == QuantRole::attention;
  const int bits = weight ? settings.weight_bits : settings.activation_bits;
  if (!weight) return {.bits = bits, .is_signed = false};
  if (!settings.per_channel) return {.bits = bits};
  return {.bits = bits, .is_signed = true, .symmetric = true, .narrow_range = true};
}

}  // namespace tessera
