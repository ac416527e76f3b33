// SPDX-License-Identifier: MIT
#include "tessera/history/history_key.hpp"

#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/history_cases.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

AnyModel<double> gcn(std::size_t hidden = 6, std::size_t layers = 2, std::uint64_t seed = 0) {
  return GcnNet<double>({.in = 8, .hidden = hidden, .out = 4, .layers = layers, .seed = seed});
}

}  // namespace

TEST_CASE("A history's key tells graphs, features and models apart, and nothing else", "[history][store]") {
  const HistoryCase data(path(40), 8, 4);
  const HistoryCase other(star(40), 8, 4);  // as many nodes and entries
  HistoryCase moved(path(40), 8, 4);
  moved.x(39, 7) += 1;
  HistoryCase weighed(path(40), 8, 4);
  weighed.graph.weight.assign(weighed.graph.num_edges(), 0.5f);
  const auto key = [](const HistoryCase& c, const AnyModel<double>& m) {
    return history_key(c.graph.view(), c.x.view(), m);
  };
  AnyModel<double> same = gcn(6, 2, 7);  // other weights
  const std::uint64_t want = key(data, gcn());
  CHECK(key(data, same) == want);
  CHECK(with_threads(1, [&] { return key(data, same); }) == want);
  const std::set<std::uint64_t> keys = {want,
                                        key(other, gcn()),
                                        key(moved, gcn()),
                                        key(weighed, gcn()),
                                        key(data, gcn(7)),
                                        key(data, gcn(6, 3)),
                                        key(data, SageNet<double>({.in = 8, .hidden = 6, .out = 4}))};
  CHECK(keys.size() == 7);
}

TEST_CASE("A history of another graph or model is refused, its own is taken up", "[history][store]") {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("tessera-history-key-" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  const HistoryCase data(path(40), 8, 4);
  const HistoryCase other(star(40), 8, 4);
  const auto open = [&](const HistoryCase& c, AnyModel<double> net, bool resume) {
    const std::uint64_t key = history_key(c.graph.view(), c.x.view(), net);
    return HistoryModel<AnyModel<double>>(std::move(net), 40,
                                          {.store = {.folder = folder, .key = key, .resume = resume}});
  };
  const auto touch = [](auto& model) { return model.store().table(1, 6).resumed(); };
  {
    auto model = open(data, gcn(), false);
    const PreparedAdjacency prepared = prepare_adjacency(data.graph, model.aggregation());
    REQUIRE(model.infer_layers(prepared.adjacency(), data.x.view(), 0).has_value());
    model.store().save(1);
  }
  const auto refusal = [&](const HistoryCase& c, AnyModel<double> net) {
    auto model = open(c, std::move(net), true);
    try {
      touch(model);
    } catch (const FormatError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(refusal(other, gcn()).find("another graph or model") != std::string::npos);
  CHECK(refusal(data, gcn(6, 3)).find("another graph or model") != std::string::npos);
  auto again = open(data, gcn(), true);
  CHECK(touch(again));
  CHECK(table_rows(*again.store().find(1)) != std::vector<double>(40 * 6, 0.0));  // rows of the run before
  std::filesystem::remove_all(folder);
}
