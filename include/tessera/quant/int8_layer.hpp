// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/epilogue.hpp"
#include "tessera/kernels/int8_gemm.hpp"
#include "tessera/kernels/int8_weights.hpp"
#include "tessera/quant/quant_params.hpp"

namespace tessera {

/// A quantiser of rows as integer kernels store them: x ~ scale (q - zero_point) with unsigned bytes q.
struct Int8Quantizer {
  float scale = 1;
  CodeRange range{};

  Int8Quantizer() = default;
  Int8Quantizer(float scale_of, const CodeRange& codes) : scale(scale_of), range(codes) {}
  /// The same numbers, codes moved to start at 0.
  ///
  /// Errors   ConfigError for more than 8 bits, or a scale that is not positive and finite
  explicit Int8Quantizer(const QuantParams& p)
      : Int8Quantizer(p.scale, {p.zero_point - p.qmin, 0, p.qmax - p.qmin}) {
    check("Int8Quantizer");
  }

  void check(std::string_view operation) const {
    if (!(scale > 0) || !std::isfinite(scale)) {
      throw ConfigError(message(operation, ": scale is ", scale, ", want a positive number"));
    }
    if (range.qmin < 0 || range.qmax > 255 || range.qmin >= range.qmax || range.zero_point < range.qmin ||
        range.zero_point > range.qmax) {
      throw ConfigError(message(operation, ": codes are [", range.qmin, ", ", range.qmax,
                                "] with zero_point ", range.zero_point, ", want bytes"));
    }
  }
};

/// Weights of one product: (codes - zero point) scale_j, and the bias. A norm that follows the product directly is part
/// of scale and bias.
///
/// Shapes   weights [K, M]; scale [M], bias [M]
struct Int8Map {
  Int8Weights weights;
  Array<float> scale;
  Array<float> bias;
};

/// What a layer computes, and in which order.
enum class Int8Kind {
  gcn,                   ///< D^-1/2 A (Q(D^-1/2 X W)) + b
  gcn_aggregate_first,   ///< Q(D^-1/2 A Q(D^-1/2 X)) W + b
  sage,                  ///< Q(mean X) W_0 + X W_1 + b
  sage_transform_first,  ///< mean Q(X W_0) + X W_1 + b
  gin,                   ///< MLP(Q((1 + eps) X + A X)) of one or two maps
  gat                    ///< heads of attention over Q(X W)
};

constexpr std::string_view name(Int8Kind kind) noexcept {
  constexpr std::string_view kNames[] = {"gcn", "gcn_aggregate_first", "sage", "sage_transform_first", "gin",
                                         "gat"};
  return kNames[static_cast<std::size_t>(kind)];
}

/// One layer in integers. Fields a kind does not use stay empty.
struct Int8Layer {
  Int8Kind kind = Int8Kind::gcn;
  Activation activation = Activation::none;  ///< of the output
  std::vector<Int8Quantizer> codes;          ///< of the input, then of what is made on the way, in order
  std::vector<Int8Map> maps;
  float own = 0;                      ///< GIN: 1 + eps
  std::size_t heads = 1;              ///< GAT
  float slope = 0;                    ///< GAT
  bool concat = true;                 ///< GAT: heads side by side, else averaged
  Array<std::int8_t> attention;       ///< GAT: codes [2, H D] of source and target vectors
  float attention_scale[2] = {0, 0};  ///< and their scales
  Array<float> bias;                  ///< GAT

  std::size_t in() const { return maps.at(0).weights.depth(); }
  std::size_t out() const {
    const std::size_t columns = maps.back().weights.cols();
    return kind == Int8Kind::gat && !concat ? columns / heads : columns;
  }
  /// Whether rows are multiplied by D^-1/2 before they become codes.
  bool scales_input() const noexcept { return kind == Int8Kind::gcn_aggregate_first; }

  static void check_finite(std::size_t layer, const char* what, std::span<const float> values) {
    for (const float v : values) {
      if (!std::isfinite(v))
        throw ConfigError(message("Int8Layer: layer ", layer, " has a ", what, " of ", v));
    }
  }
  /// Errors   ConfigError naming what is missing or does not fit
  void check(std::size_t layer) const {
    const std::size_t want_maps =
        kind == Int8Kind::sage || kind == Int8Kind::sage_transform_first || kind == Int8Kind::gin
            ? std::clamp<std::size_t>(maps.size(), 1, 2)
            : 1;
    const std::size_t want_codes = kind == Int8Kind::gin ? 1 + want_maps : 2;
    if (maps.size() != want_maps || codes.size() != want_codes) {
      throw ConfigError(message("Int8Layer: layer ", layer, " (", name(kind), ") has ", maps.size(),
                                " maps and ", codes.size(), " quantizers, want ", want_maps, " and ",
                                want_codes));
    }
    for (const Int8Quantizer& q : codes) q.check(message("Int8Layer: layer ", layer));
    for (const Int8Map& map : maps) {
      const std::size_t cols = map.weights.cols();
      if (map.scale.size() != cols || map.bias.size() != cols) {
        throw ConfigError(message("Int8Layer: layer ", layer, " has ", map.scale.size(), " scales and ",
                                  map.bias.size(), " biases for ", cols, " columns"));
      }
      for (const float s : map.scale) {
        if (!std::isfinite(s)) throw ConfigError(message("Int8Layer: layer ", layer, " has a scale of ", s));
      }
      check_finite(layer, "bias", map.bias);
    }
    const bool chained = kind == Int8Kind::gin && maps.size() == 2;
    if (maps.size() == 2 && (maps[1].weights.depth() != (chained ? maps[0].weights.cols() : in()) ||
                             (!chained && maps[1].weights.cols() != maps[0].weights.cols()))) {
      throw ConfigError(message("Int8Layer: the two maps of layer ", layer, " do not fit"));
    }
    const float numbers[] = {attention_scale[0], attention_scale[1], slope, own};
    check_finite(layer, "factor", numbers);
    check_finite(layer, "bias", bias);
    if (kind != Int8Kind::gat) return;
    const std::size_t columns = maps[0].weights.cols();
    if (heads == 0 || columns % heads != 0 || attention.size() != 2 * columns || bias.size() != out()) {
      throw ConfigError(message("Int8Layer: layer ", layer, " has ", heads, " heads, ", attention.size(),
                                " attention codes and ", bias.size(), " biases for ", columns, " columns"));
    }
  }
};

/// Rows on their way through a model: codes, or real numbers at the end of it.
struct Int8Rows {
  Tensor<std::uint8_t> codes;
  Tensor<float> real;
  bool coded = true;

  std::size_t rows() const noexcept { return coded ? codes.rows() : real.rows(); }
};

}  // namespace tessera
