// SPDX-License-Identifier: MIT
// Quantised students of full-precision teachers: nothing but the composition of both.
#include <utility>

#include "support/catch.hpp"
#include "tessera/distill/distill.hpp"
#include "tessera/distill/gcrd.hpp"
#include "tessera/distill/logit.hpp"
#include "tessera/distill/run_teacher.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/quant/quantized.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;

TEST_CASE("a quantised student learns from a teacher in full precision", "[quant]") {
  const Dataset data = generate_community_graph(
      {.nodes = 900, .classes = 4, .features = 16, .mean_degree = 10, .feature_noise = 0.6, .seed = 3});
  const GcnNet<>::Options options{.in = 16, .hidden = 16, .out = 4, .dropout = 0.2f, .seed = 1};
  GcnNet<> net(options);
  Trainer lecture{net, FullGraphSampler{}, CrossEntropy{}, Adam{.lr = 0.02}};
  const double taught = lecture.fit(data, {.epochs = 40}).evaluation.test.metric;
  const TeacherOutputs teacher = teacher_outputs(net, data, {.hidden = true});

  SECTION("by its logits") {
    Quantized<GcnNet<>, DegreeQuant<4>> student{GcnNet<>(options)};
    student.protect(data.graph.view());
    Trainer trainer{student, FullGraphSampler{}, Distill{teacher, Logit{.alpha = 0.9, .temperature = 4}},
                    Adam{.lr = 0.02}};
    CHECK(trainer.fit(data, {.epochs = 40}).evaluation.test.metric > taught - 0.1);
  }
  SECTION("by its hidden rows: the tap is the inner model") {
    Quantized<TappedModel<GcnNet<>>, DegreeQuant<8>> student{TappedModel<GcnNet<>>(GcnNet<>(options))};
    student.protect(data.graph.view());
    Distill loss{teacher, student.model(), Gcrd{}};
    Trainer trainer{student, FullGraphSampler{}, std::move(loss), Adam{.lr = 0.02}};
    CHECK(trainer.fit(data, {.epochs = 40}).evaluation.test.metric > taught - 0.1);
  }
}
