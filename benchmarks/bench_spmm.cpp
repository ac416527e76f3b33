// SPDX-License-Identifier: MIT
// Sparse x dense at the shapes of Reddit and Amazon2M, against Eigen and a raw loop in the same process.
//
//   bench_spmm                      a few seconds at 1/20 of the size
//   bench_spmm --scale 1            the full shapes; needs about 6 GB
//   bench_spmm --widths 32 128 256 602 --peers "venv/bin/python benchmarks/peers/spmm.py pyg"
//                                   products on shuffled ids against other libraries, before and after our reordering
//   bench_spmm --reorder --widths 128   the same without other libraries: what reordering costs and gives
//   bench_spmm --shapes no-reuse --widths 32 128   rows that are read once: what is left is streaming
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "peers/spmm_peers.hpp"
#include "support/machine.hpp"
#include "support/main.hpp"
#include "support/peer_process.hpp"
#include "support/planted_csr.hpp"
#include "support/report.hpp"
#include "support/timing.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/renumber.hpp"
#include "tessera/kernels/convert.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/partition/multilevel.hpp"

namespace tessera::bench {
namespace {

struct Options {
  CommonOptions common;
  double scale = 0.05;
  std::size_t features = 128;
  std::vector<std::string> shapes{"reddit", "amazon2m"};
  std::vector<std::string> orders{"community", "shuffled"};
  double inside = 0.7;
  double nearby = 0.2;
  std::vector<std::string> peers;
  std::vector<std::size_t> widths{128};
  std::size_t part_size = 400;
  bool reorder = false;
};

PlantedShape shape_of(const std::string& name, const Options& options) {
  PlantedShape shape;
  const bool reddit = name == "reddit";
  shape.nodes = reddit ? 232'965 : 2'449'029;
  shape.edges = reddit ? 114'615'892 : 123'718'280;
  shape.community = reddit ? 2000 : 200;  // a community has to hold most of a node's neighbours
  shape.neighborhood = reddit ? 8 : 64;
  shape.inside = options.inside;
  shape.nearby = options.nearby;
  const auto scaled = [&](std::size_t full) {
    return std::max<std::size_t>(64, static_cast<std::size_t>(static_cast<double>(full) * options.scale));
  };
  shape.nodes = scaled(shape.nodes);
  shape.edges = scaled(shape.edges);
  return shape;
}

double checksum_of(const Tensor<float>& y) {
  return parallel_sum<double>(y.rows(), 4096, [&](std::size_t begin, std::size_t end) {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) {
      for (const float value : y.row(i)) sum += static_cast<double>(value);
    }
    return sum;
  });
}

template <class T>
Tensor<T> features_of(std::size_t rows, std::size_t cols) {
  Tensor<T> x(rows, cols);
  const RngKey key = make_key(5, 0, Purpose::generate);
  parallel_for(rows, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      CounterRng rng(key, 0, i);
      for (T& value : x.row(i)) value = static_cast<T>(static_cast<float>(rng.next32()) * 0x1p-31f - 1.0f);
    }
  });
  return x;
}

