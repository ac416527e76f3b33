// SPDX-License-Identifier: MIT
// Cuts and seconds of the partitioner: on the published synthetic graphs next to METIS' cuts, and on a graph of
// Amazon2M's shape with shuffled ids.
//
//   bench_partition                  every published graph once, Amazon2M's shape at 1/50 of the nodes
//   bench_partition --repeats 5      mean over five seeds, as METIS' column
//   bench_partition --scale 1        2.4 million nodes into 15,000 parts (needs about 6 GB)
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "../tests/support/partition_graphs.hpp"
#include "support/json.hpp"
#include "support/machine.hpp"
#include "support/main.hpp"
#include "support/report.hpp"
#include "support/timing.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/partition/metrics.hpp"
#include "tessera/partition/multilevel.hpp"

namespace tessera::bench {
namespace {

struct Options {
  CommonOptions common;
  double scale = 0.02;
  std::string only;
  std::string effort = "standard";
};

struct Goal {
  std::size_t parts;
  double metis_cut;  // METIS 5.1.0 k-way, mean of seeds 1 to 5, 3 % imbalance; 0 where not measured
};

class Table {
 public:
  explicit Table(const Options& options) : options_(options) {
    effort_ = options.effort == "fast"   ? PartitionEffort::fast
              : options.effort == "high" ? PartitionEffort::high
                                         : PartitionEffort::standard;
    std::printf("bench_partition %s   %s   threads %zu   effort %s   seeds %zu   commit %s\n\n", kVersion,
                cpu_name().c_str(), options.common.threads, options.effort.c_str(), options.common.repeats,
                TESSERA_BENCH_COMMIT);
    std::printf("%-10s %9s %11s %7s %11s %11s %7s %9s %8s %9s %6s\n", "graph", "nodes", "edges", "parts",
                "cut", "METIS", "ratio", "seconds", "cut/E", "imbalance", "empty");
  }

  void run(const std::string& name, CsrView<> graph, std::initializer_list<Goal> goals) {
    for (const Goal& goal : goals) {
      std::vector<double> seconds;
      double cut = 0;
      PartitionMetrics metrics;
      for (std::uint64_t seed = 1; seed <= options_.common.repeats; ++seed) {
        Partition result;
        seconds.push_back(seconds_of(
            [&] { result = partition(graph, {.parts = goal.parts, .seed = seed, .effort = effort_}); }));
        cut += static_cast<double>(result.cut) / static_cast<double>(options_.common.repeats);
        metrics = partition_metrics(graph, result.part, goal.parts);
      }
      print(name, graph, goal, cut, summarize(std::move(seconds)), metrics);
    }
  }

  /// Errors   Error if the report cannot be written
  void finish() const {
    if (options_.common.report.empty()) return;
    JsonObject json;
    json.add("program", "bench_partition").add("version", kVersion).add("effort", options_.effort);
    json.add("seeds", options_.common.repeats).add("scale", options_.scale);
    json.add("threads", options_.common.threads).add("cpu", cpu_name()).add("compiler", __VERSION__);
    json.add("flags", TESSERA_BENCH_FLAGS).add("commit", TESSERA_BENCH_COMMIT);
    json.raw("rows", "[\n    " + rows_ + "\n  ]");
    std::ofstream out(options_.common.report);
    out << json.text() << '\n';
    out.flush();
    if (!out) throw Error(message("cannot write ", options_.common.report));
  }

 private:
  void print(const std::string& name, CsrView<> graph, const Goal& goal, double cut, const Timing& timing,
             const PartitionMetrics& metrics) {
    std::printf("%-10s %9zu %11zu %7zu %11.0f ", name.c_str(), graph.num_rows, graph.num_edges() / 2,
                goal.parts, cut);
    if (goal.metis_cut > 0) {
      std::printf("%11.0f %7.3f ", goal.metis_cut, cut / goal.metis_cut);
    } else {
      std::printf("%11s %7s ", "-", "-");
    }
    std::printf("%9.3f %8.4f %9.4f %6zu\n", timing.median, metrics.cut_fraction, metrics.imbalance,
                metrics.empty_parts);
    std::fflush(stdout);
    JsonObject row;
    row.add("graph", name).add("nodes", graph.num_rows).add("edges", graph.num_edges() / 2);
    row.add("parts", goal.parts).add("cut", cut).add("metis_cut", goal.metis_cut);
    row.add("seconds_median", timing.median).add("seconds_min", timing.fastest);
    row.add("seconds_max", timing.slowest).add("cut_fraction", metrics.cut_fraction);
    row.add("imbalance", metrics.imbalance).add("halo_fraction", metrics.halo_fraction);
    row.add("empty_parts", metrics.empty_parts);
    if (!rows_.empty()) rows_ += ",\n    ";
    rows_ += row.text();
  }

  Options options_;
  PartitionEffort effort_;
  std::string rows_;
};

void run_scaled(const Options& options, Table& table) {
  CommunityGraphOptions shape;
  shape.nodes = std::max<std::size_t>(2000, static_cast<std::size_t>(2'449'029 * options.scale));
  shape.classes = 47;
  shape.features = 1;
  shape.mean_degree = std::min(50.5, static_cast<double>(shape.nodes) / 100);
  shape.degree_sigma = 1.3;
  shape.shuffle_nodes = true;
  const Dataset data = generate_community_graph(shape);
  const auto parts = std::max<std::size_t>(8, static_cast<std::size_t>(15'000 * options.scale));
  table.run("amazon2m", data.graph, {{parts, 0}});
}

int run(const Options& options) {
  return with_threads(options.common.threads, [&] {
    Table table(options);
    const auto wanted = [&](const std::string& name) { return options.only.empty() || options.only == name; };
    if (wanted("grid")) table.run("grid", test::published_grid(), {{16, 3577}, {64, 8290}, {1024, 34542}});
    if (wanted("sbm")) table.run("sbm", test::published_sbm(), {{50, 214574}, {100, 213421}, {1000, 756005}});
    if (wanted("ba")) table.run("ba", test::published_ba(), {{16, 318209}, {64, 357100}, {512, 383601}});
    if (wanted("er")) table.run("er", test::published_er(), {{16, 561186}, {64, 623830}});
    if (wanted("rgg")) table.run("rgg", test::published_rgg(), {{16, 4231}, {64, 10226}, {1024, 49897}});
    if (wanted("rmat16")) {
      table.run("rmat16", test::published_rmat16(), {{16, 612233}, {64, 751172}, {512, 852971}});
    }
    if (wanted("amazon2m") && options.scale > 0) run_scaled(options, table);
    table.finish();
    return 0;
  });
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  tessera::bench::Options options;
  options.common.repeats = 1;
  CLI::App app{"Cuts and seconds of the multilevel partitioner"};
  options.common.add_to(app);
  app.add_option("--scale", options.scale, "Share of Amazon2M's nodes; 0 leaves the case out")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--only", options.only, "Run one graph")
      ->check(CLI::IsMember({"grid", "sbm", "ba", "er", "rgg", "rmat16", "amazon2m"}));
  app.add_option("--effort", options.effort, "How much refinement")
      ->check(CLI::IsMember({"fast", "standard", "high"}))
      ->capture_default_str();
  return tessera::bench::run_program(app, argc, argv, "bench_partition",
                                     [&] { return tessera::bench::run(options); });
}
