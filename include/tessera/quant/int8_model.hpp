// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/quant/int8_layer.hpp"

namespace tessera {

/// A trained network that runs in integers: bytes between layers, integer products and sums. It needs neither tape nor
/// parameters.
///
///     const Int8Model model = export_int8(quantized);           // quant/int8_export.hpp
///     const Tensor<float> logits = model.infer(prepared.adjacency().forward, features);
///
/// The graph comes as `aggregation()` asks: a pattern without coefficients, with loops for GCN and GAT; GCN's norm is a
/// factor per node (d^-1/2 of the row lengths). Layers run one after the other over all rows.
/// Shapes   graph [N, N], features [N, F_in] -> logits [N, F_out]
/// Cost     bytes: N (F_in + 2 hidden) and one matrix of floats for logits
/// Errors   ConfigError for layers that do not fit; ShapeError if extents do not fit; ConfigError for a weighted graph
/// Threads  safe to call concurrently; the same bits for any T and at every instruction set, except GAT's softmax
class Int8Model {
 public:
  Int8Model() = default;
  explicit Int8Model(std::vector<Int8Layer> layers) : layers_(std::move(layers)) {
    if (layers_.empty()) throw ConfigError("Int8Model: no layers, want at least one");
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      layers_[l].check(l);
      if (l > 0 && layers_[l].in() != layers_[l - 1].out()) {
        throw ConfigError(message("Int8Model: layer ", l, " takes ", layers_[l].in(), " columns, layer ",
                                  l - 1, " gives ", layers_[l - 1].out()));
      }
    }
  }

  std::size_t num_layers() const noexcept { return layers_.size(); }
  const Int8Layer& layer(std::size_t l) const { return layers_.at(l); }
  std::size_t in_features() const { return layers_.at(0).in(); }
  std::size_t out_features() const { return layers_.back().out(); }
  /// No coefficients; loops where the first layer wants them.
  AggregationSpec aggregation() const {
    const Int8Kind kind = layers_.at(0).kind;
    const bool loops =
        kind == Int8Kind::gcn || kind == Int8Kind::gcn_aggregate_first || kind == Int8Kind::gat;
    return {Normalization::none, loops, 0.0f};
  }
  /// Bytes of weights (a byte each, of four bits too, which only files pack), scales and biases.
  std::size_t bytes() const noexcept;

  /// The features as codes of layer 0.
  Int8Rows quantize(CsrView<> graph, MatrixView<const float> features) const;
  /// Layer l of its input codes: the codes layer l + 1 wants, or the logits.
  Int8Rows run_layer(std::size_t l, CsrView<> graph, const Int8Rows& input) const;
  /// All layers.
  Tensor<float> infer(CsrView<> graph, MatrixView<const float> features) const;

 private:
  std::vector<Int8Layer> layers_;
};

}  // namespace tessera

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
#include "tessera/quant/detail/int8_model.hpp"
#endif
