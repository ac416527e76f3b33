// SPDX-License-Identifier: MIT
#include "tessera/nn/nets/rev_gnn_net.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/nn/init/kaiming.hpp"
#include "tessera/nn/layers/layer_norm.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/ops/aggregate.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

constexpr Pass kTraining{.training = true, .dropout_key = make_key(1, 5, Purpose::dropout)};

/// Stands where a convolution does and notes which elements of its input are 0.
class MaskProbe {
 public:
  using Scalar = double;
  struct Options {};
  using Mask = std::vector<bool>;

  MaskProbe(ParameterBlock<double>& block, const std::string& name, std::size_t in, std::size_t out,
            const Options&)
      : weight_(block.add(name + ".weight", in, out)) {}

  static AggregationSpec aggregation(const Options&) noexcept { return {Normalization::none, false, 0.0f}; }
  static std::vector<Mask>& seen() {
    static std::vector<Mask> masks;
    return masks;
  }
  void reset_parameters(ParameterBlock<double>& block, RngKey key) const {
    kaiming_uniform(block.value(weight_), {key, static_cast<std::uint32_t>(weight_.index)});
  }
  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<double>& block, const Adjacency&, Var x,
                 const Finish& finish) const {
    const MatrixView<const double> value = ctx.value(x);
    Mask mask;
    for (std::size_t i = 0; i < value.rows(); ++i) {
      for (const double element : value.row(i)) mask.push_back(element == 0.0);
    }
    seen().push_back(std::move(mask));
    return linear(ctx, x, ctx.parameter(block[weight_]), finish);
  }

 private:
  Parameter weight_;
};

constexpr std::size_t kLayers = 5;
constexpr std::size_t kGroups = 2;

/// The masks of one training step, in the order in which the functions ran: forward, then backward.
std::vector<MaskProbe::Mask> masks_of(bool share, bool tied, const Pass& pass) {
  RevGnnNet<MaskProbe> net({.in = 4,
                            .hidden = 16,
                            .out = 3,
                            .layers = kLayers,
                            .groups = kGroups,
                            .dropout = 0.3f,
                            .share_mask = share,
                            .tied = tied,
                            .seed = 2});
  // Normalised rows of 8 lie within sqrt(7): with this shift the rectifier passes all, and what is 0 was dropped.
  for (const ParameterInfo& info : net.parameters().parameters()) {
    if (!info.name.starts_with("blocks.") || !info.name.ends_with(".norm.bias")) continue;
    std::ranges::fill(net.parameters().value(net.parameters().find(info.name)).row(0), 4.0);
  }
  const OwnedAdjacency graph = own(empty_graph(50));
  const Adjacency a = graph.view();
  const auto x = random_matrix<double>(50, 4, 1);
  MaskProbe::seen().clear();
  Tape<double> tape;
  const Var y = std::as_const(net).forward(tape, AdjacencyStack({&a, 1}), tape.input(x.view()), pass);
  tape.backward(y, Tensor<double>::filled(50, 3, 1.0).view());
  return std::move(MaskProbe::seen());
}

TEST_CASE("RevGnnNet: blocks share one dropout mask if asked to, otherwise none equals another") {
  const bool share = GENERATE(true, false);
  const bool tied = GENERATE(true, false);
  INFO("share " << share << ", tied " << tied);
  constexpr std::size_t kCalls = kLayers * kGroups;
  const auto masks = masks_of(share, tied, kTraining);
  REQUIRE(masks.size() == 2 * kCalls);
  for (std::size_t p = 0; p < kCalls; ++p) {
    // 400 elements dropped with probability 0.3: 120, give or take six times 9.2.
    CHECK(std::abs(static_cast<double>(std::ranges::count(masks[p], true)) - 120) < 55);
    for (std::size_t q = 0; q < p; ++q) {
      const bool same_group = p % kGroups == q % kGroups;
      CHECK((masks[p] == masks[q]) == (share && same_group));
    }
  }
  // Backward runs the functions again from the last to the first, with the masks they had.
  for (std::size_t p = 0; p < kCalls; ++p) CHECK(masks[2 * kCalls - 1 - p] == masks[p]);
  // Another step drops other elements, evaluation none.
  const Pass next{.training = true, .dropout_key = make_key(1, 6, Purpose::dropout)};
  const auto others = masks_of(share, tied, next);
  for (std::size_t p = 0; p < kCalls; ++p) CHECK(others[p] != masks[p]);
  for (const MaskProbe::Mask& mask : masks_of(share, tied, Pass{})) {
    CHECK(std::ranges::count(mask, true) == 0);
  }
}

TEST_CASE("RevGnnNet: sharing the mask changes training and nothing else") {
  const OwnedAdjacency graph = random_block(40, 40, 4, 3);
  const Adjacency a = graph.view();
  const auto x = random_matrix<double>(40, 5, 1);
  const auto run = [&](bool share, std::size_t layers, const Pass& pass) {
    const RevSageNet<double> net(
        {.in = 5, .hidden = 8, .out = 3, .layers = layers, .share_mask = share, .seed = 1});
    return run_model(net, AdjacencyStack({&a, 1}), x.view(), pass);
  };
  CHECK(same_bits<double>(run(true, 4, Pass{}).view(), run(false, 4, Pass{}).view()));
  CHECK(max_difference<double>(run(true, 4, kTraining).view(), run(false, 4, kTraining).view()) > 0.01);
  // One block has nobody to share with.
  CHECK(same_bits<double>(run(true, 1, kTraining).view(), run(false, 1, kTraining).view()));
}

