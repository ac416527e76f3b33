// SPDX-License-Identifier: MIT
#include "tessera/io/load.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "support/io_pickle_writer.hpp"

using namespace tessera;
using io::load;
using io::Standardise;
using test::refuses;
using test::ScratchFolder;

TEST_CASE("Loading recognises the layout, names the variant and prepares the features once", "[io]") {
  const ScratchFolder folder;
  test::write_planetoid(folder, test::toy_planetoid());
  const Dataset raw = load(folder.path());
  CHECK(raw.name == "toy (planetoid, N=7, M=2, train=2)");
  CHECK(raw.provenance.feature_state == "raw");
  const Dataset rows = load(folder / "ind.toy.x", {.row_normalize = true});
  CHECK(rows.features(1, 2) == 0.5f);
  CHECK(rows.features(6, 0) == 1.0f);
  CHECK(rows.provenance.feature_state == "row-L1");
  const Dataset standard = load(folder.path(), {.format = "planetoid", .standardise = Standardise::train});
  CHECK(standard.features(0, 0) == 1.0f);  // (1 - 1/2) / (1/2)
  CHECK(standard.features(1, 0) == -1.0f);
  CHECK(standard.features(6, 0) == 11.0f);
  CHECK_THROWS_AS(load(folder.path(), {.standardise = Standardise::train, .row_normalize = true}),
                  ConfigError);
  CHECK_THROWS_AS(load(folder.path(), {.format = "pickle"}), ConfigError);
  refuses("GEN-01", {"feats.npy not found"}, [&] { load(folder.path(), {.format = "graphsaint"}); });
}

TEST_CASE("Multi-label is what the file has, or what the options ask for", "[io]") {
  const ScratchFolder folder;
  test::write_planetoid(folder, test::toy_planetoid());
  CHECK_FALSE(load(folder.path()).multilabel());
  const Dataset data = load(folder.path(), {.multilabel = io::MultiLabel::on});
  REQUIRE(data.multilabel());
  CHECK(data.labels.indicators(6, 1) == 1.0f);
  CHECK(data.labels.indicators(5, 0) + data.labels.indicators(5, 1) == 0.0f);
}

namespace {

/// What the readme of the data folder says about one data set.
struct Expected {
  std::string_view path;
  std::string_view layout;
  std::size_t nodes, edges, features, classes, train, val, test;  ///< edges: undirected pairs
  bool multilabel = false;
};

constexpr Expected kReadme[] = {
    {"cora/planetoid", "planetoid", 2708, 5278, 1433, 7, 140, 500, 1000},
    {"cora/graphsaint", "graphsaint", 2708, 5278, 1433, 7, 140, 500, 1000},
    {"cora/npz", "shchur", 2708, 5278, 1433, 7, 140, 210, 2135},
    {"citeseer/planetoid", "planetoid", 3327, 4552, 3703, 6, 120, 500, 1000},
    {"citeseer/graphsaint", "graphsaint", 3327, 4552, 3703, 6, 120, 500, 1000},
    {"citeseer/npz", "shchur", 3312, 4536, 3703, 6, 120, 180, 1810},
    {"nell/npz", "shchur", 65755, 125775, 5414, 186, 105, 0, 969},
    {"amazon-computers/npz", "shchur", 13752, 245861, 767, 10, 200, 300, 12881},
    {"amazon-computers/graphsaint", "graphsaint", 13752, 245861, 767, 10, 8029, 2676, 2676},
    {"coauthor-cs/npz", "shchur", 18333, 81894, 6805, 15, 300, 450, 17583},
    {"coauthor-physics/npz", "shchur", 34493, 247962, 8415, 5, 100, 150, 34243},
    {"cora-ml/npz", "shchur", 2995, 8158, 2879, 7, 140, 210, 2460},
    {"dblp/npz", "shchur", 17716, 52867, 1639, 4, 80, 120, 15991},
    {"blogcatalog/npz", "shchur", 5196, 171743, 8189, 7, 120, 180, 4896},  // 6 classes, numbered 1..6
    {"musae-facebook/npz", "shchur", 22470, 170823, 4714, 4, 80, 120, 22270},
    {"musae-github/npz", "shchur", 37700, 289003, 4005, 2, 40, 60, 37600},
    {"tolokers", "heterophilous", 11758, 519000, 10, 2, 5879, 2939, 2940},
    {"minesweeper", "heterophilous", 10000, 39402, 7, 2, 5000, 2500, 2500},
    {"actor", "heterophilous", 7600, 26659, 932, 5, 3648, 2432, 1520},
    {"chameleon-filtered", "heterophilous", 890, 8854, 2325, 5, 409, 287, 194},
    {"squirrel-filtered", "heterophilous", 2223, 46998, 2089, 5, 1053, 718, 452},
    {"toy-ppi/graphsage", "graphsage", 14755, 222109, 50, 121, 9716, 1825, 3214, true},
    {"toy-ppi/graphsaint", "graphsaint", 14755, 222109, 50, 121, 9716, 1825, 3214, true},
    {"cora/ogb", "ogb", 2708, 5278, 1433, 7, 140, 500, 1000},
    {"pubmed/csv", "csv", 19717, 44324, 0, 3, 0, 0, 0},
    {"toy-ppi/csv", "csv", 14755, 222109, 50, 121, 0, 0, 0, true},
    {"pcg/csv", "csv", 3233, 37351, 32, 15, 1939, 647, 647, true},
    {"musae-facebook", "csv", 22470, 170823, 4714, 4, 0, 0, 0},
    {"musae-github", "csv", 37700, 289003, 4005, 2, 0, 0, 0},
    {"pcg/graphsaint", "graphsaint", 3233, 37351, 32, 15, 1939, 647, 647, true},
};

}  // namespace

