// SPDX-License-Identifier: MIT
#include "tessera/sampling/graph_batch_sampler.hpp"

#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/whole_graphs.hpp"
#include "tessera/core/parallel.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

struct Source {
  GraphDataset data = rings_and_stars(21);
  std::vector<NodeId> targets{0, 3, 4, 7, 11, 12, 13, 20};
  SampleSource view() const { return {data.graph.view(), true, targets}; }
};

constexpr AggregationSpec kPlain{Normalization::none, false, 0.0f};

}  // namespace

TEST_CASE("GraphBatchSampler puts every target graph into one batch of an epoch, whole") {
  const Source source;
  const GraphDataset& data = source.data;
  const GraphBatchSampler sampler(data.node_ptr, {.batch_size = 3});
  REQUIRE(sampler.num_batches(source.view()) == 3);
  GraphBatchSampler::Workspace workspace;
  MiniBatch batch;
  std::vector<NodeId> seen;
  for (std::uint64_t b = 0; b < 3; ++b) {
    sampler.sample(source.view(), kPlain, {1, 2, b}, workspace, batch);
    REQUIRE(batch.num_targets == batch.target_id.size());
    REQUIRE(batch.readout.num_dst == batch.num_targets);
    REQUIRE(batch.readout.num_src == batch.num_nodes());
    REQUIRE(batch.blocks.size() == 1);
    std::size_t row = 0;
    for (std::size_t g = 0; g < batch.num_targets; ++g) {
      const NodeId graph = batch.target_id[g];
      seen.push_back(graph);
      const std::size_t begin = data.node_ptr[graph];
      for (std::size_t i = begin; i < data.node_ptr[graph + 1]; ++i, ++row) {
        CHECK(batch.node_id[row] == i);
        CHECK(batch.readout.transpose_col[row] == g);
        const auto want = data.graph.view().neighbors(i);
        const auto got = batch.blocks[0].adjacency().forward.neighbors(row);
        REQUIRE(got.size() == want.size());
        for (std::size_t k = 0; k < got.size(); ++k) CHECK(batch.node_id[got[k]] == want[k]);
      }
      CHECK(batch.readout.row_ptr[g + 1] == row);
    }
    CHECK(row == batch.num_nodes());
  }
  std::sort(seen.begin(), seen.end());
  CHECK(seen == source.targets);
}

TEST_CASE("GraphBatchSampler gives the same bits at any thread count and reshuffles every epoch") {
  const Source source;
  const GraphBatchSampler sampler(source.data.node_ptr, {.batch_size = 4});
  const auto batch_of = [&](std::size_t threads, std::uint64_t epoch) {
    GraphBatchSampler::Workspace workspace;
    MiniBatch batch;
    with_threads(threads, [&] {
      sampler.sample(source.view(), {}, {1, epoch, 0}, workspace, batch);
      return 0;
    });
    return batch;
  };
  const MiniBatch one = batch_of(1, 0);
  for (const std::size_t threads : {2u, 4u}) {
    const MiniBatch many = batch_of(threads, 0);
    CHECK(std::ranges::equal(one.node_id, many.node_id));
    CHECK(std::ranges::equal(one.blocks[0].weight, many.blocks[0].weight));
  }
  bool differs = false;
  for (std::uint64_t epoch = 1; epoch < 5; ++epoch) {
    differs = differs || !std::ranges::equal(one.target_id, batch_of(1, epoch).target_id);
  }
  CHECK(differs);
}

TEST_CASE("GraphBatchSampler refuses what does not fit") {
  Source source;
  CHECK_THROWS_AS(GraphBatchSampler(source.data.node_ptr, {.batch_size = 0}), ConfigError);
  CHECK_THROWS_AS(GraphBatchSampler(std::vector<std::size_t>{}), ConfigError);
  CHECK_THROWS_AS(GraphBatchSampler(std::vector<std::size_t>{0, 5, 3}), ConfigError);
  const GraphBatchSampler sampler(source.data.node_ptr, {.batch_size = 8});
  GraphBatchSampler::Workspace workspace;
  MiniBatch batch;
  CHECK_THROWS_AS(sampler.sample(source.view(), {}, {0, 0, 1}, workspace, batch), IndexError);
  source.targets.back() = 21;
  CHECK_THROWS_AS(sampler.sample(source.view(), {}, {0, 0, 0}, workspace, batch), IndexError);
  const GraphBatchSampler other(std::vector<std::size_t>{0, 5});
  CHECK_THROWS_AS(other.sample(source.view(), {}, {0, 0, 0}, workspace, batch), ShapeError);
  source.targets.clear();
  CHECK(sampler.num_batches(source.view()) == 0);
}
