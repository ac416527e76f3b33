// SPDX-License-Identifier: MIT
#include "tessera/io/csv_folder.hpp"

#include <string_view>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using test::refuses;
using test::ScratchFolder;

namespace {

/// Three pages in a path, with names, words for classes, and lists of features.
void write_pages(const ScratchFolder& folder) {
  folder.write("p_edges.csv", "id_1,id_2\n0,1\n1,2\n1,1\n");
  folder.write("p_target.csv", "id,name,page_type\n2,\"c, \"\"d\"\"\",tv\n0,a,company\n1,b,tv\n");
  folder.write("p_features.json", R"({"1": [3, 0], "0": [], "2": [1]})");
}

void refused(const ScratchFolder& folder, std::string_view code, std::string_view text) {
  refuses(code, {text}, [&] { io::read_csv_folder(folder.path()); });
}

}  // namespace

TEST_CASE("A folder with edges, targets and features in CSV is a data set", "[io]") {
  const ScratchFolder folder;
  write_pages(folder);
  const Dataset data = io::read_csv_folder(folder.path());
  CHECK(data.num_nodes() == 3);
  CHECK(data.graph.num_edges() == 4);
  CHECK(data.num_classes() == 2);
  CHECK(data.labels.classes[0] == 0);  // company, tv
  CHECK(data.labels.classes[2] == 1);
  REQUIRE(data.num_features() == 4);
  CHECK(data.features(1, 3) == 1.0f);
  CHECK(data.features(0, 0) == 0.0f);
  CHECK(data.nodes(Role::none).size() == 3);
  folder.write("role.json", R"({"tr": [0], "va": [1], "te": [2]})");
  CHECK(io::read_csv_folder(folder.path()).roles[2] == Role::test);
}

TEST_CASE("Tables without headings and numbers as classes", "[io]") {
  const ScratchFolder folder;
  folder.write("edges.csv", "0,1\r\n1,2\r\n");
  folder.write("labels.csv", "0,1,0\n1,1,0\n0,0,0\n");
  folder.write("features.csv", "x_0,x_1\n0.5,1\n2,3\n4,5\n");
  const Dataset multi = io::read_csv_folder(folder.path());
  CHECK(multi.multilabel());
  CHECK(multi.num_classes() == 3);
  CHECK(multi.features(2, 1) == 5.0f);
  folder.write("labels.csv", "0,1\n1,0\n2,1\n");  // the first column counts the rows
  CHECK(io::read_csv_folder(folder.path()).labels.classes[2] == 1);
  folder.write("labels.csv", "1\n\n0\n");  // a blank line is a node without a label
  const Dataset single = io::read_csv_folder(folder.path(), {.multilabel = io::MultiLabel::off});
  CHECK(single.labels.classes[0] == 1);
  CHECK(single.labels.classes[1] == kUnlabelled);
}

TEST_CASE("Damaged CSV folders are refused with their line", "[io]") {
  const ScratchFolder folder;
  write_pages(folder);
  SECTION("no edges") {
    std::filesystem::remove(folder / "p_edges.csv");
    refused(folder, "GEN-01", "no CSV file with \"edge\" in its name");
  }
  SECTION("edges alone") {
    std::filesystem::remove(folder / "p_target.csv");
    std::filesystem::remove(folder / "p_features.json");
    refused(folder, "GEN-01", "neither targets nor features; name the edge list itself, p_edges.csv");
  }
  SECTION("an edge to nowhere") {
    folder.write("p_edges.csv", "id_1,id_2\n0,3\n");
    refused(folder, "EDG-01", "line 2: edge 0: target 3 but N = 3");
  }
  SECTION("a node twice") {
    folder.write("p_target.csv", "id,t\n0,a\n0,b\n1,a\n");
    refused(folder, "IDM-02", "node 0 occurs twice");
  }
  SECTION("a gap in the numbers") {
    folder.write("p_target.csv", "id,t\n0,a\n3,b\n1,a\n");
    refused(folder, "IDM-02", "node 3 but there are 3 nodes");
  }
  SECTION("a cell too many") {
    folder.write("p_target.csv", "id,t\n0,a\n1,b,c\n2,a\n");
    refused(folder, "CSV-01", "line 3: \"1,b,c\" has 3 cells, want 2");
  }
  SECTION("an open quote") {
    folder.write("p_target.csv", "id,t\n0,\"a\n1,b\n2,a\n");
    refused(folder, "CSV-01", "line 2: \"0,\"a\" ends inside a quoted cell");
  }
  SECTION("features of an unknown node") {
    folder.write("p_features.json", R"({"3": [0]})");
    refused(folder, "IDM-01", "\"3\" is no node; there are 3");
  }
  SECTION("a column that is none") {
    folder.write("p_features.json", R"({"1": [-1]})");
    refused(folder, "FEA-03", "a column is no number from 0 on");
  }
  SECTION("features of too few nodes") {
    std::filesystem::remove(folder / "p_features.json");
    folder.write("p_features.csv", "1\n2\n");
    refused(folder, "FEA-03", "features of 2 nodes and targets of 3");
  }
}
