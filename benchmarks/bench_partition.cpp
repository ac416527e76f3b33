// SPDX-License-Identifier: MIT
// Cuts, seconds and memory of the partitioner next to METIS k-way, both in one run where METIS was found when this was
// built, and next to published figures.
//
//   bench_partition --data DATA --repeats 5                    every published row, mean over seeds 1 to 5
//   bench_partition --data DATA --repeats 5 --effort quality   the same with the quality preset
//   bench_partition --only amazon2m --scale 1 --repeats 1      2.4 million nodes (METIS needs 7 GB)
//   bench_partition --only reddit --scale 1 --scaling          1, 2, 3, ... threads, parts compared
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "support/json.hpp"
#include "support/machine.hpp"
#include "support/main.hpp"
#include "support/partition_cases.hpp"
#include "support/report.hpp"
#include "support/timing.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/metis_partitioner.hpp"
#include "tessera/partition/metrics.hpp"
#include "tessera/partition/multilevel.hpp"

namespace tessera::bench {
namespace {

struct Options {
  CommonOptions common;
  double scale = 0.02;
  std::string only, data;
  std::size_t parts = 0;
  std::string effort = "default";
  bool metis = true;
  bool scaling = false;
};

/// Linux' own count of this process' memory, in bytes; 0 elsewhere.
double memory(const char* key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key, 0) == 0) return std::strtod(line.c_str() + std::strlen(key) + 1, nullptr) * 1024;
  }
  return 0;
}

/// What one partitioner did on one row.
struct Result {
  double cut = 0;  ///< mean over seeds
  std::vector<double> seconds;
  double bytes = 0;  ///< most memory on top of the graph
  double volume = 0;
  double imbalance = 0;  ///< worst
  std::size_t empty_parts = 0;
  bool balanced = true;
};

template <class P>
Result measure(const P& partitioner, CsrView<> graph, PartitionOptions wanted, std::size_t seeds) {
  Result out;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    wanted.seed = seed;
    BufferPool::global().trim();
    malloc_trim(0);
    std::ofstream("/proc/self/clear_refs") << "5";  // resets the peak
    const double before = memory("VmRSS");
    Partition result;
    out.seconds.push_back(seconds_of([&] { result = partitioner.partition(graph, wanted); }));
    out.bytes = std::max(out.bytes, memory("VmHWM") - before);
    const PartitionMetrics m = partition_metrics(graph, result.part, wanted.parts);
    out.cut += static_cast<double>(m.cut) / static_cast<double>(seeds);
    out.volume += static_cast<double>(m.communication_volume) / static_cast<double>(seeds);
    out.imbalance = std::max(out.imbalance, m.imbalance);
    out.empty_parts = std::max(out.empty_parts, m.empty_parts);
    out.balanced = out.balanced && result.feasible();
  }
  return out;
}

class Table {
 public:
  explicit Table(const Options& options) : options_(options) {
    effort_ = options.effort == "fast"      ? PartitionEffort::fast
              : options.effort == "quality" ? PartitionEffort::high
                                            : PartitionEffort::standard;
    std::printf("bench_partition %s   %s   threads %zu   preset %s   seeds %zu   commit %s\n\n", kVersion,
                cpu_name().c_str(), options.common.threads, options.effort.c_str(), options.common.repeats,
                TESSERA_BENCH_COMMIT);
    std::printf("%-13s %8s %9s %6s | %10s %9s %7s %6s %5s | %10s %9s %7s | %6s %6s %6s | %6s %6s\n", "graph",
                "nodes", "edges", "parts", "cut", "seconds", "MB", "balanc", "empty", "METIS cut", "seconds",
                "MB", "cut/", "speed", "MB/", "cut/KM", "s/2KM");
  }

  void run(const PartitionCase& c) {
    const test::PartitionGraph graph = c.make();
    for (const PartitionGoal& goal : c.goals) {
      if (options_.parts != 0 && options_.parts != goal.parts) continue;
      if (options_.scaling) {
        scale(c.name, graph, goal);
        continue;
      }
      const PartitionOptions wanted{.parts = goal.parts, .effort = effort_};
      const Result ours = measure(MultilevelPartitioner(), graph, wanted, options_.common.repeats);
      Result metis;
#if defined(TESSERA_HAS_METIS)
      if (options_.metis) metis = measure(MetisPartitioner(), graph, wanted, options_.common.repeats);
#endif
      if (metis.seconds.empty()) metis.cut = goal.metis_cut;
      print(c.name, graph, goal, ours, metis);
    }
  }

