// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/autograd/grad_check.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/cluster_gcn_conv.hpp"
#include "tessera/nn/layers/gcn_conv.hpp"
#include "tessera/nn/layers/layer_norm.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/layers/sage_conv.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;
using Vars = std::span<const Var>;

constexpr DropoutMask kMask{0.25f, make_key(9, 2, Purpose::dropout), 1};

/// A layer alone, with random parameters (biases too).
template <class Conv>
struct Alone {
  ParameterBlock<double> block;
  Conv conv;

  Alone(std::size_t in, std::size_t out, const typename Conv::Options& options = {})
      : conv(block, "conv", in, out, options) {
    conv.reset_parameters(block, make_key(5, 0, Purpose::init));
    const Tensor<double> noise = random_matrix<double>(1, block.values().size(), 6);
    for (std::size_t k = 0; k < block.values().size(); ++k) block.values()[k] += 0.1 * noise(0, k);
  }
  Tensor<double> operator()(const Adjacency& a, const Tensor<double>& x, const Finish& finish = {}) const {
    NoTape<double> ctx;
    return Tensor<double>::copy_of(ctx.value(conv(ctx, block, a, ctx.input(x.view()), finish)));
  }
  Tensor<double> weight(std::string_view name) const {
    return Tensor<double>::copy_of(block.value(block.find(name)));
  }
};

/// Stands between a layer and its tape: parameters are the Vars of the check, found by their value in the
/// block.
template <class Ctx>
struct Leaves {
  using Scalar = typename Ctx::Scalar;
  static constexpr bool kRecords = Ctx::kRecords;
  Ctx& ctx;
  Vars vars;
  const ParameterBlock<double>& block;

  const SparseInput* sparse(Var v) const { return ctx.sparse(v); }
  Var input(const auto& x) const { return ctx.input(x); }
  Var parameter(ParameterView<double> p) const {
    for (std::size_t k = 0; k < block.parameters().size(); ++k) {
      if (block.values().data() + block.parameters()[k].offset == p.value.data()) return vars[k + 1];
    }
    throw Error("no such parameter");
  }
  auto value(Var v) const { return ctx.value(v); }
  std::size_t rows(Var v) const { return ctx.rows(v); }
  std::size_t cols(Var v) const { return ctx.cols(v); }
  bool needs_grad(Var v) const { return ctx.needs_grad(v); }
  void forget(Var v) { ctx.forget(v); }
  auto take(Var v) { return ctx.take(v); }
  template <class Op>
  Var record(Tensor<double> value, Op&& op) {
    return ctx.record(std::move(value), std::forward<Op>(op));
  }
  template <class Op>
  Var record_view(Var base, MatrixView<const double> value, Op&& op) {
    return ctx.record_view(base, value, std::forward<Op>(op));
  }
};

/// Checks derivatives with respect to x and to every parameter.
template <class Conv>
void check_layer(std::size_t in, std::size_t out, const typename Conv::Options& options = {}) {
  const OwnedAdjacency owned = random_block(8, 12, 4, 3);
  const Adjacency a = owned.view();
  const Alone<Conv> layer(in, out, options);
  std::vector<Tensor<double>> inputs;
  inputs.push_back(random_matrix<double>(12, in, 1));
  for (const ParameterInfo& info : layer.block.parameters()) {
    inputs.push_back(Tensor<double>::copy_of(layer.block.value({0, info.offset, info.rows, info.cols})));
  }
  const GradCheck result = grad_check(
      [&](auto& ctx, Vars v) {
        Leaves<std::remove_reference_t<decltype(ctx)>> leaves{ctx, v, layer.block};
        Finish finish{.activation = Activation::relu};
        if constexpr (!Conv::kDefaults.drops_own_input) finish.dropout = kMask;
        return layer.conv(leaves, layer.block, a, v[0], finish);
      },
      inputs);
  CHECK(result.vjp_error < 1e-6);
  CHECK(result.jvp_error < 1e-6);
  CHECK(result.adjoint_error < 1e-12);
}

TEST_CASE("derivatives of layers") {
  SECTION("linear") { check_layer<LinearLayer<double>>(5, 3); }
  SECTION("gcn, narrowing") { check_layer<GcnConv<double>>(5, 3); }
  SECTION("gcn, widening") { check_layer<GcnConv<double>>(3, 5); }
  SECTION("gcn without bias") { check_layer<GcnConv<double>>(5, 3, {.bias = false}); }
  SECTION("sage, narrowing") { check_layer<SageConv<double>>(5, 3); }
  SECTION("sage, widening") { check_layer<SageConv<double>>(3, 5); }
  SECTION("sage, normalised rows") { check_layer<SageConv<double>>(5, 3, {.normalize = true}); }
  SECTION("sage, maximum") { check_layer<SageConv<double>>(5, 3, {.reduce = Reduce::max}); }
  SECTION("cluster-gcn") { check_layer<ClusterGcnConv<double>>(5, 3); }
  SECTION("cluster-gcn, precomputed") { check_layer<ClusterGcnConv<double>>(6, 3, {.precomputed = true}); }
}

TEST_CASE("GCN is S X W + b in both orders") {
  const CsrGraph graph = random_undirected(30, 60, 1);
  const PreparedAdjacency prepared = prepare_adjacency(graph, GcnConv<>::aggregation({}));
  const Tensor<double> s = dense(prepared.adjacency().forward);
  for (const auto& [in, out] : std::vector<std::pair<std::size_t, std::size_t>>{{9, 4}, {4, 9}, {5, 5}}) {
    const Alone<GcnConv<double>> layer(in, out);
    const auto x = random_matrix<double>(30, in, 2);
    Tensor<double> want =
        multiply(multiply(s.view(), x.view()).view(), layer.weight("conv.lin.weight").view());
    for (std::size_t i = 0; i < 30; ++i) {
      for (std::size_t j = 0; j < out; ++j) want(i, j) += layer.weight("conv.bias")(0, j);
    }
    CHECK(max_difference<double>(want.view(), layer(prepared, x).view()) < 1e-12);
  }
}

