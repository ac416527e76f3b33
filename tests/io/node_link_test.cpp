// SPDX-License-Identifier: MIT
#include "tessera/io/node_link.hpp"

#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using io::ByteSource;
using io::JsonScanner;
using io::LinkEndpoints;
using io::NodeLinkGraph;
using io::Place;
using test::read_damaged;
using test::refuses;

namespace {

NodeLinkGraph read(std::string_view text) {
  JsonScanner json(ByteSource::memory(text, "G.json"), 64);
  return io::detail::NodeLinkReader(json, text.size()).read();
}

std::string graph_of(std::string_view nodes, std::string_view links) {
  return message("{\"directed\": false, \"graph\": {}, \"nodes\": [", nodes, "], \"links\": [", links,
                 "], \"multigraph\": false}");
}
std::string node(std::string_view id) {
  return message("{\"id\": ", id, ", \"val\": false, \"test\": false}");
}
std::string edge(std::string_view source, std::string_view target) {
  return message("{\"source\": ", source, ", \"target\": ", target, "}");
}

LinkEndpoints meaning(const std::string& text, LinkEndpoints wanted = LinkEndpoints::automatic) {
  return io::endpoint_meaning(read(text), wanted, Place("G.json"));
}

}  // namespace

TEST_CASE("A node-link file is read whatever the order of its parts", "[io]") {
  const std::string nodes =
      "\"nodes\": [{\"val\": true, \"id\": \"2f4\\u00698\", \"feature\": [NaN, 1.0, Infinity], \"test\": "
      "false, "
      "\"label\": {\"x\": [1]}}, {\"id\": 7, \"test\": 1, \"val\": 0}, {\"id\": \"c\"}]";
  const std::string links =
      "s\": [{\"target\": 1, \"weight\": 2.5, \"source\": 0, \"train_removed\": true}, {\"source\": 2, "
      "\"target\": 2, "
      "\"key\": 3}]";
  const std::string flags = "\"directed\": true, \"multigraph\": true";
  for (const std::string& text :
       {message("{", flags, ", \"graph\": [[\"a\", 1]], ", nodes, ", \"link", links, "}"),
        message("\xEF\xBB\xBF{\"edge", links, ", ", nodes, ", ", flags, ", \"extra\": {\"a\": null}}")}) {
    const NodeLinkGraph g = read(text);
    CHECK(g.directed);
    CHECK(g.multigraph);
    REQUIRE(g.num_nodes() == 3);
    CHECK(g.node_id(0) == "2f4i8");
    CHECK(g.node_id(1) == "7");
    using G = NodeLinkGraph;
    CHECK(g.node_flags[0] == (G::kHasVal | G::kVal | G::kHasTest));
    CHECK(g.node_flags[1] == (G::kHasVal | G::kHasTest | G::kTest | G::kIntegerId));
    CHECK(g.node_flags[2] == 0);
    REQUIRE(g.num_links() == 2);
    CHECK_FALSE(g.endpoints_are_names);
    CHECK(g.source[0] == 0);
    CHECK(g.target[0] == 1);
    CHECK(g.source[1] == 2);
    CHECK(g.ignored_attributes == std::vector<std::string>{"weight"});
  }
}

TEST_CASE("Endpoints that are no positions become names, also those read before", "[io]") {
  for (const char* late : {"\"a\"", "5000000000"}) {
    const NodeLinkGraph g = read(graph_of(node("3") + "," + node("\"a\"") + "," + node("5000000000"),
                                          edge("3", "3") + "," + edge("3", late)));
    REQUIRE(g.endpoints_are_names);
    CHECK(g.names[g.source[0]] == "3");
    CHECK(g.source[0] == g.source[1]);
    CHECK(g.names[g.target[1]] == (late[0] == '"' ? "a" : late));
  }
}

