// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/induced_block.hpp"
#include "tessera/sampling/mini_batch.hpp"

namespace tessera {

struct RandomNodeSamplerOptions {
  std::size_t parts = 10;  ///< batches per epoch
};

/// The simplest subgraph batches: every epoch deals all nodes into parts at random and keeps the links inside
/// each. What a sampler or a partition has to beat.
///
/// A link survives with probability about 1 / parts; coefficients are taken inside the batch.
/// Shapes   a batch is one block over its nodes in ascending order, all of them targets; sizes differ by at
///          most one node, and there are no more parts than nodes
/// Cost     sample: O(N) when the epoch changes, then O(sum of the nodes' degrees); 4 bytes per node
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
/// Source   Fey & Lenssen, PyTorch Geometric, RandomNodeLoader
class RandomNodeSampler {
 public:
  using Options = RandomNodeSamplerOptions;

  struct Workspace {
    InducedBlockWorkspace block;
    Array<NodeId> order;  ///< the nodes as epoch `epoch` of run `seed` deals them
    std::uint64_t seed = 0;
    std::uint64_t epoch = 0;
  };

  /// Errors   ConfigError if parts is 0
  explicit RandomNodeSampler(Options options = {}) : options_(options) {
    if (options.parts == 0) throw ConfigError("RandomNodeSampler: parts is 0, want at least 1");
  }

  std::size_t num_batches(const SampleSource& source) const noexcept {
    return std::min(options_.parts, source.graph.num_rows);
  }

  /// Errors   IndexError if key.batch is num_batches() or more; otherwise as induced_block
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    const std::size_t n = source.graph.num_rows;
    const std::size_t parts = num_batches(source);
    if (key.batch >= parts) {
      throw IndexError(
          message("RandomNodeSampler::sample: key.batch is ", key.batch, ", want less than ", parts));
    }
    if (workspace.order.size() != n || workspace.seed != key.seed || workspace.epoch != key.epoch) {
      workspace.order.resize(n);
      std::iota(workspace.order.begin(), workspace.order.end(), NodeId{0});
      shuffle(workspace.order.span(), CounterRng(make_key(key.seed, key.epoch, Purpose::shuffle), 0, 0));
      workspace.seed = key.seed;
      workspace.epoch = key.epoch;
    }
    // The first n % parts batches hold one node more.
    const std::size_t least = n / parts;
    const std::size_t extra = n % parts;
    const std::size_t first = key.batch * least + std::min<std::size_t>(key.batch, extra);
    const std::size_t size = least + (key.batch < extra ? 1 : 0);
    batch.node_id.resize(size);
    std::copy_n(workspace.order.begin() + first, size, batch.node_id.begin());
    parallel_sort(batch.node_id.begin(), batch.node_id.end());
    batch.blocks.resize(1);
    induced_block(source.graph, source.symmetric, batch.node_id, spec, workspace.block, batch.blocks[0]);
    batch.num_targets = size;
    batch.halo_begin = size;
    batch.clear_optional();
  }

 private:
  Options options_;
};

}  // namespace tessera
