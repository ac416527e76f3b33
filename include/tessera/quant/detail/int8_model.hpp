// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/epilogue_row.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/int8_gemm.hpp"
#include "tessera/kernels/int8_spmm.hpp"
#include "tessera/quant/int8_model.hpp"

namespace tessera {
namespace detail {

/// Numbers of columns for one product: what the zero points and scales make of its sums.
struct Int8Columns {
  Array<std::int32_t> offset;
  Array<std::int64_t> deep_offset;
  Array<float> multiplier;
  Array<float> bias;

  /// Codes of `in` times `map`, in steps of `step`.
  Int8Columns(const Int8Quantizer& in, const Int8Map& map, float step)
      : offset(map.weights.deep() ? 0 : map.weights.cols()),
        deep_offset(map.weights.deep() ? map.weights.cols() : 0),
        multiplier(map.weights.cols()),
        bias(map.weights.cols()) {
    const std::int64_t zero = in.range.zero_point;
    const auto constant = static_cast<std::int64_t>(map.weights.depth()) * zero * map.weights.zero_point();
    for (std::size_t j = 0; j < multiplier.size(); ++j) {
      const std::int64_t sum = constant - zero * map.weights.column_sums()[j];
      if (map.weights.deep()) {
        deep_offset[j] = sum;
      } else {
        offset[j] = static_cast<std::int32_t>(sum);
      }
      multiplier[j] = static_cast<float>(static_cast<double>(in.scale) * static_cast<double>(map.scale[j]) /
                                         static_cast<double>(step));
      bias[j] = static_cast<float>(static_cast<double>(map.bias[j]) / static_cast<double>(step));
    }
  }
  Int8Product product(MatrixView<const std::uint8_t> x, const Int8Map& map) const {
    return {x, map.weights, offset, multiplier, {}, bias, {}, deep_offset};
  }
};

/// factor d_i^power of every row; 0 for a row without entries.
inline Array<float> degree_factors(const CsrView<>& a, double power, double factor) {
  Array<float> out(a.num_rows);
  parallel_for(a.num_rows, 4096, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      const auto d = static_cast<double>(a.degree(i));
      const double scaled = power == -0.5 ? 1 / std::sqrt(d) : 1 / d;
      out[i] = d == 0 ? 0.0f : static_cast<float>(factor * scaled);
    }
  });
  return out;
}

/// Where a layer's result goes: codes of the next layer's quantiser, or real numbers.
class Int8Sink {
 public:
  /// `next` null: real numbers, `activation` left to the caller.
  Int8Sink(Int8Rows& out, std::size_t rows, std::size_t cols, const Int8Quantizer* next,
           Activation activation)
      : out_(out), next_(next) {
    out.coded = next != nullptr;
    if (next == nullptr) {
      out.real.resize(rows, cols);
    } else {
      range_ = activation == Activation::relu ? next->range.relu() : next->range;
      out.codes.resize(rows, cols);
    }
  }
  float step() const noexcept { return next_ == nullptr ? 1.0f : next_->scale; }

  void linear(const Int8Product& p) const {
    if (next_ == nullptr) return int8_linear(p, out_.real.view());
    int8_linear(p, range_, out_.codes.view());
  }
  void pair(const Int8Product& p, Int8Product second) const {
    second.bias = {};
    if (next_ == nullptr) return int8_linear_pair(p, second, out_.real.view());
    int8_linear_pair(p, second, range_, out_.codes.view());
  }
  void spmm(const CsrView<>& a, const Int8Neighbors& in) const {
    if (next_ == nullptr) return int8_spmm(a, in, out_.real.view());
    int8_spmm(a, in, range_, out_.codes.view());
  }

 private:
  Int8Rows& out_;
  const Int8Quantizer* next_;
  CodeRange range_;
};

/// codes = quantised sums over neighbours, rows scaled by `row`, or all by `factor`.
inline Tensor<std::uint8_t> int8_sum_codes(const CsrView<>& a, const Int8Neighbors& in,
                                           const Int8Quantizer& to) {
  Tensor<std::uint8_t> out(a.num_rows, in.x.cols());
  int8_spmm(a, in, to.range, out.view());
  return out;
}

