// SPDX-License-Identifier: MIT
// Layers of equal width side by side, forward and backward, with the memory a step takes, at the shapes of Reddit and
// Amazon2M; and the fused aggregators of EGC against one SpMM, also on stand-ins of the four graphs of the paper's table.
//
//   bench_layers                      a few seconds at 1/50 of the size
//   bench_layers --scale 1            the full shapes; Amazon2M's needs more than 24 GB
//   bench_layers --only table         the four-graph table alone
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/machine.hpp"
#include "support/main.hpp"
#include "support/planted_csr.hpp"
#include "support/report.hpp"
#include "support/timing.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/kernels/combine_heads.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/kernels/spmm_max.hpp"
#include "tessera/nn/layers/egc_conv.hpp"
#include "tessera/nn/layers/gat_conv.hpp"
#include "tessera/nn/layers/gcn_conv.hpp"
#include "tessera/nn/layers/gin_conv.hpp"
#include "tessera/nn/layers/sage_conv.hpp"

namespace tessera::bench {
namespace {

struct Options {
  CommonOptions common;
  double scale = 0.02;
  std::size_t width = 128;
  std::vector<std::string> shapes{"reddit", "amazon2m"};
  std::string only;
};

PlantedShape shape_of(const std::string& name, double scale) {
  PlantedShape shape;
  const bool reddit = name == "reddit";
  shape.nodes = reddit ? 232'965 : 2'449'029;
  shape.edges = reddit ? 114'615'892 : 123'718'280;
  shape.community = reddit ? 2000 : 200;
  shape.neighborhood = reddit ? 8 : 64;
  const auto scaled = [&](std::size_t full) {
    return std::max<std::size_t>(64, static_cast<std::size_t>(static_cast<double>(full) * scale));
  };
  shape.nodes = scaled(shape.nodes);
  shape.edges = scaled(shape.edges);
  return shape;
}

Tensor<float> random_rows(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  Tensor<float> x(rows, cols);
  const RngKey key = make_key(seed, 0, Purpose::generate);
  parallel_for(rows, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      CounterRng rng(key, 0, i);
      for (float& value : x.row(i)) value = static_cast<float>(rng.next32()) * 0x1p-31f - 1.0f;
    }
  });
  return x;
}

/// One layer [N, F] -> [N, F] with its tape, ready to be timed.
class LayerCase {
 public:
  template <class Conv>
  static LayerCase make(std::string name, std::size_t width, const typename Conv::Options& options,
                        double flops_per_entry, double columns_per_entry, double flops_per_node) {
    auto block = std::make_shared<ParameterBlock<float>>();
    auto conv = std::make_shared<Conv>(*block, "conv", width, width, options);
    conv->reset_parameters(*block, make_key(1, 0, Purpose::init));
    LayerCase out;
    out.name = std::move(name);
    out.flops_per_entry = flops_per_entry;
    out.columns_per_entry = columns_per_entry;
    out.flops_per_node = flops_per_node;
    out.forward = [block, conv](NoTape<float>& ctx, const Adjacency& a, Var x) {
      return (*conv)(ctx, *block, a, x, Finish{});
    };
    out.record = [block, conv](Tape<float>& ctx, const Adjacency& a, Var x) {
      return (*conv)(ctx, *block, a, x, Finish{});
    };
    return out;
  }

  std::string name;
  double flops_per_entry = 0;    ///< forward
  double columns_per_entry = 0;  ///< gathered, forward
  double flops_per_node = 0;     ///< forward
  std::function<Var(NoTape<float>&, const Adjacency&, Var)> forward;
  std::function<Var(Tape<float>&, const Adjacency&, Var)> record;
};

