// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/teacher_outputs.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/train/infer.hpp"

namespace tessera {

namespace detail {

/// Consecutive layers of a model as a model for `infer`.
template <Model M>
class LayerRange {
 public:
  using Scalar = typename M::Scalar;

  LayerRange(const M& model, std::size_t first, std::size_t last, std::size_t in)
      : model_(model), first_(first), last_(last), in_(in) {}

  ParameterBlock<Scalar>& parameters() { return none_; }
  const ParameterBlock<Scalar>& parameters() const { return model_.parameters(); }
  AggregationSpec aggregation() const { return model_.aggregation(); }
  std::size_t in_features() const { return in_; }
  std::size_t out_features() const { return model_.out_features(); }
  std::size_t num_layers() const { return last_ - first_; }
  bool needs_all_rows() const { return tessera::needs_all_rows(model_); }
  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    return model_.layer(ctx, first_ + l, a, x, pass);
  }
  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack a, Var x, const Pass& pass) const {
    for (std::size_t l = 0; l < num_layers(); ++l) x = layer(ctx, l, a[l], x, pass);
    return x;
  }
  void reset_parameters(std::uint64_t) {}

 private:
  const M& model_;
  std::size_t first_;
  std::size_t last_;
  std::size_t in_;
  ParameterBlock<Scalar> none_;  // of const use only
};

}  // namespace detail

struct TeacherOptions {
  bool hidden = false;  ///< keep the rows that enter the last layer too
  bool half = false;    ///< store bf16
  InferOptions infer = {};
};

/// Runs a trained teacher over a data set once, layer by layer, without dropout.
///
/// Shapes   logits [N, C]; hidden [N, F_t]
/// Cost     one inference; inside options.infer.memory_budget where one is set
/// Errors   those of `infer`; ConfigError if a number is not finite, or hidden rows are wanted of one layer
/// Threads  result independent of T
template <Model M, NodeData D>
TeacherOutputs teacher_outputs(const M& teacher, const D& data, const TeacherOptions& options = {}) {
  static_assert(std::is_same_v<typename M::Scalar, float>, "teachers are float");
  const PreparedAdjacency prepared =
      prepare_adjacency(data.graph.view(), data.graph.symmetric, teacher.aggregation());
  const Adjacency whole = prepared.adjacency();
  const MatrixView<const float> features = data.features;
  Tensor<float> hidden;
  Tensor<float> logits;
  if (options.hidden) {
    const std::size_t last = teacher.num_layers() - 1;
    if (last == 0) throw ConfigError("teacher_outputs: a teacher of one layer has no hidden rows");
    const detail::LayerRange<M> body(teacher, 0, last, teacher.in_features());
    hidden = infer(body, whole, features, options.infer);
    const detail::LayerRange<M> head(teacher, last, last + 1, hidden.cols());
    logits = infer(head, whole, std::as_const(hidden).view(), options.infer);
  } else {
    logits = infer(teacher, whole, features, options.infer);
  }
  TeacherOutputs out(std::move(logits), std::move(hidden), graph_key(data.graph.view()));
  if (options.half) out.halve();
  return out;
}

}  // namespace tessera
