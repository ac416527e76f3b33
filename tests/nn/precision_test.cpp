// SPDX-License-Identifier: MIT
#include "tessera/core/precision.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "support/zoo.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/bf16_epilogue.hpp"
#include "tessera/nn/nets/cluster_gcn_net.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

constexpr Pass kTraining{.training = true, .dropout_key = make_key(1, 5, Purpose::dropout)};

double norm(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum);
}

double distance(std::span<const float> x, std::span<const float> y) {
  double sum = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double d = static_cast<double>(x[k]) - static_cast<double>(y[k]);
    sum += d * d;
  }
  return std::sqrt(sum);
}

/// The gradient of <logits, g> in every parameter.
template <class M>
std::vector<float> gradient(M& model, const Adjacency& a, MatrixView<const float> x,
                            MatrixView<const float> g, Precision precision, const Pass& pass = kTraining) {
  model.parameters().zero_grads();
  Tape<float> tape;
  tape.set_precision(precision);
  tape.backward(std::as_const(model).forward(tape, AdjacencyStack({&a, 1}), tape.input(x), pass), g);
  const std::span<const float> grads = model.parameters().grads();
  return {grads.begin(), grads.end()};
}

/// Every matrix between two operators is rounded, by at most 2^-9 of each element, and so is each operand of a product:
/// about six roundings forwards and as many backwards per layer. Each turns the result by at most its share of the norm;
/// random signs leave less. Elements whose sign a rounding changes pass another way through ReLU: as many again.
constexpr double kLayerBound = 2 * 12 * 0x1p-9;

TEST_CASE("gradients in bf16 are those in float but for roundings") {
  const OwnedAdjacency a = random_block(300, 300, 12, 3);
  const auto x = random_matrix<float>(300, 70, 1);
  const auto g = random_matrix<float>(300, 5, 2);
  const auto check = [&](auto model, const char* name) {
    INFO(name);
    const Adjacency level = a.view();
    const auto wide = gradient(model, level, x.view(), g.view(), Precision::fp32);
    const auto narrow = gradient(model, level, x.view(), g.view(), Precision::bf16);
    CHECK(distance(wide, narrow) <= 3 * kLayerBound * norm(wide));
    CHECK(distance(wide, narrow) > 0);
    for (const std::size_t threads : {std::size_t{1}, std::size_t{3}, std::size_t{16}}) {
      const auto again =
          with_threads(threads, [&] { return gradient(model, level, x.view(), g.view(), Precision::bf16); });
      CHECK(again == narrow);
    }
  };
  check(GcnNet<>{{.in = 70, .hidden = 48, .out = 5, .layers = 3, .dropout = 0.3f}}, "gcn");
  check(GcnNet<>{{.in = 70, .hidden = 96, .out = 5, .layers = 3, .dropout = 0.3f}}, "gcn, aggregates first");
  check(SageNet<>{{.in = 70, .hidden = 48, .out = 5, .layers = 3, .dropout = 0.3f}}, "sage");
  check(SageNet<>{{.in = 70, .hidden = 96, .out = 5, .layers = 3, .dropout = 0.3f, .residual = true}},
        "sage, residual");
  check(ClusterGcnNet<>{{.in = 70, .hidden = 48, .out = 5, .layers = 3, .dropout = 0.3f}}, "cluster-gcn");
  check(
      ClusterGcnNet<>{
          {.in = 70, .hidden = 48, .out = 5, .layers = 3, .dropout = 0.3f, .conv = {.precomputed = true}}},
      "cluster-gcn, precomputed");
  check(GcnNet<>{{.in = 70, .hidden = 48, .out = 5, .layers = 3, .dropout = 0.3f, .norm = NormKind::layer}},
        "gcn, layer norm");
}

