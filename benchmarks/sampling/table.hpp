// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "support/json.hpp"
#include "support/machine.hpp"
#include "support/report.hpp"
#include "support/timing.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/dataset.hpp"

namespace tessera::bench {

struct SamplingOptions {
  CommonOptions common;
  double scale = 0.02;
  std::string only;      ///< shapes whose name contains this
  std::string rows;      ///< cases whose name contains this
  double coverage = 50;  ///< of SAINT's normalisation
  bool epochs = false;   ///< time training epochs too
};

/// A graph to sample from and what it is called.
struct SamplingShape {
  std::string name;
  double scale = 1;
  const Dataset* data = nullptr;
  Array<NodeId> targets;  ///< the training nodes

  /// A published size, made smaller with the graph.
  std::size_t scaled(std::size_t size) const {
    return std::max<std::size_t>(1, static_cast<std::size_t>(static_cast<double>(size) * scale));
  }
};

/// What is timed: run(key) does one batch and returns how many edges it handled.
struct SamplingCase {
  std::string name;
  std::size_t batches = 1;  ///< per timed round
  std::function<std::uint64_t(std::uint64_t key)> run;
};

/// Times cases on one thread and on all, in turns, and collects rows.
class SamplingTable {
 public:
  explicit SamplingTable(const SamplingOptions& options) : options_(options) {
    std::printf("bench_sampling %s   %s   threads %zu   scale %g   commit %s\n", kVersion, cpu_name().c_str(),
                options.common.threads, options.scale, TESSERA_BENCH_COMMIT);
  }

  const SamplingOptions& options() const { return options_; }

  void begin_shape(const SamplingShape& shape) {
    group_ = shape.name;
    std::printf("\n%s: %zu nodes, %zu entries, %zu training nodes\n  %-34s %9s %9s %9s %9s %9s %7s %7s\n",
                shape.name.c_str(), shape.data->num_nodes(), shape.data->graph.num_edges(),
                shape.targets.size(), "case", "edges", "ms, 1 thr", "M/s 1 thr", "M/cpu s", "M/s all",
                "speedup", "spread");
  }

  bool wanted(const std::string& name) const {
    return options_.rows.empty() || name.find(options_.rows) != std::string::npos;
  }

  void add(const SamplingCase& c) {
    if (!wanted(c.name)) return;
    std::uint64_t edges = 0;
    double processor = 0;  // seconds of the last round
    const auto round = [&](std::size_t threads) {
      return with_threads(threads, [&] {
        edges = 0;
        const std::clock_t began = std::clock();
        const double seconds = seconds_of([&] {
          for (std::size_t b = 0; b < c.batches; ++b) edges += c.run(b);
        });
        processor = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
        return seconds;
      });
    };
    round(options_.common.threads);  // warms up
    std::vector<double> one;
    std::vector<double> own;  // processor time: what one thread takes even where others crowd it
    std::vector<double> all;
    for (std::size_t r = 0; r < options_.common.repeats; ++r) {
      one.push_back(round(1));
      own.push_back(processor);
      all.push_back(round(options_.common.threads));
    }
    const Timing t1 = summarize(std::move(one));
    const Timing cpu = summarize(std::move(own));
    const Timing tn = summarize(std::move(all));
    const auto n = static_cast<double>(edges);
    std::printf("  %-34s %9.0f %9.3f %9.2f %9.2f %9.2f %6.2fx %6.1f%%\n", c.name.c_str(),
                n / static_cast<double>(c.batches), t1.median / static_cast<double>(c.batches) * 1e3,
                n / t1.median * 1e-6, n / cpu.median * 1e-6, n / tn.median * 1e-6, t1.median / tn.median,
                tn.spread() * 100);
    std::fflush(stdout);
    JsonObject row = json_row(c.name);
    row.add("batches", c.batches).add("edges", edges).add("seconds_one_thread", t1.median);
    row.add("seconds_min_one_thread", t1.fastest).add("seconds_all_threads", tn.median);
    row.add("seconds_min_all_threads", tn.fastest).add("edges_per_second_one_thread", n / t1.median);
    row.add("edges_per_processor_second", n / cpu.median);
    row.add("edges_per_second_all_threads", n / tn.median).add("speedup", t1.median / tn.median);
    keep(row);
  }

  /// A row that is told in a sentence of its own; `fill` adds the figures.
  template <class F>
  void add_figures(const std::string& name, const std::string& sentence, F&& fill) {
    std::printf("  %-34s %s\n", name.c_str(), sentence.c_str());
    std::fflush(stdout);
    JsonObject row = json_row(name);
    fill(row);
    keep(row);
  }

  /// Errors   Error if the report cannot be written
  void finish() const {
    if (options_.common.report.empty()) return;
    JsonObject json;
    json.add("program", "bench_sampling").add("version", kVersion).add("scale", options_.scale);
    json.add("repeats", options_.common.repeats).add("threads", options_.common.threads);
    json.add("cpu", cpu_name()).add("compiler", __VERSION__).add("flags", TESSERA_BENCH_FLAGS);
    json.add("commit", TESSERA_BENCH_COMMIT).raw("rows", "[\n    " + rows_ + "\n  ]");
    std::ofstream out(options_.common.report);
    out << json.text() << '\n';
    out.flush();
    if (!out) throw Error(message("cannot write ", options_.common.report));
  }

 private:
  JsonObject json_row(const std::string& name) const {
    JsonObject row;
    row.add("group", group_).add("case", name);
    return row;
  }
  void keep(const JsonObject& row) {
    if (!rows_.empty()) rows_ += ",\n    ";
    rows_ += row.text();
  }

  SamplingOptions options_;
  std::string group_;
  std::string rows_;
};

}  // namespace tessera::bench
