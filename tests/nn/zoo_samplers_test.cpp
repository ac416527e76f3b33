// SPDX-License-Identifier: MIT
// Every network of the zoo over the whole graph, over every sampler's batches and layer by layer, in float and double. The
// table in docs/layers.md has its ticks from here: run `test_nn "[.table]"`.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "support/zoo.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/drop_edge_sampler.hpp"
#include "tessera/sampling/fastgcn_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/labor_sampler.hpp"
#include "tessera/sampling/ladies_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/sampling/random_node_sampler.hpp"
#include "tessera/sampling/saint/node_draw.hpp"
#include "tessera/sampling/saint_sampler.hpp"
#include "tessera/train/infer.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

constexpr std::size_t kNodes = 120;
constexpr Pass kTraining{.training = true, .dropout_key = make_key(1, 5, Purpose::dropout)};

const CsrGraph& graph() {
  static const CsrGraph g = random_undirected(kNodes, 360, 1);  // some nodes are isolated
  return g;
}

std::vector<NodeId> targets() {
  std::vector<NodeId> out;
  for (NodeId i = 0; i < kNodes; i += 3) out.push_back(i);
  return out;
}

SampleSource source(const std::vector<NodeId>& wanted) { return {graph().view(), true, wanted}; }

struct SamplerEntry {
  std::string name;
  AnySampler sampler;
};

/// Samplers for a network of this many layers; `whole` asks them for everything there is.
std::vector<SamplerEntry> samplers(std::size_t layers, const AggregationSpec& spec, bool whole) {
  std::vector<SamplerEntry> out;
  const TargetBatches batches{.batch_size = whole ? kNodes : 16};
  const std::vector<int> fanouts(layers, whole ? -1 : 3);
  out.push_back({"full batch", FullGraphSampler{}});
  out.push_back({"neighbour", NeighborSampler({.fanouts = fanouts, .batches = batches})});
  const std::size_t parts = whole ? 1 : 4;
  std::vector<PartId> part(kNodes);
  for (std::size_t i = 0; i < kNodes; ++i) part[i] = static_cast<PartId>(i % parts);
  out.push_back({"cluster", ClusterSampler(part, {.clusters_per_batch = 1})});
  out.push_back({"random nodes", RandomNodeSampler({.parts = parts})});
  out.push_back({"DropEdge", DropEdgeSampler({.probability = whole ? 0.0 : 0.5})});
  if (whole) return out;
  out.push_back({"LABOR", LaborSampler({.fanouts = fanouts, .batches = batches})});
  const std::vector<std::size_t> sizes(layers, 48);
  out.push_back({"LADIES", LadiesSampler({.layer_sizes = sizes, .batches = batches})});
  const PreparedAdjacency prepared = prepare_adjacency(graph(), spec);
  out.push_back({"FastGCN", FastGcnSampler({.layer_sizes = sizes, .batches = batches},
                                           fastgcn_distribution(prepared.adjacency()))});
  const std::vector<NodeId> wanted = targets();
  out.push_back({"SAINT", SaintSampler<SaintNodeDraw>(source(wanted), {.nodes = 60}, {.coverage = 20})});
  return out;
}

template <class T>
Tensor<T> rows_of(MatrixView<const T> x, std::span<const NodeId> ids) {
  Tensor<T> out(ids.size(), x.cols());
  for (std::size_t i = 0; i < ids.size(); ++i)
    std::copy(x.row(ids[i]).begin(), x.row(ids[i]).end(), out.row(i).begin());
  return out;
}

/// Logits of the batch's targets and, in training, the gradients of their sum.
template <class T>
std::vector<T> run_batch(AnyModel<T>& model, const MiniBatch& batch, MatrixView<const T> x, bool training) {
  std::vector<Adjacency> levels;
  for (const Block& block : batch.blocks) levels.push_back(block.adjacency());
  const Tensor<T> rows = rows_of(x, batch.node_id.span());
  Tape<T> tape;
  model.parameters().zero_grads();
  const Var y =
      model.forward(tape, AdjacencyStack(levels), tape.input(rows.view()), training ? kTraining : Pass{});
  std::vector<T> out;
  for (std::size_t i = 0; i < tape.value(y).rows(); ++i)
    out.insert(out.end(), tape.value(y).row(i).begin(), tape.value(y).row(i).end());
  if (!training) return out;
  tape.backward(y, Tensor<T>::filled(tape.value(y).rows(), tape.value(y).cols(), T{1}).view());
  out.insert(out.end(), model.parameters().grads().begin(), model.parameters().grads().end());
  return out;
}

template <class T>
MiniBatch first_batch(const AnySampler& sampler, const AnyModel<T>& model,
                      const std::vector<NodeId>& wanted) {
  AnySampler::Workspace workspace;
  MiniBatch batch;
  sampler.sample(source(wanted), model.aggregation(), {3, 0, 0}, workspace, batch);
  return batch;
}

template <class T>
bool finite(const std::vector<T>& values) {
  return std::ranges::all_of(values, [](T v) { return std::isfinite(v); });
}

/// How far the logits of a batch are from those of the whole graph, relative to 1 + their size.
template <class T>
double distance(const std::vector<T>& got, std::span<const NodeId> ids, MatrixView<const T> want) {
  double worst = 0;
  for (std::size_t k = 0; k < got.size(); ++k) {
    const double w = static_cast<double>(want(ids[k / want.cols()], k % want.cols()));
    worst = std::max(worst, std::abs(static_cast<double>(got[k]) - w) / (1 + std::abs(w)));
  }
  return worst;
}