TEST_CASE("every network of the zoo has a gradient in bf16") {
  const OwnedAdjacency a = random_block(60, 60, 6, 3);
  const auto x = random_matrix<float>(60, 5, 1);
  const auto g = random_matrix<float>(60, 3, 2);
  const Adjacency level = a.view();
  for (ZooEntry<float>& entry : zoo<float>(0.0f)) {
    INFO(entry.name);
    const auto wide = gradient(entry.model, level, x.view(), g.view(), Precision::fp32);
    const auto narrow = gradient(entry.model, level, x.view(), g.view(), Precision::bf16);
    // Two layers, and what stands between them (a norm, a softmax, several aggregates) for as much again.
    CHECK(distance(wide, narrow) <= 4 * kLayerBound * norm(wide));
  }
}

TEST_CASE("a pass in bf16 keeps half the bytes and allocates nothing once its sizes are known") {
  const OwnedAdjacency a = random_block(2000, 2000, 8, 3);
  const auto x = random_matrix<float>(2000, 128, 1);
  const auto g = random_matrix<float>(2000, 128, 2);
  GcnNet<> model{{.in = 128, .hidden = 128, .out = 128, .layers = 6, .dropout = 0.2f}};
  const Adjacency level = a.view();
  const auto peak = [&](Precision precision) {
    Tape<float> tape;
    tape.set_precision(precision);
    const auto step = [&] {
      tape.rewind();
      tape.backward(
          std::as_const(model).forward(tape, AdjacencyStack({&level, 1}), tape.input(x.view()), kTraining),
          g.view());
    };
    BufferPool::global().trim();
    const std::size_t before = BufferPool::global().stats().held_bytes;
    with_threads(1, step);
    const std::size_t held = BufferPool::global().stats().held_bytes - before;
    with_threads(1, step);
    CHECK(BufferPool::global().stats().held_bytes - before == held);
    tape.rewind();
    return static_cast<double>(held);
  };
  const double wide = peak(Precision::fp32);
  const double narrow = peak(Precision::bf16);
  // Rows of float: features dropped, logits and their gradient; panels and blocks of products.
  CHECK(narrow <= 0.5 * wide + 4.0 * 2000 * 128 * 4);
  CHECK(narrow < wide);
}

/// y = x, of which backward reads nothing.
struct PassOn {
  static constexpr std::string_view kName = "pass_on";
  Var x;
  std::array<Var, 1> inputs() const { return {x}; }
  std::array<Var, 0> reads() const { return {}; }
  bool reads_output() const { return false; }
  void vjp(Tape<float>& tape, Var self) const { tape.add_grad(x, tape.take_grad(self)); }
};

/// y = x, kept as bf16.
struct Copy {
  static constexpr std::string_view kName = "copy";
  Var x;
  std::array<Var, 1> inputs() const { return {x}; }
  std::array<Var, 1> reads() const { return {x}; }
  bool reads_output() const { return true; }
  void vjp(Tape<float>& tape, Var self) const { tape.add_grad(x, tape.take_grad(self)); }
};

TEST_CASE("a tape's values and gradients are seen in both widths") {
  auto x = random_matrix<float>(4, 3, 1);
  auto grad = Tensor<float>::zeros(4, 3);
  Tape<float> tape;
  const Var leaf = tape.parameter({x.view(), grad.view()});
  Tensor<bf16> half(4, 3);
  convert_rows<float, bf16>(x.view(), half.view());
  Tensor<float> rounded(4, 3);
  round_to_bf16(x.view(), rounded.view());
  const Var y = tape.record(std::move(half), Copy{leaf});
  CHECK(tape.rows(y) == 4);
  CHECK(tape.has_narrow(y));
  CHECK(tape.value(y)(2, 1) == rounded(2, 1));
  tape.forget(y);  // its operator reads it: it can be made again
  CHECK(tape.value(y)(3, 2) == rounded(3, 2));
  const Var z = tape.record(Tensor<float>::copy_of(x.view()), Copy{y});
  CHECK(!tape.has_narrow(z));
  CHECK(static_cast<float>(tape.narrow(z)(1, 1)) == rounded(1, 1));
  CHECK(tape.value(z)(1, 1) == x(1, 1));
  const Tensor<float> taken = tape.take(y);  // backward reads y: its bf16 stays
  CHECK(taken(2, 1) == rounded(2, 1));
  CHECK(tape.has_narrow(y));
  const auto g = random_matrix<float>(4, 3, 2);
  tape.backward(z, g.view());
  CHECK(grad(1, 2) == g(1, 2));
  Tape<double> wide;
  REQUIRE_THROWS_AS(wide.set_precision(Precision::bf16), ConfigError);
}

