// SPDX-License-Identifier: MIT
//
// Mini-batches of a few neighbours per node and layer: GraphSAGE's, LABOR's, LADIES' or FastGCN's, or picked by
// edge weight; the two simplest subgraph batches to compare them with; and the whole graph with links left out.
// Hamilton, Ying & Leskovec, Inductive representation learning on large graphs, 2017; docs/samplers.md names
// the papers of the others.
//
//     neighbor_sampling                                                          trains on a generated graph
//     neighbor_sampling --sampler ladies --model gcn --layer-sizes 512 512 --data amazon-computers/npz
//     neighbor_sampling --sampler alias --model gcn          links on many triangles are picked more often

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/models.hpp"
#include "support/program.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/precompute/triangles.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/drop_edge_sampler.hpp"
#include "tessera/sampling/fastgcn_sampler.hpp"
#include "tessera/sampling/ibmb_sampler.hpp"
#include "tessera/sampling/labor_sampler.hpp"
#include "tessera/sampling/ladies_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/sampling/neighbor_weighted.hpp"
#include "tessera/sampling/random_node_sampler.hpp"
#include "tessera/train/role_targets.hpp"

namespace {

struct SamplerOptions {
  std::string sampler = "neighbor";
  std::vector<int> fanouts;
  std::vector<std::size_t> layer_sizes;
  std::size_t batch_size = 512;
  std::size_t labor_iterations = 0;
  std::string estimator = "hajek";
  bool replace = false;
  std::size_t parts = 10;
  std::size_t top_k = 16;
  double drop = 0.5;

  bool by_weight() const { return sampler == "weighted" || sampler == "alias"; }
};

void add_options(CLI::App& app, SamplerOptions& s) {
  app.add_option("--sampler", s.sampler, "Which neighbours a layer sees")
      ->check(CLI::IsMember({"neighbor", "labor", "ladies", "fastgcn", "weighted", "alias", "ibmb",
                             "random-nodes", "drop-edge"}))
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
  app.add_option("--parts", s.parts, "Batches per epoch of random-nodes")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--drop", s.drop, "Share of the links that drop-edge leaves out")
      ->check(CLI::Range(0.0, 0.999))
      ->capture_default_str();
  app.add_option("--top-k", s.top_k, "Nodes that come along with each target of ibmb")
      ->check(examples::kPositive)
      ->capture_default_str();
}

tessera::RowEstimator estimator(const std::string& name) {
  if (name == "plain") return tessera::RowEstimator::plain;
  return name == "hajek" ? tessera::RowEstimator::hajek : tessera::RowEstimator::horvitz_thompson;
}

/// The graph with weights to pick by, where it has none: one more than the number of triangles on a link.
tessera::CsrGraph with_weights(tessera::CsrView<> graph) {
  tessera::CsrGraph out;
  out.num_cols = graph.num_cols;
  out.row_ptr = tessera::Array<tessera::EdgeId>::copy_of(graph.row_ptr);
  out.col = tessera::Array<tessera::NodeId>::copy_of(graph.col);
  if (graph.weighted()) {
    out.weight = tessera::Array<float>::copy_of(graph.weight);
    return out;
  }
  out.weight.assign(graph.num_edges(), 1.0f);
  const tessera::CsrGraph count = tessera::triangle_counts(graph);
  for (std::size_t i = 0; i < graph.num_rows; ++i) {
    auto e = graph.begin(i);
    for (auto c = count.row_ptr[i]; c < count.row_ptr[i + 1]; ++c) {
      while (graph.col[e] != count.col[c]) ++e;  // triangles lie on a part of the links, in the same order
      out.weight[e] += count.weight[c];
    }
  }
  return out;
}

tessera::AnySampler make_sampler(const SamplerOptions& s, tessera::GraphRef graph,
                                 std::span<const tessera::NodeId> targets) {
  const tessera::TargetBatches batches{.batch_size = s.batch_size};
  if (s.sampler == "drop-edge") return tessera::DropEdgeSampler({.probability = s.drop});
  if (s.sampler == "random-nodes") return tessera::RandomNodeSampler({.parts = s.parts});
  if (s.sampler == "ibmb") {
    return tessera::IbmbSampler(ppr_table(graph.view(), targets, {.k = s.top_k}), graph.num_nodes(), batches);
  }
  if (s.sampler == "weighted")
    return tessera::WeightedNeighborSampler({.fanouts = s.fanouts, .batches = batches});
  if (s.sampler == "alias") {
    return tessera::AliasNeighborSampler({.fanouts = s.fanouts, .batches = batches},
                                         std::make_shared<tessera::NeighborAliasTables>(graph.view()));
  }
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
  const tessera::PreparedAdjacency prepared =
      prepare_adjacency(graph.view(), graph.symmetric, tessera::AggregationSpec{});
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
      app, argc, argv, "neighbor_sampling", options, [&](const auto& data, tessera::Report& report) {
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
        tessera::DatasetView view(data);
        tessera::CsrGraph whole;
        tessera::CsrGraph train;
        if (sampler.by_weight()) {
          whole = with_weights(data.graph.view());
          view.graph.matrix = whole.view();
          if (options.inductive) train = with_weights(data.train_graph.view());
          if (options.inductive) view.train_graph.matrix = train.view();
        }
        const tessera::RoleTargets targets = tessera::targets_of(data, tessera::Role::train);
        const tessera::AnySampler made = make_sampler(
            sampler, options.inductive ? view.train_graph : view.graph, data.nodes(tessera::Role::train));
        examples::train_runs(
            options, view, [&] { return made; }, report);
      });
}
