// SPDX-License-Identifier: MIT
#include "tessera/precompute/propagate.hpp"

#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/hop_files.hpp"
#include "support/precompute_cases.hpp"

using namespace tessera;
using namespace tessera::testing;
namespace fs = std::filesystem;

TEST_CASE("propagate: powers agree with dense ones", "[propagate]") {
  const CsrGraph graph = loopy_graph(50, 200, 1);
  const Tensor<float> x = random_matrix<float>(50, 19, 2);
  Matrix wide(50, 19), magnitude(50, 19);
  for (std::size_t i = 0; i < 50; ++i) {
    for (std::size_t f = 0; f < 19; ++f) {
      wide(i, f) = static_cast<double>(x(i, f));
      magnitude(i, f) = std::abs(wide(i, f));
    }
  }
  std::size_t longest = 0;
  for (std::size_t i = 0; i < 50; ++i) longest = std::max(longest, graph.degree(i));
  constexpr std::size_t kHops = 3;
  for (const ElementType element : {ElementType::f32, ElementType::bf16, ElementType::f16}) {
    for (const OperatorSpec& spec : all_operators()) {
      if (spec.kind == OperatorKind::bethe) continue;  // entries of both signs: the bound below is for >= 0
      INFO(describe(spec) << " " << name(element));
      const PropagationOperator op(graph, spec);
      const HopFeatures hops = propagate(op, kHops, x.view(), {.element = element});
      REQUIRE(hops.num_blocks() == kHops + 1);
      const Tensor<float> got = widened(hops);
      const Matrix dense_op = dense_operator(graph, spec);
      const double u = element == ElementType::f32    ? 0x1p-24
                       : element == ElementType::bf16 ? 0x1p-8
                                                      : 0x1p-11;
      const double f32 = 0x1p-24;
      for (std::size_t k = 0; k <= kHops; ++k) {
        const Matrix s = power(dense_op, k);
        const Matrix want = multiply(s, wide);
        const Matrix size = multiply(s, magnitude);
        // Per hop one rounding to the panel's type and, for each product, a sum of `longest` terms and five more
        // roundings in float; scaling in and out round once each, storing once more.
        const auto terms = static_cast<double>(op.products() * k * (longest + 6) + 4);
        const double bound = std::pow(1 + u, static_cast<double>(k) + 2) * std::pow(1 + f32, terms) - 1 +
                             static_cast<double>(k) * 1e-15;
        // A value below 2^-14 of its scaled column's top (at least 256) is a subnormal f16: off by 2^-25.
        for (std::size_t f = 0; f < 19; ++f) {
          double top = 0;
          for (std::size_t i = 0; i < 50; ++i) top = std::max(top, std::abs(want(i, f)));
          const double under = element == ElementType::f16 ? top * 0x1p-33 : 0;
          for (std::size_t i = 0; i < 50; ++i) {
            REQUIRE(std::abs(static_cast<double>(got(i, k * 19 + f)) - want(i, f)) <=
                    bound * size(i, f) + under + 1e-30);
          }
        }
      }
    }
  }
}

TEST_CASE("propagate: the same bits for any panel, target and thread count", "[propagate]") {
  const Folder folder("propagate-bits");
  const Sign sign;
  for (const ElementType element : {ElementType::f32, ElementType::bf16, ElementType::f16}) {
    const HopFeatures whole = sign.run({.element = element});
    CHECK(whole.cols() == 5 * 37);
    CHECK(whole.layout().blocks ==
          std::vector<std::string>{"x", "gcn^1", "gcn^2", "ppr(alpha=0.2,tol=0.01)^1", "triangle^1"});
    std::string first_file;
    for (const std::size_t panel : {1u, 5u, 16u, 32u, 36u, 37u}) {
      for (const std::size_t threads : {1u, 2u, 4u}) {
        with_threads(threads, [&] {
          CHECK(same(sign.run({.element = element, .panel = panel}), whole));
          const fs::path file = folder / "hops";
          const HopFeatures mapped = sign.run({.element = element, .file = file, .panel = panel});
          CHECK(mapped.mapped());
          CHECK(same(mapped, whole));
          mapped.verify();
          if (first_file.empty()) first_file = content(file);
          CHECK(content(file) == first_file);
          CHECK_FALSE(fs::exists(folder / "hops.partial"));
          fs::remove(file);
        });
      }
    }
  }
}

