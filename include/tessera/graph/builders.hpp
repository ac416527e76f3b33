// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/build_options.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/symmetry.hpp"

namespace tessera {

/// Borrowed links in coordinate form, source -> target, in any order.
///
/// Shapes   source [L], target [L], weight [L] or empty (every link weighs 1)
struct EdgeList {
  std::span<const NodeId> source;
  std::span<const NodeId> target;
  std::span<const float> weight;

  std::size_t size() const noexcept { return source.size(); }
};

/// What a builder did to the links it was given; loaders print it.
struct BuildCounts {
  std::size_t links = 0;              ///< read
  std::size_t dropped_loops = 0;      ///< links
  std::size_t merged_duplicates = 0;  ///< entries of the matrix, so up to two per link when symmetrising
  std::size_t added_loops = 0;        ///< entries
};

struct BuiltGraph {
  CsrGraph graph;
  BuildCounts counts;
};

namespace detail {

/// COO to CSR in two cache-friendly steps: entries go to buckets of consecutive rows, stably, then every
/// bucket is sorted by row and column on its own. Blocks, buckets and orders depend on the input alone.
class CsrBuilder {
 public:
  CsrBuilder(std::size_t num_nodes, const EdgeList& edges, const BuildOptions& options)
      : num_nodes_(num_nodes),
        edges_(edges),
        options_(options),
        weighted_(!edges.weight.empty() || options.duplicates == Duplicates::sum),
        shift_(static_cast<unsigned>(std::bit_width(num_nodes >> 11))),
        buckets_((num_nodes >> shift_) + 1),
        block_(std::max<std::size_t>(std::size_t{1} << 16, (edges.size() + 255) / 256)),
        blocks_((edges.size() + block_ - 1) / block_) {}

  BuiltGraph build() {
    count_entries();
    scatter_entries();
    BuiltGraph out;
    out.graph.num_cols = num_nodes_;
    out.graph.row_ptr.assign(num_nodes_ + 1, 0);
    Array<BuildCounts> counts(buckets_, BuildCounts{});
    parallel_blocks(buckets_, [&](std::size_t b) {
      if (weighted_) {
        sort_bucket<true>(b, out.graph.row_ptr, counts[b]);
      } else {
        sort_bucket<false>(b, out.graph.row_ptr, counts[b]);
      }
    });
    for (const BuildCounts& c : counts) {
      counts_.merged_duplicates += c.merged_duplicates;
      counts_.added_loops += c.added_loops;
    }
    const std::size_t stored = parallel_exclusive_scan(out.graph.row_ptr.span());
    out.graph.col.resize(stored);
    const bool keep_weight = !edges_.weight.empty() || counts_.merged_duplicates > 0;
    if (weighted_ && keep_weight) out.graph.weight.resize(stored);
    parallel_blocks(buckets_, [&](std::size_t b) { copy_bucket(b, out.graph); });
    entries_ = {};
    weights_ = {};
    out.counts = counts_;
    out.graph.symmetric = options_.symmetrize || is_symmetric(out.graph.view());
    return out;
  }

 private:
  using Entry = std::uint64_t;  // row in the high half, column in the low half

  std::size_t bucket_of(NodeId row) const noexcept { return row >> shift_; }
  std::size_t first_row(std::size_t bucket) const noexcept { return std::min(bucket << shift_, num_nodes_); }

  /// Calls emit(row, col, link) for every entry of links [begin, end).
  template <class Emit>
  void for_each_entry(std::size_t begin, std::size_t end, Emit&& emit) const {
    for (std::size_t e = begin; e < end; ++e) {
      const NodeId source = edges_.source[e];
      const NodeId target = edges_.target[e];
      if (source == target) {
        if (options_.self_loops != SelfLoops::drop) emit(target, source, e);
        continue;
      }
      emit(target, source, e);
      if (options_.symmetrize) emit(source, target, e);
    }
  }

  /// Fills `cursor_` [block, bucket] with the place of each block's first entry in each bucket; checks the
  /// ids on the way.
  void count_entries() {
    struct BlockFacts {
      std::size_t loops = 0;
      std::size_t first_bad = std::numeric_limits<std::size_t>::max();
    };
    cursor_.assign(blocks_ * buckets_, 0);
    Array<BlockFacts> facts(blocks_, BlockFacts{});
    parallel_for(edges_.size(), block_, [&](std::size_t begin, std::size_t end) {
      BlockFacts& fact = facts[begin / block_];
      for (std::size_t e = begin; e < end; ++e) {
        if (edges_.source[e] >= num_nodes_ || edges_.target[e] >= num_nodes_) {
          fact.first_bad = e;
          return;
        }
        fact.loops += edges_.source[e] == edges_.target[e] ? 1u : 0u;
      }
      std::uint64_t* histogram = cursor_.data() + begin / block_ * buckets_;
      for_each_entry(begin, end, [&](NodeId row, NodeId, std::size_t) { ++histogram[bucket_of(row)]; });
    });
    std::size_t loops = 0;
    for (const BlockFacts& fact : facts) {
      if (fact.first_bad != std::numeric_limits<std::size_t>::max()) throw_bad_link(fact.first_bad);
      loops += fact.loops;
    }
    counts_.links = edges_.size();
    counts_.dropped_loops = options_.self_loops == SelfLoops::drop ? loops : 0;

    bucket_begin_.resize(buckets_ + 1);
    std::uint64_t sum = 0;
    for (std::size_t b = 0; b < buckets_; ++b) {
      bucket_begin_[b] = sum;
      for (std::size_t k = 0; k < blocks_; ++k) sum += std::exchange(cursor_[k * buckets_ + b], sum);
    }
    bucket_begin_[buckets_] = sum;
    packed_end_.resize(buckets_);
  }

