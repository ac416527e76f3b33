// SPDX-License-Identifier: MIT
#include "tessera/nn/any_model.hpp"

#include <algorithm>
#include <utility>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"

using namespace tessera;
using namespace tessera::testing;

static_assert(Model<AnyModel<float>> && Model<AnyModel<double>>);
static_assert(!std::copy_constructible<AnyModel<float>>);
static_assert(TrainableModel<AnyTrainableModel<float>> && !Model<AnyTrainableModel<float>>);

namespace {

/// Loss and gradients of one training pass; the gradients stay in the block.
template <class M>
double pass_of(M& model, const Adjacency& a, MatrixView<const float> x,
               std::span<const std::int32_t> classes) {
  Tape<float> tape;
  const Pass pass{.training = true, .dropout_key = make_key(1, 5, Purpose::dropout)};
  const Var y = std::as_const(model).forward(tape, AdjacencyStack({&a, 1}), tape.input(x), pass);
  const Var loss = CrossEntropy{}(tape, y, Targets{.classes = classes});
  const double value = static_cast<double>(tape.value(loss)(0, 0));
  tape.backward(loss);
  return value;
}

}  // namespace

TEST_CASE("AnyModel has the values, gradients and parameters of the model inside") {
  const OwnedAdjacency graph = random_block(20, 20, 3, 1);
  const Adjacency a = graph.view();
  Tensor<float> x(20, 6);
  fill_uniform(x.view(), 1.0, {make_key(2, 0, Purpose::init), 0});
  std::vector<std::int32_t> classes(20);
  for (std::size_t i = 0; i < 20; ++i) classes[i] = static_cast<std::int32_t>(i % 3);

  const GcnNet<>::Options options{.in = 6, .hidden = 5, .out = 3, .layers = 3, .seed = 4};
  GcnNet<> inside(options);
  AnyModel<> any = GcnNet<>(options);
  CHECK(any.num_layers() == 3);
  CHECK(any.in_features() == 6);
  CHECK(any.out_features() == 3);
  CHECK(any.aggregation() == inside.aggregation());
  const auto same_values = [&] {
    return std::ranges::equal(std::as_const(any).parameters().values(), inside.parameters().values());
  };
  CHECK(same_values());
  CHECK(pass_of(any, a, x.view(), classes) == pass_of(inside, a, x.view(), classes));
  CHECK(std::ranges::equal(any.parameters().grads(), inside.parameters().grads()));

  AnyTrainableModel<> trainable = GcnNet<>(options);
  CHECK(pass_of(trainable, a, x.view(), classes) == pass_of(inside, a, x.view(), classes));

  any.reset_parameters(9);
  CHECK_FALSE(same_values());
  inside.reset_parameters(9);
  CHECK(same_values());

  NoTape<float> ctx;
  const Var whole = std::as_const(any).forward(ctx, AdjacencyStack({&a, 1}), ctx.input(x.view()), Pass{});
  Var h = ctx.input(x.view());
  for (std::size_t l = 0; l < any.num_layers(); ++l) h = std::as_const(any).layer(ctx, l, a, h, Pass{});
  for (std::size_t i = 0; i < 20; ++i)
    CHECK(std::ranges::equal(ctx.value(whole).row(i), ctx.value(h).row(i)));
}
