// SPDX-License-Identifier: MIT
// Inference in integers against our own fp32: whole networks of three layers at the shapes of Amazon2M and Reddit, and
// their products and aggregations apart, and products of signs. Every level of integer products is timed against fp32 at
// the level below it, in turns.
//
//   bench_int8                      1/50 of the size, seconds
//   bench_int8 --scale 1            the full shapes; needs about 14 GB
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "support/machine.hpp"
#include "support/main.hpp"
#include "support/planted_csr.hpp"
#include "support/report.hpp"
#include "support/timing.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/kernels/binary_gemm.hpp"
#include "tessera/kernels/gemm.hpp"
#include "tessera/kernels/int8_gemm.hpp"
#include "tessera/kernels/int8_spmm.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/quant/calibrate.hpp"
#include "tessera/quant/int8_export.hpp"
#include "tessera/train/infer.hpp"

namespace tessera::bench {
namespace {

struct Options {
  CommonOptions common;
  double scale = 0.02;
  std::size_t hidden = 256;
  std::vector<std::string> shapes{"amazon2m", "reddit"};
  std::vector<std::string> models{"gcn", "sage"};
  std::vector<std::string> levels;
  std::string order = "community";
};

struct Shape {
  PlantedShape graph;
  std::size_t features, classes;
};

Shape shape_of(const std::string& name, double scale) {
  const bool reddit = name == "reddit";
  Shape out;
  out.graph.nodes = reddit ? 232'965 : 2'449'029;
  out.graph.edges = reddit ? 114'615'892 : 123'718'280;
  out.graph.community = reddit ? 2000 : 200;
  out.graph.neighborhood = reddit ? 8 : 64;
  const auto scaled = [&](std::size_t full) {
    return std::max<std::size_t>(256, static_cast<std::size_t>(static_cast<double>(full) * scale));
  };
  out.graph.nodes = scaled(out.graph.nodes);
  out.graph.edges = scaled(out.graph.edges);
  out.features = reddit ? 602 : 100;
  out.classes = reddit ? 41 : 47;
  return out;
}

Tensor<float> features_of(std::size_t rows, std::size_t cols) {
  Tensor<float> x(rows, cols);
  const RngKey key = make_key(5, 0, Purpose::generate);
  parallel_for(rows, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      CounterRng rng(key, 0, i);
      for (float& value : x.row(i)) value = static_cast<float>(rng.next32()) * 0x1p-31f - 1.0f;
    }
  });
  return x;
}

template <class T>
double checksum_of(const Tensor<T>& y) {
  return parallel_sum<double>(y.rows(), 4096, [&](std::size_t begin, std::size_t end) {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) {
      for (const T value : y.row(i)) sum += static_cast<double>(value);
    }
    return sum;
  });
}

CsrView<> pattern_of(const PlantedCsr& graph) {
  CsrView<> view = graph.view();
  view.weight = {};
  return view;
}

/// The best level of float kernels that go with a level of integer products.
Isa float_level(Int8Isa level) {
  return level >= Int8Isa::avx512_vnni ? Isa::avx512 : level >= Int8Isa::avx2 ? Isa::avx2 : Isa::baseline;
}

struct Work {
  double bytes = 0;
  double operations = 0;
};

/// Bytes each thing once, and multiply-adds as two operations.
Work work_of(const Shape& shape, std::size_t hidden, double edges, bool sage, double element) {
  const auto n = static_cast<double>(shape.graph.nodes);
  const std::size_t widths[] = {shape.features, hidden, hidden, shape.classes};
  Work out;
  for (std::size_t l = 0; l < 3; ++l) {
    const auto in = static_cast<double>(widths[l]);
    const auto to = static_cast<double>(widths[l + 1]);
    out.operations += 2 * n * in * to * (sage ? 2 : 1) + 2 * edges * std::min(in, to);
    out.bytes += n * (in + to) * element + n * std::min(in, to) * element * 2 + edges * 4;
  }
  return out;
}