TEST_CASE("Every data set of the data folder loads with the counts of its readme", "[io][slow]") {
  for (const Expected& want : kReadme) {
    const auto folder = test::real_data(want.path);
    if (!folder) continue;
    INFO(want.path);
    const Dataset data = load(*folder);
    CHECK(data.provenance.layout == want.layout);
    CHECK(data.num_nodes() == want.nodes);
    CHECK(data.graph.symmetric);
    CHECK(data.graph.num_edges() == 2 * want.edges);
    CHECK(data.num_features() == want.features);
    CHECK(data.features.rows() == want.nodes);
    CHECK(data.num_classes() == want.classes);
    CHECK(data.multilabel() == want.multilabel);
    CHECK(data.nodes(Role::train).size() == want.train);
    CHECK(data.nodes(Role::val).size() == want.val);
    CHECK(data.nodes(Role::test).size() == want.test);
    CHECK(data.name.find(message("M=", want.edges)) != std::string::npos);
  }
}

TEST_CASE("The same data set reads the same in two layouts", "[io][slow]") {
  const auto same = [](std::string_view one, std::string_view two) {
    const auto first = test::real_data(one);
    const auto second = test::real_data(two);
    if (!first || !second) return;
    INFO(one << " and " << two);
    const Dataset a = load(*first);
    const Dataset b = load(*second);
    CHECK(std::equal(a.graph.row_ptr.begin(), a.graph.row_ptr.end(), b.graph.row_ptr.begin(),
                     b.graph.row_ptr.end()));
    CHECK(std::equal(a.graph.col.begin(), a.graph.col.end(), b.graph.col.begin(), b.graph.col.end()));
    CHECK(std::equal(a.roles.begin(), a.roles.end(), b.roles.begin(), b.roles.end()));
    CHECK(std::equal(a.labels.classes.begin(), a.labels.classes.end(), b.labels.classes.begin(),
                     b.labels.classes.end()));
    REQUIRE(a.features.rows() == b.features.rows());
    std::size_t different = 0;
    for (std::size_t i = 0; i < a.features.rows(); ++i) {
      different += std::equal(a.features.row(i).begin(), a.features.row(i).end(), b.features.row(i).begin(),
                              b.features.row(i).end())
                       ? 0u
                       : 1u;
    }
    CHECK(different == 0);
    if (!a.train_graph.col.empty() && !b.train_graph.col.empty()) {
      CHECK(std::equal(a.train_graph.col.begin(), a.train_graph.col.end(), b.train_graph.col.begin(),
                       b.train_graph.col.end()));
    }
  };
  same("cora/planetoid", "cora/graphsaint");
  same("citeseer/planetoid", "citeseer/graphsaint");
  same("toy-ppi/graphsage", "toy-ppi/graphsaint");
  same("cora/planetoid", "cora/ogb");
  same("pcg/csv", "pcg/graphsaint");
}