std::vector<LayerCase> layers_of(std::size_t width) {
  using A = Aggregator;
  const auto f = static_cast<double>(width);
  const std::size_t heads = std::max<std::size_t>(1, width / 16);
  const auto h = static_cast<double>(heads);
  std::vector<LayerCase> out;
  out.push_back(LayerCase::make<GcnConv<float>>("gcn", width, {}, 2 * f, f, 2 * f * f));
  out.push_back(LayerCase::make<SageConv<float>>("sage mean", width, {}, f, f, 4 * f * f));
  out.push_back(LayerCase::make<GinConv<float>>("gin, one map", width, {.mlp_layers = 1}, f, f, 2 * f * f));
  out.push_back(LayerCase::make<GatConv<float>>("gat, heads of 16", width, {.heads = heads}, 2 * f + 8 * h,
                                                f + h, 2 * f * f + 4 * f));
  out.push_back(LayerCase::make<EgcConv<float>>("egc-s, 8 heads, 4 bases", width, {}, f, f / 2,
                                                2 * f * (f / 2 + 32) + 4 * f * 2 * 4 / 4));
  out.push_back(LayerCase::make<EgcConv<float>>("egc-m, 4 heads, 4 bases", width,
                                                {.heads = 4, .aggregators = {A::symmetric, A::max, A::mean}},
                                                4 * f, f, 2 * f * (f + 48) + 2 * 12 * f));
  return out;
}

/// The bytes the pool took from the system for one run of `step` with nothing kept before.
template <class F>
double peak_bytes(F&& step) {
  BufferPool::global().trim();
  const std::size_t before = BufferPool::global().stats().held_bytes;
  step();
  return static_cast<double>(BufferPool::global().stats().held_bytes - before);
}

double sum_of(MatrixView<const float> y) {
  return parallel_sum<double>(y.rows(), 4096, [&](std::size_t begin, std::size_t end) {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) {
      for (const float value : y.row(i)) sum += static_cast<double>(value);
    }
    return sum;
  });
}

void run_layers(const std::string& title, const Adjacency& a, const Options& options, const Machine& machine,
                Report& report) {
  const std::size_t nodes = a.num_dst();
  const auto x = random_rows(nodes, options.width, 3);
  const auto g = random_rows(nodes, options.width, 4);
  auto x_grad = Tensor<float>::zeros(nodes, options.width);
  NoTape<float> plain;
  Tape<float> tape;
  const std::vector<LayerCase> layers = layers_of(options.width);
  std::vector<Case> cases;
  for (const LayerCase& layer : layers) {
    cases.push_back({layer.name + ", forward", [&] {
                       plain.rewind();
                       layer.forward(plain, a, plain.input(x.view()));
                     }});
  }
  for (const LayerCase& layer : layers) {
    cases.push_back(
        {layer.name + ", training step", [&] {
           tape.rewind();
           tape.backward(layer.record(tape, a, tape.parameter({x.view(), x_grad.view()})), g.view());
         }});
  }
  report.begin_group(title + ": " + std::to_string(nodes) + " nodes, " +
                         std::to_string(a.forward.num_edges()) + " entries, width " +
                         std::to_string(options.width),
                     "vs gcn");
  const std::vector<Timing> timings = time_interleaved(cases, options.common.repeats);
  const auto n = static_cast<double>(nodes);
  const auto e = static_cast<double>(a.forward.num_edges());
  const auto f = static_cast<double>(options.width);
  for (std::size_t c = 0; c < cases.size(); ++c) {
    const LayerCase& layer = layers[c % layers.size()];
    const bool training = c >= layers.size();
    Row row;
    row.group = title;
    row.name = cases[c].name;
    row.timing = timings[c];
    row.flops = (e * layer.flops_per_entry + n * layer.flops_per_node) * (training ? 3 : 1);
    row.bytes = (8 * e + 4 * n * (2 * f + 2 * layer.columns_per_entry)) *
                (training ? 3 : 1);  // each thing once a pass
    row.bound_seconds = std::max(row.bytes / machine.stream_read, row.flops / machine.peak_flops);
    row.ratio = timings[training ? layers.size() : 0].median / timings[c].median;
    plain.rewind();
    row.checksum = sum_of(plain.value(layer.forward(plain, a, plain.input(x.view()))));
    report.add(row);
  }
  plain.rewind();
  tape.rewind();
  double gcn = 0;
  std::printf("  memory of a training step over its input:");
  for (std::size_t l = 0; l < layers.size(); ++l) {
    tape.rewind();
    const double bytes = peak_bytes(cases[layers.size() + l].run);
    if (l == 0) gcn = bytes;
    std::printf("%s %s %.0f MB (%.2fx)", l == 0 ? "" : ",", layers[l].name.c_str(), bytes * 1e-6,
                bytes / gcn);
    report.note(title + ", " + layers[l].name + ", bytes", bytes);
    tape.rewind();
  }
  std::printf("\n\n");
}

