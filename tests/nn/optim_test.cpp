// SPDX-License-Identifier: MIT
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/nn/optim/adamw.hpp"
#include "tessera/nn/optim/clip.hpp"
#include "tessera/nn/optim/sgd.hpp"

namespace {

using namespace tessera;

static_assert(Optimizer<Adam, float> && Optimizer<Adam, double>);
static_assert(Optimizer<AdamW, float> && Optimizer<AdamW, double>);
static_assert(Optimizer<Sgd, float> && Optimizer<Sgd, double>);
static_assert(!Optimizer<ClipNorm, float>);

constexpr int kSteps = 10;

/// The gradients both PyTorch and these tests were fed.
std::array<double, 3> gradient_of_step(int i) {
  return {0.1 * (i + 1), -0.3 + 0.07 * i, (i % 2 == 0 ? 1 : -1) * 0.2};
}

template <class Optimizer>
std::vector<double> ten_steps(const Optimizer& optimizer) {
  ParameterBlock<double> block;
  const Parameter p = block.add("weight", 1, 3);
  const std::array<double, 3> start{0.5, -1.25, 2.0};
  for (std::size_t j = 0; j < 3; ++j) block.value(p)(0, j) = start[j];
  auto state = optimizer.start(block);
  for (int i = 0; i < kSteps; ++i) {
    const auto g = gradient_of_step(i);
    for (std::size_t j = 0; j < 3; ++j) block.grad(p)(0, j) = g[j];
    optimizer.step(state, block, 1.0);
  }
  return {block.value(p)(0, 0), block.value(p)(0, 1), block.value(p)(0, 2)};
}

/// |theta| stays below 4 and a step makes fewer than ten roundings: 10 steps x 10 roundings of half a unit in
/// the last place of 4 would be 2e-14 in the worst case; the issue asks for 1e-15 and most cancel.
void check_close(const std::vector<double>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t j = 0; j < got.size(); ++j) {
    INFO("element " << j);
    CHECK(std::abs(got[j] - want[j]) <= 1e-15);
  }
}

/// The definitions of the class comments, one number at a time, written from the formulas and not the code.
double naive_adam(const Adam& o, bool decoupled, double theta, const std::vector<double>& grads) {
  double m = 0, v = 0;
  for (std::size_t t = 1; t <= grads.size(); ++t) {
    double g = grads[t - 1];
    if (decoupled) theta *= 1 - o.lr * o.weight_decay;
    if (!decoupled) g += o.weight_decay * theta;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double n = static_cast<double>(t);
    theta -=
        o.lr / (1 - std::pow(o.beta1, n)) * m / (std::sqrt(v) / std::sqrt(1 - std::pow(o.beta2, n)) + o.eps);
  }
  return theta;
}

double naive_sgd(const Sgd& o, double theta, const std::vector<double>& grads) {
  double b = 0;
  for (std::size_t t = 0; t < grads.size(); ++t) {
    const double g = grads[t] + o.weight_decay * theta;
    b = t == 0 ? g : o.momentum * b + (1 - o.dampening) * g;
    theta -= o.lr * (o.momentum == 0 ? g : o.nesterov ? g + o.momentum * b : b);
  }
  return theta;
}

template <class Naive>
std::vector<double> naive_ten_steps(Naive&& naive) {
  const std::array<double, 3> start{0.5, -1.25, 2.0};
  std::vector<double> out;
  for (std::size_t j = 0; j < 3; ++j) {
    std::vector<double> grads;
    for (int i = 0; i < kSteps; ++i) grads.push_back(gradient_of_step(i)[j]);
    out.push_back(naive(start[j], grads));
  }
  return out;
}

/// A block of awkward extents: widths below and above a vector, one parameter across several tasks.
template <class T>
ParameterBlock<T> awkward_block() {
  ParameterBlock<T> block;
  block.add("a", 1, 1);
  block.add("b", 7, 3, 0.0f);
  block.add("c", 211, 173);
  block.add("d", 1, 5, 2.0f);
  CounterRng rng(make_key(3, 0, Purpose::init), 0, 0);
  for (const ParameterInfo& info : block.parameters()) {
    for (std::size_t i = 0; i < info.size(); ++i)
      block.values()[info.offset + i] = static_cast<T>(rng.normal());
  }
  return block;
}

template <class T>
void draw_grads(ParameterBlock<T>& block, std::uint64_t step) {
  std::uint64_t entity = 0;  // counts elements, not places: padding depends on T
  for (const ParameterInfo& info : block.parameters()) {
    for (std::size_t i = 0; i < info.size(); ++i) {
      CounterRng rng(make_key(4, step, Purpose::noise), 0, entity++);
      block.grads()[info.offset + i] = static_cast<T>(rng.normal());
    }
  }
}

