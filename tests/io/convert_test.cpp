// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "support/io_datasets.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/io/container_write.hpp"
#include "tessera/io/export.hpp"
#include "tessera/io/load.hpp"
#include "tessera/io/mapped_dataset.hpp"
#include "tessera/io/metis.hpp"

using namespace tessera;
using test::check_same;
using test::check_same_graph;

namespace {

bool all(std::span<const Role> roles, bool (*good)(Role)) {
  return std::all_of(roles.begin(), roles.end(), good);
}

void metis_round_trip(const test::ScratchFolder& folder, const Dataset& data) {
  if (data.graph.symmetric) {
    io::write_metis(folder / "g.graph", data.graph);
    check_same_graph(io::load(folder / "g.graph").graph, data.graph);
  } else {
    CHECK_THROWS_AS(io::write_metis(folder / "g.graph", data.graph), ConfigError);
  }
}

/// Through the container and from there to every layout that can be written, and back. Only what a layout has no
/// room for is missing: METIS files hold a graph alone, GraphSAGE's have no node without a role or class.
void round_trip(const Dataset& data) {
  INFO(data.name);
  const test::ScratchFolder folder;
  const auto container = folder / "data.tessera";
  io::write_container(container, data, data.provenance);
  const Dataset from = io::load(container);
  check_same(from, data);
  CHECK(from.provenance.layout == data.provenance.layout);
  CHECK((from.train_graph.num_nodes() == 0) == (data.train_graph.num_nodes() == 0));
  if (data.train_graph.num_nodes() != 0) check_same_graph(from.train_graph, data.train_graph);
  check_same(io::MappedDataset(container), data);

  io::ReadOptions options;
  if (!data.graph.symmetric) options.symmetrise = io::Symmetrise::off;
  const auto& classes = data.labels.classes;
  if (!data.multilabel() &&
      std::all_of(classes.begin(), classes.end(), [](std::int32_t y) { return y < 0; })) {
    CHECK_THROWS_AS(io::write_graphsaint(folder / "saint", from), ConfigError);
    CHECK_THROWS_AS(io::write_graphsage(folder / "sage", "p", from, Role::train), ConfigError);
    CHECK_THROWS_AS(io::write_ogb(folder / "ogb", from), ConfigError);
    metis_round_trip(folder, from);
    return;
  }
  io::write_graphsaint(folder / "saint", from);
  check_same(io::load(folder / "saint", options), data);
  io::write_ogb(folder / "ogb", from);
  check_same(io::load(folder / "ogb", options), data);

  const bool labelled = std::find(classes.begin(), classes.end(), kUnlabelled) == classes.end();
  if (!labelled) {
    // -1 is a class that readers of the layout refuse or misread, so the programs refuse to write it.
  } else if (all(data.roles, [](Role r) { return r != Role::none; })) {
    io::write_graphsage(folder / "sage", "p", from);
    check_same(io::load(folder / "sage", options), data);
  } else {
    CHECK_THROWS_AS(io::write_graphsage(folder / "sage", "p", from), ConfigError);
    io::write_graphsage(folder / "sage", "p", from, Role::train);
    const Dataset back = io::load(folder / "sage", options);
    check_same_graph(back.graph, data.graph);
    test::check_same_matrix(back.features, data.features);
    test::check_same_labels(back.labels, data.labels);
    CHECK(back.nodes(Role::val).size() == data.nodes(Role::val).size());
  }
  metis_round_trip(folder, from);
}

}  // namespace

TEST_CASE("generated data go through the container into every layout and back", "[io]") {
  const bool multilabel = GENERATE(false, true);
  round_trip(generate_community_graph({.nodes = 400, .classes = 5, .features = 7, .multilabel = multilabel}));
}

TEST_CASE("every layout that is read goes through the container into every layout that is written", "[io]") {
  for (std::size_t k = 0; k < io::kLayoutNames.size(); ++k) {
    const auto layout = static_cast<io::Layout>(k);
    if (layout == io::Layout::container) continue;  // what all the others go through
    INFO(io::kLayoutNames[k]);
    const test::ScratchFolder folder;
    const bool asks = layout == io::Layout::edge_list;
    for (const io::Symmetrise edges : {io::Symmetrise::automatic, io::Symmetrise::off, io::Symmetrise::on}) {
      if (asks && edges == io::Symmetrise::automatic) continue;  // an edge list must be told
      const Dataset data = io::load(test::write_small(folder, layout), {.symmetrise = edges});
      CHECK(data.provenance.layout == io::kLayoutNames[k]);
      CHECK(data.num_nodes() >= 4);
      if (edges == io::Symmetrise::on) CHECK(data.graph.symmetric);
      round_trip(data);
    }
  }
}

TEST_CASE("each real layout goes through the container into every layout and back", "[io]") {
  for (const std::string name : {"cora/planetoid", "citeseer/graphsaint", "cora/ogb",
                                 "minesweeper/minesweeper.npz", "toy-ppi/graphsage", "pcg/csv"}) {
    if (const auto path = test::real_data(name)) round_trip(io::load(*path));
  }
}

TEST_CASE("a stored graph is made symmetric where that is asked for, and not the other way round", "[io]") {
  const test::ScratchFolder folder;
  const auto path = folder / "d.tessera";
  const Dataset data =
      io::load(test::write_small(folder, io::Layout::edge_list), {.symmetrise = io::Symmetrise::off});
  io::write_container(path, data, data.provenance);
  CHECK_FALSE(io::load(path).graph.symmetric);
  CHECK_FALSE(io::load(path, {.symmetrise = io::Symmetrise::off}).graph.symmetric);
  const Dataset both = io::load(path, {.symmetrise = io::Symmetrise::on});
  CHECK(both.graph.symmetric);
  CHECK(both.graph.num_edges() == 6);
  CHECK(both.provenance.edge_policy ==
        "read 3 links, dropped 0 self loops, merged 0 duplicates, E = 6 after symmetrising");
  io::write_container(path, both, both.provenance);
  check_same_graph(io::load(path, {.symmetrise = io::Symmetrise::on}).graph, both.graph);
  try {
    io::load(path, {.symmetrise = io::Symmetrise::off});
    FAIL("both directions are there");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()).find("convert the original with --directed") != std::string::npos);
  }
}

TEST_CASE("what becomes of every real data set in a container is what was loaded", "[io][slow]") {
  for (const std::string name : {"actor/actor.npz",
                                 "amazon-computers/npz",
                                 "amazon-computers/graphsaint",
                                 "blogcatalog/npz",
                                 "chameleon-filtered/chameleon_filtered.npz",
                                 "citeseer/npz",
                                 "citeseer/planetoid",
                                 "coauthor-cs/npz",
                                 "coauthor-physics/npz",
                                 "cora/npz",
                                 "cora-ml/npz",
                                 "dblp/npz",
                                 "musae-github/npz",
                                 "musae-facebook/npz",
                                 "nell/npz",
                                 "pcg/csv",
                                 "pcg/graphsaint",
                                 "pubmed/csv",
                                 "squirrel-filtered/squirrel_filtered.npz",
                                 "tolokers/tolokers.npz",
                                 "toy-ppi/csv",
                                 "toy-ppi/graphsaint"}) {
    const auto path = test::real_data(name);
    if (!path) continue;
    INFO(name);
    const test::ScratchFolder folder;
    const Dataset data = io::load(*path);
    io::write_container(folder / "c", data, data.provenance);
    check_same(io::load(folder / "c"), data);
  }
}
