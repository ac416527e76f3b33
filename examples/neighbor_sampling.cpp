// SPDX-License-Identifier: MIT
//
// Mini-batches of a few neighbours per node and layer: GraphSAGE's, LABOR's, LADIES' or FastGCN's.
// Hamilton, Ying & Leskovec, Inductive representation learning on large graphs, 2017; docs/samplers.md names
// the papers of the others.
//
//     neighbor_sampling                                                          trains on a generated graph
//     neighbor_sampling --sampler ladies --model gcn --layer-sizes 512 512 --data amazon-computers/npz
//     --batch-size 512

#include <string>
#include <vector>

#include "support/models.hpp"
#include "support/program.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/fastgcn_sampler.hpp"
#include "tessera/sampling/labor_sampler.hpp"
#include "tessera/sampling/ladies_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"

namespace {

struct SamplerOptions {
  std::string sampler = "neighbor";
  std::vector<int> fanouts;
  std::vector<std::size_t> layer_sizes;
  std::size_t batch_size = 512;
  std::size_t labor_iterations = 0;
  std::string estimator = "hajek";
  bool replace = false;
};

void add_options(CLI::App& app, SamplerOptions& s) {
  app.add_option("--sampler", s.sampler, "Which neighbours a layer sees")
      ->check(CLI::IsMember({"neighbor", "labor", "ladies", "fastgcn"}))
      ->capture_default_str();
  app.add_option(
      "--fanouts", s.fanouts,
      "Neighbours per node, one number per layer, next to the targets first; -1 = all (default 10 each)");
  app.add_option("--layer-sizes", s.layer_sizes,
                 "Nodes drawn per layer by ladies and fastgcn (default 512 each)");
  app.add_option("--batch-size", s.batch_size, "Targets per batch")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--labor-iterations", s.labor_iterations, "i of LABOR-i")->capture_default_str();
  app.add_option("--estimator", s.estimator, "How labor, ladies and fastgcn make up for what they left out")
      ->check(CLI::IsMember({"hajek", "horvitz-thompson", "plain"}))
      ->capture_default_str();
  app.add_flag("--replace", s.replace, "Draw neighbours with replacement");
}

tessera::RowEstimator estimator(const std::string& name) {
  if (name == "plain") return tessera::RowEstimator::plain;
  return name == "hajek" ? tessera::RowEstimator::hajek : tessera::RowEstimator::horvitz_thompson;
}

tessera::AnySampler make_sampler(const SamplerOptions& s, const tessera::CsrGraph& graph) {
  const tessera::TargetBatches batches{.batch_size = s.batch_size};
  if (s.sampler == "neighbor")
    return tessera::NeighborSampler({.fanouts = s.fanouts, .batches = batches, .replace = s.replace});
  if (s.sampler == "labor") {
    return tessera::LaborSampler({.fanouts = s.fanouts,
                                  .batches = batches,
                                  .iterations = s.labor_iterations,
                                  .estimator = estimator(s.estimator)});
  }
  if (s.sampler == "ladies")
    return tessera::LadiesSampler(
        {.layer_sizes = s.layer_sizes, .batches = batches, .estimator = estimator(s.estimator)});
  const tessera::PreparedAdjacency prepared = prepare_adjacency(graph, tessera::AggregationSpec{});
  return tessera::FastGcnSampler(
      {.layer_sizes = s.layer_sizes, .batches = batches, .estimator = estimator(s.estimator)},
      tessera::fastgcn_distribution(prepared.adjacency()));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a graph neural network on sampled neighbours"};
  examples::Options options;
  options.model = "sage";
  SamplerOptions sampler;
  add_options(app, sampler);
  return examples::run_program(
      app, argc, argv, "neighbor_sampling", options,
      [&](const tessera::Dataset& data, tessera::Report& report) {
        // Not always --layers: every hop of appnp, tag and cheb is one.
        const std::size_t layers =
            examples::make_model(options, data.num_features(), data.num_classes(), 0).num_layers();
        if (sampler.fanouts.empty()) sampler.fanouts.assign(layers, 10);
        if (sampler.layer_sizes.empty()) sampler.layer_sizes.assign(layers, 512);
        if (sampler.fanouts.size() != layers || sampler.layer_sizes.size() != layers) {
          throw tessera::ConfigError(
              tessera::message("--fanouts and --layer-sizes want a number for each of the ", layers,
                               " layers of this network"));
        }
        report.additions = {{"sampler", sampler.sampler},
                            {"batch_size", static_cast<std::int64_t>(sampler.batch_size)}};
        const tessera::CsrGraph& graph = options.inductive ? data.train_graph : data.graph;
        examples::train_runs(
            options, data, [&] { return make_sampler(sampler, graph); }, report);
      });
}