TEST_CASE("RevGnnNet: memory of a training step does not grow with depth, weights of their own or tied") {
  const bool tied = GENERATE(true, false);
  constexpr std::size_t kRows = 2000;
  const OwnedAdjacency graph = random_block(kRows, kRows, 2, 3);
  const Adjacency a = graph.view();
  const auto x = random_matrix<float>(kRows, 8, 4);
  std::vector<std::int32_t> classes(kRows);
  for (std::size_t i = 0; i < kRows; ++i) classes[i] = static_cast<std::int32_t>(i % 4);
  // Parameters and gradients are there before, so they do not count; the pool keeps what is given back, so after a step
  // it holds what the step needed at its worst.
  const auto peak = [&](std::size_t layers) {
    const RevSageNet<float> net(
        {.in = 8, .hidden = 64, .out = 4, .layers = layers, .dropout = 0.2f, .tied = tied, .seed = 1});
    BufferPool::global().trim();
    const std::size_t before = BufferPool::global().stats().held_bytes;
    Tape<float> tape;
    const Var y = net.forward(tape, AdjacencyStack({&a, 1}), tape.input(x.view()), kTraining);
    tape.backward(CrossEntropy{}(tape, y, {.classes = classes}));
    return static_cast<double>(BufferPool::global().stats().held_bytes - before);
  };
  const double at_10 = peak(10);
  CHECK(at_10 > 2 * kRows * 64 * sizeof(float));  // the output of the blocks and the copy backward works on
  CHECK(peak(100) <= 1.05 * at_10);
}

/// The blocks layers.md measures the drift of: LayerNorm, ReLU, mean over neighbours, Linear.
template <Real T>
struct Blocks {
  static constexpr std::size_t kNodes = 500;
  static constexpr std::size_t kWidth = 64;

  struct Function {
    const Blocks* blocks;

    template <class Ctx>
    Var operator()(Ctx& ctx, std::size_t l, std::size_t i, Var u) const {
      const Blocks& b = *blocks;
      const Var normed = b.norm(ctx, b.block, u);
      const Var h = finish_in_place(ctx, normed, {.activation = Activation::relu});
      const Var mean = aggregate(ctx, b.graph.view(), h, Reduce::mean);
      return b.maps[l * b.groups + i].transform(ctx, b.block, mean);
    }
    ParameterView<T> anchor() const { return blocks->block[blocks->maps[0].weight()]; }
    Tape<T>& tape() const { return blocks->scratch; }
  };

  OwnedAdjacency graph = random_block(kNodes, kNodes, 8, 3);
  ParameterBlock<T> block;
  std::size_t groups;
  LayerNorm<T> norm;
  std::vector<LinearLayer<T>> maps;
  mutable Tape<T> scratch;

  Blocks(std::size_t layers, std::size_t m) : groups(m), norm(block, "norm", kWidth / m) {
    norm.reset_parameters(block);
    for (std::size_t k = 0; k < layers * groups; ++k) {
      maps.emplace_back(block, "maps." + std::to_string(k), kWidth / m, kWidth / m);
    }
    for (const LinearLayer<T>& map : maps) map.reset_parameters(block, make_key(7, 0, Purpose::init));
  }
};

struct Drift {
  double absolute;  ///< the largest difference of any element
  double relative;  ///< of Frobenius norms, against the output's
};

template <Real T>
Drift drift(std::size_t layers, std::size_t groups) {
  using B = Blocks<T>;
  const B blocks(layers, groups);
  const typename B::Function f{&blocks};
  const Tensor<T> x = random_matrix<T>(B::kNodes, B::kWidth, 1);
  Tensor<T> state = Tensor<T>::copy_of(x.view());
  const ReversibleRange range{0, layers, groups};
  detail::reversible_forward(f, range, state.view());
  double size = 0;
  for (std::size_t i = 0; i < B::kNodes; ++i) {
    for (const T y : state.row(i)) size += static_cast<double>(y) * static_cast<double>(y);
  }
  Tensor<T> grad = Tensor<T>::zeros(B::kNodes, B::kWidth);
  detail::reversible_backward(f, range, state.view(), grad.view());
  Drift out{0, 0};
  for (std::size_t i = 0; i < B::kNodes; ++i) {
    for (std::size_t j = 0; j < B::kWidth; ++j) {
      const double d = std::abs(static_cast<double>(state(i, j)) - static_cast<double>(x(i, j)));
      out.absolute = std::max(out.absolute, d);
      out.relative += d * d;
    }
  }
  out.relative = std::sqrt(out.relative / size);
  return out;
}

TEST_CASE("reversible: 448 blocks of two and of four groups, undone") {
  const std::size_t groups = GENERATE(2u, 4u);
  INFO("groups " << groups);
  const Drift in_double = drift<double>(448, groups);
  const Drift in_float = drift<float>(448, groups);
  INFO("double " << in_double.absolute << ", " << in_double.relative);
  INFO("float " << in_float.absolute << ", " << in_float.relative);
  // What another program measured of such blocks; it grows with depth as one rounding per block and way.
  CHECK(in_double.absolute <= 4e-13);
  CHECK(in_double.relative <= 448 * std::numeric_limits<double>::epsilon());
  CHECK(in_float.absolute <= (groups == 2 ? 1.9e-4 : 1.7e-4));
  CHECK(in_float.relative <= (groups == 2 ? 3.1e-5 : 2.5e-5));
  CHECK(in_float.absolute > 0);
}

}  // namespace