inline Tensor<std::uint8_t> int8_map_codes(const Int8Product& p, const CodeRange& range) {
  Tensor<std::uint8_t> out(p.x.rows(), p.weights.cols());
  int8_linear(p, range, out.view());
  return out;
}

inline void run_int8_gcn(const Int8Layer& l, const CsrView<>& a, MatrixView<const std::uint8_t> x,
                         const Int8Sink& to) {
  const auto& [in, mid] = std::pair<const Int8Quantizer&, const Int8Quantizer&>(l.codes[0], l.codes[1]);
  const Int8Map& map = l.maps[0];
  if (l.kind == Int8Kind::gcn_aggregate_first) {
    const Array<float> row =
        degree_factors(a, -0.5, static_cast<double>(in.scale) / static_cast<double>(mid.scale));
    const auto m = int8_sum_codes(a, {x, in.range.zero_point, {}, row.span()}, mid);
    const Int8Columns columns(mid, map, to.step());
    return to.linear(columns.product(m, map));
  }
  const Int8Columns columns(in, map, mid.scale);
  const Array<float> source = degree_factors(a, -0.5, 1);
  Int8Product product = columns.product(x, map);
  product.row = source.span();
  product.bias = {};
  const auto h = int8_map_codes(product, mid.range);
  const Array<float> row =
      degree_factors(a, -0.5, static_cast<double>(mid.scale) / static_cast<double>(to.step()));
  const Int8Columns end(mid, map, to.step());  // its bias alone
  to.spmm(a, {h, mid.range.zero_point, {}, row.span(), 1, end.bias.span()});
}

inline void run_int8_sage(const Int8Layer& l, const CsrView<>& a, MatrixView<const std::uint8_t> x,
                          const Int8Sink& to) {
  const Int8Quantizer& in = l.codes[0];
  const Int8Quantizer& mid = l.codes[1];
  const bool root = l.maps.size() == 2;
  if (l.kind == Int8Kind::sage) {
    const Array<float> row =
        degree_factors(a, -1, static_cast<double>(in.scale) / static_cast<double>(mid.scale));
    const auto m = int8_sum_codes(a, {x, in.range.zero_point, {}, row.span()}, mid);
    const Int8Columns neighbors(mid, l.maps[0], to.step());
    if (!root) return to.linear(neighbors.product(m, l.maps[0]));
    const Int8Columns own(in, l.maps[1], to.step());
    return to.pair(neighbors.product(m, l.maps[0]), own.product(x, l.maps[1]));
  }
  const Int8Columns columns(in, l.maps[0], mid.scale);
  Int8Product product = columns.product(x, l.maps[0]);
  product.bias = {};
  const auto h = int8_map_codes(product, mid.range);
  const Array<float> row =
      degree_factors(a, -1, static_cast<double>(mid.scale) / static_cast<double>(to.step()));
  const Int8Columns end(mid, l.maps[0], to.step());
  const Int8Neighbors mean{h, mid.range.zero_point, {}, row.span(), 1, end.bias.span()};
  if (!root) return to.spmm(a, mean);
  Tensor<float> sum(a.num_rows, h.cols());
  int8_spmm(a, mean, sum.view());
  const Int8Columns own(in, l.maps[1], to.step());
  Int8Product second = own.product(x, l.maps[1]);
  second.bias = {};
  second.addend = sum.view();
  to.linear(second);
}

inline void run_int8_gin(const Int8Layer& l, const CsrView<>& a, MatrixView<const std::uint8_t> x,
                         const Int8Sink& to) {
  const Int8Quantizer& in = l.codes[0];
  const float steps =
      static_cast<float>(static_cast<double>(in.scale) / static_cast<double>(l.codes[1].scale));
  const auto u = int8_sum_codes(a, {x, in.range.zero_point, {}, {}, steps, {}, l.own * steps}, l.codes[1]);
  if (l.maps.size() == 1) {
    const Int8Columns columns(l.codes[1], l.maps[0], to.step());
    return to.linear(columns.product(u, l.maps[0]));
  }
  const Int8Columns first(l.codes[1], l.maps[0], l.codes[2].scale);
  const auto h = int8_map_codes(first.product(u, l.maps[0]), l.codes[2].range.relu());
  const Int8Columns second(l.codes[2], l.maps[1], to.step());
  to.linear(second.product(h, l.maps[1]));
}

