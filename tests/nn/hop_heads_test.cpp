// SPDX-License-Identifier: MIT
#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/autograd/grad_check.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gamlp_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/nets/sagn_net.hpp"
#include "tessera/nn/nets/sign_net.hpp"

using namespace tessera;
using namespace tessera::testing;
using Vars = std::span<const Var>;

namespace {

template <class... T>
std::vector<Tensor<double>> tensors(T&&... t) {
  std::vector<Tensor<double>> out;
  (out.push_back(std::move(t)), ...);
  return out;
}

Tensor<double> matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  return random_matrix<double>(rows, cols, seed);
}

/// Rows without neighbours, as RowSampler makes them.
struct Rows {
  std::vector<EdgeId> row_ptr;
  Adjacency adjacency;
  explicit Rows(std::size_t n) : row_ptr(n + 1, 0) {
    adjacency.forward = {n, n, row_ptr, {}, {}};
    adjacency.transpose = adjacency.forward;
  }
  AdjacencyStack stack() const { return AdjacencyStack(std::span(&adjacency, 1)); }
};

/// d loss / d every parameter against central differences (h = 1e-6, as grad_check: 1e-10 of rounding).
template <class M>
void check_model(M model, const Pass& pass) {
  const Rows rows(11);
  const Tensor<double> x = matrix(11, model.in_features(), 3);
  const std::vector<std::int32_t> classes{0, 1, 2, -1, 1, 0, 2, 2, 1, 0, 1};
  const Targets targets{classes, {}, {}};
  const auto loss = [&](auto& ctx) {
    return CrossEntropy{}(ctx, std::as_const(model).forward(ctx, rows.stack(), ctx.input(x.view()), pass),
                          targets);
  };
  const Tensor<double> noise = matrix(1, model.parameters().values().size(), 9);
  for (const ParameterInfo& p : model.parameters().parameters()) {
    for (std::size_t k = p.offset; p.trained && k < p.offset + p.size(); ++k) {
      model.parameters().values()[k] += 0.1 * noise(0, k);
    }
  }
  model.parameters().zero_grads();
  Tape<double> tape;
  tape.backward(loss(tape));
  const auto value = [&] {
    NoTape<double> ctx;
    return ctx.value(loss(ctx))(0, 0);
  };
  for (const ParameterInfo& p : model.parameters().parameters()) {
    INFO(p.name);
    for (std::size_t k = p.offset; p.trained && k < p.offset + p.size(); ++k) {
      double& at = model.parameters().values()[k];
      const double was = at;
      at = was + 1e-6;
      const double plus = value();
      at = was - 1e-6;
      const double minus = value();
      at = was;
      REQUIRE(std::abs(model.parameters().grads()[k] - (plus - minus) / 2e-6) < 1e-8);
    }
  }
}

constexpr Pass kTraining{.training = true, .dropout_key = make_key(3, 1, Purpose::dropout)};

}  // namespace

TEST_CASE("prelu and select_columns: derivatives", "[heads]") {
  const auto both = [](auto f, std::vector<Tensor<double>> in) {
    const GradCheck r = grad_check(f, in);
    CHECK(r.vjp_error < 1e-6);
    CHECK(r.jvp_error < 1e-6);
    CHECK(r.adjoint_error < 1e-12);
  };
  both([](auto& c, Vars v) { return prelu(c, v[0], v[1]); }, tensors(matrix(7, 5, 1), matrix(1, 1, 2)));
  both([](auto& c, Vars v) { return prelu(c, v[0], v[1]); }, tensors(matrix(7, 5, 1), matrix(1, 5, 2)));
  both([](auto& c, Vars v) { return add(c, select_columns(c, v[0], 1, 2), select_columns(c, v[0], 2, 2)); },
       tensors(matrix(7, 5, 1)));
  NoTape<double> ctx;
  const Tensor<double> x = matrix(3, 4, 1);
  const Var v = ctx.input(x.view());
  CHECK(select_columns(ctx, v, 0, 4) == v);
  CHECK_THROWS_AS(select_columns(ctx, v, 2, 3), ShapeError);
  CHECK_THROWS_AS(prelu(ctx, v, ctx.input(matrix(1, 3, 1).view())), ShapeError);
}

