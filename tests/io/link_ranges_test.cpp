// SPDX-License-Identifier: MIT
#include "tessera/io/detail/link_ranges.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/io/graphsage.hpp"
#include "tessera/io/npy_write.hpp"

using namespace tessera;
using io::detail::LinkRanges;

namespace {

struct Links {
  std::vector<NodeId> source;
  std::vector<NodeId> target;
};

Links random_links(std::size_t nodes, std::size_t count, std::uint64_t seed) {
  Links out;
  CounterRng rng(make_key(seed, 0, Purpose::generic), 0, 0);
  for (std::size_t k = 0; k < count; ++k) {
    out.source.push_back(static_cast<NodeId>(rng.below(nodes)));
    out.target.push_back(static_cast<NodeId>(rng.below(nodes)));
  }
  return out;
}

/// The links as Python writes them, some otherwise: other separators, keys in another order, flags.
std::string array_text(const Links& links, bool mixed) {
  std::string out = "[";
  for (std::size_t k = 0; k < links.source.size(); ++k) {
    const auto s = links.source[k];
    const auto t = links.target[k];
    const std::size_t form = mixed ? k % 4 : 0;
    if (k > 0) out += form == 1 ? " ,\n\t" : ", ";
    if (form == 0) out += message("{\"source\": ", s, ", \"target\": ", t, "}");
    if (form == 1) out += message("{\"source\":", s, ",\"target\":", t, "}");
    if (form == 2) out += message("{ \"test_removed\": false, \"target\" : ", t, ", \"source\": ", s, " }");
    if (form == 3)
      out += message("{\"source\": ", s, ", \"target\": ", t, ", \"train_removed\": true, \"key\": -1.5e+3}");
  }
  return out + "]";
}

bool same(const CsrGraph& a, const CsrGraph& b) {
  return std::equal(a.row_ptr.begin(), a.row_ptr.end(), b.row_ptr.begin(), b.row_ptr.end()) &&
         std::equal(a.col.begin(), a.col.end(), b.col.begin(), b.col.end()) && a.num_cols == b.num_cols;
}

}  // namespace

TEST_CASE("read_whole agrees with digit by digit", "[io]") {
  for (const std::uint64_t value :
       {0ull, 7ull, 10ull, 99ull, 12345678ull, 123456789ull, 99999999ull, 100000000ull, 4294967294ull,
        4294967295ull, 4294967296ull, 99999999999ull, 999999999999ull}) {
    for (const char* const after : {"}", ", ", " ", "/", ":", "\xFF", "."}) {
      std::string text = message(value) + after;
      text.resize(32, '\0');
      std::uint32_t got = 0;
      const char* const end = io::detail::read_whole(text.data(), got);
      if (value < 0xFFFFFFFFu) {
        REQUIRE(end == text.data() + message(value).size());
        CHECK(got == value);
      } else {
        CHECK(end == nullptr);
      }
    }
  }
  std::uint32_t got = 0;
  for (const char* const text : {"-1}            ", "01}            ", "x              ", "               "})
    CHECK(io::detail::read_whole(text, got) == nullptr);
}

TEST_CASE("ranges of any size give the graph of the whole list", "[io]") {
  const test::ScratchFolder folder;
  for (const bool mixed : {false, true}) {
    for (const bool keep_loops : {false, true}) {
      const std::size_t nodes = 3000;  // rows of several buckets; duplicates and loops occur
      const Links links = random_links(nodes, 8000, mixed ? 1 : 2);
      const std::string before = "{\"links\": ";
      const std::string text = before + array_text(links, mixed) + ", \"multigraph\": false}";
      const auto path = folder.write("g.json", text);
      const BuiltGraph want =
          build_csr(nodes, {links.source, links.target, {}},
                    {.symmetrize = true, .self_loops = keep_loops ? SelfLoops::keep : SelfLoops::drop});
      REQUIRE(want.counts.merged_duplicates > 0);
      for (const std::size_t range : {100u, 131u, 1000u, 65536u, 1u << 22}) {
        for (const std::size_t threads : {1u, 4u}) {
          with_threads(threads, [&] {
            LinkRanges ranges(path, text.size(), {nodes, nodes, {}}, keep_loops, range);
            REQUIRE(ranges.read(before.size()) ==
                    text.size() - std::string(", \"multigraph\": false}").size());
            const io::detail::RangedGraph got = ranges.build();
            CHECK(same(got.graph, want.graph));
            CHECK(got.counts.links == links.source.size());
            CHECK(got.counts.dropped_loops == want.counts.dropped_loops);
            CHECK(got.counts.merged_duplicates == want.counts.merged_duplicates);
          });
        }
      }
    }
  }
}

