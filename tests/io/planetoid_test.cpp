// SPDX-License-Identifier: MIT
#include "tessera/io/planetoid.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "support/io_pickle_writer.hpp"

using namespace tessera;
using io::read_planetoid;
using io::ReadOptions;
using test::pickle_file;
using test::refuses;
using test::ScratchFolder;
using test::toy_planetoid;

namespace {

Dataset read(const std::map<std::string, std::string>& parts, const ReadOptions& options = {}) {
  const ScratchFolder folder;
  test::write_planetoid(folder, parts);
  return read_planetoid(folder.path(), options);
}

Dataset read_with(const std::string& part, const std::string& content) {
  auto parts = toy_planetoid();
  parts[part] = content;
  return read(parts);
}

std::vector<NodeId> row(const CsrGraph& g, std::size_t i) {
  const auto r = g.view().neighbors(i);
  return {r.begin(), r.end()};
}

struct Facts {
  std::size_t max_degree = 0, isolated = 0, nonzeros = 0, zero_rows = 0, unlabelled = 0;
  std::vector<std::size_t> classes;
  double homophily = 0;  ///< with an unlabelled node counted as class 0
};

Facts facts_of(const Dataset& data) {
  Facts out;
  out.classes.resize(data.num_classes());
  std::size_t same = 0;
  const auto label = [&](std::size_t i) { return std::max(0, data.labels.classes[i]); };
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    out.max_degree = std::max(out.max_degree, data.graph.degree(i));
    out.isolated += data.graph.degree(i) == 0 ? 1u : 0u;
    const auto x = data.features.row(i);
    const auto zeros = static_cast<std::size_t>(std::count(x.begin(), x.end(), 0.0f));
    out.nonzeros += x.size() - zeros;
    out.zero_rows += zeros == x.size() ? 1u : 0u;
    if (data.labels.classes[i] == kUnlabelled) {
      ++out.unlabelled;
    } else {
      ++out.classes[static_cast<std::size_t>(data.labels.classes[i])];
    }
    for (const NodeId j : data.graph.view().neighbors(i)) same += label(i) == label(j) ? 1u : 0u;
  }
  out.homophily = static_cast<double>(same) / static_cast<double>(data.graph.num_edges());
  return out;
}

}  // namespace

TEST_CASE("A Planetoid set is put together in the order of test.index", "[io]") {
  const Dataset data = read(toy_planetoid());
  CHECK(data.name == "toy");
  REQUIRE(data.num_nodes() == 7);
  CHECK(data.num_classes() == 2);
  CHECK(data.features(1, 2) == 1.0f);
  CHECK(data.features(3, 2) == 0.5f);
  CHECK(data.features(6, 0) == 6.0f);  // the first line of test.index
  CHECK(data.features(4, 0) == 4.0f);
  CHECK(data.features(5, 0) == 0.0f);  // the gap
  const std::vector<std::int32_t> classes(data.labels.classes.begin(), data.labels.classes.end());
  CHECK(classes == std::vector<std::int32_t>{0, 1, 1, 0, 0, -1, 1});
  const std::vector<Role> roles(data.roles.begin(), data.roles.end());
  CHECK(roles == std::vector<Role>{Role::train, Role::train, Role::val, Role::val, Role::test, Role::none,
                                   Role::test});
  CHECK(row(data.graph, 0) == std::vector<NodeId>{1, 6});
  CHECK(row(data.graph, 4).empty());
  CHECK(data.provenance.edge_policy == "read 8 links, dropped 2 self loops, merged 2 duplicates, E = 4");
}

