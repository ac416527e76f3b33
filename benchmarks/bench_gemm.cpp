// SPDX-License-Identifier: MIT
// Dense products at the shapes of graph network layers, forward and both gradients, against Eigen in one
// process.
//
//   bench_gemm                      the Reddit layer at 1/10 of its rows
//   bench_gemm --scale 1            all of its 232 965 rows
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "peers/gemm_peers.hpp"
#include "support/machine.hpp"
#include "support/main.hpp"
#include "support/report.hpp"
#include "support/timing.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/bf16_gemm.hpp"
#include "tessera/kernels/convert.hpp"
#include "tessera/kernels/gemm.hpp"

namespace tessera::bench {
namespace {

struct Options {
  CommonOptions common;
  double scale = 0.1;
  std::size_t eigen_tile = 256;
};

struct Layer {
  std::string name;
  std::size_t nodes, in, out;
};

Tensor<float> random_tensor(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  Tensor<float> x(rows, cols);
  const RngKey key = make_key(seed, 0, Purpose::generate);
  parallel_for(rows, 256, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      CounterRng rng(key, 0, i);
      for (float& value : x.row(i)) value = static_cast<float>(rng.next32()) * 0x1p-31f - 1.0f;
    }
  });
  return x;
}

double checksum_of(const Tensor<float>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (const float value : y.row(i)) sum += static_cast<double>(value);
  }
  return sum;
}

const char* title_of(Product product) {
  switch (product) {
    case Product::nn:
      return "Y = X W";
    case Product::nt:
      return "dX = G W^T";
    case Product::tn:
      break;
  }
  return "dW = X^T G";
}

void run_tessera(Product product, const Tensor<float>& a, const Tensor<float>& b, Tensor<float>& c) {
  if (product == Product::nn) gemm<float>(a, b, c.view());
  if (product == Product::nt) gemm_nt<float>(a, b, c.view());
  if (product == Product::tn) gemm_tn<float>(a, b, c.view());
}

/// The same in bf16: activations and their gradients stored as such, weights and theirs as floats.
struct HalfOperands {
  Tensor<bf16> a, b, c;

  HalfOperands(const Tensor<float>& wide_a, const Tensor<float>& wide_b, const Tensor<float>& wide_c)
      : a(wide_a.rows(), wide_a.cols()), b(wide_b.rows(), wide_b.cols()), c(wide_c.rows(), wide_c.cols()) {
    convert_rows(wide_a.view(), a.view());
    convert_rows(wide_b.view(), b.view());
  }
};

void run_bf16(Product product, HalfOperands& half, const Tensor<float>& weight, Tensor<float>& c) {
  const MatrixView<const bf16> a = std::as_const(half.a).view();
  if (product == Product::nn) bf16_gemm(a, weight.view(), half.c.view());
  if (product == Product::nt) bf16_gemm_nt(a, weight.view(), half.c.view());
  if (product == Product::tn) bf16_gemm_tn(a, std::as_const(half.b).view(), c.view());
}

/// Eigen, one thread each, on the row tiles of the result that our loops hand out.
void run_eigen_tiles(const GemmProblem& whole, std::size_t tile) {
  parallel_for(whole.rows, tile, [&](std::size_t begin, std::size_t end) {
    GemmProblem part = whole;
    part.rows = end - begin;
    part.a += whole.product == Product::tn ? begin : begin * whole.a_stride;
    part.c += begin * whole.c_stride;
    gemm_eigen(part);
  });
}

