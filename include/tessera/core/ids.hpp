// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace tessera {

/// Default width of a node id; views take another width as a template argument.
using NodeId = std::uint32_t;

/// Default width of a position among the stored edges.
using EdgeId = std::uint64_t;

/// A part of a partition. A type of its own, so a part cannot stand where a node is wanted.
enum class PartId : std::uint32_t {};

/// The array position a part id stands for.
constexpr std::size_t index(PartId part) noexcept { return static_cast<std::size_t>(part); }

/// The part with this number.
constexpr PartId part_id(std::size_t number) noexcept { return static_cast<PartId>(number); }

/// Stands in an array of part ids for a node that belongs to no part, e.g. one that training never sees.
inline constexpr PartId kNoPart = part_id(std::numeric_limits<std::uint32_t>::max());

inline constexpr NodeId kNoNode = std::numeric_limits<NodeId>::max();

/// Marks an entry that exists in no stored graph, e.g. a self loop a normalisation added.
inline constexpr EdgeId kNoEdge = std::numeric_limits<EdgeId>::max();

/// Label of a node that has none.
inline constexpr std::int32_t kUnlabelled = -1;

}  // namespace tessera
