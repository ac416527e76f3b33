// SPDX-License-Identifier: MIT
// What distillation buys and costs: time per answer of a teacher and of students that need less of the graph, at the
// shape of Amazon2M; and time and memory of the contrast and of pairwise matching of many sampled nodes.
//
//   bench_distill                                    a few seconds at 1/50 of the size
//   bench_distill --scale 1 --repeats 2 --asked 5    the full shape; minutes, about 11 GB
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/machine.hpp"
#include "support/main.hpp"
#include "support/planted_csr.hpp"
#include "support/report.hpp"
#include "support/timing.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/distill/gcrd.hpp"
#include "tessera/distill/gsp.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/train/infer.hpp"

namespace tessera::bench {
namespace {

constexpr std::size_t kFeatures = 100;
constexpr std::size_t kClasses = 47;

struct Options {
  CommonOptions common;
  double scale = 0.02;
  std::size_t hidden = 256;
  std::size_t asked = 10;
  std::size_t samples = 8192;
};

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

/// Answers of a model of rows for `count` rows, which `rows(first, last)` gives block by block.
template <class Rows>
double ask_blocks(const MlpNet<>& model, std::size_t count, const Rows& rows) {
  constexpr std::size_t kBlock = 1 << 16;
  const std::vector<EdgeId> row_ptr(std::min(count, kBlock) + 1, 0);
  NoTape<float> ctx;
  double sink = 0;
  for (std::size_t first = 0; first < count; first += kBlock) {
    const std::size_t last = std::min(count, first + kBlock);
    Adjacency none;
    none.forward = {last - first, last - first, std::span(row_ptr).first(last - first + 1), {}, {}};
    const Var z =
        model.forward(ctx, AdjacencyStack(std::span(&none, 1)), ctx.input(rows(first, last)), Pass{});
    sink += static_cast<double>(ctx.value(z)(0, 0));
    ctx.rewind();
  }
  return sink;
}
double ask_rows(const MlpNet<>& model, MatrixView<const float> x) {
  return ask_blocks(model, x.rows(),
                    [&](std::size_t first, std::size_t last) { return x.middle_rows(first, last - first); });
}

void add_rows(Report& report, const std::string& group, const std::vector<Case>& cases,
              const std::vector<Timing>& timings, double nodes) {
  for (std::size_t c = 0; c < cases.size(); ++c) {
    Row row;
    row.group = group;
    row.name = cases[c].name;
    row.timing = timings[c];
    row.ratio = timings[0].median / timings[c].median;
    report.add(row);
    std::printf("  %-26s %10.4f us per node\n", "", 1e6 * timings[c].median / nodes);
  }
}

void run_latency(const Options& options, Report& report) {
  PlantedShape shape;
  shape.nodes = std::max<std::size_t>(1000, static_cast<std::size_t>(2'449'029 * options.scale));
  shape.edges = std::max<std::size_t>(20'000, static_cast<std::size_t>(123'718'280 * options.scale));
  PlantedCsr planted = planted_csr(shape, 1);
  planted.weight = {};
  const CsrView<> graph{shape.nodes, shape.nodes, planted.row_ptr, planted.col, {}};
  const Tensor<float> x = random_rows(shape.nodes, kFeatures, 2);
  const GcnNet<> teacher(
      {.in = kFeatures, .hidden = options.hidden, .out = kClasses, .layers = 3, .input_dropout = false});
  const MlpNet<> sgc({.in = kFeatures, .out = kClasses, .layers = 1});
  const MlpNet<> sign({.in = 4 * kFeatures, .hidden = options.hidden, .out = kClasses, .layers = 2});
  const MlpNet<> mlp({.in = kFeatures, .hidden = options.hidden, .out = kClasses, .layers = 2});
  // Answers read the rows of the graph alone: called symmetric, it gets no transposed copy.
  const PreparedAdjacency prepared = prepare_adjacency(graph, true, teacher.aggregation());
  const Adjacency whole = prepared.adjacency();
  double sink = 0;
  const auto hop = [&](MatrixView<const float> from, Tensor<float>& to) {
    to.resize(from.rows(), from.cols());
    spmm_sum<float, float>(whole.forward, from, to.view());
  };
  const std::vector<Case> every = {
      {"teacher gcn 3 layers", [&] { sink += static_cast<double>(infer(teacher, whole, x.view())(0, 0)); }},
      {"sgc 2 hops",
       [&] {
         Tensor<float> once;
         Tensor<float> twice;
         hop(x.view(), once);
         hop(std::as_const(once).view(), twice);
         sink += ask_rows(sgc, std::as_const(twice).view());
       }},
      {"sign 3 hops",
       [&] {
         std::array<Tensor<float>, 3> s;
         hop(x.view(), s[0]);
         for (std::size_t k = 1; k < s.size(); ++k) hop(std::as_const(s[k - 1]).view(), s[k]);
         Tensor<float> block;  // [x | S x | S^2 x | S^3 x]
         sink += ask_blocks(sign, x.rows(), [&](std::size_t first, std::size_t last) {
           block.resize(last - first, 4 * kFeatures);
           for (std::size_t k = 0; k <= s.size(); ++k) {
             const MatrixView<const float> from = k == 0 ? x.view() : std::as_const(s[k - 1]).view();
             tessera::detail::copy_rows(from.middle_rows(first, last - first),
                                        block.view().middle_cols(k * kFeatures, kFeatures));
           }
           return std::as_const(block).view();
         });
       }},
      {"mlp", [&] { sink += ask_rows(mlp, x.view()); }}};
  report.begin_group("all nodes at once", "vs gcn");
  std::vector<Timing>
      timings;  // one case after the other, so that no two of them hold their matrices at once
  for (const Case& one : every) {
    BufferPool::global().trim();
    timings.push_back(time_interleaved({one}, options.common.repeats).front());
  }
  BufferPool::global().trim();
  add_rows(report, "all", every, timings, static_cast<double>(shape.nodes));

  std::vector<NodeId> asked;
  CounterRng rng(make_key(5, 0, Purpose::pick), 0, 0);
  for (std::size_t i = 0; i < options.asked; ++i)
    asked.push_back(static_cast<NodeId>(rng.below(shape.nodes)));
  std::sort(asked.begin(), asked.end());
  asked.erase(std::unique(asked.begin(), asked.end()), asked.end());

  const NeighborSampler two({.fanouts = {-1, -1}, .batches = {.batch_size = asked.size(), .shuffle = false}});
  const NeighborSampler three(
      {.fanouts = {-1, -1, -1}, .batches = {.batch_size = asked.size(), .shuffle = false}});
  typename NeighborSampler::Workspace workspace{};  // a server keeps its scratch from query to query
  MiniBatch batch;
  const auto fetch = [&](const NeighborSampler& sampler, std::span<const NodeId> nodes) {
    sampler.sample({graph, false, nodes}, teacher.aggregation(), {}, workspace, batch);
    Tensor<float> rows(batch.node_id.size(), kFeatures);
    gather_rows(x.view(), batch.node_id.span(), rows.view());
    return rows;
  };
  // Blocks shrink from hop to hop, so column group k of SIGN is what k blocks leave of the nodes' own rows.
  const auto walk = [&](Tensor<float> now, std::size_t nodes, Tensor<float>* all) {
    for (std::size_t k = 0;; ++k) {
      if (all != nullptr) {
        tessera::detail::copy_rows(std::as_const(now).view().middle_rows(0, nodes),
                                   all->view().middle_cols(k * kFeatures, kFeatures));
      }
      if (k == batch.blocks.size()) return now;
      const Adjacency block = batch.blocks[k].adjacency();
      Tensor<float> next(block.num_dst(), kFeatures);
      spmm_sum<float, float>(block.forward, std::as_const(now).view(), next.view());
      now = std::move(next);
    }
  };
  using Ask = std::function<void(std::span<const NodeId>)>;
  const std::vector<std::pair<std::string, Ask>> ways = {
      {"teacher gcn 3 layers",
       [&](std::span<const NodeId> nodes) {
         const Tensor<float> rows = fetch(three, nodes);
         std::vector<Adjacency> levels;
         for (const Block& block : batch.blocks) levels.push_back(block.adjacency());
         NoTape<float> ctx;
         const Var z = teacher.forward(ctx, AdjacencyStack(levels), ctx.input(rows.view()), Pass{});
         sink += static_cast<double>(ctx.value(z)(0, 0));
       }},
      {"sgc 2 hops",
       [&](std::span<const NodeId> nodes) {
         Tensor<float> s = walk(fetch(two, nodes), nodes.size(), nullptr);
         sink += ask_rows(sgc, std::as_const(s).view());
       }},
      {"sign 3 hops",
       [&](std::span<const NodeId> nodes) {
         Tensor<float> s(nodes.size(), 4 * kFeatures);
         walk(fetch(three, nodes), nodes.size(), &s);
         sink += ask_rows(sign, std::as_const(s).view());
       }},
      {"mlp", [&](std::span<const NodeId> nodes) {
         Tensor<float> rows(nodes.size(), kFeatures);
         gather_rows(x.view(), nodes, rows.view());
         sink += ask_rows(mlp, std::as_const(rows).view());
       }}};
  const auto ask = [&](const std::string& title, const std::string& group, std::size_t at_once) {
    std::vector<Case> cases;
    for (const std::pair<std::string, Ask>& way : ways) {
      cases.push_back({way.first, [&, at_once] {
                         const std::span<const NodeId> nodes(asked);
                         for (std::size_t i = 0; i < nodes.size(); i += at_once)
                           way.second(nodes.subspan(i, std::min(at_once, nodes.size() - i)));
                       }});
    }
    report.begin_group(title, "vs gcn");
    add_rows(report, group, cases, time_interleaved(cases, options.common.repeats),
             static_cast<double>(asked.size()));
  };
  ask("one node at a time, its neighbourhood from scratch", "one", 1);
  ask(std::to_string(asked.size()) + " nodes at once, their neighbourhoods from scratch", "few",
      asked.size());
  report.note("latency_checksum", sink);
}

void run_memory(const Options& options, Report& report) {
  const Tensor<float> a = random_rows(options.samples, 256, 3);
  const Tensor<float> b = random_rows(options.samples, 256, 4);
  double sink = 0;
  std::size_t bytes[2] = {};
  const auto term = [&](std::size_t which, auto&& loss) {
    return [&, which, loss] {
      BufferPool::global().trim();
      const std::size_t before = BufferPool::global().stats().held_bytes;
      Tape<float> tape;
      sink += static_cast<double>(tape.value(loss(tape, tape.input(a.view()), tape.input(b.view())))(0, 0));
      bytes[which] = BufferPool::global().stats().held_bytes - before;
    };
  };
  const std::vector<Case> cases = {
      {"contrast (g-crd)", term(0, [](auto& t, Var x, Var y) { return contrast_rows(t, x, y, 0.075); })},
      {"pairs (gsp, rbf)",
       term(1, [](auto& t, Var x, Var y) { return match_pairs(t, x, y, PairKernel::rbf); })}};
  report.begin_group("value and gradients of " + std::to_string(options.samples) + " nodes, 256 columns",
                     "-");
  const std::vector<Timing> timings =
      time_interleaved(cases, std::min<std::size_t>(3, options.common.repeats));
  for (std::size_t c = 0; c < cases.size(); ++c) {
    Row row;
    row.group = "memory";
    row.name = cases[c].name;
    row.timing = timings[c];
    row.bytes = static_cast<double>(bytes[c]);
    row.flops = 6.0 * 256 * static_cast<double>(options.samples) * static_cast<double>(options.samples);
    report.add(row);
    std::printf("  %-26s %10.1f MB of scratch\n", "", static_cast<double>(bytes[c]) * 1e-6);
  }
  report.note("memory_checksum", sink);
}

int run(const Options& options) {
  const IsaScope scope(options.common.level());
  return with_threads(options.common.threads, [&] {
    double sink = 0;
    const auto bytes = static_cast<std::size_t>(std::clamp(options.scale, 0.05, 1.0) * 1e9);
    const Machine machine = measure_machine(512, bytes, sink);
    Report report("bench_distill", options.common, machine);
    report.note("scale", options.scale);
    run_latency(options, report);
    run_memory(options, report);
    report.finish();
    return 0;
  });
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  tessera::bench::Options options;
  CLI::App app("Answers of teachers and students; terms over many sampled nodes");
  options.common.add_to(app);
  app.add_option("--scale", options.scale, "Size of the graph, 1 = Amazon2M")
      ->check(CLI::Range(1e-6, 8.0))
      ->capture_default_str();
  app.add_option("--hidden", options.hidden)->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--asked", options.asked, "Nodes asked at once")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--samples", options.samples, "Nodes of the contrast")
      ->check(CLI::Range(2, 100'000))
      ->capture_default_str();
  return tessera::bench::run_program(app, argc, argv, "bench_distill",
                                     [&] { return tessera::bench::run(options); });
}
