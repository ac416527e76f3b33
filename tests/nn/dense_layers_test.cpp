// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/layers/egc_conv.hpp"
#include "tessera/nn/layers/pna_conv.hpp"
#include "tessera/nn/nets/gcnii_net.hpp"

// Layers against plain loops over messages, or dense matrices, written from their formulas.
namespace {

using namespace tessera;
using namespace tessera::testing;

constexpr double kTolerance = 1e-12;

/// The largest |got - want| / (1 + |want|).
double worst_error(MatrixView<const double> got, MatrixView<const double> want) {
  if (got.rows() != want.rows() || got.cols() != want.cols()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < want.rows(); ++i) {
    for (std::size_t j = 0; j < want.cols(); ++j) {
      const double d = std::abs(got(i, j) - want(i, j)) / (1 + std::abs(want(i, j)));
      if (!(d <= worst)) worst = d;
    }
  }
  return worst;
}

double largest(MatrixView<const double> x) {
  double out = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (const double element : x.row(i)) out = std::max(out, std::abs(element));
  }
  return out;
}

/// Moves every trained number, biases too.
void shake(ParameterBlock<double>& block) {
  const Tensor<double> noise = random_matrix<double>(1, block.values().size(), 6);
  for (const ParameterInfo& info : block.parameters()) {
    for (std::size_t k = info.offset; info.trained && k < info.offset + info.size(); ++k) {
      block.values()[k] += 0.2 * noise(0, k);
    }
  }
}

MatrixView<const double> value(const ParameterBlock<double>& block, std::string_view name) {
  return block.value(block.find(name));
}

/// One number per message in, one number out; no messages give 0, and sqrt(1e-5) for std.
double reduced(Aggregator kind, const std::vector<double>& messages, const std::vector<double>& weights) {
  const double n = static_cast<double>(messages.size());
  double sum = 0;
  double weighted = 0;
  for (std::size_t k = 0; k < messages.size(); ++k) {
    sum += messages[k];
    weighted += weights[k] * messages[k];
  }
  const double mean = messages.empty() ? 0 : sum / n;
  double variance = 0;
  for (const double m : messages) variance += (m - mean) * (m - mean) / n;
  switch (kind) {
    case Aggregator::symmetric:
      return weighted;
    case Aggregator::sum:
      return sum;
    case Aggregator::mean:
      return mean;
    case Aggregator::max:
      return messages.empty() ? 0 : *std::max_element(messages.begin(), messages.end());
    case Aggregator::min:
      return messages.empty() ? 0 : *std::min_element(messages.begin(), messages.end());
    case Aggregator::var:
      return variance;
    case Aggregator::std:
      return std::sqrt(variance + 1e-5);
  }
  return std::numeric_limits<double>::quiet_NaN();
}

/// PNA by its definition: a message [x_i | x_j] W_pre + b for every entry and tower, four aggregates of them, three
/// scalers of each, [x_i | all of that] W_post + b, and the last map.
Tensor<double> pna_by_messages(const ParameterBlock<double>& block, CsrView<> a, MatrixView<const double> x,
                               std::size_t out, const PnaConv<double>::Options& options) {
  constexpr std::array kKinds{Aggregator::mean, Aggregator::min, Aggregator::max, Aggregator::std};
  const std::size_t towers = options.towers;
  const bool divide = options.divide_input;
  const std::size_t width = divide ? x.cols() / towers : x.cols();
  const std::size_t share = out / towers;
  const auto pre_dst = value(block, "pna.pre_dst.weight");
  const auto pre_src = value(block, "pna.pre_src.weight");
  const auto pre_bias = value(block, "pna.pre.bias");
  const auto post = value(block, "pna.post.weight");
  const auto post_bias = value(block, "pna.post.bias");
  Tensor<double> hidden(a.num_rows, out);
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    const double d = static_cast<double>(a.end(i) - a.begin(i));
    const double delta = options.mean_log_degree;
    const std::array scalers{1.0, std::log(d + 1) / delta, delta / std::log(std::max(d, 1.0) + 1)};
    for (std::size_t t = 0; t < towers; ++t) {
      const std::size_t from = divide ? t * width : 0;  // of the tower's columns of x
      const auto weight = [&](MatrixView<const double> w, std::size_t k, std::size_t f) {
        return divide ? w(from + k, f) : w(k, t * width + f);
      };
      std::array<std::vector<double>, 4> aggregates;
      for (std::size_t f = 0; f < width; ++f) {
        std::vector<double> messages;
        for (auto e = a.begin(i); e < a.end(i); ++e) {
          double m = pre_bias(0, t * width + f);
          for (std::size_t k = 0; k < width; ++k) {
            m += x(i, from + k) * weight(pre_dst, k, f) + x(a.col[e], from + k) * weight(pre_src, k, f);
          }
          messages.push_back(m);
        }
        for (std::size_t s = 0; s < 4; ++s) aggregates[s].push_back(reduced(kKinds[s], messages, messages));
      }
      std::vector<double> row(x.row(i).begin() + static_cast<std::ptrdiff_t>(from),
                              x.row(i).begin() + static_cast<std::ptrdiff_t>(from + width));
      for (const double scaler : scalers) {
        for (const std::vector<double>& aggregate : aggregates) {
          for (const double number : aggregate) row.push_back(scaler * number);
        }
      }
      for (std::size_t c = 0; c < share; ++c) {
        double z = post_bias(0, t * share + c);
        for (std::size_t k = 0; k < row.size(); ++k) z += row[k] * post(t * row.size() + k, c);
        hidden(i, t * share + c) = z;
      }
    }
  }
  Tensor<double> y = multiply(std::as_const(hidden).view(), value(block, "pna.lin.weight"));
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t c = 0; c < out; ++c) y(i, c) += value(block, "pna.lin.bias")(0, c);
  }
  return y;
}