/// [2][N, H]: what sources and targets add to a score.
inline void int8_scores(const Int8Layer& l, MatrixView<const std::uint8_t> z, Tensor<float>& source,
                        Tensor<float>& target) {
  const std::size_t width = z.cols() / l.heads;
  const std::size_t part = Int8Weights::max_depth(0);  // columns whose sums 32 bits hold
  const std::int32_t zero = l.codes[1].range.zero_point;
  const float step[2] = {l.codes[1].scale * l.attention_scale[0], l.codes[1].scale * l.attention_scale[1]};
  parallel_for(z.rows(), 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      const std::uint8_t* const q = z.row(i).data();
      for (std::size_t h = 0; h < l.heads; ++h) {
        std::int64_t sum[2] = {0, 0};
        for (std::size_t first = h * width, last = (h + 1) * width; first < last; first += part) {
          std::int32_t some[2] = {0, 0};
          for (std::size_t f = first; f < std::min(last, first + part); ++f) {
            some[0] += (q[f] - zero) * l.attention[f];
            some[1] += (q[f] - zero) * l.attention[z.cols() + f];
          }
          sum[0] += some[0];
          sum[1] += some[1];
        }
        source(i, h) = static_cast<float>(sum[0]) * step[0];
        target(i, h) = static_cast<float>(sum[1]) * step[1];
      }
    }
  });
}

/// Shares of head h as 255ths of each row's largest, and what a row's sum is divided by.
inline void int8_shares(const Int8Layer& l, const CsrView<>& a, const Tensor<float>& source,
                        const Tensor<float>& target, std::size_t h, Array<std::uint8_t>& share,
                        Array<float>& row) {
  parallel_for(a.num_rows, 64, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      const auto score = [&](std::size_t e) {
        const float r = source(a.col[e], h) + target(i, h);
        return r > 0 ? r : l.slope * r;
      };
      float top = -std::numeric_limits<float>::infinity();
      for (auto e = a.begin(i); e < a.end(i); ++e) top = std::max(top, score(e));
      std::int64_t codes = 0;
      for (auto e = a.begin(i); e < a.end(i); ++e) {
        const float code = std::nearbyint(std::exp(score(e) - top) * 255.0f);
        share[e] = code > 0 ? static_cast<std::uint8_t>(code) : std::uint8_t{0};  // rows of NaN share nothing
        codes += share[e];
      }
      row[i] = codes == 0 ? 0.0f : l.codes[1].scale / static_cast<float>(codes);
    }
  });
}

/// Heads side by side, or their mean, with the bias: real numbers.
inline void run_int8_gat(const Int8Layer& l, const CsrView<>& a, MatrixView<const std::uint8_t> x,
                         Tensor<float>& out) {
  const Int8Columns columns(l.codes[0], l.maps[0], l.codes[1].scale);
  Int8Product product = columns.product(x, l.maps[0]);
  product.bias = {};
  const auto z = int8_map_codes(product, l.codes[1].range);
  Tensor<float> source(z.rows(), l.heads), target(z.rows(), l.heads);
  int8_scores(l, z, source, target);
  Array<std::uint8_t> share(a.num_edges());
  Array<float> row(a.num_rows);
  Tensor<float> heads(a.num_rows, z.cols());
  const std::size_t width = z.cols() / l.heads;
  for (std::size_t h = 0; h < l.heads; ++h) {
    int8_shares(l, a, source, target, h, share, row);
    const Int8Neighbors in{z.view().middle_cols(h * width, width), l.codes[1].range.zero_point, share.span(),
                           row.span()};
    int8_spmm(a, in, heads.view().middle_cols(h * width, width));
  }
  out.resize(a.num_rows, l.out());
  parallel_for(a.num_rows, 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      for (std::size_t f = 0; f < out.cols(); ++f) {
        float sum = heads(i, f);
        for (std::size_t h = 1; h < l.heads && !l.concat; ++h) sum += heads(i, h * width + f);
        out(i, f) = (l.concat ? sum : sum / static_cast<float>(l.heads)) + l.bias[f];
      }
    }
  });
}

