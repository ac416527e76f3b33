// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/nets/egc_net.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gatv2_net.hpp"
#include "tessera/nn/nets/gin_net.hpp"
#include "tessera/nn/nets/pna_net.hpp"

// Networks see the graph and not its numbering: other names of nodes, or other graphs beside it, change nothing.
namespace {

using namespace tessera;
using namespace tessera::testing;
using A = Aggregator;

constexpr std::size_t kIn = 5;
constexpr std::size_t kOut = 3;

struct Named {
  std::string name;
  AnyModel<double> model;
};

std::vector<Named> networks() {
  std::vector<Named> out;
  const auto add = [&](std::string name, AnyModel<double> model) {
    // Biases start at 0: move every trained number.
    const auto values = model.parameters().values();
    const Tensor<double> noise = random_matrix<double>(1, values.size(), 6);
    for (const ParameterInfo& info : model.parameters().parameters()) {
      for (std::size_t k = info.offset; info.trained && k < info.offset + info.size(); ++k) {
        values[k] += 0.2 * noise(0, k);
      }
    }
    out.push_back({std::move(name), std::move(model)});
  };
  add("gat", GatNet<double>({.in = kIn,
                             .hidden = 8,
                             .out = kOut,
                             .layers = 3,
                             .norm = NormKind::layer,
                             .residual = true,
                             .conv = {.heads = 4, .out_heads = 2}}));
  add("gatv2", Gatv2Net<double>(
                   {.in = kIn, .hidden = 8, .out = kOut, .layers = 3, .conv = {.heads = 2, .out_heads = 3}}));
  add("gin", GinNet<double>({.in = kIn, .hidden = 8, .out = kOut, .layers = 3}));
  add("gin, one map, layer norm",
      GinNet<double>(
          {.in = kIn, .hidden = 8, .out = kOut, .norm = NormKind::layer, .conv = {.mlp_layers = 1}}));
  add("egc-s", EgcNet<double>({.in = kIn,
                               .hidden = 8,
                               .out = kOut,
                               .layers = 3,
                               .residual = true,
                               .linear_ends = true,
                               .conv = {.heads = 4, .bases = 3}}));
  add("egc-m",
      EgcNet<double>(
          {.in = kIn,
           .hidden = 8,
           .out = kOut,
           .linear_ends = true,
           .conv = {.heads = 2, .bases = 2, .aggregators = {A::symmetric, A::std, A::max, A::min, A::sum}}}));
  add("pna", PnaNet<double>({.in = kIn,
                             .hidden = 8,
                             .out = kOut,
                             .layers = 3,
                             .residual = true,
                             .linear_ends = true,
                             .conv = {.towers = 2, .mean_log_degree = 1.3}}));
  add("pna, whole input",
      PnaNet<double>({.in = kIn, .hidden = 4, .out = kOut, .conv = {.towers = 1, .divide_input = false}}));
  return out;
}

Tensor<double> logits(const AnyModel<double>& model, const CsrGraph& graph, MatrixView<const double> x) {
  const PreparedAdjacency prepared = prepare_adjacency(graph, model.aggregation());
  const Adjacency a = prepared.adjacency();
  return run_model(model, AdjacencyStack(std::span(&a, 1)), x, Pass{});
}

/// The links of a graph, node i becoming name(i).
template <class F>
void append_links(Links& links, const CsrGraph& graph, F&& name) {
  for (NodeId i = 0; i < graph.num_nodes(); ++i) {
    for (const NodeId j : graph.view().neighbors(i)) links.push_back({name(j), name(i)});
  }
}

TEST_CASE("attention, GIN, EGC and PNA: renaming the nodes renames the rows") {
  constexpr std::size_t kNodes = 45;
  std::vector<CsrGraph> graphs;  // directed and not; the last five nodes are isolated
  graphs.push_back(directed(kNodes, random_links(40, 150, 2)));
  graphs.push_back(undirected(kNodes, random_links(40, 90, 3)));
  const auto x = random_matrix<double>(kNodes, kIn, 1);
  for (const CsrGraph& graph : graphs) {
    std::vector<NodeId> name(kNodes);
    std::iota(name.begin(), name.end(), NodeId{0});
    shuffle(std::span(name), CounterRng(make_key(3, 0, Purpose::shuffle), 0, 0));
    Links links;
    append_links(links, graph, [&](NodeId i) { return name[i]; });
    const CsrGraph renamed = graph.symmetric ? undirected(kNodes, links) : directed(kNodes, links);
    REQUIRE(renamed.num_edges() == graph.num_edges());
    Tensor<double> moved(kNodes, kIn);
    for (std::size_t i = 0; i < kNodes; ++i) {
      std::copy(x.row(i).begin(), x.row(i).end(), moved.row(name[i]).begin());
    }
    for (const Named& entry : networks()) {
      INFO(entry.name << ", symmetric " << graph.symmetric);
      const auto y = logits(entry.model, graph, x.view());
      const auto z = logits(entry.model, renamed, moved.view());
      double worst = 0;
      double largest = 0;
      for (std::size_t i = 0; i < kNodes; ++i) {
        for (std::size_t c = 0; c < kOut; ++c) {
          largest = std::max(largest, std::abs(y(i, c)));
          const double d = std::abs(y(i, c) - z(name[i], c));
          if (!(d <= worst)) worst = d;
        }
      }
      CHECK(largest > 0.1);
      CHECK(worst <= 1e-12 * std::max(1.0, largest));
    }
  }
}

TEST_CASE("attention, GIN, EGC and PNA: a block-diagonal batch gives the bits of each graph alone") {
  std::vector<CsrGraph> graphs;
  graphs.push_back(directed(31, random_links(29, 90, 2)));
  graphs.push_back(empty_graph(1));
  graphs.push_back(undirected(50, random_links(47, 120, 3)));
  graphs.push_back(star(20));
  std::vector<std::size_t> first{0};
  Links links;
  for (const CsrGraph& graph : graphs) {
    const auto shift = static_cast<NodeId>(first.back());
    append_links(links, graph, [&](NodeId i) { return i + shift; });
    first.push_back(first.back() + graph.num_nodes());
  }
  const CsrGraph batch = directed(first.back(), links);
  const auto x = random_matrix<double>(first.back(), kIn, 4);
  for (const Named& entry : networks()) {
    const auto together = logits(entry.model, batch, x.view());
    for (std::size_t g = 0; g < graphs.size(); ++g) {
      INFO(entry.name << ", graph " << g);
      const std::size_t nodes = graphs[g].num_nodes();
      const auto alone = logits(entry.model, graphs[g], x.view().middle_rows(first[g], nodes));
      const auto part = together.view().middle_rows(first[g], nodes);
      CHECK(max_difference<double>(part, alone.view()) <= 1e-12);
      CHECK(same_bits<double>(part, alone.view()));
    }
  }
}

}  // namespace
