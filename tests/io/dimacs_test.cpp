// SPDX-License-Identifier: MIT
#include "tessera/io/dimacs.hpp"

#include <string_view>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using test::refuses;
using test::ScratchFolder;

namespace {

Dataset read(std::string_view content) {
  const ScratchFolder folder;
  return io::read_dimacs(folder.write("w.gr", content));
}

void refused(std::string_view content, std::string_view code, std::string_view text) {
  INFO(content);
  refuses(code, {text}, [&] { read(content); });
}

}  // namespace

TEST_CASE("DIMACS colouring graphs are undirected, road graphs directed", "[io]") {
  const Dataset colour = read("c a comment\np edge 4 5\nn 1 2\ne 1 2\ne 2 3\ne 3 2\n");
  CHECK(colour.num_nodes() == 4);
  CHECK(colour.graph.symmetric);
  CHECK(colour.graph.num_edges() == 4);
  REQUIRE(colour.provenance.warnings.size() == 1);
  CHECK(colour.provenance.warnings[0].find("says 5 edges, the file has 3") != std::string::npos);
  CHECK(read("p col 2 1\ne 1 2\n").graph.num_edges() == 2);
  const Dataset roads = read("p sp 3 2\na 1 2 4\na 2 3 2.5\n");
  CHECK_FALSE(roads.graph.symmetric);
  CHECK(roads.graph.view().neighbors(1)[0] == 0);
  CHECK(roads.graph.view().weights(2)[0] == 2.5f);
}

TEST_CASE("Damaged DIMACS files are refused with their line", "[io]") {
  refused("", "DIM-01", "no problem line");
  refused("p cnf 3 2\n", "DIM-01", "the problem is 'cnf'");
  refused("p edge 3\n", "DIM-01", "want \"p edge N M\"");
  refused("p edge 3 1\np edge 3 1\n", "DIM-01", "line 2: there are two problem lines");
  refused("e 1 2\n", "DIM-03", "stands before the problem line");
  refused("p sp 3 2\na 1 2 1\n", "DIM-02", "says 2 edges, the file has 1");
  refused("p edge 3 1\na 1 2 1\n", "DIM-03", "want a line \"e u v\"");
  refused("p edge 3 1\ne 1\n", "DIM-03", "\"e 1\"");
  refused("p sp 3 1\na 1 2 x\n", "DIM-03", "want \"a u v w\"");
  refused("p edge 3 1\ne 1 4\n", "EDG-01", "1 - 4 but nodes are 1..3");
  refused("p edge 3 1\ne 0 1\n", "EDG-01", "0 - 1");
  refused("p edge 4294967295 1\n", "EDG-03", "32-bit");
  refused("p edge 4000000000 1\n", "GEN-03", "nodes");
}