template <class T, class Optimizer>
std::vector<T> five_steps(const Optimizer& optimizer) {
  ParameterBlock<T> block = awkward_block<T>();
  auto state = optimizer.start(block);
  for (std::uint64_t s = 0; s < 5; ++s) {
    draw_grads(block, s);
    optimizer.step(state, block, 0.5);
  }
  return {block.values().begin(), block.values().end()};
}

}  // namespace

TEST_CASE("Optimisers repeat PyTorch's ten steps", "[optim]") {
  // Printed by torch 2 in float64 for the same start, gradients and settings.
  check_close(ten_steps(Adam{.lr = 0.01}), {0.40154109172380353, -1.1987109614222777, 1.9845460850933367});
  check_close(ten_steps(Adam{.lr = 0.01, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.05}),
              {0.3969664070036358, -1.1948684248335009, 1.9488751882730946});
  check_close(ten_steps(AdamW{.lr = 0.01, .weight_decay = 0.05}),
              {0.39926591793632704, -1.1926559052133172, 1.9746278810128026});
  check_close(ten_steps(Sgd{.lr = 0.1}), {-0.05000000000000006, -1.2650000000000001, 2.0});
  check_close(ten_steps(Sgd{.lr = 0.1, .momentum = 0.9, .dampening = 0.2, .weight_decay = 0.01}),
              {-0.9441670360814683, -0.9423742020958757, 1.857419373979386});
  check_close(ten_steps(Sgd{.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true}),
              {-1.6542314162815768, -0.9567535127905477, 1.8529293093374979});
}

TEST_CASE("Optimisers equal the scalar formulas", "[optim]") {
  for (const double decay : {0.0, 0.3}) {
    const Adam adam{.lr = 0.03, .beta1 = 0.7, .beta2 = 0.9, .eps = 1e-3, .weight_decay = decay};
    check_close(ten_steps(adam),
                naive_ten_steps([&](double x, const auto& g) { return naive_adam(adam, false, x, g); }));
    const AdamW adamw{.lr = 0.03, .beta1 = 0.7, .beta2 = 0.9, .eps = 1e-3, .weight_decay = decay};
    check_close(ten_steps(adamw),
                naive_ten_steps([&](double x, const auto& g) { return naive_adam(adam, true, x, g); }));
    for (const Sgd sgd : {Sgd{.lr = 0.05, .weight_decay = decay},
                          Sgd{.lr = 0.05, .momentum = 0.5, .dampening = 0.3, .weight_decay = decay},
                          Sgd{.lr = 0.05, .momentum = 0.5, .weight_decay = decay, .nesterov = true}}) {
      check_close(ten_steps(sgd),
                  naive_ten_steps([&](double x, const auto& g) { return naive_sgd(sgd, x, g); }));
    }
  }
}

TEST_CASE("Decay is scaled per parameter and padding stays zero", "[optim]") {
  ParameterBlock<double> block = awkward_block<double>();
  const ParameterBlock<double> before = block.clone();
  const Sgd sgd{.lr = 0.5, .weight_decay = 0.1};
  auto state = sgd.start(block);
  sgd.step(state, block, 1.0);  // the gradient is zero: only the decay acts
  for (const ParameterInfo& info : block.parameters()) {
    for (std::size_t i = info.offset; i < info.offset + info.size(); ++i) {
      const double decay = 0.1 * static_cast<double>(info.weight_decay_scale);
      REQUIRE(block.values()[i] == before.values()[i] - 0.5 * (decay * before.values()[i]));
    }
    const std::size_t end = info.offset + info.size();
    for (std::size_t i = end; i % 8 != 0; ++i) REQUIRE(block.values()[i] == 0);
  }
}

TEMPLATE_TEST_CASE("Optimisers give the same bits at any thread count", "[optim]", float, double) {
  const auto check = [](const auto& optimizer) {
    const auto one = with_threads(1, [&] { return five_steps<TestType>(optimizer); });
    for (const std::size_t threads : {2u, 4u, 7u}) {
      REQUIRE(one == with_threads(threads, [&] { return five_steps<TestType>(optimizer); }));
    }
  };
  check(Adam{.lr = 0.01, .weight_decay = 0.01});
  check(AdamW{.lr = 0.01});
  check(Sgd{.lr = 0.01, .momentum = 0.9, .nesterov = true});
}

TEST_CASE("Float follows double within rounding", "[optim]") {
  const Adam adam{.lr = 0.01};
  const auto exact = five_steps<double>(adam);
  const auto fast = five_steps<float>(adam);
  // Starts and every subtraction differ by half a unit of the value; the moments carry ten roundings per step
  // of a direction m / sqrt(v) of at most sqrt(5), five steps' worth of lr.
  const auto wide = awkward_block<double>();
  const auto narrow = awkward_block<float>();
  for (std::size_t p = 0; p < wide.parameters().size(); ++p) {
    const ParameterInfo& a = wide.parameters()[p];
    const ParameterInfo& b = narrow.parameters()[p];
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double want = exact[a.offset + i];
      const double unit = std::numeric_limits<float>::epsilon() / 2;
      const double bound = unit * (6 * (std::abs(want) + 0.1) + 5 * 0.01 * 10 * 5 * std::sqrt(5.0));
      REQUIRE(std::abs(static_cast<double>(fast[b.offset + i]) - want) <= bound);
    }
  }
}

