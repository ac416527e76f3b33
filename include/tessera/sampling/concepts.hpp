// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/sampling/mini_batch.hpp"

namespace tessera {

/// What is sampled from: the graph training may see, and the nodes whose outputs are wanted.
struct SampleSource {
  CsrView<> graph;                  ///< in-neighbours per row, ascending, no duplicates
  bool symmetric = false;           ///< the graph equals its transpose
  std::span<const NodeId> targets;  ///< ascending; the labelled training nodes in training
};

/// Throws IndexError for the first seed that is not a node.
inline void check_seeds(std::span<const NodeId> seeds, std::size_t num_nodes, std::string_view who) {
  for (std::size_t k = 0; k < seeds.size(); ++k) {
    if (seeds[k] >= num_nodes) {
      throw IndexError(message(who, ": seeds[", k, "] is ", seeds[k], ", want less than ", num_nodes));
    }
  }
}

/// Names one batch of one run; with the source and the sampler's options it determines every bit of it.
struct BatchKey {
  std::uint64_t seed = 0;
  std::uint64_t epoch = 0;
  std::uint64_t batch = 0;
};

/// Cuts a graph into mini-batches.
///
/// Semantics no compiler can check: `sample` is a pure function of (source, spec, key) and the sampler's
/// options, for any number of threads; every node id in the batch is unique; every entry exists in the source
/// graph or is a self loop that `spec` asked for; aggregation weights are those of `spec`, taken inside the
/// batch; `batch` is reused, so a sampler overwrites every field (`clear_optional`). `Workspace` holds scratch of
/// one caller, and what the sampler learnt of the graphs it saw: concurrent calls need one each, and a graph that was
/// changed or replaced in memory needs a new one.
template <class S>
concept Sampler = requires(const S& sampler, const SampleSource& source, const AggregationSpec& spec,
                           BatchKey key, typename S::Workspace& workspace, MiniBatch& batch) {
  { sampler.num_batches(source) } -> std::convertible_to<std::size_t>;
  { sampler.sample(source, spec, key, workspace, batch) } -> std::same_as<void>;
};

/// Whether the sampler promises the same batches in every epoch and for every seed, by a member function of
/// this name. With one batch, a trainer then samples once.
template <Sampler S>
constexpr bool same_every_epoch(const S& sampler) {
  if constexpr (requires {
                  { sampler.same_every_epoch() } -> std::convertible_to<bool>;
                }) {
    return sampler.same_every_epoch();
  } else {
    return false;
  }
}

}  // namespace tessera
