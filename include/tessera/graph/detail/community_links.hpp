// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_set>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/detail/community_plan.hpp"
#include "tessera/graph/detail/row_ranges.hpp"

namespace tessera::detail {

/// A set of slots that remembers the order they came in; open addressing, emptied by `clear`.
class PartnerSet {
 public:
  /// Empties the set and makes room for `count` slots.
  void clear(std::size_t count) {
    members_.clear();
    table_.assign(std::bit_ceil(2 * count + 1), kEmpty);
  }
  void insert(std::uint32_t slot) {
    const std::size_t mask = table_.size() - 1;
    std::size_t at = (slot * kGolden >> 7) & mask;
    for (; table_[at] != kEmpty; at = (at + 1) & mask) {
      if (table_[at] == slot) return;
    }
    table_[at] = slot;
    members_.push_back(slot);
  }
  std::size_t size() const noexcept { return members_.size(); }
  std::uint32_t operator[](std::size_t k) const noexcept { return members_[k]; }

 private:
  static constexpr std::uint32_t kEmpty = kNoNode;
  static constexpr std::uint32_t kGolden = 0x9E3779B9u;  // 2^32 / golden ratio: spreads consecutive slots

  Array<std::uint32_t> members_;
  Array<std::uint32_t> table_;
};

/// Draws the partners one slot proposes. Of two slots only one may propose the other, decided by parity, and
/// no slot proposes another twice: so no link is drawn twice, and none has to be merged away later.
class PartnerDraw {
 public:
  /// `round` 0 draws what a slot proposes first; later ones are for what is still missing then.
  PartnerDraw(const CommunityGraphOptions& options, const CommunityPlan& plan, std::size_t slot,
              std::uint32_t round = 0) noexcept
      : plan_(plan),
        slot_(slot),
        own_class_(plan.class_range(slot)),
        nodes_(options.nodes),
        rng_(make_key(options.seed, 4, Purpose::generate), round, slot) {}

  /// Fills `partners` with at most `count` distinct slots.
  void draw(std::size_t count, const CommunityGraphOptions& options, PartnerSet& partners) {
    partners.clear(count);
    std::size_t in_community = 0;
    std::size_t in_class = 0;
    for (std::size_t k = 0; k < count; ++k) {
      const bool inside = rng_.uniform() < options.homophily;
      in_class += inside ? 1u : 0u;
      in_community += inside && rng_.uniform() < options.community_share ? 1u : 0u;
    }
    // What a small block cannot give is asked of the next larger one.
    const SlotRange community = plan_.community_range(slot_);
    extend(partners, std::min(in_community, community.size() / 4), [&] { return inside(community); });
    extend(partners, in_class, [&] { return inside(own_class_); });
    if (own_class_.size() < nodes_) extend(partners, count, [&] { return outside(); });
  }

  /// One slot this one may propose, or itself where the draw was in vain.
  std::size_t draw_one(const CommunityGraphOptions& options) noexcept {
    const bool in_class = rng_.uniform() < options.homophily;
    const std::size_t other = in_class || own_class_.size() == nodes_ ? inside(own_class_) : outside();
    return may_propose(other) ? other : slot_;
  }

 private:
  std::size_t inside(SlotRange range) noexcept {
    const std::uint64_t first = plan_.weight_before(range.begin);
    return plan_.slot_of_unit(range, first + rng_.below(plan_.weight_before(range.end) - first));
  }

  std::size_t outside() noexcept {
    const std::uint64_t own_begin = plan_.weight_before(own_class_.begin);
    const std::uint64_t own = plan_.weight_before(own_class_.end) - own_begin;
    const std::uint64_t unit = rng_.below(plan_.weight_before(nodes_) - own);
    if (unit < own_begin) return plan_.slot_of_unit({0, own_class_.begin}, unit);
    return plan_.slot_of_unit({own_class_.end, nodes_}, unit + own);
  }

  bool may_propose(std::size_t other) const noexcept {
    return other != slot_ && ((slot_ + other) % 2 == 1) == (slot_ < other);
  }