TEST_CASE("A Planetoid set with a missing part is refused by name", "[io]") {
  for (const std::string_view part : io::PlanetoidFiles::kParts) {
    auto parts = toy_planetoid();
    parts.erase(std::string(part));
    refuses("GEN-01", {message("missing ind.toy.", part, ";")}, [&] { read(parts); });
  }
  refuses("GEN-01", {"no ind.<name>.graph"}, [] { read({}); });
  const ScratchFolder folder;
  test::write_planetoid(folder, toy_planetoid());
  CHECK(read_planetoid(folder / "ind.toy.graph").num_nodes() == 7);
  CHECK(read_planetoid(folder / "ind.toy.test.index").num_nodes() == 7);
  folder.write("ind.nell.0.001.x", "");
  refuses("GEN-02", {"several data sets, nell.0.001 and toy"}, [&] { read_planetoid(folder.path()); });
}

TEST_CASE("A Planetoid set with inconsistent parts is refused", "[io]") {
  using test::pickle_csr;
  using test::pickle_graph;
  using test::pickle_one_hot;
  const auto csr = [](std::int64_t cols, std::size_t rows) {
    return pickle_file(pickle_csr(cols, std::vector<std::vector<std::pair<std::int32_t, float>>>(rows)));
  };
  const auto hot = [](std::int64_t classes, std::vector<int> labels) {
    return pickle_file(pickle_one_hot(classes, labels));
  };
  refuses("FEA-03", {"tx has 3 rows, want 2"}, [&] { read_with("tx", csr(3, 3)); });
  refuses("NPY-07", {"tx has 4 columns, want 3"}, [&] { read_with("tx", csr(4, 2)); });
  refuses("FEA-03", {"x has 5 rows, allx only 4"}, [&] { read_with("x", csr(3, 5)); });
  refuses("SPL-01", {"start at 4 but allx has 3 rows"}, [&] { read_with("allx", csr(3, 3)); });
  refuses("FEA-03", {"ally has 3 rows, want 4"}, [&] { read_with("ally", hot(2, {0, 1, 1})); });
  refuses("FEA-03", {"y has 3 rows, want 2"}, [&] { read_with("y", hot(2, {0, 1, 1})); });
  refuses("NPY-07", {"ty has 3 columns, want 2"}, [&] { read_with("ty", hot(3, {0, 1})); });
  refuses("LBL-04", {"1 test nodes have no label"}, [&] { read_with("ty", hot(2, {0, -1})); });
  refuses("LBL-03", {"row 0 has the classes 0 and 1"}, [&] {
    read_with("ty", pickle_file(test::pickle_ndarray("i4", {2, 2}, test::raw<std::int32_t>({1, 1, 0, 1}))));
  });
  refuses("LBL-03", {"entry 1 of row 0 is 2"}, [&] {
    read_with("ty", pickle_file(test::pickle_ndarray("i4", {2, 2}, test::raw<std::int32_t>({0, 2, 0, 1}))));
  });
  refuses("EDG-01", {"node 7 but N = 7"}, [&] { read_with("graph", pickle_file(pickle_graph({{0, {7}}}))); });
  refuses("EDG-01", {"node -1"}, [&] { read_with("graph", pickle_file(pickle_graph({{-1, {0}}}))); });
  refuses("PKL-02", {"the graph is a list, want a dict"}, [&] { read_with("graph", pickle_file("]")); });
  refuses("PKL-02", {"two lists"}, [&] { read_with("graph", pickle_file(std::string("}(K\0]K\0]u", 9))); });
  refuses("PKL-01", {"'os system'"}, [&] { read_with("graph", pickle_file("cos\nsystem\n(tR")); });
  refuses("CSV-01", {"line 2: \"x\""}, [&] { read_with("test.index", "6\nx\n"); });
  refuses("SPL-01", {"node 4 is listed twice"}, [&] { read_with("test.index", "4\n4\n"); });
  refuses("SPL-01", {"far beyond"}, [&] { read_with("test.index", "4\n4000000\n"); });
  refuses("SPL-02", {"empty"}, [&] { read_with("test.index", ""); });
  refuses("FEA-01", {"NaN"}, [&] {
    read_with("tx", pickle_file(pickle_csr(3, {{{0, std::numeric_limits<float>::quiet_NaN()}}, {}})));
  });
  CHECK(read_with("test.index", "6\r\n4").num_nodes() == 7);
}

