// SPDX-License-Identifier: MIT
// Edges per second of the samplers on graphs of the published shapes, on one thread and on all.
//
//   bench_sampling                    1/50 of the nodes
//   bench_sampling --scale 1          Reddit and Amazon2M as large as published (needs about 6 GB)
//   bench_sampling --scale 1 --only Reddit --epochs     what sampling costs a training epoch
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "sampling/epoch_rows.hpp"
#include "sampling/neighbor_rows.hpp"
#include "sampling/other_rows.hpp"
#include "sampling/saint_rows.hpp"
#include "sampling/table.hpp"
#include "support/main.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/generators.hpp"

namespace tessera::bench {
namespace {

struct Published {
  std::string name;
  std::size_t nodes, features, classes;
  double mean_degree, sigma, train;
};

void run_shape(const Published& published, const SamplingOptions& options, SamplingTable& table) {
  if (!options.only.empty() && published.name.find(options.only) == std::string::npos) return;
  CommunityGraphOptions graph;
  graph.nodes = std::max<std::size_t>(
      2000, static_cast<std::size_t>(static_cast<double>(published.nodes) * options.scale));
  graph.classes = published.classes;
  graph.features = options.epochs ? published.features : 1;
  graph.mean_degree = std::min(published.mean_degree, static_cast<double>(graph.nodes) / 100);
  graph.degree_sigma = published.sigma;
  graph.train = published.train;
  graph.val = 0;
  graph.test = 1 - published.train;
  const Dataset data = generate_community_graph(graph);
  SamplingShape shape;
  shape.name = published.name;
  shape.scale = static_cast<double>(graph.nodes) / static_cast<double>(published.nodes);
  shape.data = &data;
  shape.targets = data.nodes(Role::train);
  table.begin_shape(shape);
  add_neighbor_rows(shape, table);
  add_weighted_rows(shape, table);
  add_other_rows(shape, table);
  add_saint_rows(shape, table);
  if (options.epochs) add_epoch_rows(shape, table);
}

int run(const SamplingOptions& options) {
  return with_threads(options.common.threads, [&] {
    SamplingTable table(options);
    run_shape({"Reddit shape", 232'965, 602, 41, 492, 1.08, 0.66}, options, table);
    run_shape({"Amazon2M shape", 2'449'029, 100, 47, 50.5, 1.3, 0.7}, options, table);
    table.finish();
    return 0;
  });
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  tessera::bench::SamplingOptions options;
  options.common.repeats = 5;
  CLI::App app{"Edges per second of the samplers at published shapes"};
  options.common.add_to(app);
  app.add_option("--scale", options.scale, "Share of the published number of nodes")
      ->check(CLI::Range(1e-6, 1.0))
      ->capture_default_str();
  app.add_option("--only", options.only, "Only shapes whose name contains this: Reddit or Amazon2M");
  app.add_option("--rows", options.rows, "Only cases whose name contains this, e.g. SAINT-RW");
  app.add_option("--coverage", options.coverage, "Coverage of SAINT's normalisation")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--epochs", options.epochs, "Time training epochs, prefetched and with batches made before");
  return tessera::bench::run_program(app, argc, argv, "bench_sampling",
                                     [&] { return tessera::bench::run(options); });
}
