// SPDX-License-Identifier: MIT
// Cuts, seconds and memory of the partitioner next to METIS k-way, both in one run where METIS was found when this was
// built, and next to published figures. Ends with every target beside what was measured.
//
//   bench_partition --data DATA --repeats 5 --scale 0          every published row, seeds 1 to 5
//   bench_partition --data DATA --repeats 5 --effort quality   the same with the quality preset, and small stand-ins
//   bench_partition --data DATA --presets --threads 1          the three presets side by side
//   bench_partition --only amazon2m --scale 1 --repeats 1      2.4 million nodes (METIS needs 7 GB)
//   bench_partition --only reddit --scale 1 --scaling          1, 2, 3, ... threads, parts compared
//   bench_partition --only reddit --scale 1 --phases           where the time goes
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
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
#include "tessera/partition/detail/phases.hpp"
#include "tessera/partition/levels.hpp"
#include "tessera/partition/metis_partitioner.hpp"
#include "tessera/partition/metrics.hpp"
#include "tessera/partition/multilevel.hpp"
#include "tessera/partition/preprocess.hpp"

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
  bool phases = false;
  bool presets = false;
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

  double median() const { return summarize(seconds).median; }
};

/// Runs one seed and adds it to `out`.
template <class P>
Partition measure(const P& partitioner, CsrView<> graph, const PartitionOptions& wanted, std::size_t seeds,
                  Result& out) {
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
  return result;
}

/// Errors   Error if the parts differ
void require_same(const Partition& a, const Partition& b, std::size_t threads) {
  if (!std::equal(a.part.begin(), a.part.end(), b.part.begin(), b.part.end())) {
    throw Error(message("the parts at ", threads, " threads differ from those at one"));
  }
}

/// The worst and the mean of one figure over rows.
struct Figure {
  double most = 0, least = std::numeric_limits<double>::infinity(), log_sum = 0;
  int rows = 0, above_one = 0;

  void add(double value) {
    if (!(value > 0)) return;
    most = std::max(most, value);
    least = std::min(least, value);
    log_sum += std::log(value);
    above_one += value > 1 ? 1 : 0;
    ++rows;
  }
  double mean() const { return rows == 0 ? 0 : std::exp(log_sum / rows); }
};

class Table {
 public:
  explicit Table(const Options& options) : options_(options) {
    effort_ = options.effort == "fast"      ? PartitionEffort::fast
              : options.effort == "quality" ? PartitionEffort::high
                                            : PartitionEffort::standard;
    std::printf("bench_partition %s   %s   threads %zu   preset %s   seeds %zu   commit %s\n\n", kVersion,
                cpu_name().c_str(), options.common.threads, options.effort.c_str(), options.common.repeats,
                TESSERA_BENCH_COMMIT);
    if (options.scaling || options.phases) return;
    if (options.presets) {
      std::printf("%-13s %6s | %9s %8s |", "graph", "parts", "METIS cut", "seconds");
      for (const Preset& p : presets_) std::printf(" %7s cut/M %8s s |", p.name, "");
      std::printf("\n");
      return;
    }
    std::printf("%-13s %8s %9s %6s | %9s %6s %5s %8s %8s %6s | %9s %8s %6s | %6s %6s %6s %6s | %6s %6s\n",
                "graph", "nodes", "edges", "parts", "cut", "balanc", "empty", "s at 1", "s at all", "MB",
                "METIS cut", "seconds", "MB", "cut/M", "M/s 1", "M/s a", "MB/M", "cut/KM", "s/2KM");
  }

  void run(const PartitionCase& c) {
    const test::PartitionGraph graph = c.make();
    for (const PartitionGoal& goal : c.goals) {
      if (options_.parts != 0 && options_.parts != goal.parts) continue;
      if (options_.scaling) {
        scale(c.name, graph, goal);
      } else if (options_.phases) {
        phases(c.name, graph, goal);
      } else if (options_.presets) {
        presets(c.name, graph, goal);
      } else {
        compare(c.name, graph, goal);
      }
    }
  }

