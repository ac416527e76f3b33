// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/layers/egc_conv.hpp"
#include "tessera/nn/layers/gat_conv.hpp"
#include "tessera/nn/layers/gatv2_conv.hpp"
#include "tessera/nn/layers/pna_conv.hpp"
#include "tessera/nn/nets/gcnii_net.hpp"

// Which bound each parameter starts within; that the fill reaches its bound evenly is init_test.cpp's.
namespace {

using namespace tessera;
using namespace tessera::testing;

double glorot(std::size_t fan_in, std::size_t fan_out) {
  return std::sqrt(6.0 / static_cast<double>(fan_in + fan_out));
}
double fan_in(std::size_t n) { return 1.0 / std::sqrt(static_cast<double>(n)); }

struct Expected {
  std::string name;
  double bound;
};
constexpr double kOnes = -1;  // in place of a bound

/// Every parameter has its bound, none is forgotten; 0 asks for zeros. The largest of n numbers lies above half the
/// bound but once in 2^n times, and of hundreds within a few percent.
template <class T>
void check_bounds(const ParameterBlock<T>& block, const std::vector<Expected>& expected) {
  std::size_t trained = 0;
  for (const ParameterInfo& info : block.parameters()) trained += info.trained ? 1 : 0;
  CHECK(trained == expected.size());
  for (const Expected& want : expected) {
    const MatrixView<const T> value = block.value(block.find(want.name));
    double largest = 0;
    double sum = 0;
    double squares = 0;
    for (std::size_t i = 0; i < value.rows(); ++i) {
      for (const T number : value.row(i)) {
        const double x = static_cast<double>(number);
        largest = std::max(largest, std::abs(x));
        sum += x;
        squares += x * x;
      }
    }
    const double n = static_cast<double>(value.rows() * value.cols());
    INFO(want.name << ", " << n << " numbers, bound " << want.bound);
    if (want.bound == kOnes) {
      CHECK((sum == n && squares == n));
      continue;
    }
    CHECK(largest <= want.bound * (1 + 1e-7));  // rounding to float may reach past it
    if (want.bound == 0) continue;
    CHECK(largest > (n < 300 ? 0.5 : 0.95) * want.bound);
    const double variance = want.bound * want.bound / 3;
    CHECK(std::abs(sum / n) <= 4 * std::sqrt(variance / n));
    // The square of a uniform number has standard deviation sqrt(4 / 5) of its mean.
    CHECK(std::abs(squares / n - variance) <= 4 * std::sqrt(0.8 / n) * variance);
  }
}

template <class Conv>
ParameterBlock<float> fresh(std::size_t in, std::size_t out, const typename Conv::Options& options = {}) {
  ParameterBlock<float> block;
  const Conv conv(block, "c", in, out, options);
  conv.reset_parameters(block, make_key(3, 0, Purpose::init));
  return block;
}

TEST_CASE("initial bounds of GAT and GATv2: Glorot, of attention vectors over heads and their width") {
  // 8 heads of 16 columns from 50.
  check_bounds(fresh<GatConv<>>(50, 128), {{"c.lin.weight", glorot(50, 128)},
                                           {"c.att_src", glorot(8, 16)},
                                           {"c.att_dst", glorot(8, 16)},
                                           {"c.bias", 0}});
  check_bounds(fresh<Gatv2Conv<>>(50, 128), {{"c.lin_l.weight", glorot(50, 128)},
                                             {"c.lin_l.bias", 0},
                                             {"c.lin_r.weight", glorot(50, 128)},
                                             {"c.lin_r.bias", 0},
                                             {"c.att", glorot(8, 16)},
                                             {"c.bias", 0}});
  // 6 heads of 40 columns each, averaged.
  check_bounds(fresh<GatConv<>>(50, 40, {.heads = 6, .concat = false}), {{"c.lin.weight", glorot(50, 240)},
                                                                         {"c.att_src", glorot(6, 40)},
                                                                         {"c.att_dst", glorot(6, 40)},
                                                                         {"c.bias", 0}});
}

TEST_CASE("initial bounds of EGC: Glorot for the bases, PyTorch's Linear for the combination") {
  // 8 heads and 4 bases of 16 columns from 50.
  check_bounds(fresh<EgcConv<>>(50, 128), {{"c.bases.weight", glorot(50, 64)},
                                           {"c.comb.weight", fan_in(50)},
                                           {"c.comb.bias", fan_in(50)},
                                           {"c.bias", 0}});
  check_bounds(
      fresh<EgcConv<>>(20, 60, {.heads = 4, .bases = 3, .aggregators = {Aggregator::sum, Aggregator::std}}),
      {{"c.bases.weight", glorot(20, 45)},
       {"c.comb.weight", fan_in(20)},
       {"c.comb.bias", fan_in(20)},
       {"c.bias", 0}});
}

TEST_CASE("initial bounds of PNA: PyTorch's Linear, for the maps as the paper has them") {
  // A message map reads 2 F, the map after it 13 F, the last one all of the output.
  const auto expected = [](std::size_t f, std::size_t out) {
    return std::vector<Expected>{{"c.pre_dst.weight", fan_in(2 * f)}, {"c.pre_src.weight", fan_in(2 * f)},
                                 {"c.pre.bias", fan_in(2 * f)},       {"c.post.weight", fan_in(13 * f)},
                                 {"c.post.bias", fan_in(13 * f)},     {"c.lin.weight", fan_in(out)},
                                 {"c.lin.bias", fan_in(out)}};
  };
  check_bounds(fresh<PnaConv<>>(80, 60), expected(20, 60));
  check_bounds(fresh<PnaConv<>>(80, 60, {.towers = 2}), expected(40, 60));
  check_bounds(fresh<PnaConv<>>(30, 60, {.towers = 3, .divide_input = false}), expected(30, 60));
}

TEST_CASE("initial bounds of GCNII: one over the root of the width, Glorot as written for ogbn-arxiv") {
  const auto check = [](GcniiVariant variant, double bound) {
    const GcniiNet<> net({.in = 70, .hidden = 48, .out = 9, .layers = 3, .variant = variant, .seed = 3});
    std::vector<Expected> expected{{"lins.0.weight", fan_in(70)},
                                   {"lins.0.bias", fan_in(70)},
                                   {"lins.1.weight", fan_in(48)},
                                   {"lins.1.bias", fan_in(48)}};
    for (std::size_t l = 0; l < 3; ++l) {
      const std::string conv = "convs." + std::to_string(l);
      expected.push_back({conv + ".weight1", bound});
      if (variant != GcniiVariant::plain) expected.push_back({conv + ".weight2", bound});
      if (variant == GcniiVariant::dense) {
        expected.push_back({"norms." + std::to_string(l) + ".weight", kOnes});
        expected.push_back({"norms." + std::to_string(l) + ".bias", 0});
      }
    }
    check_bounds(net.parameters(), expected);
  };
  check(GcniiVariant::plain, fan_in(48));
  check(GcniiVariant::starred, fan_in(48));
  check(GcniiVariant::dense, glorot(48, 48));
}

}  // namespace