TEST_CASE("PNA equals loops over messages") {
  for (const std::size_t towers : {1u, 2u, 4u}) {
    for (const bool divide : {true, false}) {
      for (const std::uint64_t seed : {1u, 2u, 3u}) {
        INFO("towers " << towers << ", divided input " << divide << ", seed " << seed);
        // Every fifth row is empty, and the entries have weights, which PNA does not read.
        const OwnedAdjacency graph = random_block(23, 31, 5, seed);
        const Adjacency a = graph.view();
        REQUIRE(a.forward.degree(4) == 0);
        const PnaConv<double>::Options options{
            .towers = towers, .divide_input = divide, .mean_log_degree = mean_log_degree(a.forward)};
        ParameterBlock<double> block;
        const PnaConv<double> pna(block, "pna", 8, 12, options);
        pna.reset_parameters(block, make_key(seed, 0, Purpose::init));
        shake(block);
        const auto x = random_matrix<double>(31, 8, seed);
        NoTape<double> ctx;
        const Var y = pna(ctx, block, a, ctx.input(x.view()), Finish{});
        const Tensor<double> want = pna_by_messages(block, a.forward, x.view(), 12, options);
        CHECK(largest(want.view()) > 0.5);
        CHECK(worst_error(ctx.value(y), want.view()) <= kTolerance);
      }
    }
  }
}

TEST_CASE("PNA of an isolated node, of one neighbour and of equal messages, by hand") {
  // Node 0 is alone, node 1 hears node 0, node 2 hears 0 and 1, which are equal.
  const CsrGraph graph = directed(3, {{0, 1}, {0, 2}, {1, 2}});
  const OwnedAdjacency owned = own(directed(3, {{0, 1}, {0, 2}, {1, 2}}));
  Tensor<double> x(3, 1);
  x(0, 0) = 2;
  x(1, 0) = 2;
  x(2, 0) = -1;
  ParameterBlock<double> block;
  const PnaConv<double> pna(block, "pna", 1, 13, {.towers = 1, .mean_log_degree = 0.5});
  // Messages are 3 x_j + x_i + 10; the maps behind show all 13 columns as they are.
  block.value(block.find("pna.pre_dst.weight"))(0, 0) = 1;
  block.value(block.find("pna.pre_src.weight"))(0, 0) = 3;
  block.value(block.find("pna.pre.bias"))(0, 0) = 10;
  for (std::size_t k = 0; k < 13; ++k) {
    block.value(block.find("pna.post.weight"))(k, k) = 1;
    block.value(block.find("pna.lin.weight"))(k, k) = 1;
  }
  NoTape<double> ctx;
  const auto y = ctx.value(pna(ctx, block, owned.view(), ctx.input(x.view()), Finish{}));
  const double flat = std::sqrt(1e-5);
  const std::array<double, 3> message{0, 18, 15};
  const std::array<double, 3> amplify{0, std::log(2.0) / 0.5, std::log(3.0) / 0.5};
  const std::array<double, 3> attenuate{0.5 / std::log(2.0), 0.5 / std::log(2.0), 0.5 / std::log(3.0)};
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(y(i, 0) == x(i, 0));
    for (std::size_t k = 0; k < 4; ++k) {
      const double aggregate = k < 3 ? message[i] : flat;
      CHECK(std::abs(y(i, 1 + k) - aggregate) < 1e-13);
      CHECK(std::abs(y(i, 5 + k) - amplify[i] * aggregate) < 1e-12);
      CHECK(std::abs(y(i, 9 + k) - attenuate[i] * aggregate) < 1e-12);
    }
  }
  CHECK(std::abs(mean_log_degree(graph.view()) - (std::log(2.0) + std::log(3.0)) / 3) < 1e-15);
}

