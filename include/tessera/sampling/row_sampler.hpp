// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/detail/random_order.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/mini_batch.hpp"

namespace tessera {

/// Batches of target rows and nothing else: for models that look at no neighbours, such as heads on precomputed
/// features.
///
/// Shapes   a batch is one block [B, B] without entries over B targets, in a new random order every epoch; the
///          last batch may be smaller. batch_size 0: all targets, ascending, in one batch
/// Cost     sample: O(B); O(M log M) for M targets where an epoch begins
/// Threads  const members may be called concurrently, with one workspace each; batches do not depend on T
class RowSampler {
 public:
  struct Options {
    std::size_t batch_size = 1024;  ///< B; 0 for full batches
    bool shuffle = true;
  };

  /// The order of one epoch, kept from batch to batch.
  struct Workspace {
    Array<NodeId> order;
    BatchKey of{};
    bool valid = false;
  };

  RowSampler() = default;
  explicit RowSampler(const Options& options) : options_(options) {}

  std::size_t num_batches(const SampleSource& source) const noexcept {
    const std::size_t targets = source.targets.size();
    if (targets == 0) return 0;
    return options_.batch_size == 0 ? 1 : (targets - 1) / options_.batch_size + 1;
  }
  /// A full batch is the same every time.
  bool same_every_epoch() const noexcept { return options_.batch_size == 0; }

  /// Errors   IndexError if there is no such batch
  void sample(const SampleSource& source, const AggregationSpec&, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    const std::size_t batches = num_batches(source);
    if (key.batch >= batches) {
      throw IndexError(message("RowSampler::sample: key.batch is ", key.batch, ", want less than ", batches));
    }
    const std::span<const NodeId> targets = source.targets;
    const std::size_t size = options_.batch_size == 0 ? targets.size() : options_.batch_size;
    const std::size_t first = static_cast<std::size_t>(key.batch) * size;
    const std::size_t count = std::min(size, targets.size() - first);
    batch.node_id.resize(count);
    if (options_.shuffle && options_.batch_size != 0) {
      order_epoch(targets.size(), key, workspace);
      for (std::size_t i = 0; i < count; ++i) batch.node_id[i] = targets[workspace.order[first + i]];
    } else {
      std::copy_n(targets.begin() + static_cast<std::ptrdiff_t>(first), count, batch.node_id.begin());
    }
    batch.blocks.resize(1);
    Block& block = batch.blocks[0];
    block.num_dst = count;
    block.num_src = count;
    block.row_ptr.assign(count + 1, EdgeId{0});
    block.col.clear();
    block.weight.clear();
    block.edge_id.clear();
    block.symmetric = true;
    block.transpose_row_ptr.clear();
    block.transpose_col.clear();
    block.transpose_weight.clear();
    block.transpose_edge.clear();
    batch.num_targets = count;
    batch.halo_begin = count;
    batch.clear_optional();
  }

 private:
  static void order_epoch(std::size_t targets, BatchKey key, Workspace& workspace) {
    if (workspace.valid && workspace.of.seed == key.seed && workspace.of.epoch == key.epoch &&
        workspace.order.size() == targets) {
      return;
    }
    workspace.order = detail::random_order(targets, make_key(key.seed, key.epoch, Purpose::shuffle));
    workspace.of = key;
    workspace.valid = true;
  }

  Options options_;
};

}  // namespace tessera