  /// Errors   Error if the report cannot be written
  void finish() const {
    if (options_.scaling || options_.phases) return;
    if (options_.presets) return finish_presets();
    const std::size_t threads = options_.common.threads;
    std::printf("\n%-72s %9s   %s\n", "target", "measured", "wanted");
    const auto line = [](const std::string& what, double value, const std::string& wanted) {
      std::printf("%-72s %9.3f   %s\n", what.c_str(), value, wanted.c_str());
    };
    line(message("rows of ", to_metis_.rows, " with a mean cut above METIS"), to_metis_.above_one, "0");
    line("geometric mean of cut / METIS", to_metis_.mean(), "<= 0.95");
    line(message("geometric mean of cut / KaMinPar LP+FM, ", to_kaminpar_.rows, " rows"), to_kaminpar_.mean(),
         "<= 1");
    line("rows out of balance", unbalanced_, "0");
    if (speed_.rows > 0) {
      line("METIS' seconds / ours at one thread, slowest row", speed_.least, ">= 1");
      line("  the same, geometric mean", speed_.mean(), "");
    }
    if (big_speed_.rows > 0) {
      line(message("METIS' seconds / ours at ", threads, " threads, slowest stand-in"), big_speed_.least,
           message(">= ", 2 * threads));
      line("peak memory / METIS', worst stand-in", big_memory_.most, "<= 0.5");
    }
    line(message("rows of ", to_time_.rows, " slower than twice KaMinPar, at ", threads, " threads"),
         to_time_.above_one, "0");
    line("  seconds / twice KaMinPar's, geometric mean", to_time_.mean(), "<= 1");
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
  void compare(const std::string& name, CsrView<> graph, const PartitionGoal& goal) {
    const std::size_t seeds = options_.common.repeats;
    Result ours, one, metis;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      const PartitionOptions wanted{.parts = goal.parts, .seed = seed, .effort = effort_};
#if defined(TESSERA_HAS_METIS)
      if (options_.metis) measure(MetisPartitioner(), graph, wanted, seeds, metis);
#endif
      const Partition all = measure(MultilevelPartitioner(), graph, wanted, seeds, ours);
      if (options_.common.threads == 1) continue;
      const Partition single =
          with_threads(1, [&] { return measure(MultilevelPartitioner(), graph, wanted, seeds, one); });
      require_same(single, all, options_.common.threads);
    }
    if (one.seconds.empty()) one.seconds = ours.seconds;
    if (metis.seconds.empty()) metis.cut = goal.metis_cut;
    print(name, graph, goal, ours, one.median(), metis);
  }

  void print(const std::string& name, CsrView<> graph, const PartitionGoal& goal, const Result& ours,
             double one, const Result& metis) {
    const double seconds = ours.median(), metis_seconds = metis.median();
    const double known = effort_ == PartitionEffort::high ? goal.kaminpar_fm_seconds : goal.kaminpar_seconds;
    const double ratio = metis.cut > 0 ? ours.cut / metis.cut : 0;
    const double kaminpar = goal.kaminpar_cut > 0 ? ours.cut / goal.kaminpar_cut : 0;
    const double memory_ratio = metis.bytes > 0 ? ours.bytes / metis.bytes : 0;
    const double time_ratio = known > 0 ? seconds / (2 * known) : 0;
    std::printf(
        "%-13s %8zu %9zu %6zu | %9.0f %6.3f %5zu %8.3f %8.3f %6.0f | %9.0f %8.3f %6.0f | %6.3f %6.2f %6.2f "
        "%6.2f | %6.3f %6.2f%s\n",
        name.c_str(), graph.num_rows, graph.num_edges() / 2, goal.parts, ours.cut, ours.imbalance,
        ours.empty_parts, one, seconds, ours.bytes / 1e6, metis.cut, metis_seconds, metis.bytes / 1e6, ratio,
        metis_seconds / one, metis_seconds / seconds, memory_ratio, kaminpar, time_ratio,
        ours.balanced ? "" : "  OUT OF BALANCE");
    std::fflush(stdout);
    to_metis_.add(ratio);
    to_kaminpar_.add(kaminpar);
    to_time_.add(time_ratio);
    speed_.add(metis_seconds / one);
    if (graph.num_edges() > kBigEntries) {
      big_speed_.add(metis_seconds / seconds);
      big_memory_.add(memory_ratio);
    }
    unbalanced_ += ours.balanced ? 0 : 1;
    JsonObject row;
    row.add("graph", name).add("nodes", graph.num_rows).add("edges", graph.num_edges() / 2);
    row.add("parts", goal.parts)
        .add("cut", ours.cut)
        .add("seconds_median", seconds)
        .add("seconds_median_one_thread", one)
        .add("peak_bytes", ours.bytes);
    row.add("imbalance", ours.imbalance).add("empty_parts", ours.empty_parts).add("volume", ours.volume);
    row.add("metis_cut", metis.cut).add("metis_seconds", metis_seconds).add("metis_peak_bytes", metis.bytes);
    row.add("metis_volume", metis.volume).add("metis_empty_parts", metis.empty_parts);
    row.add("published_metis_cut", goal.metis_cut).add("published_kaminpar_cut", goal.kaminpar_cut);
    if (!rows_.empty()) rows_ += ",\n    ";
    rows_ += row.text();
  }

