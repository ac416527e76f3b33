// SPDX-License-Identifier: MIT
#include "tessera/nn/autograd/tape.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/autograd/no_tape.hpp"
#include "tessera/nn/autograd/op_arena.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

/// y = 3 x, without a forward derivative, counting how often its parts run and how many are alive.
struct Triple {
  static constexpr std::string_view kName = "triple";
  static inline int alive = 0;
  static inline int backward = 0;
  Var x;

  explicit Triple(Var v) : x(v) { ++alive; }
  Triple(Triple&& other) noexcept : x(other.x) { ++alive; }
  ~Triple() { --alive; }

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }
  void vjp(Tape<double>& tape, Var self) const {
    ++backward;
    const auto g = tape.grad(self);
    for (std::size_t i = 0; i < g.rows(); ++i) {
      for (double& element : g.row(i)) element *= 3;
    }
    tape.add_grad(x, MatrixView<const double>(g));
  }
};

struct NoBackward {
  std::array<Var, 0> inputs() const noexcept { return {}; }
};
static_assert(TapeOperator<Triple, double>);
static_assert(!TapeOperator<NoBackward, double>);

template <class Ctx>
Var triple(Ctx& ctx, Var x) {
  Tensor<double> y = Tensor<double>::copy_of(ctx.value(x));
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (double& element : y.row(i)) element *= 3;
  }
  return ctx.record(std::move(y), Triple(x));
}

TEST_CASE("a variable used twice gets the sum of both gradients") {
  const auto x = random_matrix<double>(3, 2, 1);
  auto grad = Tensor<double>::zeros(3, 2);
  Tape<double> tape;
  const Var v = tape.parameter({x.view(), grad.view()});
  const Var y = add(tape, triple(tape, v), triple(tape, triple(tape, v)));
  const auto ones = Tensor<double>::filled(3, 2, 1.0);
  tape.backward(y, ones.view());
  CHECK(max_difference<double>(grad.view(), Tensor<double>::filled(3, 2, 12.0)) == 0);

  SECTION("a leaf's gradient is added to, so two backward passes give the sum") {
    tape.backward(y, ones.view());
    CHECK(grad(2, 1) == 24);
  }
  SECTION("only what the root depends on is walked") {
    Triple::backward = 0;
    (void)triple(tape, y);
    tape.backward(triple(tape, v), ones.view());
    CHECK(Triple::backward == 1);
    CHECK(grad(0, 0) == 15);
  }
}

TEST_CASE("operators on constants are not kept") {
  const auto x = random_matrix<double>(3, 2, 1);
  {
    Tape<double> tape;
    const Var y = triple(tape, tape.input(x.view()));
    CHECK(Triple::alive == 0);
    CHECK_FALSE(tape.needs_grad(y));
    tape.backward(y, x.view());  // nothing to do, and no error
  }
  auto grad = Tensor<double>::zeros(3, 2);
  {
    Tape<double> tape;
    (void)triple(tape, tape.parameter({x.view(), grad.view()}));
    CHECK(Triple::alive == 1);
    tape.rewind();
    CHECK(Triple::alive == 0);
    CHECK(tape.size() == 0);
    (void)triple(tape, tape.parameter({x.view(), grad.view()}));
  }
  CHECK(Triple::alive == 0);
}

