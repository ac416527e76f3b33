// SPDX-License-Identifier: MIT
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/golden.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/cluster_gcn_conv.hpp"
#include "tessera/nn/layers/gcn_conv.hpp"
#include "tessera/nn/layers/layer_norm.hpp"
#include "tessera/nn/layers/sage_conv.hpp"
#include "tessera/nn/losses/binary_cross_entropy.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/nn/optim/adamw.hpp"
#include "tessera/nn/optim/sgd.hpp"

// What PyTorch Geometric computes (tests/golden/make_nn_golden.py), layer by layer, in double.
namespace {

using namespace tessera;
using namespace tessera::testing;

// Adjacency weights are float: half a unit of 6e-8 in each of two factors. Everything else is double.
constexpr double kWeightTolerance = 5e-7;
constexpr double kTolerance = 1e-12;

class Golden : public GoldenFile {
 public:
  Golden() : GoldenFile("nn.npz") {}

  CsrGraph graph() const {
    const std::vector<NodeId> source = ids("graph.source");
    const std::vector<NodeId> target = ids("graph.target");
    return build_csr(7, {source, target, {}}, {.self_loops = SelfLoops::keep}).graph;
  }
};

void check_close(const Golden& golden, const std::string& name, MatrixView<const double> got,
                 double tolerance) {
  INFO(name);
  CHECK(max_difference<double>(got, golden.matrix(name).view()) <= tolerance);
}

/// Runs `layer(tape, x)` on the case's input and compares output and gradients.
template <class F>
void check_case(const Golden& golden, const std::string& name, ParameterBlock<double>& block,
                const std::vector<std::pair<std::string, std::string>>& parameters, F&& layer,
                double tolerance) {
  for (const auto& [ours, theirs] : parameters) {
    const Tensor<double> value = golden.matrix(name + "." + theirs);
    const auto to = block.value(block.find(ours));
    REQUIRE((to.rows() == value.rows() && to.cols() == value.cols()));
    for (std::size_t i = 0; i < to.rows(); ++i)
      std::copy(value.row(i).begin(), value.row(i).end(), to.row(i).begin());
  }
  const auto x = golden.matrix(name + ".x");
  auto x_grad = Tensor<double>::zeros(x.rows(), x.cols());
  Tape<double> tape;
  const Var y = layer(tape, tape.parameter({x.view(), x_grad.view()}));
  check_close(golden, name + ".y", tape.value(y), tolerance);
  tape.backward(y, golden.matrix(name + ".g").view());
  check_close(golden, name + ".x.grad", x_grad.view(), tolerance);
  for (const auto& [ours, theirs] : parameters) {
    check_close(golden, name + "." + theirs + ".grad", block.grad(block.find(ours)), tolerance);
  }
}

template <class Conv>
void check_conv(const Golden& golden, const std::string& name, std::size_t out,
                const typename Conv::Options& options,
                const std::vector<std::pair<std::string, std::string>>& parameters) {
  ParameterBlock<double> block;
  const Conv conv(block, "conv", 5, out, options);
  const CsrGraph graph = golden.graph();
  const PreparedAdjacency prepared = prepare_adjacency(graph, Conv::aggregation(options));
  const Adjacency a = prepared.adjacency();
  const double tolerance =
      Conv::aggregation(options).normalization == Normalization::none ? kTolerance : kWeightTolerance;
  check_case(
      golden, name, block, parameters, [&](auto& tape, Var x) { return conv(tape, block, a, x, Finish{}); },
      tolerance);
}

TEST_CASE("layers equal PyTorch Geometric's, gradients included") {
  const Golden golden;
  using Names = std::vector<std::pair<std::string, std::string>>;
  const Names gcn{{"conv.lin.weight", "lin.weight"}, {"conv.bias", "bias"}};
  check_conv<GcnConv<double>>(golden, "gcn", 3, {}, gcn);
  check_conv<GcnConv<double>>(golden, "gcn_wide", 10, {}, gcn);
  const Names sage{{"conv.lin_l.weight", "lin_l.weight"},
                   {"conv.lin_l.bias", "lin_l.bias"},
                   {"conv.lin_r.weight", "lin_r.weight"}};
  check_conv<SageConv<double>>(golden, "sage", 3, {}, sage);
  check_conv<SageConv<double>>(golden, "sage_wide", 10, {}, sage);
  check_conv<SageConv<double>>(golden, "sage_normalize", 3, {.normalize = true}, sage);

  ParameterBlock<double> block;
  const LayerNorm<double> norm(block, "norm", 5, 1e-5);
  check_case(
      golden, "layer_norm", block, Names{{"norm.weight", "weight"}, {"norm.bias", "bias"}},
      [&](auto& tape, Var x) { return norm(tape, block, x); }, kTolerance);
}

TEST_CASE("the Cluster-GCN layer equals PyTorch Geometric's with its two weights stacked") {
  const Golden golden;
  ParameterBlock<double> block;
  const ClusterGcnConv<double>::Options options{.diag_lambda = 0.5f};
  const ClusterGcnConv<double> conv(block, "conv", 5, 3, options);
  const auto neighbours = golden.matrix("cluster.lin_out.weight");
  const auto root = golden.matrix("cluster.lin_root.weight");
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      block.value(conv.weight())(i, j) = neighbours(i, j);
      block.value(conv.weight())(5 + i, j) = root(i, j);
    }
  }
  const CsrGraph graph = golden.graph();
  const PreparedAdjacency prepared = prepare_adjacency(graph, ClusterGcnConv<double>::aggregation(options));
  const Adjacency a = prepared.adjacency();
  check_case(
      golden, "cluster", block, {}, [&](auto& tape, Var x) { return conv(tape, block, a, x, Finish{}); },
      kWeightTolerance);
  const MatrixView<const double> grad = block.grad(conv.weight());
  check_close(golden, "cluster.lin_out.weight.grad", grad.middle_rows(0, 5), kWeightTolerance);
  check_close(golden, "cluster.lin_root.weight.grad", grad.middle_rows(5, 5), kWeightTolerance);
}

