// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/sampling/ppr_push.hpp"

namespace tessera {

/// What is done to the kept scores pi_vj of a source v.
enum class PprScale {
  row,        ///< nothing: rows of alpha (I - (1 - alpha) D^-1 A)^-1
  symmetric,  ///< times sqrt(deg v / deg j): those of alpha (I - (1 - alpha) D^-1/2 A D^-1/2)^-1
  column      ///< times deg v / deg j
};

struct PprTableOptions {
  PprPushOptions push{};
  std::size_t k = 32;  ///< scores kept per source; fewer where fewer nodes are reached
  PprScale scale = PprScale::row;
};

/// The largest personalised PageRank scores of some nodes.
///
/// Shapes   row_ptr [S + 1]; row s holds the nodes of source s with their scores, by the estimate before
///          scaling, largest first and smaller ids first among equals
struct PprTable {
  Array<NodeId> source;  ///< [S], as asked for
  Array<EdgeId> row_ptr{1, EdgeId{0}};
  Array<NodeId> node;
  Array<float> score;

  std::size_t num_sources() const noexcept { return source.size(); }
  std::span<const NodeId> nodes(std::size_t s) const noexcept {
    return node.span().subspan(row_ptr[s], row_ptr[s + 1] - row_ptr[s]);
  }
  std::span<const float> scores(std::size_t s) const noexcept {
    return score.span().subspan(row_ptr[s], row_ptr[s + 1] - row_ptr[s]);
  }
};

namespace detail {

struct PprScore {
  double score;
  NodeId node;

  friend bool operator<(const PprScore& a, const PprScore& b) noexcept {
    return a.score != b.score ? a.score > b.score : a.node < b.node;
  }
};

/// The k best of a finished run, best first.
inline void best_scores(const PprPush& push, std::size_t k, Array<PprScore>& out) {
  out.clear();
  for (const NodeId u : push.touched()) {
    if (push.estimate(u) > 0) out.push_back({push.estimate(u), u});
  }
  const std::size_t kept = std::min(k, out.size());
  const auto end = out.begin() + static_cast<std::ptrdiff_t>(kept);
  std::nth_element(out.begin(), end, out.end());
  std::sort(out.begin(), end);
  out.resize(kept);
}

inline double ppr_factor(CsrView<> graph, NodeId v, NodeId j, PprScale scale) noexcept {
  constexpr double kNoLinks = 1e-12;  // the published program's stand-in for a degree of 0
  const double ratio = std::max(static_cast<double>(graph.degree(v)), kNoLinks) /
                       std::max(static_cast<double>(graph.degree(j)), kNoLinks);
  return scale == PprScale::row ? 1.0 : scale == PprScale::column ? ratio : std::sqrt(ratio);
}

}  // namespace detail

/// The top k personalised PageRank scores of every source.
///
/// Cost     one push per source, spread over threads; 17 bytes per node and thread, and 8 k bytes per source
/// Errors   ConfigError for wrong push options or k = 0; IndexError for a source that is no node
/// Threads  parallel over sources; the result does not depend on T
/// Source   Bojchevski et al., Scaling graph neural networks with approximate PageRank, KDD 2020, section 4.1
inline PprTable ppr_table(CsrView<> graph, std::span<const NodeId> sources, const PprTableOptions& options) {
  validate(options.push, "ppr_table");
  if (options.k == 0) throw ConfigError("ppr_table: k is 0, want at least 1");
  for (std::size_t s = 0; s < sources.size(); ++s) {
    if (sources[s] >= graph.num_rows) {
      throw IndexError(
          message("ppr_table: sources[", s, "] is ", sources[s], ", want less than ", graph.num_rows));
    }
  }
  PprTable out;
  out.source = Array<NodeId>::copy_of(sources);
  const std::size_t k = std::min(options.k, graph.num_rows);
  Array<NodeId> node(sources.size() * k);
  Array<float> score(sources.size() * k);
  out.row_ptr.resize(sources.size() + 1);
  // Each lane has scratch of its own and takes the next chunk; where a row goes depends on the source alone.
  constexpr std::size_t kChunk = 8;
  std::atomic<std::size_t> next{0};
  parallel_blocks(std::min(max_threads(), (sources.size() + kChunk - 1) / kChunk), [&](std::size_t) {
    PprPush push;
    Array<detail::PprScore> best;
    for (std::size_t s = next.fetch_add(kChunk); s < sources.size(); s = next.fetch_add(kChunk)) {
      const std::size_t end = std::min(sources.size(), s + kChunk);
      for (std::size_t v = s; v < end; ++v) {
        push.run(graph, sources[v], options.push);
        detail::best_scores(push, k, best);
        for (std::size_t t = 0; t < best.size(); ++t) {
          const double factor = detail::ppr_factor(graph, sources[v], best[t].node, options.scale);
          node[v * k + t] = best[t].node;
          score[v * k + t] = static_cast<float>(best[t].score * factor);
        }
        out.row_ptr[v] = best.size();
      }
    }
  });
  out.row_ptr[sources.size()] = 0;
  const std::size_t total = parallel_exclusive_scan(out.row_ptr.span());
  out.node.resize(total);
  out.score.resize(total);
  parallel_for(sources.size(), 1024, [&](std::size_t s, std::size_t end) {
    for (; s < end; ++s) {
      const std::size_t count = out.row_ptr[s + 1] - out.row_ptr[s];
      std::copy_n(node.begin() + s * k, count, out.node.begin() + out.row_ptr[s]);
      std::copy_n(score.begin() + s * k, count, out.score.begin() + out.row_ptr[s]);
    }
  });
  return out;
}

/// Finds the row of a node in a table.
class PprRows {
 public:
  /// Errors   IndexError if a source of the table is no node
  PprRows(std::size_t num_nodes, const PprTable& table) : row_(num_nodes, kNoNode) {
    for (std::size_t s = 0; s < table.num_sources(); ++s) {
      if (table.source[s] >= num_nodes) {
        throw IndexError(message("PprRows: source ", table.source[s], " is no node of ", num_nodes));
      }
      row_[table.source[s]] = static_cast<NodeId>(s);
    }
  }

  std::size_t num_nodes() const noexcept { return row_.size(); }
  /// Errors   IndexError if the table has no row for this node
  std::size_t operator()(NodeId node, std::string_view who) const {
    const NodeId row = row_[node];
    if (row == kNoNode) throw IndexError(message(who, ": target ", node, " has no row in the PPR table"));
    return row;
  }

 private:
  Array<NodeId> row_;
};

}  // namespace tessera
