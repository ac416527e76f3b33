// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/io/container_write.hpp"
#include "tessera/io/export.hpp"
#include "tessera/io/load.hpp"
#include "tessera/io/mapped_dataset.hpp"
#include "tessera/io/metis.hpp"

using namespace tessera;

namespace {

bool same_graph(CsrView<> a, CsrView<> b) {
  return std::equal(a.row_ptr.begin(), a.row_ptr.end(), b.row_ptr.begin(), b.row_ptr.end()) &&
         std::equal(a.col.begin(), a.col.end(), b.col.begin(), b.col.end()) &&
         std::equal(a.weight.begin(), a.weight.end(), b.weight.begin(), b.weight.end());
}

bool same_targets(const Dataset& a, const Dataset& b) {
  bool same = std::equal(a.roles.begin(), a.roles.end(), b.roles.begin(), b.roles.end()) &&
              std::equal(a.labels.classes.begin(), a.labels.classes.end(), b.labels.classes.begin(),
                         b.labels.classes.end()) &&
              a.features.rows() == b.features.rows() && a.features.cols() == b.features.cols();
  for (std::size_t i = 0; i < a.features.rows() && same; ++i)
    same = std::equal(a.features.row(i).begin(), a.features.row(i).end(), b.features.row(i).begin());
  for (std::size_t i = 0; i < a.labels.indicators.rows() && same; ++i) {
    const auto row = a.labels.indicators.row(i);
    same = std::equal(row.begin(), row.end(), b.labels.indicators.row(i).begin());
  }
  return same;
}

/// Through the container and from there to every layout that can be written, and back.
void round_trip(const Dataset& data) {
  INFO(data.name);
  const test::ScratchFolder folder;
  const auto container = folder / "data.tessera";
  io::write_container(container, data, data.provenance);
  const Dataset from = io::load(container);
  CHECK(same_graph(from.graph, data.graph));
  CHECK(same_targets(from, data));
  CHECK(from.graph.symmetric == data.graph.symmetric);
  CHECK(from.provenance.layout == data.provenance.layout);

  io::ReadOptions options;
  if (!data.graph.symmetric) options.symmetrise = io::Symmetrise::off;
  const bool complete =
      std::none_of(data.roles.begin(), data.roles.end(), [](Role r) { return r == Role::none; });
  const bool labelled = std::none_of(data.labels.classes.begin(), data.labels.classes.end(),
                                     [](std::int32_t y) { return y == kUnlabelled; });
  if (!labelled) return;  // -1 has no spelling in the class maps of other tools
  SECTION(data.name + ": graphsaint") {
    io::write_graphsaint(folder / "saint", from);
    const Dataset back = io::load(folder / "saint", options);
    CHECK(same_graph(back.graph, data.graph));
    CHECK(same_targets(back, data));
  }
  SECTION(data.name + ": ogb") {
    io::write_ogb(folder / "ogb", from);
    const Dataset back = io::load(folder / "ogb", options);
    CHECK(same_graph(back.graph, data.graph));
  }
  if (complete && data.graph.symmetric) {
    SECTION(data.name + ": graphsage") {
      io::write_graphsage(folder / "sage", "p", from);
      const Dataset back = io::load(folder / "sage", options);
      CHECK(same_graph(back.graph, data.graph));
      CHECK(same_targets(back, data));
    }
  }
  if (data.graph.symmetric) {
    SECTION(data.name + ": metis") {
      io::write_metis(folder / "g.graph", from.graph);
      CHECK(same_graph(io::load(folder / "g.graph").graph, data.graph));
    }
  }
}

}  // namespace

TEST_CASE("generated data go through the container into every layout and back", "[io]") {
  const bool multilabel = GENERATE(false, true);
  round_trip(generate_community_graph({.nodes = 400, .classes = 5, .features = 7, .multilabel = multilabel}));
}

TEST_CASE("each real layout goes through the container into every layout and back", "[io]") {
  const std::string name = GENERATE("cora/planetoid", "citeseer/graphsaint", "cora/ogb",
                                    "minesweeper/minesweeper.npz", "toy-ppi/graphsage");
  const auto path = test::real_data(name);
  if (!path) return;
  round_trip(io::load(*path));
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
    const Dataset back = io::load(folder / "c");
    CHECK(same_graph(back.graph, data.graph));
    CHECK(same_targets(back, data));
  }
}