TEST_CASE("losses equal PyTorch's, gradients included") {
  const Golden golden;
  std::vector<std::int32_t> classes;
  for (const std::int64_t v : golden.values<std::int64_t>("labels"))
    classes.push_back(static_cast<std::int32_t>(v));
  const auto to_float = [](const Tensor<double>& from) {
    Tensor<float> out(from.rows(), from.cols());
    for (std::size_t i = 0; i < from.rows(); ++i) {
      for (std::size_t j = 0; j < from.cols(); ++j) out(i, j) = static_cast<float>(from(i, j));
    }
    return out;
  };
  const Tensor<float> indicators = to_float(golden.matrix("indicators"));
  const Tensor<float> weights = to_float(golden.matrix("row_weight"));
  const auto check = [&](const std::string& name, const auto& loss, const Targets& targets,
                         double tolerance) {
    const auto z = golden.matrix(name + ".z");
    auto grad = Tensor<double>::zeros(z.rows(), z.cols());
    Tape<double> tape;
    const Var l = loss(tape, tape.parameter({z.view(), grad.view()}), targets);
    check_close(golden, name + ".value", tape.value(l), tolerance);
    tape.backward(l);
    check_close(golden, name + ".z.grad", grad.view(), tolerance);
  };
  const std::vector<float> pos_weight(4, 2.5f);
  const Targets by_class{.classes = classes};
  const Targets weighted{.classes = classes, .weights = weights.row(0)};
  const Targets by_bit{.indicators = indicators.view()};
  check("ce", CrossEntropy{}, by_class, kTolerance);
  check("ce_smooth", CrossEntropy{.label_smoothing = 0.1}, by_class, kTolerance);
  check("ce_weighted", CrossEntropy{}, weighted, kWeightTolerance);  // weights are float
  check("bce", BinaryCrossEntropy{}, by_bit, kTolerance);
  check("bce_pos", BinaryCrossEntropy{.pos_weight = pos_weight}, by_bit, kTolerance);
}

template <class O>
void check_optimizer(const Golden& golden, const std::string& name, const O& optimizer) {
  const auto start = golden.matrix("optim.start");
  const auto grads = golden.matrix("optim.grad");
  const auto want = golden.matrix("optim." + name + ".theta");
  ParameterBlock<double> block;
  const Parameter p = block.add("theta", 1, start.cols());
  std::copy(start.row(0).begin(), start.row(0).end(), block.value(p).row(0).begin());
  auto state = optimizer.start(block);
  for (std::size_t k = 0; k < grads.rows(); ++k) {
    std::copy(grads.row(k).begin(), grads.row(k).end(), block.grad(p).row(0).begin());
    optimizer.step(state, block, 1.0);
    INFO(name << " step " << k);
    // Ten steps of a handful of roundings each on numbers around 1.
    CHECK(max_difference<double>(block.value(p), want.view().middle_rows(k, 1)) <= 1e-14);
  }
}

TEST_CASE("ten optimiser steps equal PyTorch's") {
  const Golden golden;
  check_optimizer(golden, "adam", Adam{.lr = 0.01, .weight_decay = 0.1});
  check_optimizer(golden, "adamw", AdamW{.lr = 0.01, .weight_decay = 0.1});
  check_optimizer(golden, "sgd", Sgd{.lr = 0.1, .momentum = 0.9, .dampening = 0.2, .weight_decay = 0.01});
  check_optimizer(golden, "nesterov",
                  Sgd{.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true});
}

}  // namespace
