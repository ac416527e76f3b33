// SPDX-License-Identifier: MIT
#include "tessera/nn/autograd/grad_check.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

/// y = x^2 elementwise, with a derivative of (2 + error) x.
struct Square {
  static constexpr std::string_view kName = "square";
  Var x;
  double vjp_error;
  double jvp_error;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 1> reads() const noexcept { return {x}; }
  bool reads_output() const noexcept { return false; }
  void vjp(Tape<double>& tape, Var self) const {
    times(tape, 2 + vjp_error, MatrixView<const double>(tape.grad(self)), tape.grad(self));
    tape.add_grad(x, MatrixView<const double>(tape.grad(self)));
  }
  void jvp(Tape<double>& tape, Var self) const {
    times(tape, 2 + jvp_error, tape.tangent(x), tape.make_tangent(self));
  }
  void times(const Tape<double>& tape, double factor, MatrixView<const double> from,
             MatrixView<double> to) const {
    for (std::size_t i = 0; i < to.rows(); ++i) {
      for (std::size_t j = 0; j < to.cols(); ++j) to(i, j) = factor * tape.value(x)(i, j) * from(i, j);
    }
  }
};

GradCheck check_square(double vjp_error, double jvp_error) {
  std::array<Tensor<double>, 1> inputs{random_matrix<double>(4, 3, 1)};
  const Tensor<double> before = Tensor<double>::copy_of(inputs[0].view());
  const GradCheck result = grad_check(
      [&](auto& ctx, std::span<const Var> v) {
        Tensor<double> y = Tensor<double>::copy_of(ctx.value(v[0]));
        for (std::size_t i = 0; i < y.rows(); ++i) {
          for (double& element : y.row(i)) element *= element;
        }
        return ctx.record(std::move(y), Square{v[0], vjp_error, jvp_error});
      },
      inputs);
  CHECK(max_difference<double>(before.view(), inputs[0].view()) <= 1e-15);
  return result;
}

TEST_CASE("the checker accepts right derivatives and names the wrong side") {
  const GradCheck good = check_square(0, 0);
  CHECK(good.vjp_error < 1e-8);
  CHECK(good.jvp_error < 1e-8);
  CHECK(good.adjoint_error < 1e-14);

  const GradCheck bad_reverse = check_square(1e-4, 0);
  CHECK(bad_reverse.vjp_error > 1e-5);
  CHECK(bad_reverse.jvp_error < 1e-8);
  CHECK(bad_reverse.adjoint_error > 1e-8);

  const GradCheck bad_forward = check_square(0, 1e-4);
  CHECK(bad_forward.vjp_error < 1e-8);
  CHECK(bad_forward.jvp_error > 1e-6);

  CHECK_FALSE(check_square(std::nan(""), 0).vjp_error < 1);
}

}  // namespace