/// At the baseline level whatever the machine has: integer networks give the same bits everywhere.
inline void activate_rows(Activation activation, Tensor<float>& x) {
  if (activation == Activation::none) return;
  const Epilogue<float> epilogue{{}, activation, {}};
  parallel_for(x.rows(), 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) apply_epilogue_row(Level<Isa::baseline>{}, x.row(i), i, epilogue);
  });
}

inline void check_int8_graph(const CsrView<>& a, std::size_t rows) {
  if (a.num_rows != a.num_cols || a.num_rows != rows) {
    throw ShapeError(
        message("Int8Model: graph is [", a.num_rows, ", ", a.num_cols, "], want [", rows, ", ", rows, "]"));
  }
  if (a.weighted()) {
    throw ConfigError("Int8Model: the graph has coefficients, want its pattern (see aggregation())");
  }
}

}  // namespace detail

TESSERA_DEFINE std::size_t Int8Model::bytes() const noexcept {
  std::size_t sum = 0;
  for (const Int8Layer& l : layers_) {
    for (const Int8Map& map : l.maps) {
      sum += map.weights.depth() * map.weights.cols() + sizeof(float) * (map.scale.size() + map.bias.size());
    }
    sum += l.attention.size() + sizeof(float) * (l.bias.size() + l.codes.size());
  }
  return sum;
}

TESSERA_DEFINE Int8Rows Int8Model::quantize(CsrView<> graph, MatrixView<const float> features) const {
  detail::check_int8_graph(graph, features.rows());
  if (features.cols() != in_features()) {
    throw ShapeError(
        message("Int8Model: features has ", features.cols(), " columns, the model wants ", in_features()));
  }
  const Int8Quantizer& to = layers_[0].codes[0];
  Int8Rows out;
  out.codes.resize(features.rows(), features.cols());
  Array<float> row;
  if (layers_[0].scales_input()) row = detail::degree_factors(graph, -0.5, 1);
  int8_quantize(features, 1.0f / to.scale, row.span(), to.range, out.codes.view());
  return out;
}

TESSERA_DEFINE Int8Rows Int8Model::run_layer(std::size_t l, CsrView<> graph, const Int8Rows& input) const {
  const Int8Layer& layer = layers_.at(l);
  detail::check_int8_graph(graph, input.rows());
  if (!input.coded || input.codes.cols() != layer.in()) {
    throw ShapeError(
        message("Int8Model: the input of layer ", l, " wants codes of ", layer.in(), " columns"));
  }
  const MatrixView<const std::uint8_t> x = input.codes;
  const Int8Layer* const next = l + 1 < layers_.size() ? &layers_[l + 1] : nullptr;
  // Codes come straight out of a kernel where it knows all that happens before them.
  const bool direct = next != nullptr && !next->scales_input() && layer.kind != Int8Kind::gat &&
                      layer.activation != Activation::elu;
  Int8Rows out;
  if (layer.kind == Int8Kind::gat) {
    out.coded = false;
    detail::run_int8_gat(layer, graph, x, out.real);
  } else {
    const detail::Int8Sink to(out, graph.num_rows, layer.out(), direct ? &next->codes[0] : nullptr,
                              layer.activation);
    if (layer.kind == Int8Kind::gin) {
      detail::run_int8_gin(layer, graph, x, to);
    } else if (layer.kind == Int8Kind::sage || layer.kind == Int8Kind::sage_transform_first) {
      detail::run_int8_sage(layer, graph, x, to);
    } else {
      detail::run_int8_gcn(layer, graph, x, to);
    }
  }
  if (direct) return out;
  detail::activate_rows(layer.activation, out.real);
  if (next == nullptr) return out;
  Array<float> row;
  if (next->scales_input()) row = detail::degree_factors(graph, -0.5, 1);
  Int8Rows codes;
  codes.codes.resize(out.real.rows(), out.real.cols());
  int8_quantize(out.real, 1.0f / next->codes[0].scale, row.span(), next->codes[0].range, codes.codes.view());
  return codes;
}

TESSERA_DEFINE Tensor<float> Int8Model::infer(CsrView<> graph, MatrixView<const float> features) const {
  Int8Rows rows = quantize(graph, features);
  for (std::size_t l = 0; l < layers_.size(); ++l) rows = run_layer(l, graph, rows);
  return std::move(rows.real);
}

}  // namespace tessera