  [[noreturn]] void throw_bad_link(std::size_t e) const {
    const bool source = edges_.source[e] >= num_nodes_;
    throw IndexError(message("build_csr: ", source ? "source" : "target", "[", e, "] is ",
                             source ? edges_.source[e] : edges_.target[e], ", want less than ", num_nodes_));
  }

  void scatter_entries() {
    entries_.resize(bucket_begin_[buckets_]);
    if (weighted_) weights_.resize(entries_.size());
    parallel_for(edges_.size(), block_, [&](std::size_t begin, std::size_t end) {
      std::uint64_t* cursor = cursor_.data() + begin / block_ * buckets_;
      for_each_entry(begin, end, [&](NodeId row, NodeId col, std::size_t link) {
        const std::uint64_t at = cursor[bucket_of(row)]++;
        entries_[at] = Entry{row} << 32 | col;
        if (weighted_) weights_[at] = edges_.weight.empty() ? 1.0f : edges_.weight[link];
      });
    });
    cursor_ = {};
  }

  /// Sorts one bucket by (row, col, order of the list), settles duplicates, and packs the columns that stay
  /// at its front. `degree[row]` receives the entries the row will have.
  template <bool kWeighted>
  void sort_bucket(std::size_t bucket, std::span<EdgeId> degree, BuildCounts& counts) {
    // A key holds the column; with weights also the rank, which finds the weight and keeps the sort stable.
    using Key = std::conditional_t<kWeighted, std::uint64_t, NodeId>;
    const std::size_t row0 = first_row(bucket);
    const std::size_t rows = first_row(bucket + 1) - row0;
    const std::size_t begin = bucket_begin_[bucket];
    const std::size_t size = bucket_begin_[bucket + 1] - begin;
    Array<std::uint64_t> start(rows + 1, 0);
    Array<Key> key(size);
    Array<float> weight(kWeighted ? size : 0);
    for (std::size_t e = begin; e < begin + size; ++e) ++start[(entries_[e] >> 32) - row0 + 1];
    for (std::size_t r = 0; r < rows; ++r) start[r + 1] += start[r];
    {
      Array<std::uint64_t> cursor = Array<std::uint64_t>::copy_of(start);
      for (std::size_t e = begin; e < begin + size; ++e) {
        const std::size_t at = cursor[(entries_[e] >> 32) - row0]++;
        const auto col = static_cast<NodeId>(entries_[e]);
        if constexpr (kWeighted) {
          key[at] = Entry{col} << 32 | (at - start[(entries_[e] >> 32) - row0]);
          weight[at] = weights_[e];
        } else {
          key[at] = col;
        }
      }
    }
    std::size_t out = begin;
    for (std::size_t r = 0; r < rows; ++r) {
      Key* const first = key.data() + start[r];
      Key* const last = key.data() + start[r + 1];
      sort_row(first, last);
      const std::size_t row_begin = out;
      bool has_loop = false;
      for (const Key* k = first; k != last; ++k) {
        NodeId col = 0;
        float w = 1.0f;
        if constexpr (kWeighted) {
          col = static_cast<NodeId>(*k >> 32);
          w = weight[start[r] + static_cast<std::uint32_t>(*k)];
        } else {
          col = *k;
        }
        has_loop |= col == row0 + r;
        const bool repeated = out > row_begin && static_cast<NodeId>(entries_[out - 1]) == col;
        if (!repeated || options_.duplicates == Duplicates::keep) {
          entries_[out] = Entry{row0 + r} << 32 | col;
          if constexpr (kWeighted) weights_[out] = w;
          ++out;
          continue;
        }
        ++counts.merged_duplicates;
        if constexpr (kWeighted) {
          if (options_.duplicates == Duplicates::sum) {
            double sum = static_cast<double>(weights_[out - 1]) + static_cast<double>(w);
            while (k + 1 != last && static_cast<NodeId>(*(k + 1) >> 32) == col) {
              ++k;
              ++counts.merged_duplicates;
              sum += static_cast<double>(weight[start[r] + static_cast<std::uint32_t>(*k)]);
            }
            weights_[out - 1] = static_cast<float>(sum);
          }
        }
      }
      const bool add_loop = options_.self_loops == SelfLoops::add_missing && !has_loop;
      counts.added_loops += add_loop ? 1u : 0u;
      degree[row0 + r] = out - row_begin + (add_loop ? 1u : 0u);
    }
    packed_end_[bucket] = out;
  }