TEST_CASE("propagate: a memory budget narrows panels and changes nothing else", "[propagate]") {
  const Sign sign;
  const HopFeatures whole = sign.run();
  const PropagateOptions none;
  const std::size_t owned = sign.gcn.owned_bytes() + sign.ppr.owned_bytes() + sign.triangle.owned_bytes();
  const std::size_t two = propagate_bytes(sign.families, 90, 37, 2, none);
  CHECK(two < propagate_bytes(sign.families, 90, 37, 37, none));
  std::size_t panels = 0;
  const auto count = [&](const PropagateProgress& p) { panels = p.num_panels; };
  CHECK(same(sign.run({.memory_budget = owned + two, .progress = count}), whole));
  CHECK(panels >= 18);
  CHECK_THROWS_AS(sign.run({.memory_budget = 1000}), ConfigError);
  CHECK_THROWS_AS(sign.run({.memory_budget = owned + two, .panel = 37}), ConfigError);
}

TEST_CASE("propagate: wide features are cut into panels that stay in the cache", "[propagate]") {
  const Sign sign;
  std::size_t panels = 0;
  const auto count = [&](const PropagateProgress& p) { panels = p.num_panels; };
  const auto panels_of = [&](std::size_t cols, ElementType element) {
    Tensor<float> x(sign.x.rows(), cols);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t j = 0; j < cols; ++j) x(i, j) = static_cast<float>(i * 31 + j * 7 % 11) * 0.125f;
    }
    const HopFeatures cut = propagate(sign.gcn, 2, x.view(), {.element = element, .progress = count});
    const std::size_t chosen = panels;
    const HopFeatures whole =
        propagate(sign.gcn, 2, x.view(), {.element = element, .panel = cols, .progress = count});
    CHECK(panels == 1);
    CHECK(same(cut, whole));
    return chosen;
  };
  CHECK(panels_of(128, ElementType::f32) == 1);
  CHECK(panels_of(129, ElementType::f32) == 3);
  CHECK(panels_of(256, ElementType::bf16) == 1);
  CHECK(panels_of(300, ElementType::bf16) == 3);
}

TEST_CASE("propagate: a subset of rows is the rows of the whole", "[propagate]") {
  const Folder folder("propagate-rows");
  const Sign sign;
  const std::vector<NodeId> rows{7, 3, 88, 3};
  for (const ElementType element : {ElementType::f32, ElementType::bf16}) {
    const Tensor<float> whole = widened(sign.run({.element = element}));
    const HopFeatures memory = sign.run({.element = element, .rows = rows});
    const HopFeatures file =
        sign.run({.element = element, .rows = rows, .file = folder / "rows", .panel = 8});
    CHECK(std::vector<NodeId>(file.row_ids().begin(), file.row_ids().end()) == rows);
    const Tensor<float> got = widened(memory);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      CHECK(std::memcmp(got.row(r).data(), whole.row(rows[r]).data(), whole.cols() * sizeof(float)) == 0);
    }
    CHECK(same(memory, file));
    fs::remove(folder / "rows");
  }
  const std::vector<NodeId> bad{90};
  CHECK_THROWS_AS(sign.run({.rows = bad}), IndexError);
}

TEST_CASE("propagate: hops compose, graphs side by side do not meet", "[propagate]") {
  const CsrGraph graph = loopy_graph(60, 240, 4);
  const Tensor<float> x = random_matrix<float>(60, 9, 5);
  const PropagationOperator op(graph, {.kind = OperatorKind::row_loops});
  const HopFeatures three = propagate(op, 3, x.view(), {.emit = Emit::last});
  const HopFeatures one = propagate(op, 1, x.view(), {.emit = Emit::last});
  const HopFeatures two_more = propagate(op, 2, one.view(), {.emit = Emit::last});
  CHECK(same(three, two_more));

  Links links;
  for (std::size_t i = 0; i < 60; ++i) {
    for (const NodeId j : graph.view().neighbors(i)) {
      links.push_back({j, static_cast<NodeId>(i)});
      links.push_back({j + 60, static_cast<NodeId>(i + 60)});
    }
  }
  const CsrGraph twice = from_links(120, links, {.self_loops = SelfLoops::keep});
  Tensor<float> stacked(120, 9);
  for (std::size_t i = 0; i < 120; ++i)
    std::copy(x.row(i % 60).begin(), x.row(i % 60).end(), stacked.row(i).begin());
  const PropagationOperator both(twice.view(), true, OperatorSpec{});
  const Tensor<float> got = widened(propagate(both, 2, std::as_const(stacked).view()));
  const Tensor<float> want = widened(propagate(PropagationOperator(graph, {}), 2, x.view()));
  CHECK(same_bits<float>(got.view().middle_rows(0, 60), want.view()));
  CHECK(same_bits<float>(got.view().middle_rows(60, 60), want.view()));
}