/// What the fused kernels took over one SpMM.
struct FusedRatio {
  double naive = 0;
  double fused = 0;
  double with_std = 0;
};

/// The experiment of the paper's table 9: F = 256, one head, one base, three aggregators, weights of each node's own.
FusedRatio run_aggregators(const std::string& title, const Adjacency& a, const Options& options,
                           const Machine& machine, Report& report) {
  const std::size_t nodes = a.num_dst();
  const std::size_t F = 2 * options.width;
  const auto x = random_rows(nodes, F, 3);
  const auto w = random_rows(nodes, 3, 4);
  Tensor<float> y(nodes, F);
  Tensor<float> kept(nodes, F);
  Tensor<float> stored(nodes, 3 * F);
  Tensor<std::int32_t> arg(nodes, F);
  const std::vector<Aggregator> sums{Aggregator::symmetric, Aggregator::mean, Aggregator::max};
  const std::vector<Aggregator> spread{Aggregator::sum, Aggregator::std, Aggregator::max};
  const std::vector<Case> cases{
      {"one spmm", [&] { spmm_sum<float, float>(a.forward, x, y); }},
      {"three kernels, one after the other",
       [&] {
         spmm_sum<float, float>(a.forward, x, y);
         spmm_mean<float, float>(a.forward, x, kept);
         spmm_max<float, float>(a.forward, x, kept, arg);
       }},
      {"fused, all three stored", [&] { spmm_multi<float>(a.forward, x, sums, stored.view()); }},
      {"fused and combined: symmetric, mean, max",
       [&] { spmm_multi_combine<float>(a.forward, x, w, 1, sums, y.view()); }},
      {"fused and combined: sum, std, max",
       [&] { spmm_multi_combine<float>(a.forward, x, w, 1, spread, y.view()); }},
  };
  report.begin_group(title + ", aggregators: F = " + std::to_string(F), "vs spmm");
  const std::vector<Timing> timings = time_interleaved(cases, options.common.repeats);
  const auto n = static_cast<double>(nodes);
  const auto e = static_cast<double>(a.forward.num_edges());
  const auto f = static_cast<double>(F);
  for (std::size_t c = 0; c < cases.size(); ++c) {
    Row row;
    row.group = title + ", aggregators";
    row.name = cases[c].name;
    row.timing = timings[c];
    row.flops = e * f * (c == 0 ? 2 : c == 4 ? 5 : 4);
    row.bytes = 8 * e + 4 * n * f * (c == 2 ? 4 : 2);
    row.bound_seconds = std::max(row.bytes / machine.stream_read, row.flops / machine.peak_flops);
    row.ratio = timings[0].median / timings[c].median;
    cases[c].run();
    row.checksum = sum_of(y);
    report.add(row);
  }
  std::printf("  time over one spmm: three kernels %.2f, fused and combined %.2f (with std %.2f)\n\n",
              timings[1].median / timings[0].median, timings[3].median / timings[0].median,
              timings[4].median / timings[0].median);
  return {timings[1].median / timings[0].median, timings[3].median / timings[0].median,
          timings[4].median / timings[0].median};
}

