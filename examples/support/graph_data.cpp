// SPDX-License-Identifier: MIT
#include "support/graph_data.hpp"

#include <algorithm>
#include <vector>

#include "tessera/core/rng.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/io/load_graphs.hpp"

namespace examples {
namespace {

/// Rings (class 0) and stars (class 1) of 5 to 24 nodes with up to as many extra links; every node's feature is 1.
tessera::GraphDataset rings_and_stars(std::size_t graphs, std::uint64_t seed) {
  tessera::GraphDataset data;
  data.name = "rings and stars (generated, G=" + std::to_string(graphs) + ")";
  std::vector<tessera::NodeId> source;
  std::vector<tessera::NodeId> target;
  std::size_t n = 0;
  for (std::size_t g = 0; g < graphs; ++g) {
    tessera::CounterRng rng(tessera::make_key(seed, 0, tessera::Purpose::generate), 0, g);
    const std::size_t size = 5 + static_cast<std::size_t>(rng.below(20));
    const auto link = [&](std::size_t u, std::size_t v) {
      source.push_back(static_cast<tessera::NodeId>(n + u));
      target.push_back(static_cast<tessera::NodeId>(n + v));
    };
    for (std::size_t i = 1; i < size; ++i) link(i, g % 2 == 0 ? i - 1 : 0);
    if (g % 2 == 0) link(0, size - 1);
    for (std::uint64_t extra = rng.below(size); extra > 0; --extra) {
      link(static_cast<std::size_t>(rng.below(size)), static_cast<std::size_t>(rng.below(size)));
    }
    n += size;
    data.node_ptr.push_back(n);
    data.targets.classes.push_back(static_cast<std::int32_t>(g % 2));
    data.roles.push_back(tessera::Role::none);
  }
  data.targets.num_classes = 2;
  data.graph = tessera::build_csr(n, {source, target, {}},
                                  {.symmetrize = true, .self_loops = tessera::SelfLoops::drop})
                   .graph;
  data.features = tessera::Tensor<float>::filled(n, 1, 1.0f);
  return data;
}

/// One column per degree up to 64 and one for all above: the features of graphs that have none.
tessera::Tensor<float> degree_columns(const tessera::CsrGraph& graph) {
  std::size_t largest = 0;
  for (std::size_t i = 0; i < graph.num_nodes(); ++i) largest = std::max(largest, graph.degree(i));
  const std::size_t columns = std::min<std::size_t>(largest, 65) + 1;
  auto out = tessera::Tensor<float>::zeros(graph.num_nodes(), columns);
  for (std::size_t i = 0; i < graph.num_nodes(); ++i) out(i, std::min(graph.degree(i), columns - 1)) = 1.0f;
  return out;
}

}  // namespace

tessera::GraphDataset load_graph_data(const std::string& path, std::size_t graphs, std::uint64_t seed) {
  tessera::GraphDataset data = path.empty() ? rings_and_stars(graphs, seed) : tessera::io::load_graphs(path);
  if (!data.categories.empty()) data.features = tessera::one_hot(data.features.view(), data.categories);
  if (data.num_features() == 0) data.features = degree_columns(data.graph);
  if (!data.edge_categories.empty()) {
    data.edge_features = tessera::one_hot(data.edge_features.view(), data.edge_categories);
  }
  return data;
}

}  // namespace examples
