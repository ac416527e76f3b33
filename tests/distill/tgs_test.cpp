// SPDX-License-Identifier: MIT
#include "tessera/distill/tgs.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/distill_cases.hpp"
#include "support/graph_factories.hpp"
#include "support/nn_cases.hpp"
#include "support/numeric_gradient.hpp"
#include "tessera/distill/glnn.hpp"
#include "tessera/nn/nets/mlp_net.hpp"

using namespace tessera;
using testing::random_matrix;

TEST_CASE("TgsNet and BlendNet: gradients of every parameter; shares lie between 0.8 and 1") {
  TgsNet<double> net({.in = 4, .hidden = 5, .out = 3, .layers = 3, .dropout = 0.3f});
  BlendNet<double> blend(4, 5, 1);
  const Tensor<double> x = random_matrix<double>(9, 4, 1);
  const Tensor<double> other = random_matrix<double>(9, 4, 2);
  const Pass pass{.training = true, .dropout_key = make_key(1, 2, Purpose::dropout)};
  const auto run = [&](bool backward) {
    Tape<double> tape;
    const Var a = tape.input(x.view());
    const Var b = tape.input(other.view());
    const Var share = blend(tape, a, b, pass);
    for (std::size_t i = 0; i < 9; ++i) CHECK((tape.value(share)(i, 0) > 0.8 && tape.value(share)(i, 0) < 1));
    const auto one = net.forward(tape, a, pass, 0);
    const auto two = net.forward(tape, blend_rows(tape, share, b, a), pass, 1);
    const Var loss = neighbour_inference_loss(
        tape, {one.prediction, two.prediction, two.neighbour, one.neighbour, two.neighbour});
    if (backward) tape.backward(loss);
    return tape.value(loss)(0, 0);
  };
  for (ParameterBlock<double>* block : {&net.parameters(), &blend.parameters()}) {
    net.parameters().zero_grads();
    blend.parameters().zero_grads();
    const auto error = testing::gradient_error(*block, run);
    CHECK(error.size > 1e-4);
    CHECK(error.worst < 1e-6 * error.size);
  }
  CHECK_THROWS_AS(TgsNet<>({.in = 4, .out = 3, .layers = 1}), ConfigError);
}

TEST_CASE("tgs_class_weights refuses a class that there is not") {
  const CsrGraph graph = testing::path(3);
  const std::vector<std::int32_t> labels{0, -1, 5};
  REQUIRE_THROWS_AS(detail::tgs_class_weights(graph.view(), labels, 3), IndexError);
  REQUIRE(detail::tgs_class_weights(graph.view(), labels, 6).size() == 6);
}

TEST_CASE("fit_tgs: beats labels alone without a teacher, the same on any number of threads") {
  const Dataset data = testing::community_task(600, 3, 3);
  const auto learn = [&](std::size_t threads) {
    return with_threads(threads, [&] {
      TgsNet<> net({.in = data.num_features(), .hidden = 16, .out = 3});
      const DistillReport fit =
          fit_tgs(net, data.graph.view(), data.features.view(), data.labels.classes.span(), data.roles.span(),
                  {.batches_per_epoch = 4, .epochs = 40});
      return std::pair{fit.test_accuracy, std::vector<float>(net.parameters().values().begin(),
                                                             net.parameters().values().end())};
    });
  };
  const auto one = learn(1);
  CHECK(learn(4) == one);
  MlpNet<> plain({.in = data.num_features(), .hidden = 16, .out = 3, .dropout = 0.5f});
  const TeacherOutputs nobody(Tensor<float>::zeros(600, 3));
  const DistillReport labels = fit_glnn(plain, data.features.view(), data.labels.classes.span(),
                                        data.roles.span(), nobody, {}, {.lambda = 1, .epochs = 100});
  CHECK(one.first > labels.test_accuracy + 0.02);

  // An epoch takes every edge, the last batch being what is left: one step more than the full batch alone.
  const auto steps_of = [&](std::size_t batches) {
    TgsNet<> net({.in = data.num_features(), .hidden = 8, .out = 3});
    fit_tgs(net, data.graph.view(), data.features.view(), data.labels.classes.span(), data.roles.span(),
            {.edges_per_batch = data.graph.num_edges() - 1, .batches_per_epoch = batches, .epochs = 1});
    return std::vector<float>(net.parameters().values().begin(), net.parameters().values().end());
  };
  CHECK(steps_of(0) != steps_of(1));
  CHECK(steps_of(0) == steps_of(2));

  TgsNet<> net({.in = data.num_features(), .hidden = 8, .out = 3});
  const CsrGraph nothing = testing::empty_graph(600);
  CHECK_THROWS_AS(
      fit_tgs(net, nothing.view(), data.features.view(), data.labels.classes.span(), data.roles.span()),
      ConfigError);
  CHECK_THROWS_AS(fit_tgs(net, data.graph.view(), random_matrix<float>(600, 2, 1).view(),
                          data.labels.classes.span(), data.roles.span()),
                  ShapeError);
}