/// Stand-ins of the four graphs of the paper's table: Reddit, ten thousand syntax trees of ogbg-code2 and molecules of ZINC
/// side by side, and ogbn-arxiv in both directions.
std::vector<std::pair<std::string, PlantedShape>> paper_graphs(double scale) {
  std::vector<std::pair<std::string, PlantedShape>> out;
  out.emplace_back("reddit", shape_of("reddit", 1.0));
  out.emplace_back("code", PlantedShape{.nodes = 1'250'000,
                                        .edges = 2'480'000,
                                        .community = 125,
                                        .neighborhood = 1,
                                        .inside = 1.0,
                                        .nearby = 0.0,
                                        .sigma = 0.8});
  out.emplace_back("arxiv", PlantedShape{.nodes = 169'343, .edges = 2'315'598, .community = 500});
  out.emplace_back("zinc", PlantedShape{.nodes = 230'000,
                                        .edges = 496'000,
                                        .community = 23,
                                        .neighborhood = 1,
                                        .inside = 1.0,
                                        .nearby = 0.0,
                                        .sigma = 0.3});
  for (auto& [name, shape] : out) {
    shape.nodes =
        std::max<std::size_t>(64, static_cast<std::size_t>(static_cast<double>(shape.nodes) * scale));
    shape.edges =
        std::max<std::size_t>(64, static_cast<std::size_t>(static_cast<double>(shape.edges) * scale));
  }
  return out;
}

void run_paper_table(const Options& options, const Machine& machine, Report& report) {
  FusedRatio mean;
  std::vector<std::pair<std::string, FusedRatio>> rows;
  for (const auto& [name, shape] : paper_graphs(options.scale)) {
    const PlantedCsr graph = planted_csr(shape, 7);
    const Adjacency a{graph.view(), {}, {}};
    rows.emplace_back(name, run_aggregators("table 9, " + name, a, options, machine, report));
    mean.naive += rows.back().second.naive / 4;
    mean.fused += rows.back().second.fused / 4;
    mean.with_std += rows.back().second.with_std / 4;
  }
  rows.emplace_back("mean", mean);
  std::printf(
      "  time over one spmm   three kernels   fused   fused with std   (paper, CPU: naive 4.31, fused "
      "1.14)\n");
  for (const auto& [name, r] : rows) {
    std::printf("  %-18s %15.2f %7.2f %16.2f\n", name.c_str(), r.naive, r.fused, r.with_std);
    report.note("table 9, " + name + ", fused over spmm", r.fused);
  }
  std::printf("\n");
}

int run(Options options) {
  const IsaScope scope(options.common.level());
  return with_threads(options.common.threads, [&] {
    double sink = 0;
    const auto bytes = static_cast<std::size_t>(std::clamp(options.scale, 0.05, 1.0) * 1.2e9);
    const Machine machine = measure_machine(options.width * sizeof(float), bytes, sink);
    Report report("bench_layers", options.common, machine);
    report.note("scale", options.scale);
    report.note("width", options.width);
    if (options.only != "layers") run_paper_table(options, machine, report);
    for (const std::string& shape : options.only == "table" ? std::vector<std::string>{} : options.shapes) {
      // A batch has a hundredth of the published nodes at most and keeps the degrees.
      for (const bool batch : {true, false}) {
        const PlantedCsr graph =
            planted_csr(shape_of(shape, batch ? std::min(0.01, options.scale) : options.scale), 7);
        const TransposedGraph transposed = transpose(graph.view());
        const Adjacency a{graph.view(), transposed.graph.view(), {}};
        const std::string title = shape + (batch ? ", batch" : ", full graph");
        run_layers(title, a, options, machine, report);
        run_aggregators(title, a, options, machine, report);
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
  CLI::App app("Layers of equal width, and fused aggregators");
  options.common.add_to(app);
  app.add_option("--scale", options.scale, "Size of the graphs, 1 = as published")
      ->check(CLI::Range(1e-6, 8.0))
      ->capture_default_str();
  app.add_option("--width", options.width, "Columns of every layer, a multiple of 16")
      ->check(CLI::Range(16, 4096))
      ->capture_default_str();
  app.add_option("--shapes", options.shapes, "Which graphs")->check(CLI::IsMember({"reddit", "amazon2m"}));
  app.add_option("--only", options.only, "One of the two parts")->check(CLI::IsMember({"table", "layers"}));
  return tessera::bench::run_program(app, argc, argv, "bench_layers",
                                     [&] { return tessera::bench::run(options); });
}