/// EGC by its equation: bases of the neighbours aggregated per kind, weighed per head by x_i Phi + beta.
Tensor<double> egc_by_messages(const ParameterBlock<double>& block, CsrView<> a, MatrixView<const double> x,
                               std::size_t out, const EgcConv<double>::Options& options) {
  const std::size_t depth = out / options.heads;
  const std::size_t kinds = options.aggregators.size();
  const Tensor<double> u = multiply(x, value(block, "egc.bases.weight"));
  const Tensor<double> w = multiply(x, value(block, "egc.comb.weight"));
  Tensor<double> y(a.num_rows, out);
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (std::size_t h = 0; h < options.heads; ++h) {
      for (std::size_t c = 0; c < depth; ++c) {
        double sum = value(block, "egc.bias")(0, h * depth + c);
        for (std::size_t s = 0; s < kinds; ++s) {
          for (std::size_t q = 0; q < options.bases; ++q) {
            std::vector<double> messages, weights;
            for (auto e = a.begin(i); e < a.end(i); ++e) {
              messages.push_back(u(a.col[e], q * depth + c));
              weights.push_back(a.weighted() ? static_cast<double>(a.weight[e]) : 1.0);
            }
            const std::size_t at = (h * kinds + s) * options.bases + q;
            sum += (w(i, at) + value(block, "egc.comb.bias")(0, at)) *
                   reduced(options.aggregators.span()[s], messages, weights);
          }
        }
        y(i, h * depth + c) = sum;
      }
    }
  }
  return y;
}

TEST_CASE("EGC equals loops over messages for every set of aggregators") {
  constexpr std::array kKinds{Aggregator::std, Aggregator::symmetric, Aggregator::sum, Aggregator::mean,
                              Aggregator::max, Aggregator::min,       Aggregator::var};
  const CsrGraph graph = directed(24, random_links(21, 60, 4));  // the last three nodes are isolated
  const auto x = random_matrix<double>(24, 5, 1);
  for (unsigned set = 1; set < 128; ++set) {
    Aggregators kinds;
    for (unsigned k = 0; k < 7; ++k) {
      if (((set >> k) & 1u) != 0) kinds.push_back(kKinds[k]);
    }
    const EgcConv<double>::Options options{.heads = 2, .bases = 3, .aggregators = kinds};
    const PreparedAdjacency prepared = prepare_adjacency(graph, EgcConv<double>::aggregation(options));
    const Adjacency a = prepared.adjacency();
    REQUIRE(a.forward.degree(23) == 1);  // itself
    ParameterBlock<double> block;
    const EgcConv<double> egc(block, "egc", 5, 8, options);
    egc.reset_parameters(block, make_key(set, 0, Purpose::init));
    shake(block);
    const Tensor<double> want = egc_by_messages(block, a.forward, x.view(), 8, options);
    INFO("set " << set);
    CHECK(largest(want.view()) > 0.2);
    NoTape<double> ctx;
    const Var y = egc(ctx, block, a, ctx.input(x.view()), Finish{});
    CHECK(worst_error(ctx.value(y), want.view()) <= kTolerance);
    // With a tape the aggregates are stored, another way through the kernel.
    Tape<double> tape;
    const Var again = egc(tape, block, a, tape.input(x.view()), Finish{});
    CHECK(worst_error(tape.value(again), want.view()) <= kTolerance);
  }
}

