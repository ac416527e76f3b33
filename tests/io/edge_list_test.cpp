// SPDX-License-Identifier: MIT
#include "tessera/io/edge_list.hpp"

#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "support/io_datasets.hpp"

using namespace tessera;
using io::EdgeListIds;
using io::Symmetrise;
using test::refuses;
using test::ScratchFolder;
using test::warns;

namespace {

io::EdgeListGraph read(std::string_view content, io::ReadOptions options = {.symmetrise = Symmetrise::on}) {
  const ScratchFolder folder;
  return io::read_edge_list(folder.write("w.txt", content), options);
}

void refused(std::string_view content, std::string_view code, std::string_view text,
             io::ReadOptions options = {.symmetrise = Symmetrise::on}) {
  INFO(content);
  refuses(code, {text}, [&] { read(content, options); });
}

}  // namespace

TEST_CASE("A SNAP file has its ids made compact", "[io]") {
  const io::EdgeListGraph g = read(
      "# Directed graph\n# Nodes: 4 Edges: 3\n# "
      "FromNodeId\tToNodeId\n30\t1000000007\n5\t30\n30\t5\r\n77\t5\n");
  CHECK(g.data.num_nodes() == 4);
  CHECK(g.data.graph.symmetric);
  CHECK(g.data.graph.num_edges() == 6);
  REQUIRE(g.numbers.size() == 4);
  CHECK(g.numbers[0] == 5);
  CHECK(g.numbers[3] == 1000000007);
  CHECK(warns(g.data, "says 3 edges, the file has 4"));
  CHECK(g.data.provenance.edge_policy.find("merged 2 duplicates") != std::string::npos);
  const ScratchFolder folder;
  io::write_id_table(folder / "ids.csv", g);
  CHECK(test::read_back(folder / "ids.csv") == "node,id\n0,5\n1,30\n2,77\n3,1000000007\n");
}

TEST_CASE("Far and near ids are made compact alike", "[io]") {
  const auto near = read("0 3\n3 9\n", {.symmetrise = Symmetrise::off});
  const auto far = read("0 30000000000\n30000000000 900000000000\n", {.symmetrise = Symmetrise::off});
  CHECK(near.data.num_nodes() == 3);
  CHECK(far.data.num_nodes() == 3);
  CHECK(std::equal(near.data.graph.col.begin(), near.data.graph.col.end(), far.data.graph.col.begin(),
                   far.data.graph.col.end()));
  CHECK_FALSE(near.data.graph.symmetric);
  CHECK(near.data.graph.view().neighbors(2)[0] == 1);
  CHECK(read("0 3\n3 9\n", {.symmetrise = Symmetrise::on, .edge_list_ids = EdgeListIds::as_is})
            .data.num_nodes() == 10);
}

TEST_CASE("Separators, headings, weights and words", "[io]") {
  CHECK(read("% c\n// d\n1;2\n2;3\n").data.graph.num_edges() == 4);
  const auto headed = read("id_1,id_2\n0,1\n1,2\n");
  CHECK(headed.data.graph.num_edges() == 4);
  CHECK(warns(headed.data, "taken as a heading: \"id_1,id_2\""));
  const auto weighted = read("0 1 0.5 99\n1 2 2 98\n");
  REQUIRE(weighted.data.graph.weight.size() == 4);
  CHECK(weighted.data.graph.weight[0] == 0.5f);
  CHECK(warns(weighted.data, "columns after the third are ignored"));
  CHECK(read("0 1 1\n1 2 1\n").data.graph.weight.empty());
  const auto words =
      read("alice\tbob\nbob\tcarol\n", {.symmetrise = Symmetrise::on, .edge_list_ids = EdgeListIds::text});
  CHECK(words.data.num_nodes() == 3);
  CHECK(words.names[2] == "carol");
  CHECK(read("").data.num_nodes() == 0);
  if (const auto folder = test::real_data("musae-facebook")) {
    CHECK(io::read_edge_list(*folder / "facebook_edges.csv", {.symmetrise = Symmetrise::on})
              .data.graph.num_edges() == 2 * 170823);
  }
}

TEST_CASE("Damaged edge lists are refused with their line", "[io]") {
  refused("0 1\n", "EDG-07", "pass --symmetrise", {});
  refused("2\n", "CSV-01", "line 1: \"2\" has 1 column, want two node ids");
  refused("0 1\n2\n", "CSV-01", "line 2: \"2\" has 1 column, want 2");
  refused("a b\n0 1\n2 3 1\n", "CSV-01", "line 3: \"2 3 1\" has 3 columns, want 2");
  refused("0 1\n2 x\n", "CSV-01", "target \"x\" is not a whole number; are the ids words (--ids=text)?");
  refused("0 1\n2 -3\n", "EDG-02", "line 2: edge 1: target -3");
  refused("0 1 x\n", "CSV-01", "\"x\" is not a weight");
  refused("0 1 1\n0 2\n", "CSV-01", "line 2");
  refused("0 1 inf\n", "FEA-01", "not finite");
  refused("# Nodes: 9 Edges: 5\n0 1\n", "CSV-02", "the comment says 5 edges, the file has 1: truncated");
  refused("0 4294967295\n", "EDG-03", "does not fit 32-bit",
          {.symmetrise = Symmetrise::on, .edge_list_ids = EdgeListIds::as_is});
  refused("0 4000000000\n", "GEN-03", "",
          {.symmetrise = Symmetrise::on, .edge_list_ids = EdgeListIds::as_is});
}
