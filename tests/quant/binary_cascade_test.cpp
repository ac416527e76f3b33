// SPDX-License-Identifier: MIT
// Binary GraphSAGE in stages, each the teacher and the start of the next.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/distill_cases.hpp"
#include "support/nn_cases.hpp"
#include "tessera/distill/distill.hpp"
#include "tessera/distill/logit.hpp"
#include "tessera/distill/run_teacher.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/quant/binary_sage_conv.hpp"
#include "tessera/quant/calibrate.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

constexpr BinaryStage kStages[] = {BinaryStage::real, BinaryStage::smooth, BinaryStage::inputs,
                                   BinaryStage::full};
constexpr std::size_t kClasses = 4;

BinarySageNet<> staged(BinaryStage stage, std::uint64_t seed, std::size_t layers = 3) {
  return BinarySageNet<>({.in = 16,
                          .hidden = 32,
                          .out = kClasses,
                          .layers = layers,
                          .dropout = 0,
                          .seed = seed,
                          .conv = {.stage = stage}});
}

BinarySageNet<> copied(const BinarySageNet<>& from, BinaryStage stage, std::size_t layers = 3) {
  BinarySageNet<> to = staged(stage, 77, layers);
  copy_parameters(from.parameters(), to.parameters());
  return to;
}

Tensor<float> logits_of(const BinarySageNet<>& net, const Dataset& data) {
  const PreparedAdjacency prepared =
      prepare_adjacency(data.graph.view(), data.graph.symmetric, net.aggregation());
  const Adjacency a = prepared.adjacency();
  NoTape<float> ctx;
  return ctx.take(net.forward(ctx, AdjacencyStack({&a, 1}), ctx.input(data.features.view()), Pass{}));
}

/// Numbers of either sign for everything that is not a matrix, running variances above 0.
void scatter(ParameterBlock<float>& block) {
  for (const ParameterInfo& info : block.parameters()) {
    if (info.rows != 1) continue;
    const Tensor<float> values = random_matrix<float>(1, info.cols, 40 + info.offset);
    for (std::size_t j = 0; j < info.cols; ++j) {
      const float v = values(0, j);
      block.values()[info.offset + j] = info.name.ends_with("running_var") ? 1.5f + v : v;
    }
  }
}

float largest_weight(const ParameterBlock<float>& block) {
  float largest = 0;
  for (const ParameterInfo& info : block.parameters()) {
    if (info.rows == 1) continue;
    for (const float w : block.values().subspan(info.offset, info.size()))
      largest = std::max(largest, std::abs(w));
  }
  return largest;
}

struct ClampAfterSteps {
  template <class Run, class Record>
  void on_batch(Run& run, const Record&) const {
    clamp_weights(run.model().parameters());
  }
};

double test_accuracy(const BinarySageNet<>& net, const Dataset& data) {
  const RoleTargets rows = targets_of(data, Role::test);
  return accuracy<float>(logits_of(net, data).view(), data.labels.classes.span(), rows.rows.span());
}

/// Trains by labels, and by a teacher where there is one; the accuracy on test nodes.
double trained(BinarySageNet<>& net, const Dataset& data, const TeacherOutputs* teacher,
               std::uint64_t epochs) {
  const Adam adam{.lr = 0.01};
  const FitOptions fit{.epochs = epochs, .seed = 1, .eval_every = 0};
  if (teacher == nullptr) {
    Trainer trainer{net, FullGraphSampler{}, CrossEntropy{}, adam};
    trainer.fit(data, fit, ClampAfterSteps{});
  } else {
    Trainer trainer{net, FullGraphSampler{}, Distill{*teacher, Logit{.alpha = 0.1, .temperature = 2}}, adam};
    trainer.fit(data, fit, ClampAfterSteps{});
  }
  return test_accuracy(net, data);
}

}  // namespace

