// SPDX-License-Identifier: MIT
#include "tessera/io/metis.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using test::refuses;
using test::ScratchFolder;

namespace {

io::MetisGraph read(std::string_view content) {
  const ScratchFolder folder;
  return io::read_metis(folder.write("w.graph", content));
}

void refused(std::string_view content, std::string_view code, std::string_view text) {
  INFO(content);
  refuses(code, {text}, [&] { read(content); });
}

}  // namespace

TEST_CASE("The examples of the METIS manual read as they are drawn", "[io]") {
  const io::MetisGraph plain = read("7 11\n5 3 2\n1 3 4\n5 4 2 1\n2 3 6 7\n1 3 6\n5 4 7\n6 4\n");
  CHECK(plain.graph.num_nodes() == 7);
  CHECK(plain.graph.num_edges() == 22);
  CHECK(plain.graph.symmetric);
  CHECK(plain.graph.weight.empty());
  const auto row = plain.graph.view().neighbors(0);
  CHECK(std::vector<NodeId>(row.begin(), row.end()) == std::vector<NodeId>{1, 2, 4});
  const io::MetisGraph weighted = read(
      "7 11 001\n5 1 3 2 2 1\n1 1 3 2 4 1\n5 3 4 2 2 2 1 2\n2 1 3 2 6 2 7 5\n1 1 3 3 6 2\n5 2 4 2 7 6\n6 6 4 "
      "5\n");
  REQUIRE(weighted.graph.weight.size() == 22);
  CHECK(weighted.graph.view().weights(3)[3] == 5.0f);
  const io::MetisGraph both =
      read("3 2 011\n4 2 1\n2 1 1 3 2\n6 2 2\n");  // fmt 11 without ncon: one weight each
  CHECK(both.num_weights == 1);
  CHECK(std::vector<std::int64_t>(both.vertex_weights.begin(), both.vertex_weights.end()) ==
        std::vector<std::int64_t>{4, 2, 6});
  const io::MetisGraph many = read("2 1 111 3\n9 1 2 3 2 5\n8 0 0 1 1 5\n");
  CHECK(many.num_weights == 3);
  CHECK(many.vertex_sizes[1] == 8);
  CHECK(many.vertex_weights[5] == 1);
}

TEST_CASE("Comments, empty lines and line ends are what the format says", "[io]") {
  const io::MetisGraph g = read("% first\n4 2\r\n2\n% between\n1 3\n2\n\n\n\n");
  CHECK(g.graph.num_nodes() == 4);
  CHECK(g.graph.degree(3) == 0);
  CHECK(read("2 1\n2\n1").graph.num_edges() == 2);  // no '\n' at the end
  CHECK(read("2 0\n\n\n").graph.num_edges() == 0);
}

TEST_CASE("Damaged METIS files are refused with their reason", "[io]") {
  refused("", "MET-01", "no header line");
  refused("7\n", "MET-01", "the header has one number");
  refused("2 x\n", "MET-01", "edges: \"x\" is not a whole number");
  refused("0 0\n", "MET-01", "no vertices");
  refused("2 1 2\n2\n1\n", "MET-01", "fmt is 2, want up to three digits 0 or 1");
  refused("2 1 1111\n", "MET-01", "fmt is 1111");
  refused("2 1 001 1\n", "MET-01", "ncon is 1 but fmt 1 says there are no vertex weights");
  refused("2 1 0 0 0\n", "MET-01", "more than four numbers");
  refused("3 2\n2\n1 3\n", "MET-02", "the header says 3 vertices, the file has 2 lines");
  refused("2 1\n2\n1\n1\n", "MET-02", "line 4: the header says 2 vertices, here is one more line");
  refused("3 4\n2\n1 3\n2\n", "MET-02",
          "header says 4 edges, lists hold 4 entries: the header counts every edge twice, or edges are "
          "listed at one end only");
  refused("3 1\n2\n1 3\n2\n", "MET-02", "header says 1 edges, lists hold 4 entries");
  refused("9999999999 1\n", "EDG-03", "do not fit 32-bit");
  refused("999999999 1\n", "MET-02", "which the file cannot hold");
  refused("2 1\n0\n1\n", "MET-03",
          "line 2: neighbour 0 of vertex 1, want one of 1..2 (vertices count from 1)");
  refused("2 1\n3\n1\n", "MET-03", "neighbour 3 of vertex 1");
  refused("2 1\n1\n1\n", "MET-03", "vertex 1 is its own neighbour");
  refused("2 1\n-2\n1\n", "MET-03", "\"-2\" is not a whole number");
  refused("2 1\n2x\n1\n", "MET-03", "\"2x\"");
  refused("2 2\n2 2\n1 1\n", "MET-03", "vertex 1 lists its neighbour 2 twice");
  refused("2 1 1\n2\n1 1\n", "MET-03", "neighbour 2 has no edge weight");
  refused("2 1 1\n2 0\n1 0\n", "MET-03", "the weight of the edge to 2 is 0");
  refused("2 1 10 2\n1 2 2\n1\n", "MET-03", "the vertex has 1 weights, want 2");
  refused("2 1 100\n1 2\n\n", "MET-03", "the vertex has no size");
  refused("3 2\n2 3\n1\n2\n", "MET-04", "vertex 1 lists 3, but 3 does not list 1");
  refused("2 1 1\n2 4\n1 5\n", "MET-04", "the edge between 1 and 2 weighs 4 at one end and 5 at the other");
}

TEST_CASE("A partition knows the graph it belongs to", "[io]") {
  const ScratchFolder folder;
  const std::vector<PartId> parts{part_id(0), part_id(2), part_id(2)};
  io::write_partition(folder / "w.graph.part.4", parts, "abc");
  CHECK(test::read_back(folder / "w.graph.part.4") == "0\n2\n2\n");
  std::vector<std::string> warnings;
  const Array<PartId> back = io::read_partition(folder / "w.graph.part.4", 3, &warnings, "abc");
  CHECK(std::equal(parts.begin(), parts.end(), back.begin(), back.end()));
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].find("2 of 4 parts are empty") != std::string::npos);
  refuses("PRT-03", {"belongs to the graph abc, not to abd"},
          [&] { io::read_partition(folder / "w.graph.part.4", 3, nullptr, "abd"); });
  refuses("PRT-01", {"has 3 lines, the graph has 4 nodes"},
          [&] { io::read_partition(folder / "w.graph.part.4", 4); });
  refuses("PRT-01", {"more lines than the graph has nodes (2)"},
          [&] { io::read_partition(folder / "w.graph.part.4", 2); });
  folder.write("w.graph.part.2", "0\n2\n");
  refuses("PRT-02", {"line 2: \"2\" is no part; want a number from 0 on less than 2"},
          [&] { io::read_partition(folder / "w.graph.part.2", 2); });
  folder.write("parts", "0\n-1\n");
  refuses("PRT-02", {"line 2"}, [&] { io::read_partition(folder / "parts", 2); });
  folder.write("parts", "0\n7\n");
  CHECK(io::read_partition(folder / "parts", 0).size() == 2);
}