/// BN(S (H + H W_1) + alpha H^0 + H^0 W_2), ReLU, and + H: the authors' program for ogbn-arxiv.
Tensor<double> dense_gcnii(const ParameterBlock<double>& block, MatrixView<const double> s,
                           MatrixView<const double> x, const GcniiNet<double>::Options& options,
                           bool training) {
  const auto affine = [&](MatrixView<const double> h, const std::string& name) {
    Tensor<double> y = multiply(h, value(block, name + ".weight"));
    for (std::size_t i = 0; i < y.rows(); ++i) {
      for (std::size_t f = 0; f < y.cols(); ++f) y(i, f) += value(block, name + ".bias")(0, f);
    }
    return y;
  };
  Tensor<double> h = affine(x, "lins.0");
  for (std::size_t i = 0; i < h.rows(); ++i) {
    for (double& element : h.row(i)) element = std::max(element, 0.0);
  }
  const Tensor<double> start = Tensor<double>::copy_of(std::as_const(h).view());
  const double n = static_cast<double>(h.rows());
  for (std::size_t l = 0; l < options.layers; ++l) {
    const std::string conv = "convs." + std::to_string(l);
    const std::string norm = "norms." + std::to_string(l);
    Tensor<double> mapped = multiply(std::as_const(h).view(), value(block, conv + ".weight1"));
    for (std::size_t i = 0; i < h.rows(); ++i) {
      for (std::size_t f = 0; f < h.cols(); ++f) mapped(i, f) += h(i, f);
    }
    Tensor<double> z = multiply(s, std::as_const(mapped).view());
    const Tensor<double> initial = multiply(start.view(), value(block, conv + ".weight2"));
    for (std::size_t f = 0; f < h.cols(); ++f) {
      double mean = 0;
      double variance = 0;
      for (std::size_t i = 0; i < h.rows(); ++i) {
        z(i, f) += options.alpha * start(i, f) + initial(i, f);
        mean += z(i, f) / n;
      }
      for (std::size_t i = 0; i < h.rows(); ++i) variance += (z(i, f) - mean) * (z(i, f) - mean) / n;
      if (!training) {
        mean = value(block, norm + ".running_mean")(0, f);
        variance = value(block, norm + ".running_var")(0, f);
      }
      const double scale = value(block, norm + ".weight")(0, f) / std::sqrt(variance + 1e-5);
      for (std::size_t i = 0; i < h.rows(); ++i) {
        const double y = scale * (z(i, f) - mean) + value(block, norm + ".bias")(0, f);
        h(i, f) = std::max(y, 0.0) + (options.residual ? h(i, f) : 0.0);
      }
    }
  }
  return affine(std::as_const(h).view(), "lins.1");
}

TEST_CASE("GCNII as written for ogbn-arxiv equals dense matrices") {
  const CsrGraph graph = directed(27, random_links(25, 70, 2));  // the last two nodes are isolated
  const auto x = random_matrix<double>(27, 5, 1);
  for (const bool residual : {true, false}) {
    const GcniiNet<double>::Options options{.in = 5,
                                            .hidden = 7,
                                            .out = 4,
                                            .layers = 3,
                                            .alpha = 0.5,
                                            .dropout = 0,
                                            .variant = GcniiVariant::dense,
                                            .residual = residual};
    GcniiNet<double> net(options);
    shake(net.parameters());
    for (std::size_t l = 0; l < 3; ++l) {
      const std::string norm = "norms." + std::to_string(l);
      const auto mean = net.parameters().value(net.parameters().find(norm + ".running_mean"));
      const auto variance = net.parameters().value(net.parameters().find(norm + ".running_var"));
      for (std::size_t f = 0; f < 7; ++f) {
        mean(0, f) = 0.1 * static_cast<double>(f) - 0.2;
        variance(0, f) = 0.5 + 0.3 * static_cast<double>(f);
      }
    }
    const PreparedAdjacency prepared = prepare_adjacency(graph, net.aggregation());
    const Adjacency a = prepared.adjacency();
    const Tensor<double> s = dense(a.forward);
    for (const bool training : {false, true}) {
      INFO("residual " << residual << ", training " << training);
      const Tensor<double> want = dense_gcnii(net.parameters(), s.view(), x.view(), options, training);
      CHECK(largest(want.view()) > 0.5);
      const Pass pass{.training = training};
      const auto y = run_model(net, AdjacencyStack(std::span(&a, 1)), x.view(), pass);
      CHECK(worst_error(y.view(), want.view()) <= kTolerance);
    }
  }
}

}  // namespace