  // All presets on one row.
  void presets(const std::string& name, CsrView<> graph, const PartitionGoal& goal) {
    const std::size_t seeds = options_.common.repeats;
    Result metis;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
#if defined(TESSERA_HAS_METIS)
      measure(MetisPartitioner(), graph, {.parts = goal.parts, .seed = seed}, seeds, metis);
#endif
    }
    if (metis.seconds.empty()) metis.cut = goal.metis_cut;
    std::printf("%-13s %6zu | %9.0f %8.3f |", name.c_str(), goal.parts, metis.cut, metis.median());
    for (Preset& preset : presets_) {
      Result ours;
      for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        measure(MultilevelPartitioner(), graph, {.parts = goal.parts, .seed = seed, .effort = preset.effort},
                seeds, ours);
      }
      const double ratio = metis.cut > 0 ? ours.cut / metis.cut : 0;
      std::printf(" %13.3f %10.3f |", ratio, ours.median());
      preset.to_metis.add(ratio);
      preset.speed.add(metis.median() / ours.median());
      if (goal.kaminpar_cut > 0) preset.to_kaminpar.add(ours.cut / goal.kaminpar_cut);
      unbalanced_ += ours.balanced ? 0 : 1;
    }
    std::printf("\n");
    std::fflush(stdout);
  }

  void finish_presets() const {
    std::printf("\n%-9s %14s %12s %16s %22s %10s\n", "preset", "rows > METIS", "cut / METIS",
                "cut / KaMinPar", "METIS' seconds / ours", "slowest");
    for (const Preset& p : presets_) {
      std::printf("%-9s %7d of %3d %12.3f %16.3f %22.2f %10.2f\n", p.name, p.to_metis.above_one,
                  p.to_metis.rows, p.to_metis.mean(), p.to_kaminpar.mean(), p.speed.mean(),
                  p.speed.rows == 0 ? 0 : p.speed.least);
    }
    std::printf("rows out of balance, all presets: %d\n", unbalanced_);
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
        } else {
          require_same(first, result, threads);
        }
        std::printf("%-13s parts %6zu  threads %zu  %9.3f s  speed-up %.2f  same parts\n", name.c_str(),
                    goal.parts, threads, best, one / best);
        std::fflush(stdout);
      });
    }
  }

  // Seconds of every step of one run.
  void phases(const std::string& name, CsrView<> graph, const PartitionGoal& goal) {
    using namespace tessera::detail::multilevel;
    const PartitionOptions wanted{.parts = goal.parts, .seed = 1, .effort = effort_};
    Prepared prepared;
    const double preparing = seconds_of([&] { prepared = prepare(graph, wanted); });
    Plan plan = plan_for(effort_, prepared.graph.col.size());
    PhaseSeconds phases;
    plan.phases = &phases;
    const auto nodes = static_cast<Weight>(graph.num_rows);
    const Weight limit = part_weight_limit(nodes, 1, goal.parts, wanted.imbalance);
    const double all =
        seconds_of([&] { best_partition(prepared.graph, goal.parts, limit, plan, wanted.seed); });
    std::printf("%-13s parts %6zu  prepare %.3f", name.c_str(), goal.parts, preparing);
    for (std::size_t p = 0; p < kPhaseNames.size(); ++p) {
      std::printf("  %s %.3f", kPhaseNames[p], phases.seconds[p]);
    }
    std::printf("  all %.3f s  %.1f M edges/s\n", preparing + all,
                static_cast<double>(graph.num_edges()) / 2e6 / (preparing + all));
    std::fflush(stdout);
  }

  static constexpr std::size_t kBigEntries = 1 << 21;  // stored edges of a stand-in worth its name

  struct Preset {
    const char* name;
    PartitionEffort effort;
    Figure to_metis{}, to_kaminpar{}, speed{};
  };

  Options options_;
  PartitionEffort effort_;
  std::array<Preset, 3> presets_{{{"fast", PartitionEffort::fast},
                                  {"default", PartitionEffort::standard},
                                  {"quality", PartitionEffort::high}}};
  std::string rows_;
  Figure to_metis_, to_kaminpar_, to_time_, speed_, big_speed_, big_memory_;
  int unbalanced_ = 0;
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
  app.add_flag("--phases", options.phases, "Seconds of every step instead");
  app.add_flag("--presets", options.presets, "The fast, default and quality presets side by side instead");
  return tessera::bench::run_program(app, argc, argv, "bench_partition",
                                     [&] { return tessera::bench::run(options); });
}