TEST_CASE("hop_attention: derivatives", "[heads]") {
  GradCheckOptions options;
  options.forward_mode = false;
  for (const float p : {0.0f, 0.4f}) {
    const DropoutMask mask{p, make_key(1, 2, Purpose::dropout), 4};
    std::vector<Tensor<double>> in =
        tensors(matrix(6, 8, 1), matrix(6, 8, 2), matrix(6, 8, 3), matrix(2, 4, 4), matrix(2, 4, 5));
    // SAGN: the first hop is the reference too.
    GradCheck r =
        grad_check([&](auto& c, Vars v) { return hop_attention(c, v.first(3), v[0], v[3], v[4], 0.2, mask); },
                   in, options);
    CHECK(r.vjp_error < 1e-6);
    // GAMLP: a reference of its own width, one head.
    in = tensors(matrix(6, 4, 1), matrix(6, 4, 2), matrix(6, 3, 3), matrix(1, 4, 4), matrix(1, 3, 5));
    r = grad_check([&](auto& c, Vars v) { return hop_attention(c, v.first(2), v[2], v[3], v[4], 0.2, mask); },
                   in, options);
    CHECK(r.vjp_error < 1e-6);
  }
}

TEST_CASE("hop_attention: equal scores give the mean of the hops", "[heads]") {
  NoTape<double> ctx;
  const Tensor<double> a = matrix(5, 3, 1), b = matrix(5, 3, 2), zero = Tensor<double>::zeros(1, 3);
  const std::vector<Var> hops{ctx.input(a.view()), ctx.input(b.view())};
  const Var y =
      hop_attention(ctx, std::span<const Var>(hops), hops[0], ctx.input(zero.view()), ctx.input(zero.view()));
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t f = 0; f < 3; ++f) CHECK(std::abs(ctx.value(y)(i, f) - (a(i, f) + b(i, f)) / 2) < 1e-15);
  }
  CHECK_THROWS_AS(hop_attention(ctx, std::span<const Var>(), hops[0], hops[0], hops[0]), ConfigError);
  CHECK_THROWS_AS(hop_attention(ctx, std::span<const Var>(hops), hops[0], ctx.input(matrix(1, 2, 1).view()),
                                ctx.input(zero.view())),
                  ShapeError);
}

TEST_CASE("heads: gradients of every parameter", "[heads]") {
  const HopHeadOptions small{.features = 3, .blocks = 2, .hidden = 4, .out = 3, .dropout = 0.25f};
  for (const Pass& pass : {Pass{}, kTraining}) {
    check_model(SignNet<double>(small), pass);
    HopHeadOptions deep = small;
    deep.branch_layers = 2;
    deep.head_layers = 2;
    deep.activation = HeadActivation::prelu;
    deep.init = HeadInit::glorot_root2;
    deep.input_dropout = 0.1f;
    check_model(SignNet<double>(deep), pass);
    deep.batch_norm = true;
    check_model(SignNet<double>(deep), pass);
    check_model(SagnNet<double>({small, 2, 0.3f}), pass);
    check_model(SagnNet<double>({deep, 1, 0.0f}), pass);
    check_model(GamlpNet<double>({small, 0.3f}), pass);
    check_model(GamlpNet<double>({deep, 0.0f}), pass);
  }
}

