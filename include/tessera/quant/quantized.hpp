// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/quant/protection.hpp"
#include "tessera/quant/quant_attention.hpp"
#include "tessera/quant/quant_ops.hpp"
#include "tessera/quant/quant_scope.hpp"

namespace tessera {

/// Any model, trained so that it can run in integers: a model again.
///
///     Quantized<GcnNet<>, DegreeQuant<8>> model(GcnNet<>({.in = F, .hidden = 64, .out = C}));
///     model.protect(data.graph.view());
///     Trainer trainer{model, FullGraphSampler{}, CrossEntropy{}, Adam{}};
///
/// Layers run on a context that rounds what operators are given (QuantScope), so the network inside is any network and
/// knows nothing of it. Ranges are state of its parameter block, named after `QuantPoint::name`: checkpoints and kept best
/// weights hold them. In training ranges follow the data and protected nodes stay in full precision; elsewhere
/// everything is rounded by the ranges as they are. Which tensors are rounded is settled once, by running the
/// network on two nodes.
///
/// Networks that make tapes of their own (reversible ones, fixed points) round inside no more than their operators show.
/// Cost     a pass over each rounded tensor for its range and one for its codes
/// Errors   ConfigError for settings that cannot be; in training with protection unless `protect` was called and the
///          batch names its nodes; in inference for a range that never saw anything
/// Threads  one pass at a time, inference included, and one pass per tape with sparse features; results independent of T
/// Source   Tailor, Fernandez-Marques & Lane, Degree-Quant, ICLR 2021
template <TrainableModel M, QuantPolicy P = AnyQuantPolicy>
class Quantized {
 public:
  using Scalar = typename M::Scalar;

  explicit Quantized(M model, const P& policy = {}) : model_(std::move(model)) {
    plan_.settings = policy.settings();
    check_settings(plan_.settings);
    const Normalization normalization = model_.aggregation().normalization;
    plan_.normalized = normalization != Normalization::none;
    plan_.symmetric = normalization == Normalization::symmetric;
    write_plan();
    ParameterBlock<Scalar>& block = model_.parameters();
    for (QuantPoint& point : plan_.points) point.state = block.add_state(point.name, 3, point.channels);
    sparse_ = accepts_sparse_plan();
  }

  M& model() noexcept { return model_; }
  const M& model() const noexcept { return model_; }
  const QuantPlan& plan() const noexcept { return plan_; }
  const QuantSettings& settings() const noexcept { return plan_.settings; }

  /// Whom DegreeQuant protects: `graph` is all nodes the data has, without inserted loops; `first_node` [G + 1] where it
  /// is many graphs.
  ///
  /// Errors   ShapeError if first_node does not cut the nodes into ranges
  void protect(const CsrView<>& graph, std::span<const std::size_t> first_node = {}) {
    plan_.rank = degree_ranks(graph, first_node);
  }

  /// What quantiser `name` does as trained.
  ///
  /// Errors   ConfigError if there is none, it never observed anything, or it does not round
  QuantParams params(std::string_view name, std::size_t channel = 0) const {
    const QuantPoint& point = plan_.find(name);
    if (!point.active) throw ConfigError(message("Quantized::params: quantizer ", name, " is turned off"));
    return observed_params(parameters().value(point.state), point.format, name, channel);
  }
  /// Gives one quantiser another width; 32 turns it off.
  ///
  /// Errors   ConfigError for a width outside 2 to 16 but 32, or a number that names no point
  void set_bits(std::size_t point, int bits) {
    if (point >= plan_.points.size() || (bits != 32 && (bits < 2 || bits > 16))) {
      throw ConfigError(message("Quantized::set_bits: point ", point, " of ", plan_.points.size(), ", bits ",
                                bits, "; want 2 to 16, or 32 for none"));
    }
    QuantPoint& at = plan_.points[point];
    at.active = bits != 32;
    if (!at.active) return;
    at.format = format_of(at.role, plan_.settings);
    at.format.bits = bits;
  }
  /// Lets `search`, which must outlive its use, choose widths from here on; null: the quantisers' own.
  void search(const BitSearch<Scalar>* search) noexcept { workspace_.search = search; }
  /// Bytes of the model's numbers: weights as codes with a scale per channel, everything else as float.
  std::size_t model_bytes() const {
    std::size_t codes = 0;
    std::size_t bits = 0;
    std::size_t scales = 0;
    for (const QuantPoint& point : plan_.points) {
      if (point.elements == 0 || !point.active) continue;
      codes += point.elements;
      bits += point.elements * static_cast<std::size_t>(point.format.bits);
      scales += point.channels;
    }
    return (bits + 7) / 8 + sizeof(float) * (scales + parameters().num_parameters() - codes);
  }