template <class Net>
void run_model(const std::string& title, const Shape& shape, const PlantedCsr& graph, const Options& options,
               const Machine& machine, Report& report, const typename Net::Options& net) {
  // Ranges come from a small graph of the same kind: their values do not matter for speed.
  Quantized<Net> quantized(Net(net), {Qat<8>{}.settings()});
  {
    const Shape small =
        shape_of(shape.features == 602 ? "reddit" : "amazon2m", std::min(options.scale, 0.005));
    const PlantedCsr some = planted_csr(small.graph, 11);
    const PreparedAdjacency adjacency = prepare_adjacency(pattern_of(some), false, quantized.aggregation());
    const Adjacency levels[] = {adjacency.adjacency()};
    calibrate(quantized, AdjacencyStack(levels), features_of(some.view().num_rows, shape.features).view());
  }
  const Int8Model model = export_int8(quantized);
  const Tensor<float> x = features_of(shape.graph.nodes, shape.features);
  // Both read the pattern as it is stored: loops change nothing a benchmark measures, and the transpose is not needed.
  const CsrView<> pattern = pattern_of(graph);
  Adjacency adjacency;
  adjacency.forward = std::is_same_v<Net, GcnNet<>> ? graph.view() : pattern;
  adjacency.transpose = adjacency.forward;
  const Int8Rows codes = model.quantize(pattern, x);

  report.begin_group(title, "vs fp32");
  const bool sage = std::is_same_v<Net, SageNet<>>;
  double best = 0, avx2 = 0;
  for (const std::string& level_name : options.levels) {
    const Int8Isa level = tessera::detail::requested_int8_isa(level_name.c_str());
    const std::string floats(name(float_level(level)));
    Tensor<float> logits;
    const std::vector<Case> cases{
        {"fp32 " + floats,
         [&] {
           const IsaScope scope(float_level(level));
           logits = infer(quantized.model(), adjacency, MatrixView<const float>(x));
         }},
        {"int8 " + level_name,
         [&] {
           const Int8IsaScope scope(level);
           logits = model.infer(pattern, x);
         }},
        {"  features already codes",
         [&] {
           const Int8IsaScope scope(level);
           Int8Rows rows = model.run_layer(0, pattern, codes);
           for (std::size_t l = 1; l < model.num_layers(); ++l) rows = model.run_layer(l, pattern, rows);
           logits = std::move(rows.real);
         }},
    };
    const std::vector<Timing> timings = time_interleaved(cases, options.common.repeats);
    for (std::size_t k = 0; k < cases.size(); ++k) {
      const Work work =
          work_of(shape, net.hidden, static_cast<double>(pattern.num_edges()), sage, k == 0 ? 4 : 1);
      Row row;
      row.group = title;
      row.name = cases[k].name;
      row.timing = timings[k];
      row.bytes = work.bytes;
      row.flops = work.operations;
      // The bound of bytes; of operations too where they are fp32.
      row.bound_seconds =
          std::max(work.bytes / machine.stream_read,
                   k == 0 && level >= Int8Isa::avx512_vnni ? work.operations / machine.peak_flops : 0);
      row.ratio = timings[0].median / timings[k].median;
      row.checksum = checksum_of(logits);
      report.add(row);
    }
    const double ratio = timings[0].median / timings[1].median;
    (level >= Int8Isa::avx512_vnni ? best : avx2) =
        std::max(level >= Int8Isa::avx512_vnni ? best : avx2, ratio);
  }
  std::printf(
      "  model %.2f MB int8, %.2f MB fp32; features and widest hidden rows %.1f MB int8, %.1f MB fp32\n\n",
      static_cast<double>(model.bytes()) * 1e-6,
      static_cast<double>(quantized.model().parameters().num_parameters()) * 4e-6,
      static_cast<double>(shape.graph.nodes * (shape.features + net.hidden)) * 1e-6,
      static_cast<double>(shape.graph.nodes * (shape.features + net.hidden)) * 4e-6);
}

