// SPDX-License-Identifier: MIT
#include "tessera/io/matrix_market.hpp"

#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using test::refuses;
using test::ScratchFolder;

namespace {

Dataset read(std::string_view content, const io::ReadOptions& options = {}) {
  const ScratchFolder folder;
  return io::read_matrix_market(folder.write("w.mtx", content), options);
}

void refused(std::string_view content, std::string_view code, std::string_view text) {
  INFO(content);
  refuses(code, {text}, [&] { read(content); });
}

constexpr std::string_view kPattern = "%%MatrixMarket matrix coordinate pattern general\n";

}  // namespace

TEST_CASE("Matrix Market files become graphs", "[io]") {
  const Dataset sym =
      read("%%matrixMARKET Matrix COORDINATE Pattern Symmetric\n% c\n\n4 4 3\n2 1\n\n3 3\n4 1\n");
  CHECK(sym.name == "w");
  CHECK(sym.num_nodes() == 4);
  CHECK(sym.graph.symmetric);
  CHECK(sym.graph.num_edges() == 4);  // the loop is dropped
  CHECK(sym.graph.weight.empty());
  const Dataset general =
      read("%%MatrixMarket matrix coordinate real general\n3 3 3\n1 2 0.5\n2 3 0\n3 1 2e0\n");
  CHECK_FALSE(general.graph.symmetric);
  CHECK(general.graph.num_edges() == 2);  // the zero is no edge
  CHECK(general.graph.view().neighbors(0)[0] == 1);
  CHECK(general.graph.view().weights(2)[0] == 2.0f);
  CHECK(read("%%MatrixMarket matrix coordinate integer general\n2 2 1\n1 2 1\n",
             {.symmetrise = io::Symmetrise::on})
            .graph.num_edges() == 2);
  CHECK(read(std::string(kPattern) + "2 2 0\n").graph.num_edges() == 0);
}

TEST_CASE("Other Matrix Market files are refused by name", "[io]") {
  refused("", "MTX-01", "empty");
  refused("3 3 1\n", "MTX-01", "not the banner");
  refused("%%MatrixMarket matrix array real general\n3 3\n", "MTX-01",
          "array (dense) Matrix Market files are not graphs");
  refused("%%MatrixMarket vector coordinate real general\n", "MTX-01", "the object is 'vector'");
  refused("%%MatrixMarket matrix coordinate complex general\n", "MTX-01", "field 'complex'");
  refused("%%MatrixMarket matrix coordinate real hermitian\n", "MTX-01", "symmetry 'hermitian'");
  refused("%%MatrixMarket matrix coordinate real skew-symmetric\n", "MTX-01", "symmetry 'skew-symmetric'");
  const std::string head(kPattern);
  refused(head, "MTX-01", "no size line");
  refused(head + "3 4 1\n", "MTX-01", "3 x 4 is not an adjacency matrix");
  refused(head + "3 3\n", "MTX-01", "the size line is \"3 3\"");
  refused(head + "3 3 2\n1 2\n", "MTX-02", "the size line says 2 entries, the file has 1: truncated");
  refused(head + "3 3 1\n1 2\n2 3\n", "MTX-02",
          "line 4: the size line says 1 entries, here is one more: \"2 3\"");
  refused(head + "3 3 9999999999\n1 2\n", "MTX-02", "which the file cannot hold");
  refused(head + "3 3 1\n1 4\n", "MTX-03", "entry (1, 4) lies outside 1..3");
  refused(head + "3 3 1\n0 1\n", "MTX-03", "entry (0, 1)");
  refused(head + "3 3 1\n1\n", "MTX-03", "\"1\" is no entry, want \"row column\"");
  refused(head + "3 3 1\n1 2 5\n", "MTX-03", "is no entry");
  refused("%%MatrixMarket matrix coordinate pattern symmetric\n3 3 1\n1 2\n", "MTX-03",
          "entry (1, 2) lies above the diagonal");
  refused("%%MatrixMarket matrix coordinate real general\n3 3 1\n1 2 nan\n", "FEA-01", "not finite");
  refused(head + "4294967295 4294967295 0\n", "EDG-03", "32-bit");
  refused(head + "4000000000 4000000000 0\n", "GEN-03", "nodes");
}