  /// Passes outside training observe instead of rounding while this is on; see `calibrate`.
  void observe_only(bool on) noexcept { calibrating_ = on; }

  ParameterBlock<Scalar>& parameters() noexcept { return model_.parameters(); }
  const ParameterBlock<Scalar>& parameters() const noexcept { return model_.parameters(); }
  AggregationSpec aggregation() const { return model_.aggregation(); }
  std::size_t in_features() const { return model_.in_features(); }
  std::size_t out_features() const { return model_.out_features(); }
  std::size_t num_layers() const requires Model<M> { return model_.num_layers(); }
  bool needs_all_rows() const { return tessera::needs_all_rows(model_); }
  bool accepts_sparse_input() const { return sparse_; }
  /// The model's initial weights of this seed; ranges have seen nothing.
  void reset_parameters(std::uint64_t seed) {
    model_.reset_parameters(seed);
    ParameterBlock<Scalar>& block = model_.parameters();
    for (const QuantPoint& point : plan_.points) {
      const MatrixView<Scalar> state = block.state(point.state);
      for (std::size_t i = 0; i < state.rows(); ++i) {
        for (Scalar& v : state.row(i)) v = 0;
      }
    }
  }

  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack adjacencies, Var x, const Pass& pass) const {
    workspace_.entry_codes.clear();
    typename QuantScope<Ctx>::Run run = run_of<Ctx>(pass);
    run.readout = adjacencies.readout();
    if (run.mode == QuantMode::train && plan_.settings.protect) {
      workspace_.keep.resize(ctx.rows(x));
      draw(adjacencies, pass);
      run.keep = workspace_.keep.span();
    }
    QuantScope<Ctx> scope(ctx, plan_, parameters(), workspace_, run);
    return model_.forward(scope, adjacencies, x, pass);
  }

  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const requires Model<M> {
    if (l >= model_.num_layers()) {
      throw IndexError(message("Quantized::layer: l is ", l, ", want less than ", model_.num_layers()));
    }
    if (pass.training && plan_.settings.protect) {
      throw ConfigError(
          "Quantized::layer: protection needs to know the nodes in training; make Quantized the outermost "
          "model");
    }
    if (l == 0) workspace_.entry_codes.clear();
    typename QuantScope<Ctx>::Run run = run_of<Ctx>(pass);
    run.first_point = plan_.layer_begin[l];
    QuantScope<Ctx> scope(ctx, plan_, parameters(), workspace_, run);
    return model_.layer(scope, l, a, x, pass);
  }

 private:
  template <class Ctx>
  typename QuantScope<Ctx>::Run run_of(const Pass& pass) const {
    const QuantMode elsewhere = calibrating_ ? QuantMode::calibrate : QuantMode::infer;
    return {.mode = pass.training ? QuantMode::train : elsewhere, .key = pass.dropout_key};
  }

  void draw(const AdjacencyStack& adjacencies, const Pass& pass) const {
    if (plan_.rank.empty()) {
      throw ConfigError(
          "Quantized::forward: protection knows no degrees; call protect(graph) before training");
    }
    const std::span<const NodeId> nodes = adjacencies.rows().node_id;
    if (nodes.empty() && workspace_.keep.size() != plan_.rank.size()) {
      throw ConfigError(message("Quantized::forward: the batch does not name its ", workspace_.keep.size(),
                                " nodes, and protection knows ", plan_.rank.size()));
    }
    draw_protected(plan_.rank.span(), nodes, plan_.settings.p_low, plan_.settings.p_high, pass.dropout_key,
                   workspace_.keep.span());
  }