TEST_CASE("a value in bf16 that nobody else reads is taken whole") {
  auto x = random_matrix<float>(4, 3, 1);
  auto grad = Tensor<float>::zeros(4, 3);
  Tape<float> tape;
  const Var leaf = tape.parameter({x.view(), grad.view()});
  for (const bool widened : {false, true}) {
    Tensor<bf16> half(4, 3);
    convert_rows<float, bf16>(x.view(), half.view());
    const Var y = tape.record(std::move(half), PassOn{leaf});
    if (widened) tape.value(y);
    const Tensor<float> taken = tape.take(y);
    CHECK(std::abs(taken(2, 1) - x(2, 1)) <= 0x1p-8f * std::abs(x(2, 1)));
    CHECK(!tape.has_narrow(y));
    CHECK(tape.rows(y) == 4);
  }
}

TEST_CASE("bf16_epilogue_backward is epilogue_backward of the widened, rounded") {
  const auto y_wide = random_matrix<float>(150, 37, 1);
  const auto g = random_matrix<float>(150, 37, 2);
  Tensor<bf16> y(150, 37), g_half(150, 37), got(150, 37), got_half(150, 37);
  convert_rows<float, bf16>(y_wide.view(), y.view());
  convert_rows<float, bf16>(g.view(), g_half.view());
  Tensor<float> y_seen(150, 37), g_seen(150, 37), want(150, 37), want_half(150, 37);
  convert_rows<bf16, float>(std::as_const(y).view(), y_seen.view());
  convert_rows<bf16, float>(std::as_const(g_half).view(), g_seen.view());
  for (const Activation activation : {Activation::none, Activation::relu, Activation::elu}) {
    for (const float p : {0.0f, 0.4f}) {
      const Epilogue<float> epilogue{{}, activation, {p, make_key(1, 2, Purpose::dropout), 1}};
      std::vector<float> bias(37), want_bias(37);
      epilogue_backward<float>(y_seen.view(), g.view(), epilogue, want.view(), std::span<float>(want_bias));
      bf16_epilogue_backward<float>(std::as_const(y).view(), g.view(), epilogue, got.view(), bias);
      epilogue_backward<float>(y_seen.view(), g_seen.view(), epilogue, want_half.view());
      bf16_epilogue_backward<bf16>(std::as_const(y).view(), std::as_const(g_half).view(), epilogue,
                                   got_half.view());
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < 150; ++i) {
        for (std::size_t j = 0; j < 37; ++j) {
          wrong += got(i, j).same_bits(bf16(want(i, j))) || want(i, j) == 0.0f ? 0u : 1u;
          wrong += got_half(i, j).same_bits(bf16(want_half(i, j))) || want_half(i, j) == 0.0f ? 0u : 1u;
        }
      }
      CHECK(wrong == 0);
      // 150 terms below 2 in magnitude, in one order or another.
      for (std::size_t j = 0; j < 37; ++j)
        CHECK(std::abs(bias[j] - want_bias[j]) <= 150 * 2 * 150 * 0x1p-24f);
    }
  }
}

TEST_CASE("backward of no rows in bf16 leaves gradients of zero") {
  const OwnedAdjacency none = random_block(0, 0, 0, 3);
  GcnNet<> model({.in = 5, .hidden = 6, .out = 3, .layers = 3});
  const Tensor<float> x(0, 5);
  const Tensor<float> g(0, 3);
  const std::vector<float> grads = gradient(model, none.view(), x.view(), g.view(), Precision::bf16);
  CHECK(norm(grads) == 0);
}

}  // namespace
