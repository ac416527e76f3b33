// SPDX-License-Identifier: MIT
#include "support/dataset.hpp"

#include <cstddef>
#include <cstdio>
#include <string>

#include "tessera/core/parallel.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/graph/validate.hpp"
#include "tessera/io/load.hpp"
#include "tessera/io/standardize.hpp"
#include "tessera/io/train_graph.hpp"

namespace examples {

namespace {

/// Whether features look like word counts: nowhere negative, at least nine in ten zero.
bool sparse_counts(tessera::MatrixView<const float> x) {
  struct Counts {
    std::size_t zero = 0;
    bool negative = false;
  };
  const Counts all = tessera::parallel_reduce(
      x.rows(), 1024, Counts{},
      [&](std::size_t begin, std::size_t end) {
        Counts c;
        for (std::size_t i = begin; i < end; ++i) {
          for (const float v : x.row(i)) {
            c.zero += v == 0 ? 1u : 0u;
            c.negative = c.negative || v < 0;
          }
        }
        return c;
      },
      [](Counts a, Counts b) {
        return Counts{a.zero + b.zero, a.negative || b.negative};
      });
  return !all.negative && all.zero * 10 >= x.size() * 9;
}

}  // namespace

tessera::Dataset load_dataset(const Options& o) {
  namespace io = tessera::io;
  tessera::Dataset data;
  if (o.data.empty()) {
    tessera::CommunityGraphOptions graph;
    graph.nodes = o.nodes;
    graph.feature_noise = 0.5;
    graph.multilabel = o.multilabel;
    data = tessera::generate_community_graph(graph);
  } else {
    io::ReadOptions read;
    read.format = o.format;
    read.split = o.split;
    read.symmetrise = o.edges.value();
    if (o.multilabel) read.multilabel = io::MultiLabel::on;
    data = io::load(o.data, read);
  }
  const bool rows = o.features == "row" || (o.features == "auto" && sparse_counts(data.features.view()));
  const bool none = o.features == "raw" || (o.features == "auto" && o.data.empty());
  if (!none && rows) io::normalize_rows(data);
  if (!none && !rows) io::standardize(data);
  if (o.inductive && data.train_graph.num_nodes() != data.num_nodes()) {
    data.train_graph = io::edges_among_training_nodes(data.graph, data.roles);
  }
  for (const std::string& warning : tessera::validate(data)) data.provenance.warnings.push_back(warning);
  if (!o.quiet) {
    std::fprintf(stderr, "%s; %s; features %s\n", data.name.c_str(), data.provenance.edge_policy.c_str(),
                 data.provenance.feature_state.c_str());
    for (const std::string& warning : data.provenance.warnings) std::fprintf(stderr, "%s\n", warning.c_str());
  }
  return data;
}

}  // namespace examples