  /// Two linked nodes that are one graph: everything an operator may ask of an adjacency.
  struct Pair {
    std::vector<EdgeId> row_ptr;
    std::vector<NodeId> col;
    std::vector<float> weight;
    std::vector<EdgeId> edge;
    std::vector<EdgeId> graph_ptr{0, 2};
    std::vector<EdgeId> node_ptr{0, 1, 2};
    std::vector<NodeId> nodes{0, 1};
    std::vector<NodeId> graphs{0, 0};
    std::vector<EdgeId> positions{0, 1};

    explicit Pair(const AggregationSpec& spec) {
      if (spec.self_loops) {
        row_ptr = {0, 2, 4};
        col = {0, 1, 0, 1};
        edge = {0, 2, 1, 3};
      } else {
        row_ptr = {0, 1, 2};
        col = {1, 0};
        edge = {1, 0};
      }
      if (spec.normalization != Normalization::none) weight.assign(col.size(), 0.5f);
    }
    Adjacency adjacency() const {
      const CsrView<> view{2, 2, row_ptr, col, weight};
      return {.forward = view, .transpose = view, .transpose_edge = edge};
    }
    Adjacency readout() const {
      return {.forward = {1, 2, graph_ptr, nodes, {}},
              .transpose = {2, 1, node_ptr, graphs, {}},
              .transpose_edge = positions};
    }
  };

  /// Runs the network on two nodes, which writes the quantisers down in `plan_`.
  void run_pair(NoTape<Scalar>& ctx, Var x) {
    const Pair pair(model_.aggregation());
    const Adjacency a = pair.adjacency();
    const Adjacency readout = pair.readout();
    plan_.points.clear();
    plan_.layer_begin.assign(1, 0);
    typename QuantScope<NoTape<Scalar>>::Run run{.mode = QuantMode::plan};
    if constexpr (Model<M>) {
      for (std::size_t l = 0; l < model_.num_layers(); ++l) {
        run.layer = l;
        QuantScope<NoTape<Scalar>> scope(ctx, plan_, parameters(), workspace_, run);
        x = model_.layer(scope, l, a, x, Pass{});
        plan_.layer_begin.push_back(plan_.points.size());
      }
    } else {
      run.readout = &readout;
      QuantScope<NoTape<Scalar>> scope(ctx, plan_, parameters(), workspace_, run);
      model_.forward(scope, AdjacencyStack({&a, 1}, &readout), x, Pass{});
      plan_.layer_begin.push_back(plan_.points.size());
    }
  }
  void write_plan() {
    NoTape<Scalar> ctx;
    const Tensor<Scalar> x = Tensor<Scalar>::zeros(2, model_.in_features());
    run_pair(ctx, ctx.input(x.view()));
    std::map<std::string, std::size_t> taken;
    for (QuantPoint& point : plan_.points) {
      point.name = message("quant.", point.layer, ".", role_name(point.role));
      const std::size_t number = taken[point.name]++;
      if (number > 0) point.name += message(".", number);
    }
  }

  /// Whether features that come as entries meet the quantisers in the same order as others.
  bool accepts_sparse_plan() {
    if (!tessera::accepts_sparse_input(model_)) return false;
    std::deque<QuantPoint> points = std::exchange(plan_.points, {});
    const std::vector<std::size_t> begins = plan_.layer_begin;
    NoTape<Scalar> ctx;
    const EdgeId row_ptr[3] = {0, 1, 2};
    const NodeId col[2] = {0, 0};
    const std::vector<EdgeId> column_ptr = [&] {
      std::vector<EdgeId> out(model_.in_features() + 1, 2);
      out[0] = 0;
      return out;
    }();
    const NodeId rows[2] = {0, 1};
    SparseInput entries;
    entries.rows = 2;
    entries.entries.forward = {2, model_.in_features(), row_ptr, col, {}};
    entries.entries.transpose = {model_.in_features(), 2, column_ptr, rows, {}};
    bool same = true;
    try {
      run_pair(ctx, ctx.input(entries));
    } catch (const ConfigError&) {
      same = false;  // an operator wants elements
    }
    same = same && plan_.points.size() == points.size();
    for (std::size_t k = 0; same && k < points.size(); ++k) same = plan_.points[k].role == points[k].role;
    plan_.points = std::move(points);
    plan_.layer_begin = begins;
    return same;
  }

  M model_;
  mutable QuantPlan plan_;
  mutable QuantWorkspace<Scalar> workspace_;
  bool calibrating_ = false;
  bool sparse_ = false;
};

}  // namespace tessera
