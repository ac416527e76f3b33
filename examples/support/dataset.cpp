// SPDX-License-Identifier: MIT
#include "support/dataset.hpp"

#include <cstddef>
#include <cstdio>
#include <string>

#include "tessera/core/parallel.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/graph/validate.hpp"
#include "tessera/io/detect.hpp"
#include "tessera/io/edge_policy.hpp"
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

enum class Scaling { none, rows, columns };

/// What the options do to features: word counts are made sums of 1, others standardised, unless they say otherwise.
Scaling scaling_of(const Options& o, const tessera::DatasetView& data,
                   const tessera::Provenance& provenance) {
  if (o.features == "raw") return Scaling::none;
  if (o.features == "row") return Scaling::rows;
  if (o.features != "auto") return Scaling::columns;
  if (o.data.empty() || provenance.feature_state != "raw") return Scaling::none;
  return sparse_counts(data.features) ? Scaling::rows : Scaling::columns;
}

void scale(Scaling scaling, const tessera::DatasetView& data, tessera::MatrixView<float> x,
           tessera::Provenance& provenance) {
  if (scaling == Scaling::rows) tessera::io::normalize_rows(data, x, provenance);
  if (scaling == Scaling::columns) tessera::io::standardize(data, x, provenance);
}

void tell(const Options& o, const tessera::DatasetView& data, const tessera::Provenance& provenance) {
  if (o.quiet) return;
  std::fprintf(stderr, "%.*s; %s; features %s\n", static_cast<int>(data.name.size()), data.name.data(),
               provenance.edge_policy.c_str(), provenance.feature_state.c_str());
  for (const std::string& warning : provenance.warnings) std::fprintf(stderr, "%s\n", warning.c_str());
}

/// Whether the data is a container that says what the options ask for.
bool usable_container(const Options& o) {
  namespace io = tessera::io;
  if (o.data.empty() || !(o.format.empty() || o.format == "container")) return false;
  return o.format == "container" || io::detect(o.data).layout == io::Layout::container;
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
  scale(scaling_of(o, data, data.provenance), data, data.features.view(), data.provenance);
  if (o.inductive && data.train_graph.num_nodes() != data.num_nodes()) {
    data.train_graph = io::edges_among_training_nodes(data.graph, data.roles);
  }
  for (const std::string& warning : tessera::validate(data)) data.provenance.warnings.push_back(warning);
  tell(o, data, data.provenance);
  return data;
}

OpenedData::OpenedData(const Options& o) {
  if (usable_container(o)) {
    open_container(o);
    return;
  }
  memory_ = load_dataset(o);
  view_ = memory_;
}

void OpenedData::open_container(const Options& o) {
  namespace io = tessera::io;
  mapped_.emplace(o.data, io::MappedDataset::Options{.split = io::container_split(o.split)});
  view_ = *mapped_;
  tessera::Provenance& provenance = mapped_->provenance;
  if (io::must_rebuild(view_.graph, o.edges.value(), o.data)) {
    memory_.graph = io::symmetrized(view_.graph, io::Place(o.data), provenance);
    view_.graph = memory_.graph;
    if (view_.train_graph.num_nodes() != 0) {
      tessera::Provenance ignored;
      memory_.train_graph = io::symmetrized(view_.train_graph, io::Place(o.data), ignored);
      view_.train_graph = memory_.train_graph;
    }
  }
  if (const Scaling scaling = scaling_of(o, view_, provenance); scaling != Scaling::none) {
    memory_.features = tessera::Tensor<float>::copy_of(view_.features);
    scale(scaling, view_, memory_.features.view(), provenance);
    view_.features = memory_.features.view();
  }
  if (o.inductive && view_.train_graph.num_nodes() != view_.num_nodes()) {
    memory_.train_graph = io::edges_among_training_nodes(view_.graph, view_.roles);
    view_.train_graph = memory_.train_graph;
  }
  tell(o, view_, provenance);
  read_ahead_ = std::jthread([this] { mapped_->read_ahead(); });
}

}  // namespace examples
