// SPDX-License-Identifier: MIT
//
// Cuts a graph into parts and says how good they are: a stand-in for gpmetis that also reads data sets.
//
//     partition                                                      a generated graph in 40 parts
//     partition --data mesh.graph --parts 64 --out mesh.graph.part.64      METIS files in and out
//     partition --data cora/planetoid --parts 40 --method fennel --cache ~/.cache/parts

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "support/dataset.hpp"
#include "support/program.hpp"
#include "tessera/core/error.hpp"
#include "tessera/io/metis.hpp"
#include "tessera/partition/cached.hpp"
#include "tessera/partition/contiguous_partitioner.hpp"
#include "tessera/partition/from_parts.hpp"
#include "tessera/partition/metis_partitioner.hpp"
#include "tessera/partition/metrics.hpp"
#include "tessera/partition/multilevel.hpp"
#include "tessera/partition/random_partitioner.hpp"
#include "tessera/partition/streaming_partitioner.hpp"

namespace {

using namespace tessera;

struct PartitionRun {
  std::size_t parts = 40;
  double imbalance = 0.03;
  std::string preset = "default";
  std::string method = "multilevel";
  std::string evaluate, out, cache;
  bool balance_train = false;
  bool symmetrize = false;
};

/// Parts in `.part.K` files of one folder, each beside the id of what it was made from.
struct FolderStore {
  std::filesystem::path folder;
  std::size_t parts = 0;

