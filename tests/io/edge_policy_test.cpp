// SPDX-License-Identifier: MIT
#include "tessera/io/edge_policy.hpp"

#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace tessera;
using io::Place;
using io::ReadOptions;
using io::Stored;
using io::Symmetrise;

namespace {

struct Links {
  std::vector<NodeId> source;
  std::vector<NodeId> target;
};

CsrGraph build(const Links& links, Stored stored, const ReadOptions& options, Provenance& provenance) {
  return io::build_graph(4, {links.source, links.target, {}}, stored, options, Place("links"), provenance);
}

}  // namespace

TEST_CASE("The edge policy follows the layout unless the options say otherwise", "[io]") {
  const Links links{{0, 1, 1, 2, 3}, {1, 0, 2, 2, 0}};  // 0-1 both ways, 1->2 and 3->0 once, a loop at 2
  Provenance provenance;
  SECTION("stored once: reversed edges are added and merged") {
    const CsrGraph g = build(links, Stored::once, {}, provenance);
    CHECK(g.symmetric);
    CHECK(g.num_edges() == 6);
    CHECK(provenance.edge_policy ==
          "read 5 links, dropped 1 self loops, merged 2 duplicates, E = 6 after symmetrising");
    CHECK(provenance.warnings.empty());
  }
  SECTION("stored both ways, but some reverse edges are missing") {
    const CsrGraph g = build(links, Stored::both, {}, provenance);
    CHECK(g.symmetric);
    CHECK(g.num_edges() == 6);
    REQUIRE(provenance.warnings.size() == 1);
    CHECK(provenance.warnings[0].find("warning[EDG-05] links: ") == 0);
    CHECK(provenance.warnings[0].find("2 reverse edges were added") != std::string::npos);
  }
  SECTION("directed files keep their direction") {
    const CsrGraph g = build(links, Stored::directed, {}, provenance);
    CHECK_FALSE(g.symmetric);
    CHECK(g.num_edges() == 4);
    CHECK(build(links, Stored::directed, {.symmetrise = Symmetrise::on}, provenance).num_edges() == 6);
  }
  SECTION("the options win") {
    const ReadOptions keep{.symmetrise = Symmetrise::off, .self_loops = SelfLoops::keep};
    const CsrGraph g = build(links, Stored::once, keep, provenance);
    CHECK_FALSE(g.symmetric);
    CHECK(g.num_edges() == 5);
    const CsrGraph sum = build(links, Stored::once, {.duplicates = Duplicates::sum}, provenance);
    REQUIRE(sum.num_edges() == 6);
    CHECK(sum.weight[0] == 2.0f);  // 0-1 was listed both ways, as A + A^T weighs it
  }
}