  /// Errors   Error if the report cannot be written
  void finish() const {
    if (rows_with_metis_ > 0) {
      std::printf("\ngeometric mean of cut / METIS over %d rows: %.4f", rows_with_metis_,
                  std::exp(log_metis_ / rows_with_metis_));
    }
    if (rows_with_kaminpar_ > 0) {
      std::printf("   of cut / KaMinPar LP+FM over %d rows: %.4f", rows_with_kaminpar_,
                  std::exp(log_kaminpar_ / rows_with_kaminpar_));
    }
    std::printf("\nrows above METIS: %d   rows out of balance: %d\n", above_, unbalanced_);
    if (options_.common.report.empty()) return;
    JsonObject json;
    json.add("program", "bench_partition").add("version", kVersion).add("preset", options_.effort);
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
  void print(const std::string& name, CsrView<> graph, const PartitionGoal& goal, const Result& ours,
             const Result& metis) {
    const double seconds = summarize(ours.seconds).median, metis_seconds = summarize(metis.seconds).median;
    const double known = effort_ == PartitionEffort::high ? goal.kaminpar_fm_seconds : goal.kaminpar_seconds;
    const double ratio = metis.cut > 0 ? ours.cut / metis.cut : 0;
    const double kaminpar = goal.kaminpar_cut > 0 ? ours.cut / goal.kaminpar_cut : 0;
    std::printf(
        "%-13s %8zu %9zu %6zu | %10.0f %9.3f %7.0f %6.3f %5zu | %10.0f %9.3f %7.0f | %6.3f %6.2f %6.2f | "
        "%6.3f %6.2f%s\n",
        name.c_str(), graph.num_rows, graph.num_edges() / 2, goal.parts, ours.cut, seconds, ours.bytes / 1e6,
        ours.imbalance, ours.empty_parts, metis.cut, metis_seconds, metis.bytes / 1e6, ratio,
        metis_seconds / seconds, metis.bytes > 0 ? ours.bytes / metis.bytes : 0, kaminpar,
        known > 0 ? seconds / (2 * known) : 0, ours.balanced ? "" : "  OUT OF BALANCE");
    std::fflush(stdout);
    if (ratio > 0) {
      log_metis_ += std::log(ratio);
      ++rows_with_metis_;
      above_ += ratio > 1 ? 1 : 0;
    }
    if (kaminpar > 0) {
      log_kaminpar_ += std::log(kaminpar);
      ++rows_with_kaminpar_;
    }
    unbalanced_ += ours.balanced ? 0 : 1;
    JsonObject row;
    row.add("graph", name).add("nodes", graph.num_rows).add("edges", graph.num_edges() / 2);
    row.add("parts", goal.parts)
        .add("cut", ours.cut)
        .add("seconds_median", seconds)
        .add("peak_bytes", ours.bytes);
    row.add("imbalance", ours.imbalance).add("empty_parts", ours.empty_parts).add("volume", ours.volume);
    row.add("metis_cut", metis.cut).add("metis_seconds", metis_seconds).add("metis_peak_bytes", metis.bytes);
    row.add("metis_volume", metis.volume).add("metis_empty_parts", metis.empty_parts);
    row.add("published_metis_cut", goal.metis_cut).add("published_kaminpar_cut", goal.kaminpar_cut);
    if (!rows_.empty()) rows_ += ",\n    ";
    rows_ += row.text();
  }

  // Strong scaling; every thread count must give the same parts.
  void scale(const std::string& name, CsrView<> graph, const PartitionGoal& goal) {
    Partition first;
    double one = 0;
    for (std::size_t threads = 1; threads <= options_.common.threads; ++threads) {
      with_threads(threads, [&] {
        Partition result;
        std::vector<double> seconds;
        for (std::size_t r = 0; r < options_.common.repeats; ++r) {
          seconds.push_back(seconds_of(
              [&] { result = partition(graph, {.parts = goal.parts, .seed = 1, .effort = effort_}); }));
        }
        const double best = summarize(seconds).fastest;
        if (threads == 1) {
          one = best;
          first = std::move(result);
        } else if (!std::equal(first.part.begin(), first.part.end(), result.part.begin())) {
          throw Error(message("the parts at ", threads, " threads differ from those at one"));
        }
        std::printf("%-13s parts %6zu  threads %zu  %9.3f s  speed-up %.2f  same parts\n", name.c_str(),
                    goal.parts, threads, best, one / best);
        std::fflush(stdout);
      });
    }
  }

  Options options_;
  PartitionEffort effort_;
  std::string rows_;
  double log_metis_ = 0, log_kaminpar_ = 0;
  int rows_with_metis_ = 0, rows_with_kaminpar_ = 0, above_ = 0, unbalanced_ = 0;
};

int run(const Options& options) {
  return with_threads(options.common.threads, [&] {
    Table table(options);
    bool any = false;
    for (const PartitionCase& c : partition_cases(options.data, options.scale)) {
      if (!options.only.empty() && options.only != c.name) continue;
      any = true;
      table.run(c);
    }
    if (!any) throw ConfigError(message("no graph is called ", options.only, "; real ones need --data"));
    table.finish();
    return 0;
  });
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  tessera::bench::Options options;
  options.common.repeats = 1;
  CLI::App app{"Cuts, seconds and memory of the multilevel partitioner next to METIS"};
  options.common.add_to(app);
  app.add_option("--data", options.data, "Folder of the real data sets; without it they are left out");
  app.add_option("--scale", options.scale, "Size of the stand-ins; 0 leaves them out")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--only", options.only, "Run one graph");
  app.add_option("--parts", options.parts, "Run one number of parts");
  app.add_option("--effort", options.effort, "Preset")
      ->check(CLI::IsMember({"fast", "default", "quality"}))
      ->capture_default_str();
  app.add_flag("--metis,!--no-metis", options.metis, "Measure METIS as well");
  app.add_flag("--scaling", options.scaling, "Strong scaling from 1 to --threads instead");
  return tessera::bench::run_program(app, argc, argv, "bench_partition",
                                     [&] { return tessera::bench::run(options); });
}