void run_group(const std::string& title, const PlantedCsr& graph, const Options& options,
               const Machine& machine, Report& report) {
  const CsrView<> a = graph.view();
  CsrView<> plain = a;
  plain.weight = {};
  const std::size_t F = options.features;
  const auto x = features_of<float>(a.num_cols, F);
  const auto x_half = features_of<bf16>(a.num_cols, F);
  Tensor<float> y(a.num_rows, F);
  Tensor<bf16> y_half(a.num_rows, F);

  // The peers want 32-bit row pointers and rows without gaps.
  if (a.num_edges() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw ConfigError("bench_spmm: --scale makes more edges than Eigen can index");
  }
  Array<std::int32_t> row_ptr(a.num_rows + 1);
  for (std::size_t i = 0; i <= a.num_rows; ++i) row_ptr[i] = static_cast<std::int32_t>(a.row_ptr[i]);
  Array<float> packed_x;
  Array<float> packed_y;
  const bool packed = x.view().contiguous() && y.view().contiguous();
  if (!packed) {
    packed_x.resize(a.num_cols * F);
    packed_y.resize(a.num_rows * F);
    for (std::size_t i = 0; i < a.num_cols; ++i) {
      std::copy(x.row(i).begin(), x.row(i).end(), packed_x.data() + i * F);
    }
  }
  const SpmmProblem problem{static_cast<std::int32_t>(a.num_rows),
                            static_cast<std::int32_t>(a.num_cols),
                            static_cast<std::int32_t>(F),
                            row_ptr.data(),
                            reinterpret_cast<const std::int32_t*>(a.col.data()),
                            a.weight.data(),
                            packed ? x.data() : packed_x.data(),
                            packed ? y.data() : packed_y.data()};

  const std::vector<Case> cases{
      {"Eigen fp32 weighted", [&] { spmm_eigen(problem); }},
      {"raw loop fp32 weighted", [&] { spmm_raw_loop(problem); }},
      {"tessera fp32 weighted", [&] { spmm_sum<float, float>(a, x, y); }},
      {"tessera fp32", [&] { spmm_sum<float, float>(plain, x, y); }},
      {"tessera bf16 weighted", [&] { spmm_sum<bf16, float>(a, x_half, y); }},
      {"tessera bf16", [&] { spmm_sum<bf16, float>(plain, x_half, y); }},
      {"tessera bf16 to bf16, weighted", [&] { spmm_sum<bf16, bf16>(a, x_half, y_half); }},
  };
  report.begin_group(title + ": " + std::to_string(a.num_rows) + " nodes, " + std::to_string(a.num_edges()) +
                         " entries, F = " + std::to_string(F),
                     "vs Eigen");
  const std::vector<Timing> timings = time_interleaved(cases, options.common.repeats);
  for (std::size_t c = 0; c < cases.size(); ++c) {
    const bool half = cases[c].name.find("bf16") != std::string::npos;
    const bool half_out = cases[c].name.find("to bf16") != std::string::npos;
    const bool weighted = cases[c].name.find("weighted") != std::string::npos;
    const auto n = static_cast<double>(a.num_rows);
    const auto e = static_cast<double>(a.num_edges());
    const auto f = static_cast<double>(F);
    Row row;
    row.group = title;
    row.name = cases[c].name;
    row.timing = timings[c];
    row.bytes = n * f * (half ? 2 : 4) + n * f * (half_out ? 2 : 4) + e * (weighted ? 8 : 4) +
                n * 8;  // each thing once
    row.flops = e * f * (weighted ? 2 : 1);
    row.bound_seconds = std::max(row.bytes / machine.stream_read, 2 * e * f / machine.peak_flops);
    row.ratio = timings[0].median / timings[c].median;
    cases[c].run();
    if (half_out) convert_rows(std::as_const(y_half).view(), y.view());
    row.checksum = checksum_of(y);
    report.add(row);
  }
  const double fp32 = timings[2].median;
  std::printf(
      "  bf16 / fp32 %.2fx weighted, %.2fx unweighted;  fp32 weighted gathers %.1f GB/s of features\n\n",
      fp32 / timings[4].median, timings[3].median / timings[5].median,
      static_cast<double>(a.num_edges() * F * sizeof(float)) / fp32 * 1e-9);
}

/// x[i, j] = ((31 id(i) + 17 j) mod 64) / 64, as peers/spmm.py has it. What pads a row is 0.
Tensor<float> formula_features(std::size_t rows, std::size_t cols, std::span<const NodeId> ids = {}) {
  Tensor<float> x = Tensor<float>::zeros(rows, cols);
  parallel_for(rows, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t id = ids.empty() ? i : ids[i];
      for (std::size_t j = 0; j < cols; ++j) x(i, j) = static_cast<float>((id * 31 + j * 17) % 64) / 64;
    }
  });
  return x;
}

template <class T>
void write_array(const std::filesystem::path& path, std::span<const T> values) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  if (!out) throw Error(message("bench_spmm: cannot write ", path.string()));
}

/// The graph as other libraries see it, in a folder that goes when this does.
class PeerGraph {
 public:
  explicit PeerGraph(CsrView<> graph)
      : folder_(std::filesystem::temp_directory_path() / ("bench_spmm-" + std::to_string(::getpid()))) {
    std::filesystem::create_directory(folder_);
    write_array(folder_ / "indptr.bin", graph.row_ptr);
    write_array(folder_ / "indices.bin", graph.col);
    write_array(folder_ / "weight.bin", graph.weight);
  }
  PeerGraph(const PeerGraph&) = delete;
  PeerGraph& operator=(const PeerGraph&) = delete;
  ~PeerGraph() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  PeerProcess start(const std::string& command, std::size_t features, std::size_t threads) const {
    return PeerProcess(command + " --folder " + folder_.string() + " --features " + std::to_string(features) +
                       " --threads " + std::to_string(threads));
  }

 private:
  std::filesystem::path folder_;
};