TEST_CASE("GCN identities") {
  const Alone<GcnConv<double>> layer(4, 3);
  const auto bias = layer.weight("conv.bias");
  SECTION("a ring is regular of degree 2: S = (A + I) / 3") {
    Links links;
    for (NodeId i = 0; i < 10; ++i) links.push_back({i, (i + 1) % 10});
    const CsrGraph ring = undirected(10, links);
    const auto prepared = prepare_adjacency(ring, GcnConv<>::aggregation({}));
    for (const float w : prepared.adjacency().forward.weight)
      CHECK(std::abs(static_cast<double>(w) - 1.0 / 3.0) < 1e-7);
  }
  SECTION("without edges it is a linear map, also for one node and none") {
    for (const std::size_t n : {5u, 1u, 0u}) {
      const CsrGraph graph = empty_graph(n);
      const auto prepared = prepare_adjacency(graph, GcnConv<>::aggregation({}));
      const auto x = random_matrix<double>(n, 4, 3);
      Tensor<double> want = multiply(x.view(), layer.weight("conv.lin.weight").view());
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < 3; ++j) want(i, j) += bias(0, j);
      }
      CHECK(max_difference<double>(want.view(), layer(prepared, x).view()) <= 1e-14);
    }
  }
  SECTION("a node without neighbours and without loops gets the bias") {
    const CsrGraph graph = empty_graph(2);
    const Adjacency a{graph.view(), graph.view(), {}};
    const auto y = layer(a, random_matrix<double>(2, 4, 3));
    for (std::size_t j = 0; j < 3; ++j) CHECK(y(1, j) == bias(0, j));
  }
}

TEST_CASE("SAGE is M W_l + b + X W_r in both orders") {
  const OwnedAdjacency block = random_block(13, 21, 5, 4);
  for (const auto& [in, out] : std::vector<std::pair<std::size_t, std::size_t>>{{9, 4}, {4, 9}}) {
    const Alone<SageConv<double>> layer(in, out);
    const auto x = random_matrix<double>(21, in, 2);
    const Tensor<double> w_l = layer.weight("conv.lin_l.weight");
    const Tensor<double> w_r = layer.weight("conv.lin_r.weight");
    const Tensor<double> bias = layer.weight("conv.lin_l.bias");
    const auto y = layer(block.view(), x);
    for (std::size_t i = 0; i < 13; ++i) {
      const auto sources = block.forward.view().neighbors(i);
      for (std::size_t j = 0; j < out; ++j) {
        double want = bias(0, j);
        for (std::size_t k = 0; k < in; ++k) {
          double mean = 0;
          for (const NodeId s : sources) mean += x(s, k) / static_cast<double>(sources.size());
          want += mean * w_l(k, j) + x(i, k) * w_r(k, j);
        }
        CHECK(std::abs(y(i, j) - want) < 1e-13);
      }
    }
    Alone<SageConv<double>> unit(in, out, {.normalize = true});
    const auto normalised = unit(block.view(), x);
    for (std::size_t i = 0; i < 13; ++i) {
      double squares = 0;
      for (const double element : normalised.row(i)) squares += element * element;
      CHECK(std::abs(squares - 1.0) < 1e-12);
    }
  }
}

TEST_CASE("Cluster-GCN's layer is [A X | X] W") {
  const OwnedAdjacency block = random_block(13, 21, 5, 4);
  const Alone<ClusterGcnConv<double>> layer(4, 6);
  const auto x = random_matrix<double>(21, 4, 2);
  const Tensor<double> ax = multiply(dense(block.forward).view(), x.view());
  Tensor<double> both(13, 8);
  for (std::size_t i = 0; i < 13; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      both(i, j) = ax(i, j);
      both(i, 4 + j) = x(i, j);
    }
  }
  const Tensor<double> want = multiply(both.view(), layer.weight("conv.lin.weight").view());
  CHECK(max_difference<double>(want.view(), layer(block.view(), x).view()) < 1e-13);

  const Alone<ClusterGcnConv<double>> dense_layer(8, 6, {.precomputed = true});
  CHECK(dense_layer.block.num_parameters() == layer.block.num_parameters());
  const CsrGraph none = empty_graph(13);
  const Adjacency unused{none.view(), none.view(), {}};
  CHECK(max_difference<double>(want.view(), dense_layer(unused, both).view()) < 1e-13);
  CHECK(ClusterGcnConv<>::aggregation({.diag_lambda = 0.5f}) ==
        AggregationSpec{Normalization::row, true, 0.5f});
}

TEST_CASE("LayerNorm starts as plain standardisation and ignores constant rows") {
  ParameterBlock<double> block;
  const LayerNorm<double> norm(block, "norms.0", 6, 1e-9);
  auto x = random_matrix<double>(4, 6, 1);
  for (double& element : x.row(2)) element = 3;
  block.value(norm.bias())(0, 1) = 0.25;
  NoTape<double> ctx;
  const auto y = ctx.value(norm(ctx, block, ctx.input(x.view())));
  block.value(norm.bias())(0, 1) = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    double sum = 0;
    double squares = 0;
    for (std::size_t j = 0; j < 6; ++j) {
      const double element = y(i, j) - (j == 1 ? 0.25 : 0.0);
      sum += element;
      squares += element * element;
    }
    CHECK(std::abs(sum) < 1e-12);
    CHECK(std::abs(squares / 6 - (i == 2 ? 0 : 1)) < 1e-7);
  }
}

}  // namespace