TEST_CASE("A gradient that is not finite stops the step before anything changes", "[optim]") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    ParameterBlock<float> block = awkward_block<float>();
    const Adam adam{.weight_decay = 0.1};
    auto state = adam.start(block);
    draw_grads(block, 0);
    adam.step(state, block, 1);
    const ParameterBlock<float> before = block.clone();
    const auto moments = Array<float>::copy_of(state.exp_avg);
    block.grad(block.find("c"))(200, 172) = bad;
    std::string text;
    try {
      adam.step(state, block, 1);
    } catch (const Error& e) {
      text = e.what();
    }
    INFO(text);
    CHECK(text.find("step 2") != std::string::npos);
    CHECK(text.find("gradient of c at [200, 172]") != std::string::npos);
    CHECK(state.step == 1);
    CHECK(std::equal(before.values().begin(), before.values().end(), block.values().begin()));
    CHECK(std::equal(moments.begin(), moments.end(), state.exp_avg.begin()));
  }
}

TEST_CASE("Settings outside their range are refused", "[optim]") {
  const ParameterBlock<float> block = awkward_block<float>();
  CHECK_THROWS_AS(Adam{.lr = -1}.start(block), ConfigError);
  CHECK_THROWS_AS(Adam{.lr = std::numeric_limits<double>::quiet_NaN()}.start(block), ConfigError);
  CHECK_THROWS_AS(Adam{.beta1 = 1}.start(block), ConfigError);
  CHECK_THROWS_AS(Adam{.beta2 = -0.1}.start(block), ConfigError);
  CHECK_THROWS_AS(AdamW{.eps = -1e-8}.start(block), ConfigError);
  CHECK_THROWS_AS(AdamW{.weight_decay = std::numeric_limits<double>::infinity()}.start(block), ConfigError);
  CHECK_THROWS_AS(Sgd{.momentum = -0.5}.start(block), ConfigError);
  CHECK_THROWS_AS(Sgd{.nesterov = true}.start(block), ConfigError);
  CHECK_THROWS_AS((Sgd{.momentum = 0.9, .dampening = 0.1, .nesterov = true}).start(block), ConfigError);
}

TEST_CASE("States show their fields by name", "[optim]") {
  const ParameterBlock<float> block = awkward_block<float>();
  std::vector<std::string> names;
  const auto note = [&](const char* name, auto&&) { names.emplace_back(name); };
  auto adam = Adam{}.start(block);
  adam.visit(note);
  CHECK(names == std::vector<std::string>{"exp_avg", "exp_avg_sq", "step"});
  names.clear();
  auto plain = Sgd{}.start(block);
  plain.visit(note);
  CHECK(names == std::vector<std::string>{"step"});
  CHECK(plain.momentum_buffer.empty());
}

TEST_CASE("Clipping by norm and by value", "[optim]") {
  ParameterBlock<double> block;
  const Parameter p = block.add("w", 1, 2);
  const auto set = [&](double a, double b) {
    block.grad(p)(0, 0) = a;
    block.grad(p)(0, 1) = b;
  };
  set(3, 4);
  CHECK(grad_norm(block) == 5.0);
  CHECK(ClipNorm{10}(block) == 5.0);
  CHECK(block.grad(p)(0, 0) == 3.0);
  CHECK(ClipNorm{1}(block) == 5.0);
  CHECK(block.grad(p)(0, 0) == 3.0 * (1 / (5 + 1e-6)));
  CHECK(block.grad(p)(0, 1) == 4.0 * (1 / (5 + 1e-6)));
  set(-3, 0.25);
  ClipValue{0.5}(block);
  CHECK(block.grad(p)(0, 0) == -0.5);
  CHECK(block.grad(p)(0, 1) == 0.25);
  set(std::numeric_limits<double>::quiet_NaN(), 1);
  ClipNorm{1}(block);
  CHECK(block.grad(p)(0, 1) == 1);
  CHECK_THROWS_AS(ClipNorm{0}(block), ConfigError);
  CHECK_THROWS_AS(ClipValue{-1}(block), ConfigError);
}

TEST_CASE("The gradient norm does not depend on the thread count", "[optim]") {
  ParameterBlock<float> block = awkward_block<float>();
  draw_grads(block, 0);
  const double one = with_threads(1, [&] { return grad_norm(block); });
  double naive = 0;
  for (const float g : block.grads()) naive += static_cast<double>(g) * static_cast<double>(g);
  CHECK(std::abs(one - std::sqrt(naive)) <= one * 36'000 * 0x1p-53);
  for (const std::size_t threads : {2u, 4u})
    CHECK(one == with_threads(threads, [&] { return grad_norm(block); }));
}
