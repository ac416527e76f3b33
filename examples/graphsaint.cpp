// SPDX-License-Identifier: MIT
//
// GraphSAINT: every step trains on the links among the nodes of a random subgraph, with coefficients and loss
// weights that undo the bias of the sampling. Zeng et al., GraphSAINT: graph sampling based inductive learning
// method, ICLR 2020.
//
//     graphsaint                                                    trains on a generated graph
//     graphsaint --sampler traverse                                 a sampler of one's own: walks that do not turn back
//     graphsaint --preset ppi-rw --data toy-ppi/graphsaint --eval-every 10     "test micro_f1" passes 97.6 by epoch 490

#include <vector>

#include "support/program.hpp"
#include "support/saint_presets.hpp"
#include "tessera/io/result_cache.hpp"
#include "tessera/sampling/gttf_traverse.hpp"
#include "tessera/sampling/saint_sampler.hpp"
#include "tessera/train/role_targets.hpp"

namespace {

struct SaintOptions {
  std::string preset;
  std::string sampler = "rw";
  std::size_t size = 600;
  std::size_t second = 2;
  std::size_t degree_clip = 3000;
  std::string node_rule = "norm";
  std::string estimate = "counted";
  bool authors = false;
  double coverage = 50;
  std::string cache;
  bool quiet = false;

  tessera::SaintNormalizationOptions normalization() const {
    using tessera::SaintEstimate;
    using tessera::SaintUnseen;
    return {.estimate = estimate == "counted"  ? SaintEstimate::counted
                        : estimate == "closed" ? SaintEstimate::closed_form
                                               : SaintEstimate::none,
            .coverage = coverage,
            .unseen = authors ? SaintUnseen::authors : SaintUnseen::once};
  }
};

/// Walks that do not step straight back, drawn by a traversal: all it takes for a sampler with GraphSAINT's
/// corrections. A walk with no other way ends.
struct TraversalDraw {
  using Options = tessera::SaintWalkOptions;
  struct Workspace {};

  TraversalDraw(const tessera::SampleSource& source, const Options& options) : walks(source, options) {}

  std::size_t budget() const noexcept { return walks.budget(); }
  template <class F>
  void visit_options(F&& f) const {
    f(std::uint64_t{100});
    walks.visit_options(f);
  }
  void draw(const tessera::SampleSource& source, tessera::BatchKey key, Workspace&,
            tessera::Array<tessera::NodeId>& drawn) const {
    const tessera::RngKey rng = make_key(key.seed, key.epoch, tessera::Purpose::walk);
    const auto batch = static_cast<std::uint32_t>(key.batch);
    drawn.resize(walks.options().roots);
    tessera::CounterRng roots(rng, batch, ~std::uint64_t{0});
    for (tessera::NodeId& root : drawn) root = source.targets[roots.below(source.targets.size())];
    const auto onward = [](std::span<const tessera::NodeId> path, std::span<const tessera::NodeId> row,
                           std::span<double> weight) {
      for (std::size_t t = 0; t < row.size(); ++t)
        weight[t] = path.size() > 1 && row[t] == path[path.size() - 2] ? 0.0 : 1.0;
    };
    const auto seeds = tessera::Array<tessera::NodeId>::copy_of(drawn);
    auto collect = [&](std::span<const tessera::NodeId>, std::span<const tessera::NodeId> next) {
      if (next[0] != tessera::kNoNode) drawn.push_back(next[0]);
    };
    traverse(source.graph, seeds, std::vector<std::size_t>(walks.options().length, 1), onward, collect,
             {rng, batch});
  }