TEST_CASE("positions become rows, links of dropped nodes are left out", "[io]") {
  const test::ScratchFolder folder;
  const std::string text =
      R"([{"source": 0, "target": 1}, {"source": 1, "target": 2}, {"source": 2, "target": 0}])" +
      std::string(64, ' ');
  const auto path = folder.write("g.json", text);
  const std::vector<NodeId> row = {4, kNoNode, 2};
  LinkRanges ranges(path, text.size(), {3, 5, row, kNoNode}, false);
  REQUIRE(ranges.read(0) != 0);
  const io::detail::RangedGraph got = ranges.build();
  CHECK(got.dropped_links == 2);
  CHECK(got.graph.num_nodes() == 5);
  REQUIRE(got.graph.num_edges() == 2);
  CHECK(got.graph.col[0] == 4);
  CHECK(got.graph.col[1] == 2);
}

TEST_CASE("what a range cannot judge is left to the full parser", "[io]") {
  const test::ScratchFolder folder;
  const std::string good = R"({"source": 0, "target": 1}, )";
  std::string many;
  for (int k = 0; k < 50; ++k) many += good;
  for (const std::string bad :
       {R"({"source": "0", "target": 1})", R"({"source": 0, "target": -1})", R"({"source": 0, "target": 9})",
        R"({"source": 0})", R"({"source": 0, "target": 1, "weight": 0.5})",
        R"({"source": 0, "target": 1, "x": "}"})", R"({"source": 0, "target": 1, "train_removed": {}})",
        R"({"source": 0, "source": 1, "target": 1})", R"({"source": 0 "target": 1})",
        R"({"source": 01, "target": 1})", R"([0, 1])", R"({"source": 0, "targ)",
        R"({"source": 1.5, "target": 1})", R"({"source": 0, "target": 1} {"source": 0, "target": 1})", ""}) {
    const std::string text = "[" + many + bad + (bad.ends_with("targ") ? "" : ", " + many + good + "]");
    const auto path = folder.write("g.json", text);
    for (const std::size_t range : {100u, 1u << 20}) {
      INFO(bad);
      CHECK(LinkRanges(path, text.size(), {3, 3, {}}, false, range).read(0) == 0);
    }
  }
}

TEST_CASE("a folder reads the same in ranges and as a whole", "[io]") {
  const test::ScratchFolder folder;
  const std::size_t nodes = 700;
  const Links links = random_links(nodes, 5000, 5);
  std::string listed = "[", map = "{", classes = "{";
  for (std::size_t k = 0; k < nodes; ++k) {
    const std::string comma = k == 0 ? "" : ", ";
    listed += message(comma, "{\"id\": \"p", k, "\", \"val\": ", k % 5 == 0, ", \"test\": ", k % 7 == 1, "}");
    map += message(comma, "\"p", k, "\": ", nodes - 1 - k);
    classes += message(comma, "\"p", k, "\": ", k % 3);
  }
  // 0, 35, ... are val and not test: 5 and 7 share no remainder of 0 and 1 here but those of k % 35 == 15.
  std::string cleaned;
  std::size_t at = 0;
  for (std::size_t k; (k = listed.find("\"val\": true, \"test\": true", at)) != listed.npos;) {
    cleaned += listed.substr(at, k - at) + "\"val\": true, \"test\": false";
    at = k + std::string("\"val\": true, \"test\": true").size();
  }
  listed = cleaned + listed.substr(at) + "]";
  folder.write("g-id_map.json", map + "}");
  folder.write("g-class_map.json", classes + "}");
  const Tensor<float> x = Tensor<float>::zeros(nodes, 2);
  io::write_npy(folder / "g-feats.npy", x.view());
  const std::string links_text = array_text(links, true);
  folder.write("g-G.json", "{\"directed\": false, \"nodes\": " + listed + ", \"links\": " + links_text + "}");
  const Dataset ranged = io::read_graphsage(folder.path());
  // With the links first, endpoints are not known to be positions yet: the full parser.
  folder.write("g-G.json", "{\"links\": " + links_text + ", \"nodes\": " + listed + ", \"directed\": false}");
  const Dataset whole = io::read_graphsage(folder.path());
  CHECK(same(ranged.graph, whole.graph));
  CHECK(ranged.provenance.edge_policy == whole.provenance.edge_policy);
  CHECK(ranged.provenance.warnings == whole.provenance.warnings);
  CHECK(std::equal(ranged.roles.begin(), ranged.roles.end(), whole.roles.begin(), whole.roles.end()));
  // A direction said late: the reading in ranges is given up.
  folder.write("g-G.json", "{\"nodes\": " + listed + ", \"links\": " + links_text + ", \"directed\": true}");
  CHECK_FALSE(io::read_graphsage(folder.path()).graph.symmetric);
}