TEST_CASE("Lists that share one neighbourhood cannot blow up a graph", "[io]") {
  std::string body = "}(K\x01](";
  for (int i = 0; i < 200; ++i) body += "K\x02";
  body += std::string("eq\0", 3);
  for (int node = 2; node < 7; ++node) body += test::pickle_int(node) + std::string("h\0", 2);
  refuses("PKL-02", {"shared between nodes"}, [&] { read_with("graph", pickle_file(body + "u")); });
}

TEST_CASE("Damaged Planetoid files are read or refused", "[io]") {
  const ScratchFolder folder;
  const auto parts = toy_planetoid();
  test::write_planetoid(folder, parts);
  for (const auto& [part, content] : parts) {
    const std::size_t refused =
        test::read_damaged(content, 120, [&, name = "ind.toy." + part](std::span<const std::byte> b) {
          folder.write(name, {reinterpret_cast<const char*>(b.data()), b.size()});
          read_planetoid(folder.path(), {.max_bytes = 1 << 22});
        });
    CHECK(refused > 20);
    folder.write("ind.toy." + part, content);
  }
}

TEST_CASE("Cora in Planetoid files has its golden values", "[io]") {
  const auto folder = test::real_data("cora/planetoid");
  if (!folder) return;
  const Dataset data = read_planetoid(*folder);
  const Facts facts = facts_of(data);
  CHECK(data.num_nodes() == 2'708);
  CHECK(data.graph.num_edges() == 10'556);
  CHECK(data.graph.symmetric);
  CHECK(data.provenance.edge_policy ==
        "read 10858 links, dropped 0 self loops, merged 302 duplicates, E = 10556");
  CHECK(facts.max_degree == 168);
  CHECK(facts.isolated == 0);
  CHECK(data.num_features() == 1'433);
  CHECK(facts.nonzeros == 49'216);
  CHECK(facts.classes == std::vector<std::size_t>{351, 217, 418, 818, 426, 298, 180});
  CHECK(std::abs(facts.homophily - 0.8100) <= 5e-5);  // the last digit given
  CHECK(data.nodes(Role::train).size() == 140);
  CHECK(data.nodes(Role::val).size() == 500);
  CHECK(data.nodes(Role::test).size() == 1'000);
}

TEST_CASE("CiteSeer in Planetoid files has its golden values", "[io]") {
  const auto folder = test::real_data("citeseer/planetoid");
  if (!folder) return;
  const Dataset data = read_planetoid(*folder);
  const Facts facts = facts_of(data);
  CHECK(data.num_nodes() == 3'327);
  CHECK(data.graph.num_edges() == 9'104);
  CHECK(data.provenance.edge_policy.find("read 9464 links, dropped 248 self loops") == 0);
  CHECK(facts.max_degree == 99);
  CHECK(facts.isolated == 48);
  CHECK(facts.nonzeros == 105'165);
  CHECK(facts.zero_rows == 15);
  CHECK(facts.unlabelled == 15);
  CHECK(data.labels.classes[2407] == kUnlabelled);
  CHECK(std::abs(facts.homophily - 0.7355) <= 5e-5);
  CHECK(data.num_classes() == 6);
  CHECK(data.nodes(Role::train).size() == 120);
  CHECK(data.nodes(Role::val).size() == 500);
  CHECK(data.nodes(Role::test).size() == 1'000);
}

TEST_CASE("Incomplete Planetoid folders are refused with the name of the missing file", "[io]") {
  if (const auto folder = test::real_data("pubmed/planetoid-incomplete")) {
    refuses("GEN-01", {"missing ind.pubmed.allx;"}, [&] { read_planetoid(*folder); });
  }
  if (const auto folder = test::real_data("nell/planetoid-incomplete")) {
    refuses("GEN-01", {"missing ind.nell.0.001.ally;"}, [&] { read_planetoid(*folder); });
  }
}