void run_kernels(const std::string& title, const Shape& shape, const PlantedCsr& graph,
                 const Options& options, const Machine& machine, Report& report) {
  const std::size_t F = options.hidden;
  const std::size_t n = shape.graph.nodes;
  const CsrView<> a = pattern_of(graph);
  const Tensor<float> x = features_of(n, F);
  const Tensor<float> w = features_of(F, F);
  Tensor<std::uint8_t> q(n, F);
  int8_quantize(x, 127.0f, {}, {128, 0, 255}, q);
  Tensor<std::uint8_t> wq(F, F);
  int8_quantize(w, 127.0f, {}, {128, 1, 255}, wq);
  Tensor<std::int8_t> codes(F, F);
  for (std::size_t k = 0; k < F; ++k) {
    for (std::size_t j = 0; j < F; ++j) codes(k, j) = static_cast<std::int8_t>(wq(k, j) - 128);
  }
  const Int8Weights weights(codes.view());
  const std::vector<std::int32_t> offset(F, -5);
  const std::vector<float> multiplier(F, 1e-4f);
  const Int8Product product{q, weights, offset, multiplier};
  Tensor<float> y(n, F);
  Tensor<std::uint8_t> out(n, F);
  const auto edges = static_cast<double>(a.num_edges());
  const auto elements = static_cast<double>(n * F);
  const auto square = static_cast<double>(F * F);
  const auto group = [&](const std::string& what, double operations, double other_bytes, auto&& floats,
                         auto&& ints) {
    report.begin_group(title + ", " + what, "vs fp32");
    for (const std::string& level_name : options.levels) {
      const Int8Isa level = tessera::detail::requested_int8_isa(level_name.c_str());
      const std::vector<Case> cases{{"fp32 " + std::string(name(float_level(level))),
                                     [&] {
                                       const IsaScope scope(float_level(level));
                                       floats();
                                     }},
                                    {"int8 " + level_name, [&] {
                                       const Int8IsaScope scope(level);
                                       ints();
                                     }}};
      const std::vector<Timing> timings = time_interleaved(cases, options.common.repeats);
      for (std::size_t k = 0; k < 2; ++k) {
        Row row;
        row.group = title + ", " + what;
        row.name = cases[k].name;
        row.timing = timings[k];
        row.bytes = 2 * elements * (k == 0 ? 4 : 1) + other_bytes;
        row.flops = operations;
        // Peaks of integers relative to the measured one of fp32 at 512 bits: 4 for VNNI, 32 for tiles (per clock).
        const double peak = k == 0 ? 1 : level == Int8Isa::amx ? 32 : level == Int8Isa::avx512_vnni ? 4 : 2;
        row.bound_seconds =
            std::max(row.bytes / machine.stream_read, operations / (peak * machine.peak_flops));
        row.ratio = timings[0].median / timings[k].median;
        row.checksum = k == 0 ? checksum_of(y) : checksum_of(out);
        report.add(row);
      }
    }
    std::printf("\n");
  };
  group(
      "GEMM [" + std::to_string(n) + " x " + std::to_string(F) + "] [" + std::to_string(F) + " x " +
          std::to_string(F) + "]",
      2 * static_cast<double>(n) * square, square, [&] { gemm<float>(x, w, y.view()); },
      [&] {
        int8_linear(product, {7, 0, 255}, out);
      });
  group(
      "SpMM, F = " + std::to_string(F) + ", " + std::to_string(a.num_edges()) + " entries",
      edges * static_cast<double>(F), edges * 4 + static_cast<double>(n) * 8,
      [&] { spmm_sum<float, float>(a, x, y); },
      [&] {
        int8_spmm(a, {q, 128, {}, {}, 0.01f}, {128, 0, 255}, out);
      });
}

/// Products of signs beside products of floats, 512 columns deep as the papers' first layers at least.
void run_binary(std::size_t n, const Options& options, const Machine& machine, Report& report) {
  const std::size_t depth = std::max<std::size_t>(512, options.hidden);
  const std::size_t cols = options.hidden;
  const Tensor<float> x = features_of(n, depth);
  const Tensor<float> w = features_of(depth, cols);
  const BinaryWeights weights(w);
  BitMatrix bits;
  pack_signs(x, bits);
  Tensor<float> y(n, cols);
  const std::string group = "products of signs, GEMM [" + std::to_string(n) + " x " + std::to_string(depth) +
                            "] [" + std::to_string(depth) + " x " + std::to_string(cols) + "]";
  report.begin_group(group, "vs fp32");
  for (const std::string& level_name : options.levels) {
    const Int8Isa level = tessera::detail::requested_int8_isa(level_name.c_str());
    const std::vector<Case> cases{{"fp32 " + std::string(name(float_level(level))),
                                   [&] {
                                     const IsaScope scope(float_level(level));
                                     gemm<float>(x, w, y.view());
                                   }},
                                  {"binary " + level_name,
                                   [&] {
                                     const Int8IsaScope scope(level);
                                     binary_gemm(bits, weights, {}, y);
                                   }},
                                  {"  rows packed first", [&] {
                                     const Int8IsaScope scope(level);
                                     pack_signs(x, bits);
                                     binary_gemm(bits, weights, {}, y);
                                   }}};
    const std::vector<Timing> timings = time_interleaved(cases, options.common.repeats);
    // Products per clock against the 32 multiply-adds of fp32 at 512 bits. There a vector takes a xor, a count and an
    // addition on two ports: 341. With AVX2 it takes eight operations on three: 96. Tiles multiply opened bits: 1024.
    const double per_clock = level == Int8Isa::amx ? 1024 : level == Int8Isa::avx512_vnni ? 341 : 96;
    const double peak = per_clock / 32;
    for (std::size_t k = 0; k < cases.size(); ++k) {
      Row row;
      row.group = group;
      row.name = cases[k].name;
      row.timing = timings[k];
      row.bytes = static_cast<double>(n) *
                  (static_cast<double>(depth) * (k == 1 ? 0.125 : 4) + static_cast<double>(cols) * 4);
      row.flops = 2 * static_cast<double>(n * depth * cols);
      row.bound_seconds =
          std::max(row.bytes / machine.stream_read, row.flops / ((k == 0 ? 1 : peak) * machine.peak_flops));
      row.ratio = timings[0].median / timings[k].median;
      row.checksum = checksum_of(y);
      report.add(row);
    }
  }
  std::printf("\n");
}