  std::filesystem::path file(const std::string& id) const {
    return folder / (id + ".part." + std::to_string(parts));
  }
  std::optional<Array<PartId>> load(const std::string& id) const {
    if (folder.empty() || !std::filesystem::exists(file(id))) return std::nullopt;
    return io::read_partition(file(id), 0, nullptr, id);
  }
  void save(const std::string& id, std::span<const PartId> part) const {
    if (folder.empty()) return;
    std::filesystem::create_directories(folder);
    io::write_partition(file(id), part, id);
  }
};

struct Input {
  Dataset data;
  Array<std::int64_t> node_weight;
  Array<std::int32_t> edge_weight;
};

Input load(const examples::Options& options) {
  Input in;
  if (options.data.ends_with(".graph") || options.data.ends_with(".graph.gz")) {
    io::MetisGraph file = io::read_metis(options.data);
    if (file.num_weights > 1)
      throw ConfigError("partition: the file has more than one weight per vertex, want one");
    in.data.name = std::filesystem::path(options.data).filename().string();
    in.data.graph = std::move(file.graph);
    in.node_weight = std::move(file.vertex_weights);
    for (const float w : in.data.graph.weight) in.edge_weight.push_back(static_cast<std::int32_t>(w));
  } else {
    in.data = examples::load_dataset(options);
  }
  return in;
}

Partition compute(const PartitionRun& run, const Input& in, const PartitionOptions& options) {
  FolderStore store{run.cache, run.parts};
  const auto with = [&](const auto& partitioner) {
    return cached_partition(partitioner, run.method, in.data.graph, options, store);
  };
  if (run.method == "fennel") return with(StreamingPartitioner({.rule = StreamRule::fennel, .passes = 3}));
  if (run.method == "ldg") return with(StreamingPartitioner({.rule = StreamRule::ldg, .passes = 3}));
  if (run.method == "random") return with(RandomPartitioner());
  if (run.method == "contiguous") return with(ContiguousPartitioner());
#if defined(TESSERA_HAS_METIS)
  if (run.method == "metis") return with(MetisPartitioner());
#endif
  return with(MultilevelPartitioner());
}

void describe(const Input& in, const Partition& parts, double seconds) {
  const Dataset& data = in.data;
  const PartitionMetrics m = partition_metrics(data.graph, parts.part, parts.num_parts);
  const auto line = [](const char* name, const std::string& value) {
    std::printf("%-22s %s\n", name, value.c_str());
  };
  const auto rounded = [](double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", value);
    return std::string(text);
  };
  line("graph", data.name);
  line("nodes", message(data.num_nodes()));
  line("undirected edges", message(data.graph.num_edges() / 2));
  line("parts", message(parts.num_parts, ", ", m.empty_parts, " empty"));
  line("edge cut", message(parts.cut, parts.cut == m.cut ? "" : " (weighted)", ", ",
                           rounded(100 * m.cut_fraction), " % of the edges"));
  line("imbalance", message(rounded(m.imbalance), parts.feasible() ? "" : ", a part is over its limit"));
  line("communication volume", message(m.communication_volume, ", ", rounded(m.halo_fraction), " per node"));
  line("boundary nodes", message(m.boundary_nodes));
  line("halo / part", message("mean ", rounded(m.mean_halo_ratio), ", max ", rounded(m.max_halo_ratio)));
  if (!data.labels.classes.empty()) {
    const Partition chance = RandomPartitioner().partition(data.graph, {.parts = parts.num_parts});
    line("label entropy", message(rounded(label_entropy(parts.part, parts.num_parts, data.labels.classes)),
                                  " nats, random parts ",
                                  rounded(label_entropy(chance.part, parts.num_parts, data.labels.classes))));
  }
  line("seconds", rounded(seconds));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Cuts a graph into parts"};
  examples::Options options;
  PartitionRun run;
  app.add_option("--data", options.data, "A METIS .graph file or a data set; none: a generated graph");
  app.add_option("--format", options.format, "Layout of the data set");
  app.add_option("--nodes", options.nodes, "Nodes of the generated graph")->capture_default_str();
  app.add_option("--parts", run.parts, "Parts")->check(examples::kPositive)->capture_default_str();
  app.add_option("--imbalance", run.imbalance, "By how much a part may pass the average")
      ->capture_default_str();
  app.add_option("--preset", run.preset, "How much refinement")
      ->check(CLI::IsMember({"fast", "default", "quality"}))
      ->capture_default_str();
  app.add_option("--method", run.method, "Who cuts")
#if defined(TESSERA_HAS_METIS)
      ->check(CLI::IsMember({"multilevel", "fennel", "ldg", "random", "contiguous", "metis"}))
#else
      ->check(CLI::IsMember({"multilevel", "fennel", "ldg", "random", "contiguous"}))
#endif
      ->capture_default_str();
  app.add_option("--evaluate", run.evaluate, "Measure the parts of this .part.K file instead");
  app.add_option("--out", run.out, "Write the parts to this file, one number per line");
  app.add_option("--cache", run.cache, "Keep parts in this folder and take them from there");
  app.add_flag("--balance-train", run.balance_train, "Balance training nodes as well as nodes");
  app.add_flag("--symmetrize,--symmetrise", run.symmetrize, "Treat a directed graph as undirected");
  app.add_option("--seed", options.seed, "Seed")->capture_default_str();
  app.add_option("--threads", options.threads, "Threads, 0: one per processor")->capture_default_str();
  return examples::run_main(app, argc, argv, "partition", options.threads, [&](examples::ExitCode& on_error) {
    on_error = examples::kBadData;
    options.edges.symmetrise = run.symmetrize;
    const Input in = load(options);
    PartitionOptions wanted{.parts = run.parts, .imbalance = run.imbalance, .seed = options.seed};
    wanted.effort = run.preset == "fast"      ? PartitionEffort::fast
                    : run.preset == "quality" ? PartitionEffort::high
                                              : PartitionEffort::standard;
    wanted.symmetrize = run.symmetrize;
    wanted.node_weight = in.node_weight;
    wanted.edge_weight = in.edge_weight;
    Array<std::int64_t> train(run.balance_train ? in.data.roles.size() : 0);
    for (std::size_t v = 0; v < train.size(); ++v) train[v] = in.data.roles[v] == Role::train ? 1 : 0;
    wanted.second_weight = train;
    if (!run.evaluate.empty()) {
      Array<PartId> part = io::read_partition(run.evaluate, in.data.num_nodes());
      if (app.count("--parts") == 0) wanted.parts = 1;
      for (const PartId p : part) wanted.parts = std::max(wanted.parts, index(p) + 1);
      describe(in, partition_from_parts(in.data.graph, wanted, std::move(part)), 0);
      return;
    }
    on_error = examples::kFailed;
    const examples::Timer timer;
    const Partition parts = compute(run, in, wanted);
    describe(in, parts, timer.seconds());
    if (!run.out.empty()) io::write_partition(run.out, parts.part);
  });
}