TEST_CASE("propagate: combined powers are the weighted sum", "[propagate]") {
  const CsrGraph graph = loopy_graph(40, 160, 6);
  const Tensor<float> x = random_matrix<float>(40, 6, 7);
  for (const OperatorKind kind : {OperatorKind::gcn, OperatorKind::symmetric, OperatorKind::row}) {
    const PropagationOperator op(graph, {.kind = kind});
    const std::vector<double> weights =
        kind == OperatorKind::row ? ssgc_weights(3, 0.1) : ppr_weights(3, 0.2);
    const HopFeatures all = propagate(op, 3, x.view());
    const HopFeatures sum =
        propagate(op, 3, x.view(), {.emit = Emit::combined, .weights = weights, .panel = 4});
    REQUIRE(sum.cols() == 6);
    for (std::size_t i = 0; i < 40; ++i) {
      for (std::size_t f = 0; f < 6; ++f) {
        double want = 0, size = 0;
        for (std::size_t k = 0; k <= 3; ++k) {
          const double term = weights[k] * static_cast<double>(all.block(k)(i, f));
          want += term;
          size += std::abs(term);
        }
        CHECK(std::abs(static_cast<double>(sum.view()(i, f)) - want) <= 10 * 0x1p-24 * size);
      }
    }
  }
  const std::vector<double> closed = ppr_weights(5, 0.1, true);
  double total = 0;
  for (const double w : closed) total += w;
  CHECK(std::abs(total - 1) < 1e-15);
  CHECK(std::abs(closed[5] - std::pow(0.9, 5)) < 1e-15);
  CHECK(ssgc_weights(4, 0.05)[0] == 0.05);
  CHECK(std::abs(ssgc_weights(4, 0.05)[4] - 0.95 / 4) < 1e-16);
  CHECK_THROWS_AS(ssgc_weights(0), ConfigError);
  CHECK_THROWS_AS(ppr_weights(2, 0), ConfigError);
}

TEST_CASE("propagate: standardised powers of an unnormalised operator stay finite", "[propagate]") {
  const CsrGraph graph = loopy_graph(80, 300, 8);
  const Tensor<float> x = random_matrix<float>(80, 21, 9);
  const PropagationOperator op(graph, {.kind = OperatorKind::bethe});
  const HopFeatures hops = propagate(op, 120, x.view(), {.standardize = true});
  const Tensor<float> narrow = widened(propagate(op, 120, x.view(), {.standardize = true, .panel = 16}));
  CHECK(same_bits<float>(widened(hops).view(), std::as_const(narrow).view()));
  for (const std::size_t k : {1u, 60u, 120u}) {
    for (std::size_t f = 0; f < 21; ++f) {
      double mean = 0, square = 0;
      for (std::size_t i = 0; i < 80; ++i) {
        mean += static_cast<double>(hops.block(k)(i, f)) / 80;
        square += std::pow(static_cast<double>(hops.block(k)(i, f)), 2) / 80;
      }
      CHECK(std::abs(mean) < 1e-5);
      CHECK(std::abs(square - 1) < 1e-3);  // the variance gets 1e-5 before its root is taken
    }
  }
  const PropagationOperator gcn(graph, {});
  CHECK_THROWS_AS(propagate(gcn, 2, x.view(), {.standardize = true}), ConfigError);
}

TEST_CASE("propagate: no hops, and options that contradict each other", "[propagate]") {
  const Sign sign;
  const HopFeatures input = propagate(sign.gcn, 0, sign.x.view());
  CHECK(same_bits<float>(input.view(), sign.x.view()));
  CHECK(same_bits<float>(propagate(sign.gcn, 0, sign.x.view(), {.emit = Emit::last}).view(), sign.x.view()));
  CHECK(same_bits<float>(propagate({}, sign.x.view()).view(), sign.x.view()));
  CHECK_THROWS_AS(propagate(sign.gcn, 0, sign.x.view(), {.include_input = false}), ConfigError);
  CHECK_THROWS_AS(propagate(sign.gcn, 2, sign.x.view(), {.emit = Emit::combined, .weights = {1, 2}}),
                  ConfigError);
  const Tensor<float> short_x(89, 3);
  CHECK_THROWS_AS(propagate(sign.gcn, 2, short_x.view()), ShapeError);
  CHECK_THROWS_AS(propagate(sign.gcn, 2, Tensor<float>(90, 0).view()), ConfigError);
  const HopFeatures half = sign.run({.element = ElementType::bf16});
  CHECK_THROWS_AS(half.view(), ConfigError);
  CHECK_THROWS_AS(input.block(1), IndexError);
}