/// Other libraries, if any, and ours on shuffled ids, and ours on the ids our reordering gives, in turns.
void run_beside_peers(const std::string& shape, const PlantedCsr& shuffled, const Options& options,
                      const Machine& machine, Report& report) {
  const CsrView<> a = shuffled.view();
  CsrGraph ordered;
  Array<NodeId> order;
  const double reordering = seconds_of([&] {
    const std::size_t parts = std::max<std::size_t>(2, a.num_rows / options.part_size);
    order = order_by_part(
        partition(a, {.parts = parts, .effort = PartitionEffort::fast, .symmetrize = true}).part);
    ordered = tessera::detail::renumber(a, order, inverse_permutation(order));
  });
  std::printf("%s, ids shuffled: reordering into parts of %zu took %.2f s\n", shape.c_str(),
              options.part_size, reordering);
  report.note("reordering_seconds_" + shape, reordering);
  std::optional<PeerGraph> exported;
  if (!options.peers.empty()) exported.emplace(a);
  for (const std::size_t width : options.widths) {
    std::vector<PeerProcess> peers;
    for (const std::string& command : options.peers) {
      peers.push_back(exported->start(command, width, options.common.threads));
    }
    const Tensor<float> x = formula_features(a.num_cols, width);
    const Tensor<float> x_ordered = formula_features(a.num_cols, width, order);
    Tensor<bf16> x_half(a.num_cols, width);
    convert_rows(x_ordered.view(), x_half.view());
    Tensor<float> y(a.num_rows, width);
    Tensor<float> y_ordered(a.num_rows, width);
    Tensor<float> y_half(a.num_rows, width);
    std::vector<Case> cases;
    for (PeerProcess& peer : peers) cases.push_back({peer.name(), [&] { peer.ask("run"); }});
    cases.push_back({"tessera", [&] { spmm_sum<float, float>(a, x, y); }});
    cases.push_back(
        {"tessera reordered", [&] { spmm_sum<float, float>(ordered.view(), x_ordered, y_ordered); }});
    cases.push_back(
        {"tessera reordered bf16", [&] { spmm_sum<bf16, float>(ordered.view(), x_half, y_half); }});
    const std::string group = shape + ", F = " + std::to_string(width);
    report.begin_group(group, ("vs " + cases[0].name).c_str());
    const std::vector<Timing> timings = time_interleaved(cases, options.common.repeats);
    const auto n = static_cast<double>(a.num_rows), e = static_cast<double>(a.num_edges());
    const auto f = static_cast<double>(width);
    for (std::size_t c = 0; c < cases.size(); ++c) {
      Row row;
      row.group = group;
      row.name = cases[c].name;
      row.timing = timings[c];
      row.bytes = n * f * (c + 1 == cases.size() ? 6 : 8) + e * 8 + n * 8;
      row.flops = 2 * e * f;
      row.bound_seconds = std::max(row.bytes / machine.stream_read, row.flops / machine.peak_flops);
      row.ratio = timings[0].median / timings[c].median;
      row.checksum = c < peers.size() ? std::stod(peers[c].ask("sum"))
                                      : checksum_of(c == peers.size()       ? y
                                                    : c == peers.size() + 1 ? y_ordered
                                                                            : y_half);
      report.add(row);
    }
    for (std::size_t p = 0; p < peers.size(); ++p) {
      const double peer = timings[p].median;
      const std::size_t ours = peers.size();
      std::printf("  %s takes %.2fx our time, %.2fx after reordering, %.2fx in bf16\n", cases[p].name.c_str(),
                  peer / timings[ours].median, peer / timings[ours + 1].median,
                  peer / timings[ours + 2].median);
    }
    std::printf("\n");
  }
}

/// The sum of all elements in vectors, padding included: a read of x from end to end and nothing else.
double read_rows(Isa isa, const Tensor<float>& x) {
  return parallel_sum<double>(x.rows(), 1024, [&](std::size_t begin, std::size_t end) {
    const std::size_t floats = (end - begin) * x.view().stride();
    return static_cast<double>(detail::sum_floats(isa, x.data() + begin * x.view().stride(), floats));
  });
}

