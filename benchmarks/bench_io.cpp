// SPDX-License-Identifier: MIT
//
// Throughput of readers, writers, the container and the generator on files of Amazon2M's shape, in one command:
//
//     bench_io                     full size: about 6 GB of files under the temporary folder, 4 GB of memory
//     bench_io --scale 0.1         a tenth
//     bench_io --peers             also Python's json and networkx path, and simdjson's DOM where it was found
//
// Each measurement runs in a process of its own, so that memory is what it alone takes.

#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "support/json.hpp"
#include "support/main.hpp"
#include "support/timing.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/core/version.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/graph/stand_ins.hpp"
#include "tessera/io/container_write.hpp"
#include "tessera/io/export.hpp"
#include "tessera/io/graphsage.hpp"
#include "tessera/io/load.hpp"
#include "tessera/io/mapped_dataset.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/train/system_info.hpp"

namespace {

namespace fs = std::filesystem;
namespace io = tessera::io;
using tessera::Dataset;

struct Options {
  double scale = 1;
  std::size_t threads = tessera::max_threads();
  std::size_t repeats = 3;
  std::string folder;
  std::string report;
  std::string measure;
  std::string python = "python3";
  bool peers = false;
};

/// What one process found.
struct Measured {
  double seconds = 0;
  double bytes = 0;   ///< of text or file that went through
  double memory = 0;  ///< peak, above what the process held before
  double checksum = 0;
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Files {
  fs::path folder;
  fs::path sage() const { return folder / "sage"; }
  fs::path json() const { return sage() / "x-G.json"; }
  fs::path ogb() const { return folder / "ogb"; }
  fs::path container() const { return folder / "x.tessera"; }
};

double size_of(const fs::path& path) { return static_cast<double>(fs::file_size(path)); }

/// Decompressed bytes of the gzip files under a folder: the last four bytes of each say so below 4 GB.
double text_bytes(const fs::path& folder) {
  double sum = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    if (entry.path().extension() != ".gz") {
      sum += size_of(entry.path());
      continue;
    }
    std::ifstream in(entry.path(), std::ios::binary);
    in.seekg(-4, std::ios::end);
    std::uint32_t size = 0;
    in.read(reinterpret_cast<char*>(&size), 4);
    sum += static_cast<double>(size);
  }
  return sum;
}

Dataset generate(double scale) {
  return tessera::generate_stand_in(tessera::StandIn::amazon2m, {.scale = scale, .seed = 1});
}

double checksum_of(const tessera::CsrView<>& graph) {
  return static_cast<double>(graph.num_edges()) +
         static_cast<double>(graph.col.empty() ? 0 : graph.col.back());
}

Measured measure_here(const std::string& what, const Files& files, double scale) {
  Measured out;
  if (what == "read-json") {
    const io::IdMap ids = io::read_id_map(files.sage() / "x-id_map.json");
    Dataset data;
    tessera::BufferPool::global().trim();
    const double before = static_cast<double>(tessera::peak_rss_bytes());
    const double start = now();
    const io::ReadOptions options;
    io::detail::GraphSageAssembler(ids, options, io::Place(files.json()), io::Place(files.json()), data)
        .assemble(files.json());
    out.seconds = now() - start;
    out.memory = static_cast<double>(tessera::peak_rss_bytes()) - before;
    out.bytes = size_of(files.json());
    out.checksum = checksum_of(data.graph);
    return out;
  }
  if (what == "open") {
    const double start = now();
    const io::MappedDataset mapped(files.container(), {.verify = io::Verify::header});
    out.seconds = now() - start;
    out.bytes = size_of(files.container());
    out.checksum = checksum_of(mapped.graph.view());
    return out;
  }
  if (what == "first-batch" || what == "first-batch-copied") {
    const double start = now();
    std::optional<io::MappedDataset> mapped;
    Dataset copy;
    tessera::DatasetView data;
    if (what == "first-batch") {
      mapped.emplace(files.container(), io::MappedDataset::Options{.verify = io::Verify::header});
      data = *mapped;
    } else {
      copy = io::read_container(files.container(), {.verify = io::Verify::header});
      data = copy;
    }
    const tessera::Array<tessera::NodeId> train = data.nodes(tessera::Role::train);
    const tessera::NeighborSampler sampler({.fanouts = {10, 10}, .batches = {.batch_size = 1024}});
    tessera::NeighborSampler::Workspace workspace;
    tessera::MiniBatch batch;
    sampler.sample({data.graph.matrix, data.graph.symmetric, train}, {}, {1, 0, 0}, workspace, batch);
    tessera::Tensor<float> rows(batch.node_id.size(), data.num_features());
    tessera::gather_rows(data.features, batch.node_id.span(), rows.view());
    out.seconds = now() - start;
    out.bytes = 4 * static_cast<double>(rows.size());
    out.memory = static_cast<double>(tessera::peak_rss_bytes());
    out.checksum = static_cast<double>(rows(rows.rows() - 1, 0));
    return out;
  }
  if (what == "verify") {
    const io::MappedDataset mapped(files.container(), {.verify = io::Verify::header});
    mapped.prefault();
    const double start = now();
    mapped.verify_checksums();
    mapped.verify_structure();
    out.seconds = now() - start;
    out.bytes = size_of(files.container());
    out.checksum = checksum_of(mapped.graph.view());
    return out;
  }
  if (what == "read-sage" || what == "read-ogb") {
    const fs::path folder = what == "read-sage" ? files.sage() : files.ogb();
    const double start = now();
    const Dataset data = io::load(folder);
    out.seconds = now() - start;
    out.bytes = text_bytes(folder);
    out.memory = static_cast<double>(tessera::peak_rss_bytes());
    out.checksum = checksum_of(data.graph);
    return out;
  }
  const double start = now();
  const Dataset data = generate(scale);
  out.seconds = now() - start;
  if (what != "generate") {
    const double written = now();
    if (what == "write-sage") io::write_graphsage(files.sage(), "x", data, tessera::Role::train);
    if (what == "write-ogb") io::write_ogb(files.ogb(), data);
    if (what == "write-container") io::write_container(files.container(), data, data.provenance);
    if (what == "generate-sage") {
      io::write_graphsage(files.sage(), "x", data, tessera::Role::train);
    } else {
      out.seconds = now() - written;
    }
    out.bytes = what == "write-ogb"         ? text_bytes(files.ogb())
                : what == "write-container" ? size_of(files.container())
                                            : text_bytes(files.sage());
  }
  out.memory = static_cast<double>(tessera::peak_rss_bytes());
  out.checksum = checksum_of(data.graph.view());
  return out;
}

/// The same in a new process, which prints its figures.
Measured measure(const std::string& program, const std::string& what, const Options& o, std::size_t threads) {
  const std::string command = tessera::message("\"", program, "\" --measure ", what, " --threads ", threads,
                                               " --scale ", o.scale, " --folder \"", o.folder, "\"");
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  Measured out;
  const bool good = pipe != nullptr && std::fscanf(pipe, "%lf %lf %lf %lf", &out.seconds, &out.bytes,
                                                   &out.memory, &out.checksum) == 4;
  if (pipe == nullptr || ::pclose(pipe) != 0 || !good)
    throw tessera::Error(tessera::message("the measurement of ", what, " failed"));
  return out;
}

int run(const std::string& program, Options o) {
  const bool own_folder = o.folder.empty();
  if (own_folder)
    o.folder = (fs::temp_directory_path() /
                tessera::message("tessera-bench-io-", static_cast<std::int64_t>(::getpid())))
                   .string();
  fs::create_directories(o.folder);
  const Files files{o.folder};
  if (!o.measure.empty()) {
    const Measured m =
        tessera::with_threads(o.threads, [&] { return measure_here(o.measure, files, o.scale); });
    std::printf("%.9g %.17g %.17g %.17g\n", m.seconds, m.bytes, m.memory, m.checksum);
    return 0;
  }
  std::printf("bench_io %s   scale %g of Amazon2M   threads %zu   isa %s   commit %s\n\n", tessera::kVersion,
              o.scale, o.threads, std::string(tessera::name(tessera::active_isa())).c_str(),
              TESSERA_BENCH_COMMIT);
  std::printf("  %-34s %10s %10s %10s %12s\n", "case", "seconds", "MB", "MB/s", "memory MB");
  std::string rows;
  const auto show = [&](const std::string& name, const std::vector<Measured>& all) {
    std::vector<double> seconds;
    double memory = 0;
    for (const Measured& m : all) {
      seconds.push_back(m.seconds);
      memory = std::max(memory, m.memory);
    }
    const tessera::bench::Timing t = tessera::bench::summarize(seconds);
    const double bytes = all.front().bytes;
    std::printf("  %-34s %10.4g %10.1f %10.1f %12.1f\n", name.c_str(), t.median, bytes / 1e6,
                bytes / t.median / 1e6, memory / 1e6);
    std::fflush(stdout);
    tessera::bench::JsonObject json;
    json.add("case", name).add("seconds_median", t.median).add("seconds_min", t.fastest);
    json.add("seconds_max", t.slowest).add("bytes", bytes).add("bytes_per_second", bytes / t.median);
    json.add("memory_bytes", memory).add("checksum", all.front().checksum);
    rows += (rows.empty() ? "\n    " : ",\n    ") + json.text();
    return t.median;
  };
  const auto repeated = [&](const std::string& what, std::size_t threads, std::size_t times) {
    std::vector<Measured> all;
    for (std::size_t k = 0; k < times; ++k) all.push_back(measure(program, what, o, threads));
    return all;
  };
  try {
    show("generate", repeated("generate", o.threads, 1));
    show("generate and write GraphSAGE", repeated("generate-sage", o.threads, 1));
    // One core and all in turns: what slows the machine slows both.
    std::vector<Measured> one, all;
    for (std::size_t k = 0; k < o.repeats; ++k) {
      one.push_back(measure(program, "read-json", o, 1));
      all.push_back(measure(program, "read-json", o, o.threads));
    }
    if (one.front().checksum != all.front().checksum)
      throw tessera::Error("one core reads another graph than all");
    const double slow = show("G.json to CSR, 1 core", one);
    const double fast = show(tessera::message("G.json to CSR, ", o.threads, " cores"), all);
    const double csr = 8 * (2'449'029.0 * o.scale + 1) + 4 * (123'718'280.0 * o.scale);
    std::printf("    %.2fx with %zu cores; beyond the CSR itself (%.1f MB): %.1f MB\n", slow / fast,
                o.threads, csr / 1e6, (all.front().memory - csr) / 1e6);
    show("GraphSAGE folder, whole", repeated("read-sage", o.threads, o.repeats));
    show("write container", repeated("write-container", o.threads, 1));
    show("open container", repeated("open", 1, 2 * o.repeats + 1));
    const std::vector<Measured> in_place = repeated("first-batch", o.threads, o.repeats);
    const std::vector<Measured> copied = repeated("first-batch-copied", o.threads, o.repeats);
    if (in_place.front().checksum != copied.front().checksum)
      throw tessera::Error("the first batch of the container differs from that of its copy");
    show("open to first batch, in place", in_place);
    show("open to first batch, copied", copied);
    show("verify container, 1 core", repeated("verify", 1, o.repeats));
    show(tessera::message("verify container, ", o.threads, " cores"),
         repeated("verify", o.threads, o.repeats));
    show("write OGB CSV", repeated("write-ogb", o.threads, 1));
    show("OGB CSV folder, 1 core", repeated("read-ogb", 1, o.repeats));
    show(tessera::message("OGB CSV folder, ", o.threads, " cores"),
         repeated("read-ogb", o.threads, o.repeats));
    if (o.peers) {
      std::fflush(stdout);
      const fs::path peers = fs::path(TESSERA_BENCH_SOURCE) / "peers";
      const auto run_peer = [&](const std::string& peer, const std::string& what) {
        const std::string command = tessera::message(peer, " \"", files.json().string(), "\" ", slow);
        if (std::system(command.c_str()) != 0) std::printf("  %s could not be measured\n", what.c_str());
        std::fflush(stdout);
      };
      run_peer(tessera::message(o.python, " \"", (peers / "io_peers.py").string(), "\""), "Python");
#if defined(TESSERA_BENCH_SIMDJSON)
      run_peer(tessera::message("\"", TESSERA_BENCH_SIMDJSON, "\""), "simdjson");
#else
      std::printf("  simdjson was not found when this was built\n");
#endif
    }
  } catch (...) {
    if (own_folder) fs::remove_all(o.folder);
    throw;
  }
  if (!o.report.empty()) {
    tessera::bench::JsonObject json;
    json.add("program", "bench_io").add("version", tessera::kVersion).add("scale", o.scale);
    json.add("threads", o.threads).add("commit", TESSERA_BENCH_COMMIT).raw("rows", "[" + rows + "\n  ]");
    std::ofstream(o.report) << json.text() << '\n';
  }
  if (own_folder) fs::remove_all(o.folder);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Throughput of readers, writers, container and generator");
  app.add_option("--scale", o.scale, "Share of Amazon2M's nodes and links")
      ->check(CLI::Range(0.001, 1.0))
      ->capture_default_str();
  app.add_option("--threads", o.threads)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--repeats", o.repeats)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--folder", o.folder, "Where to put the files, which stay then; absent: a temporary folder");
  app.add_option("--report", o.report, "Write the results as JSON to this file");
  app.add_flag("--peers", o.peers, "Measure Python's json, networkx and simdjson's DOM on the same G.json");
  app.add_option("--python", o.python, "The Python of the peers")->capture_default_str();
  app.add_option("--measure", o.measure, "One measurement, for the program itself");
  return tessera::bench::run_program(app, argc, argv, "bench_io", [&] { return run(argv[0], o); });
}
