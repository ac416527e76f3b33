// SPDX-License-Identifier: MIT
// Trainer, evaluation and inference on whole graphs.
#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/whole_graphs.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/graph_dataset_view.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/graph_batch_sampler.hpp"
#include "tessera/train/infer_graphs.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

/// A GCN whose rows of logits are averaged over each graph; no layer(), which only nodes need.
template <Real T>
class PooledGcn {
 public:
  using Scalar = T;
  explicit PooledGcn(const typename GcnNet<T>::Options& options) : nodes_(options) {}

  ParameterBlock<T>& parameters() noexcept { return nodes_.parameters(); }
  const ParameterBlock<T>& parameters() const noexcept { return nodes_.parameters(); }
  AggregationSpec aggregation() const noexcept { return nodes_.aggregation(); }
  std::size_t in_features() const noexcept { return nodes_.in_features(); }
  std::size_t out_features() const noexcept { return nodes_.out_features(); }
  void reset_parameters(std::uint64_t seed) { nodes_.reset_parameters(seed); }
  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack a, Var x, const Pass& pass) const {
    return aggregate(ctx, *a.readout(), nodes_.forward(ctx, a, x, pass), Reduce::mean);
  }

 private:
  GcnNet<T> nodes_;
};

static_assert(TrainableModel<PooledGcn<float>> && !Model<PooledGcn<float>>);

const GcnNet<>::Options kNet{.in = 2, .hidden = 16, .out = 2, .layers = 2, .dropout = 0.0f, .seed = 2};

FitReport fit(PooledGcn<float>& model, const GraphDatasetView& view, std::size_t batch_size) {
  Trainer trainer{model, GraphBatchSampler(view.node_ptr, {.batch_size = batch_size}), CrossEntropy{},
                  Adam{.lr = 0.02}};
  return trainer.fit(view, {.epochs = 100});
}

}  // namespace

TEST_CASE("a trainer learns to tell rings from stars and scores graphs, not nodes") {
  const GraphDataset data = rings_and_stars(160);
  PooledGcn<float> model(kNet);
  const FitReport report = fit(model, data, 16);
  CHECK(report.evaluation.train.count == 80);
  CHECK(report.evaluation.val.count == 40);
  CHECK(report.evaluation.test.count == 40);
  CHECK(report.history.front().steps == 5);
  CHECK(report.evaluation.test.metric >= 0.875);  // 35 of 40: guessing gets there once in a million
}

TEST_CASE("weights of a graph task are the same bits at 1, 2 and 4 threads") {
  const GraphDataset data = rings_and_stars(64);
  std::vector<float> first;
  for (const std::size_t threads : {1u, 2u, 4u}) {
    PooledGcn<float> model(kNet);
    with_threads(threads, [&] { return fit(model, data, 8).epochs; });
    const auto values = std::as_const(model).parameters().values();
    if (first.empty()) first.assign(values.begin(), values.end());
    CHECK(std::ranges::equal(values, first));
  }
}

TEST_CASE("infer_graphs: a batch of graphs equals every graph alone, whatever the slices") {
  const GraphDataset data = rings_and_stars(30);
  const GraphDatasetView view = data;
  const PooledGcn<float> model(kNet);
  const Tensor<float> whole = infer_graphs(model, view);
  REQUIRE(whole.rows() == 30);
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, model.aggregation());
  for (const std::size_t nodes_at_once : {1u, 20u, 100u}) {
    const Tensor<float> sliced =
        infer_graphs(model, prepared.adjacency().forward, view.node_ptr, view.features, nodes_at_once);
    for (std::size_t g = 0; g < 30; ++g) CHECK(std::ranges::equal(whole.row(g), sliced.row(g)));
  }
  CHECK_THROWS_AS(infer_graphs(model, prepared.adjacency().forward, view.node_ptr.first(3), view.features),
                  ShapeError);
}

TEST_CASE("a trainer refuses labels that do not count graphs") {
  const GraphDataset data = rings_and_stars(16);
  GraphDatasetView view = data;
  PooledGcn<float> model(kNet);
  view.roles = view.roles.first(15);
  CHECK_THROWS_AS(fit(model, view, 4), ShapeError);
  view.roles = data.roles;
  view.labels.classes = view.labels.classes.first(15);
  CHECK_THROWS_AS(fit(model, view, 4), ShapeError);
}