/// Sums of 16 rows each, every row read once and in order, at every width: nothing but memory's rate bounds them.
/// So in turns with them x is read and no more.
void run_no_reuse(const Options& options, const Machine& machine, Report& report) {
  constexpr std::size_t kDegree = 16;
  for (const std::size_t width : options.widths) {
    const auto floats = static_cast<std::size_t>(options.scale * 1.5e9 / sizeof(float));
    const std::size_t rows = std::max<std::size_t>(4, floats / (width * kDegree));
    Array<EdgeId> row_ptr(rows + 1);
    Array<NodeId> col(rows * kDegree);
    for (std::size_t i = 0; i <= rows; ++i) row_ptr[i] = static_cast<EdgeId>(i * kDegree);
    for (std::size_t e = 0; e < col.size(); ++e) col[e] = static_cast<NodeId>(e);
    CsrView<> a;
    a.row_ptr = std::span<const EdgeId>(row_ptr.data(), row_ptr.size());
    a.col = std::span<const NodeId>(col.data(), col.size());
    a.num_rows = rows;
    a.num_cols = col.size();
    const Tensor<float> x = formula_features(a.num_cols, width);
    Tensor<float> y(rows, width);
    const Isa isa = active_isa();
    double sink = 0;
    const std::vector<Case> cases{
        {"plain read of x", [&] { sink += read_rows(isa, x); }},
        {"tessera", [&] { spmm_sum<float, float>(a, x, y); }},
    };
    const auto n = static_cast<double>(rows);
    const auto e = static_cast<double>(col.size());
    const auto f = static_cast<double>(width);
    const std::string group = "no reuse, F = " + std::to_string(width);
    report.begin_group(group, "of the read's rate");
    const std::vector<Timing> timings = time_interleaved(cases, options.common.repeats);
    const double read_rate = e * f * 4 / timings[0].median;
    for (std::size_t c = 0; c < cases.size(); ++c) {
      Row row;
      row.group = group;
      row.name = cases[c].name;
      row.timing = timings[c];
      row.bytes = e * f * 4 + (c == 0 ? 0 : n * f * 4 + e * 4 + n * 8);
      row.flops = e * f;
      row.bound_seconds = std::max(row.bytes / machine.stream_read, row.flops / machine.peak_flops);
      row.ratio = row.bytes / timings[c].median / read_rate;
      row.checksum = c == 0 ? sink / static_cast<double>(options.common.repeats + 1) : checksum_of(y);
      report.add(row);
    }
    std::printf("\n");
  }
}

int run(Options options) {
  const IsaScope scope(options.common.level());
  return with_threads(options.common.threads, [&] {
    double sink = 0;
    const auto bytes = static_cast<std::size_t>(std::clamp(options.scale, 0.05, 1.0) * 1.2e9);
    const Machine machine = measure_machine(options.features * sizeof(float), bytes, sink);
    Report report("bench_spmm", options.common, machine);
    const int peers = set_peer_threads(static_cast<int>(options.common.threads));
    std::printf("peers use %d thread%s\n", peers, peers == 1 ? "" : "s");
    report.note("scale", options.scale);
    report.note("features", options.features);
    report.note("inside", options.inside);
    report.note("nearby", options.nearby);
    report.note("peer_threads", peers);
    for (const std::string& shape : options.shapes) {
      if (shape == "no-reuse") {
        run_no_reuse(options, machine, report);
        continue;
      }
      PlantedCsr graph = planted_csr(shape_of(shape, options), 7);
      if (options.reorder || !options.peers.empty()) {
        run_beside_peers(shape, shuffled_csr(graph, 9), options, machine, report);
        continue;
      }
      for (const std::string& order : options.orders) {
        if (order == "shuffled") graph = shuffled_csr(graph, 9);
        run_group(shape + ", " + (order == "shuffled" ? "ids shuffled" : "community order"), graph, options,
                  machine, report);
      }
    }
    report.finish();
    return 0;
  });
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  tessera::bench::Options options;
  CLI::App app("Sparse x dense products against Eigen and a raw loop");
  options.common.add_to(app);
  app.add_option("--scale", options.scale, "Size of the graphs, 1 = as published")
      ->check(CLI::Range(1e-6, 8.0))
      ->capture_default_str();
  app.add_option("--features", options.features, "Columns F")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--shapes", options.shapes, "Which graphs")
      ->check(CLI::IsMember({"reddit", "amazon2m", "no-reuse"}));
  app.add_option("--orders", options.orders, "Which numberings, in this order")
      ->check(CLI::IsMember({"community", "shuffled"}));
  app.add_option("--peers", options.peers,
                 "Commands of other libraries (peers/spmm.py), to be run on shuffled ids at every --widths");
  app.add_flag("--reorder", options.reorder,
               "Shuffled ids before and after our reordering, at every --widths");
  app.add_option("--widths", options.widths, "Columns F with --peers, --reorder and no-reuse")
      ->check(CLI::PositiveNumber);
  app.add_option("--part-size", options.part_size, "Nodes of a part of the reordering with --peers")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--inside", options.inside, "Share of edges inside a community")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--nearby", options.nearby, "Share of edges to communities around")
      ->check(CLI::Range(0.0, 1.0));
  return tessera::bench::run_program(app, argc, argv, "bench_spmm",
                                     [&] { return tessera::bench::run(options); });
}
