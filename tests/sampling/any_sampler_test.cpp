// SPDX-License-Identifier: MIT
#include "tessera/sampling/any_sampler.hpp"

#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

template <class T>
bool equal(const Array<T>& a, const Array<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

bool equal(const MiniBatch& a, const MiniBatch& b) {
  return a.num_targets == b.num_targets && a.halo_begin == b.halo_begin && equal(a.node_id, b.node_id) &&
         a.blocks.size() == b.blocks.size() && equal(a.blocks[0].row_ptr, b.blocks[0].row_ptr) &&
         equal(a.blocks[0].col, b.blocks[0].col) && equal(a.blocks[0].weight, b.blocks[0].weight);
}

}  // namespace

TEST_CASE("AnySampler makes the batches of the sampler inside, whatever its workspace served before") {
  const CsrGraph graph = g6();
  const SampleSource source{graph.view(), true, {}};
  const std::vector<PartId> parts{part_id(0), part_id(0), part_id(0), part_id(1), part_id(1), part_id(1)};
  const ClusterSampler cluster(parts);
  const AnySampler any_cluster = ClusterSampler(parts);
  const AnySampler any_full = FullGraphSampler{};
  CHECK_FALSE(any_cluster.same_every_epoch());
  CHECK(any_full.same_every_epoch());
  CHECK(any_cluster.num_batches(source) == 2);
  CHECK(any_full.num_batches(source) == 1);

  AnySampler::Workspace workspace;
  MiniBatch got;
  for (std::uint64_t batch = 0; batch < 2; ++batch) {
    ClusterSampler::Workspace own;
    MiniBatch want;
    cluster.sample(source, {}, {3, 1, batch}, own, want);
    any_cluster.sample(source, {}, {3, 1, batch}, workspace, got);
    CHECK(equal(got, want));
    any_full.sample(source, {}, {3, 1, 0}, workspace, got);
    CHECK(got.num_nodes() == 6);
    CHECK_FALSE(equal(got, want));
  }
  const AnySampler copy = any_cluster;
  MiniBatch other;
  any_cluster.sample(source, {}, {3, 1, 0}, workspace, got);
  copy.sample(source, {}, {3, 1, 0}, workspace, other);
  CHECK(equal(got, other));
  CHECK_THROWS_AS(any_full.sample(source, {}, {0, 0, 1}, workspace, got), IndexError);
}