void run_group(const Layer& layer, Product product, const Options& options, const Machine& machine,
               Report& report) {
  const Tensor<float> x = random_tensor(layer.nodes, layer.in, 1);
  const Tensor<float> w = random_tensor(layer.in, layer.out, 2);
  const Tensor<float> g = random_tensor(layer.nodes, layer.out, 3);
  const Tensor<float>& a = product == Product::nt ? g : x;
  const Tensor<float>& b = product == Product::tn ? g : w;
  Tensor<float> c(product == Product::tn ? layer.in : layer.nodes,
                  product == Product::nt ? layer.in : layer.out);
  const GemmProblem problem{product,   c.rows(),   product == Product::tn ? a.rows() : a.cols(),
                            c.cols(),  a.data(),   a.stride(),
                            b.data(),  b.stride(), c.data(),
                            c.stride()};

  HalfOperands half(a, b, c);

  const double flops = 2.0 * static_cast<double>(layer.nodes) * static_cast<double>(layer.in * layer.out);
  const auto threads = static_cast<int>(options.common.threads);
  struct Peer {
    const char* name;
    int eigen_threads;
    std::function<void()> once;
  };
  const Peer peers[] = {
      {"Eigen, its own threads", threads, [&] { gemm_eigen(problem); }},
      {"Eigen in our row tiles", 1, [&] { run_eigen_tiles(problem, options.eigen_tile); }},
      {"tessera", 1, [&] { run_tessera(product, a, b, c); }},
      {"tessera bf16", 1, [&] { run_bf16(product, half, b, c); }},
  };
  const std::size_t fp32 = 2;
  // A timing repeats the product until what runtimes do in between (spinning, waking) hardly counts.
  const double target = options.scale < 0.01 ? 1e-4 : 0.02;
  std::vector<Case> cases;
  std::vector<std::size_t> inner;
  for (const Peer& peer : peers) {
    set_peer_threads(peer.eigen_threads);
    peer.once();
    const double seconds = std::max(seconds_of(peer.once), 1e-7);
    inner.push_back(static_cast<std::size_t>(std::clamp(target / seconds, 1.0, 2000.0)));
    cases.push_back({peer.name, [&peer, count = inner.back()] {
                       set_peer_threads(peer.eigen_threads);
                       for (std::size_t i = 0; i < count; ++i) peer.once();
                     }});
  }
  const std::string title = layer.name + ", " + title_of(product) + ": [" + std::to_string(c.rows()) + " x " +
                            std::to_string(problem.depth) + "] [" + std::to_string(problem.depth) + " x " +
                            std::to_string(c.cols()) + "]";
  report.begin_group(title, "vs Eigen");
  const std::vector<Timing> timings = time_interleaved(cases, options.common.repeats);
  double eigen_seconds = 0;
  double seconds = 0;
  double half_seconds = 0;
  for (std::size_t k = 0; k < cases.size(); ++k) {
    const double each = 1 / static_cast<double>(inner[k]);
    Row row;
    row.group = title;
    row.name = cases[k].name;
    row.timing = {timings[k].median * each, timings[k].fastest * each, timings[k].slowest * each};
    if (k == 0) eigen_seconds = row.timing.median;
    if (k == fp32) seconds = row.timing.median;
    if (k > fp32) half_seconds = row.timing.median;
    row.bytes = (k > fp32 ? 2.0 : 4.0) * static_cast<double>(a.size() + b.size() + c.size());
    row.flops = flops;
    // Of fp32 for all: bf16 may pass it.
    row.bound_seconds = std::max(row.bytes / machine.stream_read, flops / machine.peak_flops);
    row.ratio = eigen_seconds / row.timing.median;
    peers[k].once();
    if (k > fp32 && product != Product::tn) convert_rows(std::as_const(half.c).view(), c.view());
    row.checksum = checksum_of(c);
    report.add(row);
  }
  std::printf("  tessera reaches %.0f %% of the measured fp32 peak, bf16 (%s) %.2fx its fp32\n\n",
              100 * flops / seconds / machine.peak_flops, std::string(name(active_bf16_isa())).c_str(),
              seconds / half_seconds);
}

int run(const Options& options) {
  const IsaScope scope(options.common.level());
  return with_threads(options.common.threads, [&] {
    double sink = 0;
    const Machine machine = measure_machine(512, std::size_t{256} << 20, sink);
    Report report("bench_gemm", options.common, machine);
    const int peers = set_peer_threads(static_cast<int>(options.common.threads));
    std::printf("peers use %d thread%s\n\n", peers, peers == 1 ? "" : "s");
    report.note("scale", options.scale);
    report.note("eigen_tile", options.eigen_tile);
    report.note("peer_threads", peers);
    const auto scaled = [&](double rows) {
      return std::max<std::size_t>(16, static_cast<std::size_t>(rows * options.scale));
    };
    const std::size_t small = options.scale < 0.01 ? 16 : 1;  // toy runs shrink everything
    const std::vector<Layer> layers{
        {"square", 8192 / small, 128, 128},
        {"Reddit, first layer", scaled(232'965), 602, 128},
        {"Cluster-GCN batch", 2000 / small, 400, 400},
        {"Cora, first layer", 2708 / small, 1433, 16},
        {"Cora, last layer", 2708 / small, 16, 7},
    };
    for (const Layer& layer : layers) {
      for (const Product product : {Product::nn, Product::nt, Product::tn}) {
        run_group(layer, product, options, machine, report);
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
  CLI::App app("Dense products of graph network layers against Eigen");
  options.common.add_to(app);
  app.add_option("--scale", options.scale,
                 "Rows of the Reddit layer, 1 = all 232 965; below 0.01 all is toy size")
      ->check(CLI::Range(1e-6, 8.0))
      ->capture_default_str();
  app.add_option("--eigen-tile", options.eigen_tile, "Rows per tile where Eigen runs inside our loops")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  return tessera::bench::run_program(app, argc, argv, "bench_gemm",
                                     [&] { return tessera::bench::run(options); });
}
