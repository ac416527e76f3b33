// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "support/json.hpp"
#include "support/machine.hpp"
#include "support/timing.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/version.hpp"

#if !defined(TESSERA_BENCH_FLAGS)
#define TESSERA_BENCH_FLAGS "unknown"
#endif
#if !defined(TESSERA_BENCH_COMMIT)
#define TESSERA_BENCH_COMMIT "unknown"
#endif

namespace tessera::bench {

/// The options every benchmark has.
struct CommonOptions {
  std::size_t threads = std::max(1u, std::thread::hardware_concurrency());
  std::size_t repeats = 7;
  std::string isa;
  std::string report;

  void add_to(CLI::App& app) {
    app.add_option("--threads", threads, "Threads of every case")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--repeats", repeats, "Timed rounds after one warm-up round")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--isa", isa, "Instruction set of our kernels")
        ->check(CLI::IsMember({"baseline", "avx2", "avx512"}));
    app.add_option("--report", report, "Write the results as JSON to this file");
  }

  Isa level() const { return isa.empty() ? active_isa() : tessera::detail::requested_isa(isa.c_str()); }
};

/// One line of results.
struct Row {
  std::string group;  ///< cases of one group were timed in turns
  std::string name;
  Timing timing;
  double bytes = 0;          ///< that must move at least
  double flops = 0;          ///< multiplications and additions
  double bound_seconds = 0;  ///< the least time the machine's bounds allow
  double ratio = 0;          ///< time of the peer / time of this case; 0 where there is no peer
  double checksum = 0;
};

/// Collects rows, prints them as a table on stdout and writes the JSON envelope.
class Report {
 public:
  Report(std::string program, const CommonOptions& common, const Machine& machine)
      : program_(std::move(program)), common_(common), machine_(machine) {
    std::printf("%s %s   %s   threads %zu   isa %s   commit %s\n", program_.c_str(), kVersion,
                cpu_name().c_str(), common_.threads, std::string(name(common_.level())).c_str(),
                TESSERA_BENCH_COMMIT);
    std::printf("measured bounds: stream read %.1f GB/s, gather %.1f GB/s, fp32 peak %.0f GFLOP/s\n\n",
                machine_.stream_read * 1e-9, machine_.gather_read * 1e-9, machine_.peak_flops * 1e-9);
  }

  /// Benchmark-specific facts, printed and put under "options".
  template <class V>
  void note(const std::string& key, const V& value) {
    options_.add(key, value);
  }

  void begin_group(const std::string& title, const char* peer) {
    std::printf("%s\n  %-26s %10s %7s %9s %9s %7s %9s\n", title.c_str(), "case", "median ms", "spread",
                "GB/s", "GFLOP/s", "of bound", peer);
  }

  void add(const Row& row) {
    const double t = row.timing.median;
    std::printf("  %-26s %10.3f %6.1f%% %9.1f %9.1f %7.1f%% ", row.name.c_str(), t * 1e3,
                row.timing.spread() * 100, row.bytes / t * 1e-9, row.flops / t * 1e-9,
                row.bound_seconds / t * 100);
    if (row.ratio > 0) {
      std::printf("%8.2fx\n", row.ratio);
    } else {
      std::printf("%9s\n", "-");
    }
    std::fflush(stdout);
    JsonObject json;
    json.add("group", row.group).add("case", row.name).add("seconds_median", t);
    json.add("seconds_min", row.timing.fastest).add("seconds_max", row.timing.slowest);
    json.add("spread", row.timing.spread()).add("bytes", row.bytes).add("flops", row.flops);
    json.add("bytes_per_second", row.bytes / t).add("flops_per_second", row.flops / t);
    json.add("bound_seconds", row.bound_seconds).add("fraction_of_bound", row.bound_seconds / t);
    if (row.ratio > 0) json.add("ratio", row.ratio);
    json.add("checksum", row.checksum);
    if (!rows_.empty()) rows_ += ",\n    ";
    rows_ += json.text();
  }

  /// Writes the file if one was asked for.
  ///
  /// Errors   Error if it cannot be written
  void finish() {
    if (common_.report.empty()) return;
    options_.add("repeats", common_.repeats);
    JsonObject bounds;
    bounds.add("stream_read", machine_.stream_read).add("gather_read", machine_.gather_read);
    bounds.add("peak_flops", machine_.peak_flops);
    JsonObject json;
    json.add("program", program_).add("version", kVersion).add("options", options_);
    json.add("threads", common_.threads).add("isa", name(common_.level())).add("cpu", cpu_name());
    json.add("compiler", __VERSION__).add("flags", TESSERA_BENCH_FLAGS).add("commit", TESSERA_BENCH_COMMIT);
    json.add("bounds", bounds).raw("rows", "[\n    " + rows_ + "\n  ]");
    std::ofstream out(common_.report);
    out << json.text() << '\n';
    out.flush();
    if (!out) throw Error(message("cannot write ", common_.report));
    std::printf("\nwrote %s\n", common_.report.c_str());
  }

 private:
  std::string program_;
  CommonOptions common_;
  Machine machine_;
  JsonObject options_;
  std::string rows_;
};

}  // namespace tessera::bench
