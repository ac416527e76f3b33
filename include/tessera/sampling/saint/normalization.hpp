// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/fingerprint.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/saint/correction.hpp"

namespace tessera {

/// Where the probabilities of nodes and entries come from.
enum class SaintEstimate {
  counted,      ///< frequencies in subgraphs drawn before training; any sampler
  closed_form,  ///< exact; node and edge sampler
  none          ///< nothing is corrected, every target counts alike: the ablation of the paper
};

struct SaintNormalizationOptions {
  SaintEstimate estimate = SaintEstimate::counted;
  double coverage = 50;     ///< counted: subgraphs until their nodes sum to more than this many per node
  std::size_t round = 200;  ///< counted: subgraphs between looks at the coverage
  double clip = 1e4;        ///< largest factor of a coefficient
  SaintUnseen unseen = SaintUnseen::once;
  std::uint64_t seed = 0;  ///< counted: of the subgraphs
};

/// Throws ConfigError naming the first option that cannot be.
inline void validate(const SaintNormalizationOptions& o) {
  const auto require = [](bool good, const char* name, auto got, const char* want) {
    if (!good) throw ConfigError(message("SaintNormalization: ", name, " is ", got, ", want ", want));
  };
  require(o.coverage > 0 && o.coverage <= 1e6, "coverage", o.coverage, "a number above 0, up to 1e6");
  require(o.round > 0, "round", o.round, "at least 1");
  require(o.clip >= 1, "clip", o.clip, "at least 1");
}

/// How often each node and each entry of a graph is in a sampler's subgraphs, and what batches make of it.
///
/// Shapes   node [N], edge [E]; both empty for SaintEstimate::none
/// Units    counts out of `trials` subgraphs, or probabilities with `trials` 1
/// Source   Zeng et al., GraphSAINT, ICLR 2020, section 3.2 and 3.3; the authors' norm_aggr.pyx, minibatch.py
struct SaintNormalization {
  Array<float> node;
  Array<float> edge;
  double trials = 1;
  double clip = 1e4;
  SaintUnseen unseen = SaintUnseen::once;
  std::uint64_t subgraphs = 0;     ///< drawn for counting
  std::uint64_t unseen_nodes = 0;  ///< targets that none of them held
  std::uint64_t unseen_edges = 0;  ///< entries likewise
  double seconds = 0;              ///< it took to find this; not part of the result

  SaintCorrection correction() const noexcept { return {node, edge, clip, unseen}; }
  /// lambda_v^-1, so that the expected sum over the targets of a batch is their mean over all of them.
  float loss_weight(NodeId v, std::size_t targets) const noexcept {
    const double floor = unseen == SaintUnseen::authors ? 0.1 : 1.0;
    const double seen = node[v] > 0 ? static_cast<double>(node[v]) : floor;
    return static_cast<float>(trials / seen / static_cast<double>(targets));
  }

  /// Shows everything to f(name, value), arrays and numbers, for a file to keep.
  template <class F>
  void visit(F&& f) {
    f("node", node);
    f("edge", edge);
    f("trials", trials);
    f("clip", clip);
    auto rule = static_cast<std::uint64_t>(unseen);
    f("unseen", rule);
    unseen = static_cast<SaintUnseen>(rule);
    f("subgraphs", subgraphs);
    f("unseen_nodes", unseen_nodes);
    f("unseen_edges", unseen_edges);
  }
};

namespace detail {

/// Counts what stayed at 0, once node and edge are filled.
inline void count_unseen(const SampleSource& source, SaintNormalization& out) {
  out.unseen_nodes = 0;
  for (const NodeId v : source.targets) out.unseen_nodes += out.node[v] > 0 ? 0u : 1u;
  out.unseen_edges =
      parallel_sum<std::uint64_t>(out.edge.size(), 1 << 16, [&](std::size_t e, std::size_t end) {
        std::uint64_t count = 0;
        for (; e < end; ++e) count += out.edge[e] > 0 ? 0u : 1u;
        return count;
      });
}

}  // namespace detail

/// A name for the normalisation of a source and a way of drawing, equal for equal ones: what a cache files it
/// under.
///
/// Cost     memory speed over the graph's structure; weights of entries do not matter
template <class D>
std::string saint_cache_key(const SampleSource& source, const D& draws,
                            const SaintNormalizationOptions& options) {
  constexpr std::uint64_t kKeyVersion = 1;  // of the algorithm and of what visit() shows
  tessera::detail::Fingerprint print;
  print.add(kKeyVersion).add(source.graph.row_ptr).add(source.graph.col).add(source.targets);
  draws.visit_options([&](std::uint64_t value) { print.add(value); });
  print.add(static_cast<std::uint64_t>(options.estimate)).add(options.round).add(options.seed);
  const double numbers[] = {options.coverage, options.clip};
  print.add(std::span<const double>(numbers)).add(static_cast<std::uint64_t>(options.unseen));
  return "saint-" + print.text();
}

}  // namespace tessera
