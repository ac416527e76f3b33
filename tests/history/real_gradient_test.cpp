// SPDX-License-Identifier: MIT
// How near the gradients of an epoch come to that of the whole graph, on data sets as people have them.
#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/history_cases.hpp"
#include "support/io_archives.hpp"
#include "tessera/history/compensate.hpp"
#include "tessera/io/load.hpp"
#include "tessera/kernels/softmax.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/partition/multilevel.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

constexpr std::size_t kColumns = 128;

/// Words added up in 128 columns by number: as many nodes and links, a smaller first layer.
Tensor<float> hashed(MatrixView<const float> x) {
  Tensor<float> out = Tensor<float>::zeros(x.rows(), kColumns);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) out(i, j % kColumns) += x(i, j);
  }
  return out;
}

GcnNet<double> network(std::size_t classes) {
  return GcnNet<double>({.in = kColumns, .hidden = 32, .out = classes, .layers = 3, .dropout = 0, .seed = 5});
}

struct Gradients {
  double gas = 0;  ///< distance from the whole graph's, relative
  double lmc = 0;
};

/// Sums an epoch's gradients, after epochs that fill the tables of gradients, weights frozen.
template <class P>
std::vector<double> epoch_gradient(const GcnNet<double>& net, const HistoryCase& data,
                                   const HaloSampler& sampler, P policy) {
  HistoryModel<GcnNet<double>, P> model(network(data.loss.cols()), data.num_nodes(), {}, policy);
  std::copy(net.parameters().values().begin(), net.parameters().values().end(),
            model.parameters().values().begin());
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, model.aggregation());
  REQUIRE(model.infer_layers(prepared.adjacency(), data.x.view(), 0).has_value());
  for (std::uint64_t epoch = 0; epoch < 4; ++epoch) {
    model.parameters().zero_grads();
    for (std::uint64_t b = 0; b < sampler.num_batches(data.source()); ++b)
      batch_step(model, data, sampled(sampler, data, model.aggregation(), {1, epoch, b}));
  }
  return gradient_of(model.parameters());
}

/// At weights that a few steps of descent found. The loss is cross entropy, linear about its logits there.
Gradients measure(Dataset source, std::size_t parts, std::size_t per_batch) {
  const std::size_t classes = source.num_classes();
  HistoryCase data(std::move(source.graph), 1, classes);
  data.x = hashed(source.features.view());
  GcnNet<double> net = network(classes);
  const auto targets = [&](const Tensor<double>& logits) {
    softmax(std::as_const(logits).view(), data.loss.view());
    std::size_t labelled = 0;
    for (std::size_t i = 0; i < logits.rows(); ++i) labelled += source.roles[i] == Role::train ? 1u : 0u;
    for (std::size_t i = 0; i < logits.rows(); ++i) {
      if (source.roles[i] == Role::train)
        data.loss(i, static_cast<std::size_t>(source.labels.classes[i])) -= 1;
      const double share = source.roles[i] == Role::train ? 1 / static_cast<double>(labelled) : 0;
      for (double& g : data.loss.row(i)) g *= share;
    }
  };
  for (int step = 0; step < 10; ++step) {
    targets(full_step(net, data).logits);
    const StepResult at = full_step(net, data);
    for (std::size_t i = 0; i < at.gradient.size(); ++i) net.parameters().values()[i] -= 0.5 * at.gradient[i];
  }
  targets(full_step(net, data).logits);
  const std::vector<double> want = full_step(net, data).gradient;
  const Partition cut = MultilevelPartitioner{}.partition(data.graph.view(), {.parts = parts, .seed = 1});
  const HaloSampler pulling(cut.part, {.clusters_per_batch = per_batch});
  const HaloSampler computing(cut.part, {.clusters_per_batch = per_batch, .halo_rows = HaloRows::all});
  return {relative_distance(epoch_gradient(net, data, pulling, PullHistory{}), want),
          relative_distance(epoch_gradient(net, data, computing, MessageCompensation{}), want)};
}

}  // namespace

TEST_CASE("LMC's gradient is nearer to the whole graph's than GNNAutoScale's, on Cora", "[history][lmc]") {
  const auto path = test::real_data("cora/planetoid");
  if (!path) return;
  const Gradients off = measure(io::load(*path, {.row_normalize = true}), 40, 10);
  INFO("relative distance: GAS " << off.gas << ", LMC " << off.lmc);
  CHECK(off.gas > 0.02);
  CHECK(off.lmc < off.gas);
  const Gradients single = measure(io::load(*path, {.row_normalize = true}), 40, 1);
  INFO("one part a batch: GAS " << single.gas << ", LMC " << single.lmc);
  CHECK(single.gas > off.gas);
  CHECK(single.lmc < single.gas);
}

TEST_CASE("LMC's gradient is nearer to the whole graph's than GNNAutoScale's, on Physics",
          "[history][lmc][slow]") {
  const auto path = test::real_data("coauthor-physics/npz");
  if (!path) return;
  const Gradients off = measure(io::load(*path, {.split = "20-30-rest-s0", .row_normalize = true}), 40, 1);
  INFO("relative distance: GAS " << off.gas << ", LMC " << off.lmc);
  CHECK(off.gas > 0.01);
  CHECK(off.lmc < off.gas);
}