int run(Options options) {
  const IsaScope scope(options.common.level());
  if (options.levels.empty()) {
    for (const Int8Isa level : {Int8Isa::amx, Int8Isa::avx512_vnni, Int8Isa::avx2}) {
      if (has_int8_isa(level) && float_level(level) <= active_isa()) options.levels.emplace_back(name(level));
    }
    if (options.levels.empty()) options.levels.emplace_back("baseline");
  }
  return with_threads(options.common.threads, [&] {
    double sink = 0;
    const auto bytes = static_cast<std::size_t>(std::clamp(options.scale, 0.05, 1.0) * 1.2e9);
    const Machine machine = measure_machine(options.hidden, bytes, sink);
    Report report("bench_int8", options.common, machine);
    report.note("scale", options.scale);
    report.note("hidden", options.hidden);
    report.note("order", options.order);
    for (const std::string& name_of : options.shapes) {
      const Shape shape = shape_of(name_of, options.scale);
      PlantedCsr graph = planted_csr(shape.graph, 7);
      if (options.order == "shuffled") graph = shuffled_csr(graph, 9);
      const std::string at = name_of + ", " + options.order + " order: " + std::to_string(shape.graph.nodes) +
                             " nodes, " + std::to_string(graph.col.size()) + " entries, ";
      const auto run_net = [&](auto net, const std::string& model) {
        using Net = decltype(net);
        run_model<Net>(at + "3-layer " + model + ", hidden " + std::to_string(options.hidden), shape, graph,
                       options, machine, report,
                       {.in = shape.features,
                        .hidden = options.hidden,
                        .out = shape.classes,
                        .layers = 3,
                        .dropout = 0});
      };
      for (const std::string& model : options.models) {
        if (model == "gcn") run_net(GcnNet<>({.in = 1, .hidden = 1, .out = 1}), "GCN");
        if (model == "sage") run_net(SageNet<>({.in = 1, .hidden = 1, .out = 1}), "GraphSAGE");
      }
      run_kernels(name_of, shape, graph, options, machine, report);
    }
    run_binary(static_cast<std::size_t>(std::max(4096.0, 131072 * options.scale)), options, machine, report);
    report.finish();
    return 0;
  });
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  tessera::bench::Options options;
  CLI::App app("Inference in 8-bit integers against fp32");
  options.common.repeats = 3;
  options.common.add_to(app);
  app.add_option("--scale", options.scale, "Size of the graphs, 1 = the whole data sets")
      ->check(CLI::Range(1e-6, 1.0))
      ->capture_default_str();
  app.add_option("--hidden", options.hidden, "Width of hidden layers")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--shapes", options.shapes, "Which graphs")->check(CLI::IsMember({"amazon2m", "reddit"}));
  app.add_option("--models", options.models, "Which networks")->check(CLI::IsMember({"gcn", "sage"}));
  app.add_option("--levels", options.levels, "Levels of integer products; default: amx avx512_vnni avx2")
      ->check(CLI::IsMember({"baseline", "avx2", "avx_vnni", "avx512_vnni", "amx"}));
  app.add_option("--order", options.order, "Order of node ids")
      ->check(CLI::IsMember({"community", "shuffled"}))
      ->capture_default_str();
  return tessera::bench::run_program(app, argc, argv, "bench_int8",
                                     [&] { return tessera::bench::run(options); });
}