TEST_CASE("Whether endpoints are positions or ids follows four rules", "[io]") {
  const std::string abc = node("\"a\"") + "," + node("\"b\"") + "," + node("\"c\"");
  const std::string counting = node("0") + "," + node("1") + "," + node("2");
  const std::string shuffled = node("1") + "," + node("2") + "," + node("0");
  const std::string far = node("10") + "," + node("1") + "," + node("0");
  CHECK(meaning(graph_of(abc, edge("\"a\"", "\"c\""))) == LinkEndpoints::id);     // 1
  CHECK(meaning(graph_of(abc, edge("0", "2"))) == LinkEndpoints::position);       // 2
  CHECK(meaning(graph_of(counting, edge("0", "2"))) == LinkEndpoints::position);  // 3
  CHECK(meaning(graph_of(far, edge("10", "1"))) == LinkEndpoints::id);            // 4: 10 > 2
  CHECK(meaning(graph_of(far, edge("2", "1"))) == LinkEndpoints::position);       // 4: 2 is no id
  refuses("EDG-06", {"--link-endpoints"}, [&] { meaning(graph_of(shuffled, edge("0", "2"))); });  // 4: both
  CHECK(meaning(graph_of(shuffled, edge("0", "2")), LinkEndpoints::id) == LinkEndpoints::id);
  CHECK(meaning(graph_of(shuffled, edge("0", "2")), LinkEndpoints::position) == LinkEndpoints::position);
  refuses("EDG-06", {"names of nodes"},
          [&] { meaning(graph_of(abc, edge("\"a\"", "\"c\"")), LinkEndpoints::position); });
}

TEST_CASE("A node-link file with a defect is refused", "[io]") {
  const std::string n = node("0");
  refuses("JSN-02", {"no \"links\" (or \"edges\") array"}, [] { read("{\"nodes\": []}"); });
  refuses("JSN-02", {"no \"nodes\" array"}, [] { read("{\"links\": []}"); });
  refuses("JSN-02", {"both \"links\" and \"edges\""},
          [] { read("{\"links\": [], \"edges\": [], \"nodes\": []}"); });
  refuses("JSN-02", {"\"nodes\" occurs twice"}, [] { read("{\"nodes\": [], \"nodes\": []}"); });
  refuses("JSN-02", {"(in nodes)", "node 1 has no \"id\""}, [&] { read(graph_of(n + ",{}", "")); });
  refuses("JSN-02", {"id of node 0 is neither"}, [&] { read(graph_of("{\"id\": 1.5}", "")); });
  refuses("JSN-02", {"a node is not an object"}, [&] { read(graph_of("3", "")); });
  refuses("JSN-02", {"neither true nor false"}, [&] { read(graph_of("{\"id\": 1, \"val\": 2}", "")); });
  refuses("SPL-01", {"node 4 is both val and test"},
          [&] { read(graph_of("{\"id\": 4, \"val\": true, \"test\": true}", "")); });
  refuses("JSN-02", {"(in links)", "after 1 others has no \"target\""},
          [&] { read(graph_of(n, edge("0", "0") + ",{\"source\": 0}")); });
  refuses("JSN-02", {"two sources"}, [&] { read(graph_of(n, "{\"source\": 0, \"source\": 0}")); });
  refuses("JSN-02", {"the target of link 0 is neither"}, [&] { read(graph_of(n, edge("0", "null"))); });
  refuses("EDG-02", {"link 0: source -1"}, [&] { read(graph_of(n, edge("-1", "0"))); });
  refuses("JSN-01", {"more than 64"},
          [&] { read(message("{\"graph\": ", std::string(70, '['), std::string(70, ']'), "}")); });
  const std::string good = graph_of(n, edge("12", "34"));
  for (const std::string_view cut : {"{\"source\": 1", "{\"sour", "\"multigraph\": fal", "\"val\": f"}) {
    refuses("JSN-01", {"end of file: truncated"}, [&] { read(good.substr(0, good.find(cut) + cut.size())); });
  }
}

TEST_CASE("Damaged node-link files are read or refused", "[io]") {
  const std::string good = graph_of(node("\"2f4\"") + "," + node("5") + "," + node("\"x\\ud83d\\ude00\""),
                                    edge("0", "1") + "," + edge("2", "\"x\"") + "," + edge("1", "1"));
  const std::size_t refused = read_damaged(good, 6000, [](std::span<const std::byte> bytes) {
    const NodeLinkGraph g = read({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    io::endpoint_meaning(g, LinkEndpoints::automatic, Place("G.json"));
  });
  CHECK(refused > 2000);
}