TEST_CASE("SIGN with one block is a multilayer perceptron", "[heads]") {
  const Rows rows(9);
  const Tensor<double> x = matrix(9, 5, 1);
  SignNet<double> sign({.features = 5, .blocks = 1, .hidden = 7, .out = 3});
  MlpNet<double> mlp({.in = 5, .hidden = 7, .out = 3, .layers = 2});
  const auto copy = [&](const char* from, const char* to) {
    const auto value = std::as_const(sign).parameters().value(sign.parameters().find(from));
    const auto into = mlp.parameters().value(mlp.parameters().find(to));
    for (std::size_t i = 0; i < value.rows(); ++i)
      std::copy(value.row(i).begin(), value.row(i).end(), into.row(i).begin());
  };
  copy("branches.0.0.weight", "lins.0.weight");
  copy("branches.0.0.bias", "lins.0.bias");
  copy("head.0.weight", "lins.1.weight");
  copy("head.0.bias", "lins.1.bias");
  CHECK(same_bits<double>(run_model(sign, rows.stack(), x.view(), Pass{}).view(),
                          run_model(mlp, rows.stack(), x.view(), Pass{}).view()));
}

TEST_CASE("SIGN sums its branches: equal blocks and classifiers are one with the sum of the classifiers",
          "[heads]") {
  const Rows rows(6);
  const Tensor<double> x = matrix(6, 4, 1);
  Tensor<double> twice(6, 8);
  for (std::size_t i = 0; i < 6; ++i) {
    for (std::size_t f = 0; f < 8; ++f) twice(i, f) = x(i, f % 4);
  }
  SignNet<double> two({.features = 4, .blocks = 2, .hidden = 5, .out = 3});
  SignNet<double> one({.features = 4, .blocks = 1, .hidden = 5, .out = 3});
  auto& p = two.parameters();
  auto& q = one.parameters();
  for (const char* part : {"0.weight", "0.bias"}) {
    const auto from = std::as_const(p).value(p.find(std::string("branches.0.") + part));
    for (auto to : {p.value(p.find(std::string("branches.1.") + part)),
                    q.value(q.find(std::string("branches.0.") + part))}) {
      for (std::size_t i = 0; i < from.rows(); ++i)
        std::copy(from.row(i).begin(), from.row(i).end(), to.row(i).begin());
    }
  }
  const auto w0 = p.value(p.find("head.0.weight")), w1 = p.value(p.find("head.rest.1.weight"));
  const auto b0 = p.value(p.find("head.0.bias")), b1 = p.value(p.find("head.rest.1.bias"));
  const auto w = q.value(q.find("head.0.weight")), b = q.value(q.find("head.0.bias"));
  for (double& v : b1.row(0)) v = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t c = 0; c < 3; ++c) w(i, c) = w0(i, c) + w1(i, c);
  }
  for (std::size_t c = 0; c < 3; ++c) b(0, c) = b0(0, c);
  // Two sums of five terms below 3 in double.
  CHECK(max_difference<double>(run_model(two, rows.stack(), twice.view(), Pass{}).view(),
                               run_model(one, rows.stack(), x.view(), Pass{}).view()) < 1e-14);
}

TEST_CASE("heads: what cannot be is refused", "[heads]") {
  CHECK_THROWS_AS(SignNet<float>({.features = 0, .out = 2}), ConfigError);
  CHECK_THROWS_AS(SignNet<float>({.features = 2, .blocks = 0, .out = 2}), ConfigError);
  CHECK_THROWS_AS(SignNet<float>({.features = 2, .out = 2, .dropout = 1.5f}), ConfigError);
  CHECK_THROWS_AS(SagnNet<float>({{.features = 2, .out = 2}, 0, 0.0f}), ConfigError);
  CHECK_THROWS_AS(GamlpNet<float>({{.features = 2, .out = 2}, -1.0f}), ConfigError);
  const SignNet<float> net({.features = 2, .blocks = 2, .out = 2});
  const Rows rows(3);
  const Tensor<float> x(3, 3);
  NoTape<float> ctx;
  CHECK_THROWS_AS(net.forward(ctx, rows.stack(), ctx.input(x.view()), Pass{}), ShapeError);
}