template <class T>
Tensor<T> whole_logits(const AnyModel<T>& model, MatrixView<const T> x) {
  const PreparedAdjacency prepared = prepare_adjacency(graph(), model.aggregation());
  const Adjacency level = prepared.adjacency();
  return run_model(model, AdjacencyStack(std::span(&level, 1)), x, Pass{});
}

TEMPLATE_TEST_CASE("zoo: batches that hold everything give the logits of the whole graph", "", float,
                   double) {
  using T = TestType;
  // Sums of up to 40 neighbours and 10 columns through two layers, in another order; networks amplify by less than 16.
  const double tolerance = 16 * 2 * 50 * (sizeof(T) == 8 ? 1.2e-16 : 6e-8);
  const auto x = random_matrix<T>(kNodes, 5, 1);
  for (ZooEntry<T>& entry : zoo<T>(0.0f)) {
    const Tensor<T> want = whole_logits(entry.model, x.view());
    for (const bool all : {true, false}) {
      std::vector<NodeId> wanted = targets();
      if (all) {
        wanted.resize(kNodes);
        std::iota(wanted.begin(), wanted.end(), NodeId{0});
      }
      // Statistics over the rows of a batch are those of the graph if the batch is.
      if (!all && entry.model.needs_all_rows()) continue;
      for (const SamplerEntry& s : samplers(entry.model.num_layers(), entry.model.aggregation(), true)) {
        INFO(entry.name << ", " << s.name << (all ? ", all targets" : ", a third of them"));
        const MiniBatch batch = first_batch(s.sampler, entry.model, wanted);
        const std::vector<T> got = run_batch(entry.model, batch, x.view(), false);
        CHECK(got.size() == batch.num_targets * want.cols());
        CHECK(distance(got, batch.node_id.span(), std::as_const(want).view()) <= tolerance);
      }
    }
  }
}

TEMPLATE_TEST_CASE("zoo: a training step on every sampler's batches is finite, moves weights, and repeats",
                   "", float, double) {
  using T = TestType;
  const auto x = random_matrix<T>(kNodes, 5, 1);
  const std::vector<NodeId> wanted = targets();
  for (ZooEntry<T>& entry : zoo<T>(0.3f)) {
    for (const SamplerEntry& s : samplers(entry.model.num_layers(), entry.model.aggregation(), false)) {
      INFO(entry.name << ", " << s.name);
      const MiniBatch batch = first_batch(s.sampler, entry.model, wanted);
      const std::vector<T> once = run_batch(entry.model, batch, x.view(), true);
      CHECK(finite(once));
      const auto grads = entry.model.parameters().grads();
      CHECK(std::ranges::any_of(grads, [](T g) { return g != T{0}; }));
      CHECK(run_batch(entry.model, batch, x.view(), true) == once);
    }
  }
}

TEST_CASE("zoo: layer-wise inference gives the bits of forward, float is near double") {
  const auto x = random_matrix<float>(kNodes, 5, 1);
  Tensor<double> wide(kNodes, 5);
  for (std::size_t i = 0; i < kNodes; ++i) std::copy(x.row(i).begin(), x.row(i).end(), wide.row(i).begin());
  std::vector<ZooEntry<float>> singles = zoo<float>(0.3f);
  std::vector<ZooEntry<double>> doubles = zoo<double>(0.3f);
  for (std::size_t k = 0; k < singles.size(); ++k) {
    INFO(singles[k].name);
    const AnyModel<float>& model = singles[k].model;
    const PreparedAdjacency prepared = prepare_adjacency(graph(), model.aggregation());
    const Tensor<float> want = whole_logits(model, x.view());
    CHECK(same_bits<float>(infer(model, prepared.adjacency(), x.view()).view(), want.view()));
    if (!model.needs_all_rows()) {
      // Two layers' activations and some rows: what a few blocks of rows need.
      const InferOptions small{.memory_budget = 40'000};
      CHECK(same_bits<float>(infer(model, prepared.adjacency(), x.view(), small).view(), want.view()));
    }
    AnyModel<double>& twin = doubles[k].model;
    for (std::size_t p = 0; p < model.parameters().parameters().size(); ++p) {
      const ParameterInfo& here = model.parameters().parameters()[p];
      const ParameterInfo& there = twin.parameters().parameters()[p];  // padded otherwise
      REQUIRE((here.name == there.name && here.size() == there.size()));
      std::copy_n(model.parameters().values().begin() + static_cast<std::ptrdiff_t>(here.offset), here.size(),
                  twin.parameters().values().begin() + static_cast<std::ptrdiff_t>(there.offset));
    }
    const Tensor<double> exact = whole_logits(twin, std::as_const(wide).view());
    double worst = 0, size = 0;
    for (std::size_t i = 0; i < kNodes; ++i) {
      for (std::size_t c = 0; c < want.cols(); ++c) {
        worst = std::max(worst, std::abs(static_cast<double>(want(i, c)) - exact(i, c)));
        size = std::max(size, std::abs(exact(i, c)));
      }
    }
    CHECK(worst <= 16 * 2 * 50 * 6e-8 * (1 + size));
  }
}

TEST_CASE("zoo: prints what was run with which batches", "[.table]") {
  const auto x = random_matrix<float>(kNodes, 5, 1);
  const std::vector<NodeId> wanted = targets();
  for (ZooEntry<float>& entry : zoo<float>(0.3f)) {
    std::printf("| %s |", entry.name.c_str());
    for (const SamplerEntry& s : samplers(entry.model.num_layers(), entry.model.aggregation(), false)) {
      const std::vector<float> got =
          run_batch(entry.model, first_batch(s.sampler, entry.model, wanted), x.view(), true);
      std::printf(" %s %s |", s.name.c_str(), finite(got) ? "x" : "");
    }
    std::printf("\n");
  }
}

}  // namespace
