// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <numeric>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/induced_block.hpp"
#include "tessera/sampling/mini_batch.hpp"

namespace tessera {

/// One batch that is the whole graph: full-batch training through the door every sampler uses.
///
/// Shapes   a batch is one block over all nodes in order, all of them targets
/// Cost     sample: work O(E), the same every epoch; the batch holds a prepared copy of the graph, about 16
///          bytes per entry
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
class FullGraphSampler {
 public:
  /// A trainer need not sample again.
  static constexpr bool same_every_epoch() noexcept { return true; }

  struct Workspace {
    InducedBlockWorkspace block;
  };

  std::size_t num_batches(const SampleSource& source) const noexcept {
    return source.graph.num_rows == 0 ? 0 : 1;
  }

  /// Errors   IndexError if key.batch is not 0 or the graph is empty; otherwise as induced_block
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    if (key.batch >= num_batches(source)) {
      throw IndexError(message("FullGraphSampler::sample: key.batch is ", key.batch, ", want less than ",
                               num_batches(source)));
    }
    const std::size_t n = source.graph.num_rows;
    batch.node_id.clear();
    batch.node_id.resize(n);
    std::iota(batch.node_id.begin(), batch.node_id.end(), NodeId{0});
    batch.blocks.resize(1);
    induced_block(source.graph, source.symmetric, batch.node_id, spec, workspace.block, batch.blocks[0]);
    batch.num_targets = n;
    batch.halo_begin = n;
    batch.clear_optional();
  }
};

}  // namespace tessera