  template <class Key>
  static void sort_row(Key* first, Key* last) {
    constexpr std::ptrdiff_t kHub = 1 << 20;  // a hub this large is worth a parallel sort of its own
    if (last - first < kHub) {
      std::sort(first, last);
    } else {
      parallel_sort(first, last);
    }
  }

  /// Moves the packed entries of one bucket to their final rows, adding missing loops.
  void copy_bucket(std::size_t bucket, CsrGraph& graph) const {
    const bool with_weight = !graph.weight.empty();
    std::size_t in = bucket_begin_[bucket];
    const std::size_t last = packed_end_[bucket];
    for (std::size_t row = first_row(bucket); row < first_row(bucket + 1); ++row) {
      std::size_t at = graph.row_ptr[row];
      const auto place = [&](NodeId col, float w) {
        graph.col[at] = col;
        if (with_weight) graph.weight[at] = w;
        ++at;
      };
      bool loop_pending = options_.self_loops == SelfLoops::add_missing;
      for (; in < last && entries_[in] >> 32 == row; ++in) {
        const auto col = static_cast<NodeId>(entries_[in]);
        if (loop_pending && col >= row) {
          if (col > row) place(static_cast<NodeId>(row), 1.0f);
          loop_pending = false;
        }
        place(col, with_weight ? weights_[in] : 1.0f);
      }
      if (loop_pending) place(static_cast<NodeId>(row), 1.0f);
    }
  }

  std::size_t num_nodes_;
  EdgeList edges_;
  BuildOptions options_;
  bool weighted_;
  unsigned shift_;
  std::size_t buckets_;
  std::size_t block_;
  std::size_t blocks_;
  BuildCounts counts_;
  Array<std::uint64_t> cursor_;
  Array<std::uint64_t> bucket_begin_;
  Array<std::uint64_t> packed_end_;
  Array<Entry> entries_;
  Array<float> weights_;
};

}  // namespace detail

/// Builds the graph of a list of links: row i lists the sources of the links into node i, ascending.
///
/// Shapes   edges [L] -> graph [num_nodes, num_nodes] with at most 2 L + num_nodes entries. The weights stay
///          absent where all are 1; `symmetric` is found out where it does not follow from the options
/// Cost     work O(L log max_degree), extra memory 8 bytes per entry (12 with weights) beside the result
/// Errors   ShapeError if the arrays of `edges` differ in length or num_nodes does not fit a NodeId;
///          IndexError names the first link with an end outside [0, num_nodes)
/// Threads  parallel; the result does not depend on T
inline BuiltGraph build_csr(std::size_t num_nodes, const EdgeList& edges, const BuildOptions& options = {}) {
  if (num_nodes > kNoNode) {
    throw ShapeError(message("build_csr: num_nodes is ", num_nodes, ", want at most ", kNoNode));
  }
  if (edges.target.size() != edges.source.size()) {
    throw ShapeError(message("build_csr: target has ", edges.target.size(), " entries, want ",
                             edges.source.size(), " as source has"));
  }
  if (!edges.weight.empty() && edges.weight.size() != edges.source.size()) {
    throw ShapeError(message("build_csr: weight has ", edges.weight.size(), " entries, want ",
                             edges.source.size(), " as source has, or none"));
  }
  return detail::CsrBuilder(num_nodes, edges, options).build();
}

/// The row of every stored entry, which with `col` makes a CSR matrix a list of links again.
///
/// Shapes   a [N, M] with E stored -> [E]
/// Threads  parallel
inline Array<NodeId> entry_rows(CsrView<> a) {
  Array<NodeId> row_of(a.num_edges());
  parallel_for(a.num_rows, 1 << 12, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
      std::fill(row_of.begin() + a.begin(row), row_of.begin() + a.end(row), static_cast<NodeId>(row));
    }
  });
  return row_of;
}

/// Rebuilds a square CSR matrix under other options: symmetrise it, add loops, merge what a file repeated.
///
/// Cost     as build_csr, and 4 bytes per entry
/// Errors   ShapeError if `a` is not square; otherwise as build_csr
inline BuiltGraph rebuild_csr(CsrView<> a, const BuildOptions& options) {
  if (a.num_rows != a.num_cols) {
    throw ShapeError(message("rebuild_csr: a is [", a.num_rows, ", ", a.num_cols, "], want a square matrix"));
  }
  const Array<NodeId> target = entry_rows(a);
  return build_csr(a.num_rows, {a.col, target, a.weight}, options);
}

}  // namespace tessera