TEST_CASE("a stage starts with every number of the one before", "[quant]") {
  BinarySageNet<> from = staged(BinaryStage::real, 1);
  scatter(from.parameters());
  for (const BinaryStage stage : {BinaryStage::smooth, BinaryStage::inputs, BinaryStage::full}) {
    CAPTURE(static_cast<int>(stage));
    BinarySageNet<> to = staged(stage, 2);
    const auto infos = to.parameters().parameters();
    REQUIRE(infos.size() == from.parameters().parameters().size());
    CHECK_FALSE(std::ranges::equal(to.parameters().values(), from.parameters().values()));
    copy_parameters(std::as_const(from).parameters(), to.parameters());
    for (std::size_t p = 0; p < infos.size(); ++p) {
      REQUIRE(infos[p].name == from.parameters().parameters()[p].name);
    }
    CHECK(std::ranges::equal(to.parameters().values(), from.parameters().values()));
    // The copy is its own: what one learns the other does not.
    to.parameters().values()[0] += 1.0f;
    CHECK(to.parameters().values()[0] != from.parameters().values()[0]);
    from = copied(from, stage);
  }
}

TEST_CASE("stages with the same numbers differ in what they round, and in nothing else", "[quant]") {
  const Dataset data = community_task(200, kClasses);
  SECTION("a single layer keeps its rows: only its weights may be signs") {
    const BinarySageNet<> real = staged(BinaryStage::real, 1, 1);
    const Tensor<float> want = logits_of(real, data);
    for (const BinaryStage stage : {BinaryStage::smooth, BinaryStage::inputs}) {
      CHECK(same_bits<float>(logits_of(copied(real, stage, 1), data).view(), want.view()));
    }
    CHECK_FALSE(same_bits<float>(logits_of(copied(real, BinaryStage::full, 1), data).view(), want.view()));
  }
  SECTION("three layers") {
    BinarySageNet<> inputs = staged(BinaryStage::inputs, 1);
    scatter(inputs.parameters());
    const Tensor<float> full = logits_of(copied(inputs, BinaryStage::full), data);
    for (const BinaryStage other : {BinaryStage::real, BinaryStage::smooth, BinaryStage::inputs}) {
      CHECK_FALSE(same_bits<float>(logits_of(copied(inputs, other), data).view(), full.view()));
    }
    // The last stage is the one before with the signs of its weights.
    ParameterBlock<float>& block = inputs.parameters();
    for (const ParameterInfo& info : block.parameters()) {
      if (info.rows == 1) continue;
      for (float& w : block.values().subspan(info.offset, info.size())) w = sign_of(w);
    }
    CHECK(same_bits<float>(logits_of(inputs, data).view(), full.view()));
  }
}

TEST_CASE("the stages end in a binary network that learned, ahead of one from random weights", "[quant]") {
  const Dataset data = community_task(400, kClasses, 20);
  constexpr std::uint64_t kEpochs = 40;
  constexpr std::uint64_t kFew = 5;
  double staged_mean = 0;
  double fresh_mean = 0;
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    BinarySageNet<> before = staged(BinaryStage::real, seed);
    TeacherOutputs teacher;
    for (const BinaryStage stage : kStages) {
      CAPTURE(seed, static_cast<int>(stage));
      // The real network only teaches; later stages go on from the weights before.
      BinarySageNet<> net =
          stage <= BinaryStage::smooth ? staged(stage, seed) : copied(std::as_const(before), stage);
      const TeacherOutputs* const by = stage == BinaryStage::real ? nullptr : &teacher;
      if (stage == BinaryStage::full) {
        BinarySageNet<> head_start = copied(std::as_const(before), stage);
        staged_mean += trained(head_start, data, by, kFew) / 3;
      }
      CHECK(trained(net, data, by, kEpochs) > 0.7);  // chance: 0.25
      CHECK(largest_weight(net.parameters()) <= 1.0f);
      teacher = teacher_outputs(net, data);
      before = std::move(net);
    }
    BinarySageNet<> fresh = staged(BinaryStage::full, seed);
    fresh_mean += trained(fresh, data, nullptr, kFew) / 3;
  }
  CAPTURE(staged_mean, fresh_mean);
  CHECK(staged_mean > fresh_mean + 0.1);
}
