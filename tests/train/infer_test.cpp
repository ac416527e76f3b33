// SPDX-License-Identifier: MIT
#include "tessera/train/infer.hpp"

#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/train_fakes.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"
#include "tessera/train/evaluate.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

template <class T>
std::vector<T> values(const Tensor<T>& x) {
  std::vector<T> out;
  for (std::size_t i = 0; i < x.rows(); ++i) out.insert(out.end(), x.row(i).begin(), x.row(i).end());
  return out;
}

/// One forward pass on a tape, without training: what inference must equal.
template <class M>
Tensor<typename M::Scalar> forward(const M& model, const Dataset& data) {
  using T = typename M::Scalar;
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, model.aggregation());
  const Adjacency adjacency = prepared.adjacency();
  Tape<T> tape;
  Tensor<T> x(data.features.rows(), data.features.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) x(i, j) = static_cast<T>(data.features(i, j));
  }
  const Var y = model.forward(tape, AdjacencyStack(std::span(&adjacency, 1)), tape.input(x.view()), Pass{});
  return Tensor<T>::copy_of(tape.value(y));
}

/// Budgets from "everything fits" down to blocks of a few rows.
template <class M>
void check_inference(const M& model, const Dataset& data) {
  const auto want = values(forward(model, data));
  REQUIRE(want == values(infer(model, data)));
  const std::size_t held = 2 * data.num_nodes() * 16 * sizeof(typename M::Scalar);
  for (const std::size_t scratch :
       {std::size_t{1} << 30, std::size_t{40'000}, std::size_t{6'000}, std::size_t{1}}) {
    INFO("scratch " << scratch);
    CHECK(want == values(infer(model, data, {.memory_budget = held + scratch})));
  }
}

/// A network that notes how many rows a layer was given at most.
struct Watched : GcnNet<> {
  using GcnNet<>::GcnNet;
  mutable std::size_t most = 0;
  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    most = std::max(most, ctx.value(x).rows());
    return GcnNet<>::layer(ctx, l, a, x, pass);
  }
};

}  // namespace

TEST_CASE("Blocks of a layer that widens are as small as its output asks", "[infer]") {
  const Dataset data = planted({.nodes = 300, .features = 8});
  const Watched model({.in = 8, .hidden = 40, .out = 3, .layers = 2});
  const std::size_t held =
      data.num_nodes() * (48 + 3) * sizeof(float);  // rows of 64 bytes and more are padded
  const std::size_t scratch = 100 * 3 * 48 * sizeof(float);
  const auto got = values(infer(model, data, {.memory_budget = held + scratch}));
  CHECK(model.most * 3 * 40 * sizeof(float) <= scratch + data.num_nodes() * 3 * sizeof(float));
  CHECK(got == values(infer(model, data)));
  CHECK(model.most == 300);
}

TEMPLATE_TEST_CASE("Inference equals the forward pass, in blocks of any size", "[infer]", float, double) {
  const Dataset data = planted({.nodes = 300, .features = 8});
  check_inference(TinyNet<TestType>(8, 6, 3, 1), data);
  check_inference(GcnNet<TestType>{{.in = 8, .hidden = 12, .out = 3, .layers = 3, .seed = 1}}, data);
  check_inference(SageNet<TestType>{{.in = 8, .hidden = 12, .out = 3, .layers = 3, .seed = 1}}, data);
}

TEST_CASE("Inference refuses what does not fit", "[infer]") {
  const Dataset data = planted();
  const TinyNet<float> model(8, 6, 3), other(9, 6, 3);
  CHECK_THROWS_AS(infer(other, data), ShapeError);
  CHECK_THROWS_AS(infer(model, data, {.memory_budget = 100}), ConfigError);
  // Of 8, 40 and 3 columns it is the second layer that does not fit: told before the first one runs.
  const GcnNet<> wide({.in = 8, .hidden = 40, .out = 3});
  const std::size_t held =
      data.num_nodes() * (48 + 3) * sizeof(float);  // rows of 64 bytes and more are padded
  CHECK_THROWS_WITH(infer(wide, data, {.memory_budget = held}),
                    Catch::Matchers::Contains(message("layer 1 needs more than ", held)));
  CHECK(values(infer(wide, data, {.memory_budget = held + 1})) == values(infer(wide, data)));
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, model.aggregation());
  CHECK_THROWS_AS(infer(model, prepared.adjacency(), data.features.view().middle_rows(0, 95)), ShapeError);
}

TEST_CASE("Inference in blocks refuses a norm over all rows instead of changing the result", "[infer]") {
  const Dataset data = planted();
  const GcnNet<>::Options options{.in = 8, .hidden = 64, .out = 3, .norm = NormKind::graph, .seed = 1};
  const AnyModel<> model = GcnNet<>(options);
  const std::size_t layer = data.num_nodes() * 64 * sizeof(float);
  const InferOptions tight{.memory_budget = 3 * layer};
  CHECK(values(infer(model, data)) == values(forward(model, data)));
  CHECK_THROWS_AS(infer(model, data, tight), ConfigError);
  GcnNet<>::Options rows = options;
  rows.norm = NormKind::layer;
  const AnyModel<> by_row = GcnNet<>(rows);
  CHECK(values(infer(by_row, data, tight)) == values(forward(by_row, data)));
}

TEST_CASE("Evaluation scores each role on its own nodes", "[infer]") {
  const Dataset data = planted();
  const TinyNet<float> model(8, 6, 3, 4);
  const Evaluation all = evaluate(model, data, TinyLoss{});
  const Tensor<float> logits = infer(model, data);
  CHECK(all.train.count == 48);
  for (const auto& [role, got] :
       {std::pair(Role::train, all.train), std::pair(Role::val, all.val), std::pair(Role::test, all.test)}) {
    Tensor<double> exact(1, 3);
    double loss = 0, right = 0;
    const Array<NodeId> nodes = data.nodes(role);
    for (const NodeId i : nodes) {
      double total = 0;
      for (const float z : logits.row(i)) total += std::exp(static_cast<double>(z));
      const auto label = static_cast<std::size_t>(data.labels.classes[i]);
      loss += std::log(total) - static_cast<double>(logits(i, label));
      right += predicted_class<float>(logits.row(i)) == data.labels.classes[i] ? 1 : 0;
    }
    const auto n = static_cast<double>(nodes.size());
    CHECK(got.count == nodes.size());
    CHECK(got.metric == right / n);
    // The mean is stored as a float: half a unit of it, and a few roundings of doubles.
    CHECK(std::abs(got.loss - loss / n) <= (0x1p-24 + 1e-12) * std::abs(loss / n));
  }
  const Evaluation real = evaluate(model, data, CrossEntropy{});
  CHECK(real.val.metric == all.val.metric);
  CHECK(real.val.loss == Approx(all.val.loss).epsilon(1e-5));
}