  /// Draws until there are `size` different partners, or gives up after many tries.
  template <class Draw>
  void extend(PartnerSet& partners, std::size_t size, Draw&& draw) {
    if (size <= partners.size()) return;
    std::size_t tries = 64 + 32 * (size - partners.size());
    for (; partners.size() < size && tries > 0; --tries) {
      const std::size_t other = draw();
      if (may_propose(other)) partners.insert(static_cast<std::uint32_t>(other));
    }
  }

  const CommunityPlan& plan_;
  std::size_t slot_;
  SlotRange own_class_;
  std::size_t nodes_;
  CounterRng rng_;
};

/// Replaces the loops that stand for partners nobody found by links between other slots, until none is left
/// or the graph is too dense to find one. Sequential: such links are few.
inline void replace_loops(const CommunityGraphOptions& options, const CommunityPlan& plan,
                          std::span<const EdgeId> begin_of, std::span<const NodeId> node_of,
                          std::span<NodeId> source, std::span<NodeId> target) {
  constexpr int kTries = 4096;
  const auto node = [&](std::size_t slot) {
    return node_of.empty() ? static_cast<NodeId>(slot) : node_of[slot];
  };
  const std::size_t slots = options.nodes;
  CounterRng rng(make_key(options.seed, 9, Purpose::generate), 0, 0);
  std::unordered_set<std::uint64_t> added;
  std::uint32_t round = 0;
  for (std::size_t e = 0; e < source.size(); ++e) {
    for (int k = 0; source[e] == target[e] && k < kTries; ++k) {
      const std::size_t slot = plan.slot_of_unit({0, slots}, rng.below(plan.weight_before(slots)));
      const std::size_t other = PartnerDraw(options, plan, slot, ++round).draw_one(options);
      if (other == slot) continue;
      bool known = added.contains(std::uint64_t{slot} << 32 | other);
      for (std::size_t i = begin_of[slot]; i < begin_of[slot + 1] && !known; ++i)
        known = source[i] == node(slot) && target[i] == node(other);
      if (known) continue;
      added.insert(std::uint64_t{slot} << 32 | other);
      source[e] = node(slot);
      target[e] = node(other);
    }
  }
}

/// The graph of a plan; `node_of` maps slots to nodes, empty where they are the same.
inline CsrGraph community_links(const CommunityGraphOptions& options, const CommunityPlan& plan,
                                std::span<const NodeId> node_of) {
  const std::size_t n = options.nodes;
  // Every node proposes half its planned degree and is proposed by others as often. Rounding the running sum,
  // not each term, keeps the total exact.
  const std::uint64_t units = plan.weight_before(n);
  const auto rounded_half = [&](std::size_t slot) {
    if (options.links != 0) {
      return static_cast<std::uint64_t>(
          (static_cast<uint128>(plan.weight_before(slot)) * options.links + units / 2) / units);
    }
    return (plan.weight_before(slot) + CommunityPlan::kUnit) / (2 * CommunityPlan::kUnit);
  };
  Array<EdgeId> begin_of(n + 1);
  parallel_for(n + 1, 1 << 13, [&](std::size_t begin, std::size_t end) {
    for (std::size_t s = begin; s < end; ++s) begin_of[s] = rounded_half(s);
  });
  const std::size_t links = begin_of[n];
  Array<NodeId> source(links);
  Array<NodeId> target(links);
  const auto node = [&](std::size_t slot) {
    return node_of.empty() ? static_cast<NodeId>(slot) : node_of[slot];
  };
  parallel_rows(begin_of, [&](std::size_t begin, std::size_t end) {
    PartnerSet partners;
    for (std::size_t s = begin; s < end; ++s) {
      const std::size_t count = begin_of[s + 1] - begin_of[s];
      PartnerDraw(options, plan, s).draw(count, options, partners);
      for (std::size_t k = 0; k < count; ++k) {
        source[begin_of[s] + k] = node(s);
        // A partner that could not be found becomes a loop, which the builder drops.
        target[begin_of[s] + k] = node(k < partners.size() ? partners[k] : s);
      }
    }
  });
  if (options.links != 0) replace_loops(options, plan, begin_of, node_of, source, target);
  return build_csr(n, {source, target, {}}, {.symmetrize = true}).graph;
}

}  // namespace tessera::detail
