// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/detail/level_graph.hpp"

namespace tessera::detail::multilevel {

inline constexpr std::size_t kNodeGrain = 1 << 13;  // nodes per block of loops that do O(1) for each

/// Adds to a shared integer; the order of additions does not matter, so neither does the number of threads.
template <class T>
inline void atomic_add(T& target, T value) noexcept {
  std::atomic_ref<T>(target).fetch_add(value, std::memory_order_relaxed);
}
template <class T>
inline void atomic_set(T& target, T value) noexcept {
  std::atomic_ref<T>(target).store(value, std::memory_order_relaxed);
}

/// Calls body(begin, end) for consecutive ranges of rows that hold about `grain` nodes and edges together.
template <class F>
void parallel_rows(std::span<const EdgeId> row_ptr, std::size_t grain, F&& body) {
  const std::size_t rows = row_ptr.size() - 1;
  const std::size_t work = static_cast<std::size_t>(row_ptr[rows]) + rows;
  const std::size_t blocks = (work + grain - 1) / grain;
  const auto first_row = [&](std::size_t block) {
    const std::size_t wanted = block * grain;
    std::size_t low = 0, high = rows;
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (static_cast<std::size_t>(row_ptr[middle]) + middle < wanted) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  };
  parallel_blocks(blocks, [&](std::size_t block) {
    const std::size_t begin = first_row(block);
    const std::size_t end = block + 1 == blocks ? rows : first_row(block + 1);
    if (begin < end) body(begin, end);
  });
}

/// Lists, ascending, the i in [0, count) for which keep(i) holds. `keep` is called twice per i.
template <class Keep>
void parallel_collect(std::size_t count, Keep&& keep, Array<NodeId>& out) {
  const std::size_t blocks = (count + kNodeGrain - 1) / kNodeGrain;
  Array<std::size_t> start(blocks);
  parallel_for(count, kNodeGrain, [&](std::size_t begin, std::size_t end) {
    std::size_t kept = 0;
    for (std::size_t i = begin; i < end; ++i) kept += keep(i) ? 1u : 0u;
    start[begin / kNodeGrain] = kept;
  });
  out.resize(parallel_exclusive_scan<std::size_t>(start));
  parallel_for(count, kNodeGrain, [&](std::size_t begin, std::size_t end) {
    NodeId* to = out.data() + start[begin / kNodeGrain];
    for (std::size_t i = begin; i < end; ++i) {
      if (keep(i)) *to++ = static_cast<NodeId>(i);
    }
  });
}

/// Items [0, count) sorted by group, ascending inside each.
struct Groups {
  Array<std::size_t> start;  ///< [groups + 1]
  Array<NodeId> member;      ///< [count]

  std::span<const NodeId> operator[](std::size_t group) const noexcept {
    return member.span().subspan(start[group], start[group + 1] - start[group]);
  }
};

/// Groups items by group_of(i) in [0, groups).
///
/// Cost     work O(count + groups), plus sorting inside groups when there are many of them
template <class GroupOf>
void group_by(std::size_t count, std::size_t groups, GroupOf&& group_of, Groups& out) {
  out.member.resize(count);
  constexpr std::size_t kSmall = 1 << 14;
  if (count <= kSmall) {  // a plain counting sort
    out.start.assign(groups + 1, 0);
    for (std::size_t i = 0; i < count; ++i) ++out.start[group_of(i)];
    std::size_t sum = 0;
    for (std::size_t& start : out.start) sum += std::exchange(start, sum);
    for (std::size_t i = 0; i < count; ++i) out.member[out.start[group_of(i)]++] = static_cast<NodeId>(i);
    for (std::size_t g = groups; g > 0; --g) out.start[g] = out.start[g - 1];
    out.start[0] = 0;
    return;
  }
  constexpr std::size_t kFew =
      64;  // counts per (block, group) stay small; beyond, one shared cursor per group
  if (groups <= kFew) {
    const std::size_t blocks = (count + kNodeGrain - 1) / kNodeGrain;
    Array<std::size_t> cursor(groups * blocks, std::size_t{0});
    parallel_for(count, kNodeGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) ++cursor[group_of(i) * blocks + begin / kNodeGrain];
    });
    parallel_exclusive_scan<std::size_t>(cursor);
    out.start.resize(groups + 1);
    for (std::size_t g = 0; g < groups; ++g) out.start[g] = blocks == 0 ? 0 : cursor[g * blocks];
    out.start[groups] = count;
    parallel_for(count, kNodeGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        out.member[cursor[group_of(i) * blocks + begin / kNodeGrain]++] = static_cast<NodeId>(i);
      }
    });
    return;
  }
  out.start.assign(groups + 1, 0);
  parallel_for(count, kNodeGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) atomic_add(out.start[group_of(i)], std::size_t{1});
  });
  parallel_exclusive_scan<std::size_t>(out.start);
  Array<std::size_t> cursor = Array<std::size_t>::copy_of(out.start);
  parallel_for(count, kNodeGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t at =
          std::atomic_ref<std::size_t>(cursor[group_of(i)]).fetch_add(1, std::memory_order_relaxed);
      out.member[at] = static_cast<NodeId>(i);
    }
  });
  parallel_for(groups, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t g = begin; g < end; ++g) {
      std::sort(out.member.data() + out.start[g], out.member.data() + out.start[g + 1]);
    }
  });
}

}  // namespace tessera::detail::multilevel
