// SPDX-License-Identifier: MIT
#include "tessera/io/export.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "support/io_datasets.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/io/load.hpp"
#include "tessera/io/metis.hpp"

using namespace tessera;
using test::check_same;
using test::check_same_graph;
using test::ScratchFolder;

namespace {

/// A directed cycle of five nodes with a self loop at 2, features that are hard to print, and two unlabelled nodes.
Dataset odd_dataset(bool symmetric, bool multilabel, bool all_roles) {
  const std::vector<NodeId> source{0, 1, 2, 3, 4, 2};
  const std::vector<NodeId> target{1, 2, 3, 4, 0, 2};
  Dataset data;
  data.name = "odd";
  data.graph =
      build_csr(5, {source, target, {}}, {.symmetrize = symmetric, .self_loops = SelfLoops::keep}).graph;
  data.features.resize(5, 3);
  const float values[] = {0.1f, 1e-42f, 3.4028234e38f, -0.0f, 1.0f / 3, 16777217.0f};
  for (std::size_t i = 0; i < 15; ++i) data.features(i / 3, i % 3) = values[i % 6] * (i < 6 ? 1.0f : 0.5f);
  data.roles.assign(5, all_roles ? Role::train : Role::none);
  data.roles[0] = Role::train;
  data.roles[3] = Role::val;
  data.roles[4] = Role::test;
  if (multilabel) {
    data.labels.indicators = Tensor<float>::zeros(5, 3);
    for (std::size_t i = 0; i < 5; ++i) data.labels.indicators(i, i % 3) = 1;
    data.labels.indicators(1, 2) = 1;
    data.labels.num_classes = 3;
  } else {
    data.labels.classes.assign(5, 0);
    data.labels.classes[3] = 2;
    data.labels.classes[4] = 1;
    data.labels.classes[1] = all_roles ? 1 : kUnlabelled;
    data.labels.num_classes = 3;
  }
  return data;
}

io::ReadOptions as_written(bool symmetric) {
  return {.symmetrise = symmetric ? io::Symmetrise::automatic : io::Symmetrise::off,
          .self_loops = SelfLoops::keep};
}

}  // namespace

TEST_CASE("What is written in GraphSAINT layout reads the same", "[io]") {
  for (const bool symmetric : {true, false}) {
    for (const bool multilabel : {true, false}) {
      const ScratchFolder folder;
      const Dataset data = odd_dataset(symmetric, multilabel, false);
      io::write_graphsaint(folder / "s", data);
      check_same(data, io::load(folder / "s", as_written(symmetric)));
    }
  }
}

TEST_CASE("What is written in GraphSAGE layout reads the same", "[io]") {
  for (const bool symmetric : {true, false}) {
    for (const bool multilabel : {true, false}) {
      const ScratchFolder folder;
      const Dataset data = odd_dataset(symmetric, multilabel, true);
      io::write_graphsage(folder / "s", "odd", data);
      check_same(data, io::load(folder / "s", as_written(symmetric)));
    }
  }
  const ScratchFolder folder;
  const Dataset data = odd_dataset(true, true, false);
  CHECK_THROWS_AS(io::write_graphsage(folder / "s", "odd", data), ConfigError);
  io::write_graphsage(folder / "s", "odd", data, Role::test);
  CHECK(io::load(folder / "s").nodes(Role::test).size() == 3);
}

TEST_CASE("What is written in OGB layout reads the same", "[io]") {
  for (const bool symmetric : {true, false}) {
    for (const bool multilabel : {true, false}) {
      const ScratchFolder folder;
      const Dataset data = odd_dataset(symmetric, multilabel, false);
      io::write_ogb(folder / "s", data);
      check_same(data, io::load(folder / "s", as_written(symmetric)));
    }
  }
}

TEST_CASE("What is written as a METIS file reads the same", "[io]") {
  const ScratchFolder folder;
  const Dataset data = generate_community_graph({.nodes = 500, .seed = 3});
  io::write_metis(folder / "a.graph", data.graph.view());
  const io::MetisGraph back = io::read_metis(folder / "a.graph");
  check_same_graph(data.graph, back.graph);
  check_same_graph(data.graph, io::load(folder / "a.graph").graph);

  const std::vector<NodeId> source{0, 1, 2};
  const std::vector<NodeId> target{1, 2, 3};
  const std::vector<float> weight{2, 1, 7};
  const CsrGraph weighted = build_csr(5, {source, target, weight}, {.symmetrize = true}).graph;
  io::write_metis(folder / "w.graph", weighted.view());
  CHECK(test::read_back(folder / "w.graph") == "5 3 001\n2 2\n1 2 3 1\n2 1 4 7\n3 7\n\n");
  check_same_graph(weighted, io::read_metis(folder / "w.graph").graph);
}

TEST_CASE("What a layout cannot say is refused", "[io]") {
  const ScratchFolder folder;
  const std::vector<NodeId> source{0};
  const std::vector<NodeId> target{1};
  const std::vector<float> weight{0.5f};
  Dataset data = odd_dataset(true, false, true);
  data.graph = build_csr(5, {source, target, weight}, {.symmetrize = true}).graph;
  CHECK_THROWS_AS(io::write_graphsaint(folder / "a", data), ConfigError);
  CHECK_THROWS_AS(io::write_graphsage(folder / "b", "x", data), ConfigError);
  CHECK_THROWS_AS(io::write_ogb(folder / "c", data), ConfigError);
  CHECK_THROWS_AS(io::write_metis(folder / "d.graph", data.graph.view()), ConfigError);
  const CsrGraph directed = build_csr(2, {source, target, {}}, {}).graph;
  CHECK_THROWS_AS(io::write_metis(folder / "d.graph", directed.view()), ConfigError);
  CHECK_FALSE(std::filesystem::exists(folder / "d.graph"));
}

TEST_CASE("Real data go through every writer unchanged", "[io]") {
  const auto cora = test::real_data("cora/planetoid");
  const auto ppi = test::real_data("toy-ppi/graphsage");
  if (!cora || !ppi) return;
  const ScratchFolder folder;
  const Dataset a = io::load(*cora);
  io::write_graphsaint(folder / "cora-saint", a);
  check_same(a, io::load(folder / "cora-saint"));
  io::write_ogb(folder / "cora-ogb", a);
  check_same(a, io::load(folder / "cora-ogb"));
  const Dataset b = io::load(*ppi);
  io::write_graphsage(folder / "ppi-sage", "ppi", b);
  const Dataset back = io::load(folder / "ppi-sage");
  check_same(b, back);
  check_same_graph(b.train_graph, back.train_graph);
  io::write_graphsaint(folder / "ppi-saint", b);
  check_same_graph(b.train_graph, io::load(folder / "ppi-saint").train_graph);
}

TEST_CASE("The same data give the same bytes", "[io]") {
  const ScratchFolder folder;
  const Dataset data = odd_dataset(true, false, false);
  io::write_ogb(folder / "a", data);
  io::write_ogb(folder / "b", data);
  io::write_graphsaint(folder / "a", data);
  io::write_graphsaint(folder / "b", data);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder / "a")) {
    if (!entry.is_regular_file()) continue;
    const auto other = folder / "b" / std::filesystem::relative(entry.path(), folder / "a").string();
    CHECK(test::read_back(entry.path()) == test::read_back(other));
  }
}
