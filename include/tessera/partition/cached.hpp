// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/concepts.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/from_parts.hpp"
#include "tessera/partition/partition.hpp"

namespace tessera {

namespace detail {

/// An order-dependent hash of values, the same for any number of threads.
template <class T>
std::uint64_t content_hash(std::uint64_t seed, std::span<const T> values) {
  const std::uint64_t sum =
      parallel_sum<std::uint64_t>(values.size(), 1 << 14, [&](std::size_t begin, std::size_t end) {
        std::uint64_t part = 0;
        for (std::size_t i = begin; i < end; ++i) {
          part += multilevel::hash(seed, i, static_cast<std::uint64_t>(values[i]));
        }
        return part;
      });
  return multilevel::hash(sum, values.size(), seed);
}

}  // namespace detail

/// 16 hexadecimal digits that tell partitions apart: of the graph's content, every option and `method`.
///
/// Equal ids mean equal parts, but for one chance in 2^64; a release that changes parts changes the ids.
/// Cost     O(N + E)
/// Threads  result independent of T
inline std::string partition_id(CsrView<> graph, const PartitionOptions& options, std::string_view method) {
  constexpr std::uint64_t kPartsVersion = 2;  // raised whenever a partitioner changes its parts
  std::uint64_t h = detail::content_hash<EdgeId>(kPartsVersion, graph.row_ptr);
  h = detail::content_hash<NodeId>(h, graph.col);
  h = detail::content_hash<std::int64_t>(h, options.node_weight);
  h = detail::content_hash<std::int64_t>(h, options.second_weight);
  h = detail::content_hash<std::int32_t>(h, options.edge_weight);
  h = detail::content_hash<char>(h, std::span<const char>(method.data(), method.size()));
  const std::uint64_t settings[] = {options.parts,
                                    static_cast<std::uint64_t>(options.imbalance * 0x1p40),
                                    options.seed,
                                    static_cast<std::uint64_t>(options.effort),
                                    options.symmetrize ? 1u : 0u,
                                    options.relax_limit ? 1u : 0u};
  h = detail::content_hash<std::uint64_t>(h, settings);
  std::string out(16, '0');
  for (std::size_t i = 16; i-- > 0; h >>= 4) out[i] = "0123456789abcdef"[h & 15];
  return out;
}

/// Where parts are kept between runs. This layer knows no files: the examples keep them in `.part.K` files.
///
/// load returns the parts stored under an id, nothing if there are none; save stores them.
template <class S>
concept PartitionStore = requires(S& store, const std::string& id, std::span<const PartId> parts) {
  { store.load(id) } -> std::same_as<std::optional<Array<PartId>>>;
  store.save(id, parts);
};

/// The partition of `partitioner`, from the store if it has it, else computed and stored.
///
/// Parts that do not fit the graph or the options are computed anew: a store is never trusted.
/// Errors   as the partitioner and the store
template <Partitioner P, PartitionStore S>
Partition cached_partition(const P& partitioner, std::string_view method, CsrView<> graph,
                           const PartitionOptions& options, S& store) {
  check_partition_options(graph, options);
  const std::string id = partition_id(graph, options, method);
  if (std::optional<Array<PartId>> found = store.load(id)) {
    const bool fits =
        found->size() == graph.num_rows &&
        std::all_of(found->begin(), found->end(), [&](PartId p) { return index(p) < options.parts; });
    if (fits) return partition_from_parts(graph, options, std::move(*found));
  }
  Partition out = partitioner.partition(graph, options);
  store.save(id, out.part);
  return out;
}

}  // namespace tessera