TEST_CASE("A stored split is chosen by its name", "[io]") {
  if (const auto folder = test::real_data("cora/npz")) {
    CHECK(load(*folder).name.find("split 20-30-rest-s0") != std::string::npos);
    const Dataset data = load(*folder, {.split = "60-20-20-s0"});
    CHECK(data.name.find("split 60-20-20-s0") != std::string::npos);
    CHECK(data.nodes(Role::train).size() == 1'491);
    refuses("SPL-03", {"20-30-rest-s2"}, [&] { load(*folder, {.split = "70"}); });
  }
  if (const auto folder = test::real_data("actor")) {
    const Dataset first = load(*folder);
    const Dataset third = load(*folder, {.split = "3"});
    CHECK(first.name.find("split 0") != std::string::npos);
    CHECK_FALSE(std::equal(first.roles.begin(), first.roles.end(), third.roles.begin()));
    refuses("SPL-03", {"\"10\""}, [&] { load(*folder, {.split = "10"}); });
  }
}

TEST_CASE("Every folder of the data has a test of its counts", "[io]") {
  namespace fs = std::filesystem;
  const auto root = test::real_data(".");
  if (!root) return;
  std::vector<std::string> known = {"pickled-npz",
                                    "pubmed/planetoid-incomplete",
                                    "nell/planetoid-incomplete",  // refused
                                    "tu/MUTAG",
                                    "tu/PROTEINS",
                                    "tu/ENZYMES",
                                    "tu/NCI1",
                                    "tu/IMDB-BINARY",
                                    "ogb/ogbg_molbace",
                                    "ogb/ogbg_molbbbp",
                                    "ogb/ogbg_molesol",
                                    "ogb/ogbg_molfreesolv"};  // in load_graphs_test
  for (const Expected& want : kReadme) known.emplace_back(want.path);
  for (const auto& entry : fs::recursive_directory_iterator(*root)) {
    const fs::path folder = fs::relative(entry.path().parent_path(), *root);
    if (!entry.is_regular_file() || folder == ".") continue;
    INFO(folder.string());
    CHECK(std::any_of(known.begin(), known.end(), [&](const std::string& path) {
      return folder == path || folder.string().starts_with(path + "/");
    }));
  }
}

TEST_CASE("What must not be read is refused with the reason", "[io]") {
  const auto refused = [](std::string_view path, std::string_view code, std::string_view text) {
    const auto folder = test::real_data(path);
    if (folder) refuses(code, {text}, [&] { load(*folder); });
  };
  refused("pickled-npz", "NPY-06", "pickled Python object array");
  refused("pickled-npz/acm.npz", "NPY-06", "pickled Python object array");
  refused("pubmed/planetoid-incomplete", "GEN-01", "missing ind.pubmed.allx");
  refused("nell/planetoid-incomplete", "GEN-01", "missing ind.nell.0.001.ally");
  refused("cora", "GEN-02", "graphsaint (graphsaint), npz (npz), ogb (ogb), planetoid (planetoid)");
  refused("tu/MUTAG", "GEN-02", "many graphs; read it with load_graphs");
  refused("ogb/ogbg_molbace", "GEN-02", "many graphs; read it with load_graphs");
  refused("README.md", "GEN-02", "no known layout");
}