  tessera::SaintWalkDraw walks;  ///< holds and checks the options
};

void add_options(CLI::App& app, SaintOptions& saint) {
  app.add_option("--preset", saint.preset, "The authors' network and sampler for a data set; options win")
      ->check(CLI::IsMember(examples::saint_preset_names()));
  app.add_option(
         "--sampler", saint.sampler,
         "node, edge, random walk, multi-dimensional random walk, or the walks this example draws itself")
      ->check(CLI::IsMember({"node", "edge", "rw", "mrw", "traverse"}))
      ->capture_default_str();
  app.add_option("--size", saint.size, "Draws of node, edge and mrw; roots of the walks")
      ->capture_default_str();
  app.add_option("--second", saint.second, "Steps of the walks; roots of mrw")->capture_default_str();
  app.add_option("--node-rule", saint.node_rule,
                 "node: draws follow column norms, as in the paper, or degrees, as the authors' program")
      ->check(CLI::IsMember({"norm", "degree"}))
      ->capture_default_str();
  app.add_option("--degree-clip", saint.degree_clip, "mrw: degrees count up to this")->capture_default_str();
  app.add_option("--estimate", saint.estimate, "Where inclusion probabilities come from")
      ->check(CLI::IsMember({"counted", "closed", "none"}))
      ->capture_default_str();
  app.add_flag("--authors-constants", saint.authors, "The authors' numbers for what was never counted");
  app.add_option("--coverage", saint.coverage, "Mean count of a node")->capture_default_str();
  app.add_option("--cache", saint.cache, "Folder that keeps normalisations");
}

/// Fills in the preset wherever the command line says nothing.
void apply_preset(const CLI::App& app, SaintOptions& saint, examples::Options& o) {
  if (saint.preset.empty()) return;
  const examples::SaintPreset& preset = examples::saint_preset(saint.preset);
  const auto set = [&](const char* name, auto& option, auto value) {
    if (app.get_option(name)->count() == 0) option = static_cast<std::decay_t<decltype(option)>>(value);
  };
  set("--sampler", saint.sampler, preset.sampler);
  set("--size", saint.size, preset.size);
  set("--second", saint.second, preset.second);
  set("--degree-clip", saint.degree_clip, preset.degree_clip);
  if (preset.sampler == "node") set("--node-rule", saint.node_rule, std::string("degree"));
  set("--coverage", saint.coverage, preset.coverage);
  set("--arch", o.arch, preset.arch);
  set("--hidden", o.hidden, preset.hidden);
  set("--dropout", o.dropout, preset.dropout);
  set("--epochs", o.epochs, preset.epochs);
}

template <class S>
tessera::AnySampler make(const tessera::SampleSource& source, const typename S::Options& draws,
                         const SaintOptions& saint, tessera::Report& report) {
  const auto options = saint.normalization();
  const typename S::Draw draw(source, draws);
  const examples::Timer timer;
  tessera::SaintNormalization found;
  bool cached = false;
  if (saint.cache.empty()) {
    found = tessera::saint_normalization(source, draw, options);
  } else {
    const tessera::io::ResultCache cache(saint.cache);
    const std::string key = tessera::saint_cache_key(source, draw, options);
    cached = cache.load(key, found);
    if (!cached) cache.store(key, found = tessera::saint_normalization(source, draw, options));
  }
  report.seconds.precompute = timer.seconds();
  report.additions = {{"sampler", saint.sampler},
                      {"size", static_cast<std::int64_t>(saint.size)},
                      {"second", static_cast<std::int64_t>(saint.second)},
                      {"estimate", saint.estimate},
                      {"normalization_cached", cached},
                      {"subgraphs_counted", static_cast<std::int64_t>(found.subgraphs)},
                      {"unseen_nodes", static_cast<std::int64_t>(found.unseen_nodes)},
                      {"unseen_edges", static_cast<std::int64_t>(found.unseen_edges)}};
  if (!saint.quiet) {
    std::fprintf(stderr, "normalisation: %.2f s, %llu subgraphs; never seen: %llu nodes, %llu entries\n",
                 report.seconds.precompute, static_cast<unsigned long long>(found.subgraphs),
                 static_cast<unsigned long long>(found.unseen_nodes),
                 static_cast<unsigned long long>(found.unseen_edges));
  }
  return S(source, draws, std::move(found));
}

tessera::AnySampler make_sampler(const tessera::SampleSource& source, const SaintOptions& saint,
                                 tessera::Report& report) {
  if (saint.sampler == "node") {
    const auto rule =
        saint.node_rule == "degree" ? tessera::SaintNodeRule::degree : tessera::SaintNodeRule::column_norm;
    return make<tessera::SaintNodeSampler>(source, {.nodes = saint.size, .rule = rule}, saint, report);
  }
  if (saint.sampler == "edge")
    return make<tessera::SaintEdgeSampler>(source, {.edges = saint.size}, saint, report);
  if (saint.sampler == "mrw") {
    return make<tessera::SaintFrontierSampler>(
        source, {.nodes = saint.size, .roots = saint.second, .degree_clip = saint.degree_clip}, saint,
        report);
  }
  if (saint.sampler == "traverse") {
    return make<tessera::SaintSampler<TraversalDraw>>(source, {.roots = saint.size, .length = saint.second},
                                                      saint, report);
  }
  return make<tessera::SaintWalkSampler>(source, {.roots = saint.size, .length = saint.second}, saint,
                                         report);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a graph neural network on GraphSAINT's subgraphs"};
  examples::Options o;
  o.model = "graph-saint";
  o.hidden = 128;
  o.dropout = 0.1f;
  o.weight_decay = 0;
  o.epochs = 50;
  o.keep = "best-metric";
  o.clip_norm = 5;
  o.inductive = true;
  o.features = "standard";  // as the authors' program; rows divided by their sums learn at half the speed
  SaintOptions saint;
  add_options(app, saint);
  return examples::run_program(
      app, argc, argv, "graphsaint", o, [&](const auto& data, tessera::Report& report) {
        apply_preset(app, saint, o);
        saint.quiet = o.quiet;
        report.options = examples::report_fields(o);
        // The authors sum the loss over the classes of a node, ours is a mean: the same clipping in our unit.
        if (data.multilabel()) o.clip_norm /= static_cast<double>(data.num_classes());
        const tessera::RoleTargets train = tessera::targets_of(data, tessera::Role::train);
        const auto& graph = o.inductive ? data.train_graph : data.graph;
        const tessera::AnySampler sampler =
            make_sampler({graph.view(), graph.symmetric, train.rows.span()}, saint, report);
        examples::train_runs(
            o, data, [&] { return sampler; }, report);
      });
}