TEST_CASE("forget frees a value unless backward reads it") {
  const auto x = random_matrix<double>(40, 30, 1);
  auto grad = Tensor<double>::zeros(40, 30);
  const auto w = random_matrix<double>(30, 5, 2);
  auto w_grad = Tensor<double>::zeros(30, 5);
  Tape<double> tape;
  const Var v = tape.parameter({x.view(), grad.view()});
  const Var loose = triple(tape, v);
  const Var kept = triple(tape, v);
  (void)linear(tape, kept, tape.parameter({w.view(), w_grad.view()}));
  const std::size_t before = BufferPool::global().stats().used_bytes;
  tape.forget(kept);
  CHECK(BufferPool::global().stats().used_bytes == before);
  CHECK(tape.value(kept)(0, 0) == 3 * x(0, 0));
  tape.forget(loose);
  CHECK(BufferPool::global().stats().used_bytes < before);
  CHECK(tape.value(loose).rows() == 40);
  tape.forget(v);  // a borrowed value is the caller's
  CHECK(tape.value(v)(0, 0) == x(0, 0));

  SECTION("take moves what forget would free and copies the rest") {
    const Var other = triple(tape, v);
    const double* const data = tape.value(other).data();
    CHECK(tape.take(other).data() == data);
    CHECK(tape.take(kept).data() != tape.value(kept).data());
    CHECK(tape.value(kept)(1, 1) == 3 * x(1, 1));
  }
  SECTION("a value somebody looks into stays") {
    const Var base = triple(tape, v);
    const Var part = head_rows(tape, base, 4);
    tape.forget(base);
    CHECK(tape.value(part)(3, 2) == 3 * x(3, 2));
    NoTape<double> ctx;
    const Var b = triple(ctx, ctx.input(x.view()));
    const Var p = head_rows(ctx, b, 4);
    ctx.forget(b);
    CHECK(ctx.value(p)(3, 2) == 3 * x(3, 2));
  }
}

TEST_CASE("forward mode wants tangents on leaves and derivatives in operators") {
  const auto x = random_matrix<double>(3, 2, 1);
  auto grad = Tensor<double>::zeros(3, 2);
  Tape<double> tape;
  const Var v = tape.parameter({x.view(), grad.view()});
  const Var c = tape.input(x.view());
  const Var r = relu(tape, v);
  tape.jvp();
  CHECK_FALSE(tape.has_tangent(r));
  CHECK_THROWS_AS(tape.set_tangent(c, x.view()), ConfigError);
  CHECK_THROWS_AS(tape.set_tangent(r, x.view()), ConfigError);
  CHECK_THROWS_AS(tape.set_tangent(v, random_matrix<double>(2, 2, 1).view()), ShapeError);
  tape.set_tangent(v, x.view());
  tape.jvp();
  REQUIRE(tape.has_tangent(r));
  CHECK(tape.tangent(r)(0, 0) == (x(0, 0) > 0 ? x(0, 0) : 0));
  tape.clear_tangents();
  CHECK_FALSE(tape.has_tangent(r));
  (void)triple(tape, v);
  tape.set_tangent(v, x.view());
  CHECK_THROWS_AS(tape.jvp(), ConfigError);
}

TEST_CASE("wrong shapes are refused before anything is written") {
  const auto x = random_matrix<double>(3, 2, 1);
  auto grad = Tensor<double>::zeros(2, 2);
  Tape<double> tape;
  CHECK_THROWS_AS(tape.parameter({x.view(), grad.view()}), ShapeError);
  const Var c = tape.input(x.view());
  CHECK_THROWS_AS(tape.backward(c), ShapeError);
  CHECK_THROWS_AS(head_rows(tape, c, 4), ShapeError);
  CHECK_THROWS_AS(add(tape, c, head_rows(tape, c, 2)), ShapeError);
  CHECK_THROWS_AS(concat_columns(tape, c, head_rows(tape, c, 2)), ShapeError);
  CHECK_THROWS_AS(linear(tape, c, c), ShapeError);
}

TEST_CASE("the arena gives aligned, disjoint memory and reuses it") {
  detail::OpArena arena;
  char* const first = static_cast<char*>(arena.allocate(24, 8));
  char* const second = static_cast<char*>(arena.allocate(64, 64));
  CHECK(second >= first + 24);
  CHECK(reinterpret_cast<std::uintptr_t>(second) % 64 == 0);
  void* const large = arena.allocate(100'000, 16);
  std::memset(large, 1, 100'000);
  void* const after = arena.allocate(8, 8);
  const std::size_t held = BufferPool::global().stats().used_bytes;
  arena.rewind();
  CHECK(arena.allocate(24, 8) == first);
  CHECK(arena.allocate(64, 64) == second);
  CHECK(arena.allocate(100'000, 16) == large);
  CHECK(arena.allocate(8, 8) == after);
  CHECK(BufferPool::global().stats().used_bytes == held);
}

}  // namespace
