// SPDX-License-Identifier: MIT
#include "tessera/io/detail/link_table.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/io/text_table.hpp"

using namespace tessera;
using io::detail::BucketedLinks;
using io::detail::BucketRules;
using test::refuses;

namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

/// Random lines in every form a reader must take, with loops and duplicates among them.
std::string random_lines(std::size_t nodes, std::size_t count, std::uint64_t seed) {
  CounterRng rng(make_key(seed, 0, Purpose::generic), 0, 0);
  std::string out;
  for (std::size_t k = 0; k < count; ++k) {
    const auto source = rng.below(nodes);
    const auto target = k % 50 == 0 ? source : rng.below(nodes);
    const std::size_t form = k % 7;
    out += message(form == 1 ? "0" : "", source, form == 2 ? " , " : ",", target, form == 3 ? "\r\n" : "\n");
    if (form == 4) out += message(target, ",", source, "\n");
  }
  return out;
}

BuiltGraph by_pairs(const std::string& text, const BucketRules& rules) {
  io::TextBlocks blocks(bytes_of(text), "edge.csv");
  const io::IdPairs pairs = io::read_id_pairs(blocks, rules.num_rows, 0);
  return build_csr(
      rules.num_rows, {pairs.source, pairs.target, {}},
      {.symmetrize = rules.symmetrize, .self_loops = rules.keep_loops ? SelfLoops::keep : SelfLoops::drop});
}

BuiltGraph by_buckets(const std::string& text, const BucketRules& rules, std::size_t block,
                      const io::WantRows& want = {}) {
  io::TextBlocks blocks(bytes_of(text), "edge.csv", io::BlankTail::ignore, block);
  return io::detail::read_link_table(blocks, rules, want, {});
}

bool same(const BuiltGraph& a, const BuiltGraph& b) {
  return std::ranges::equal(a.graph.row_ptr, b.graph.row_ptr) &&
         std::ranges::equal(a.graph.col, b.graph.col) && a.graph.num_cols == b.graph.num_cols &&
         a.graph.symmetric == b.graph.symmetric && a.counts.links == b.counts.links &&
         a.counts.dropped_loops == b.counts.dropped_loops &&
         a.counts.merged_duplicates == b.counts.merged_duplicates;
}

}  // namespace

TEST_CASE("a table of links gives the graph of its list of links", "[io]") {
  for (const std::size_t nodes : {1u, 2u, 37u, 5000u}) {
    const std::string text = random_lines(nodes, 3000, nodes);
    for (const bool symmetrize : {false, true}) {
      for (const bool keep_loops : {false, true}) {
        const BucketRules rules{.num_rows = nodes, .keep_loops = keep_loops, .symmetrize = symmetrize};
        const BuiltGraph want = by_pairs(text, rules);
        for (const std::size_t block : {1u, 100u, 4096u, 1u << 22}) {
          CAPTURE(nodes, symmetrize, keep_loops, block);
          CHECK(same(by_buckets(text, rules, block), want));
        }
      }
    }
  }
}

TEST_CASE("links of several chunks are the same graph at any number of threads", "[io]") {
  constexpr std::size_t kNodes = 60'000;
  const BucketRules rules{.num_rows = kNodes, .keep_loops = false, .symmetrize = true};
  const std::string text = random_lines(kNodes, 250'000, 9);
  REQUIRE(text.size() > std::size_t{2} << 20);  // chunks are one MiB
  const BuiltGraph want = by_pairs(text, rules);
  for (const std::size_t threads : {1u, 2u, 4u}) {
    CAPTURE(threads);
    CHECK(with_threads(threads, [&] { return same(by_buckets(text, rules, io::TextBlocks::kBlock), want); }));
  }
}

TEST_CASE("no links are a graph without edges", "[io]") {
  const BuiltGraph got = by_buckets("", {.num_rows = 3, .symmetrize = true}, 100);
  CHECK(std::ranges::equal(got.graph.row_ptr, std::vector<EdgeId>(4, 0)));
  CHECK(got.graph.num_edges() == 0);
  CHECK(got.graph.symmetric);
}

TEST_CASE("a wrong line of links is named as in a list of links", "[io]") {
  const BucketRules rules{.num_rows = 6, .symmetrize = true};
  std::string good;
  for (int k = 0; k < 20; ++k) good += "0,1\n4,5\n";
  const auto both = [&](std::string_view code, std::initializer_list<std::string_view> parts,
                        const std::string& text, const io::WantRows& want = {}) {
    refuses(code, parts, [&] { by_buckets(text, rules, 64, want); });
    refuses(code, parts, [&] {
      io::TextBlocks blocks(bytes_of(text), "edge.csv", io::BlankTail::ignore, 64);
      io::read_id_pairs(blocks, 6, 0, want);
    });
  };
  both("CSV-01", {"line 41", "\"7\" has 1 number, want 2"}, good + "7\n" + good);
  both("CSV-01", {"line 1:", "\"a\" is not a whole number"}, "a,1\n" + good);
  both("CSV-01", {"line 41", "has 3 numbers, want 2"}, good + "1,2,3\n");
  both("EDG-01", {"line 41", "edge 40: target 6 but N = 6", "do the ids count from 1?"},
       good + "5,6\n" + good);
  both("EDG-01", {"source 99,999,999,999 but N = 6"}, good + "99999999999,1\n" + good);
  both("EDG-02", {"line 41", "edge 40: source is negative"}, good + "-1,2\n");
  both("CSV-02", {"num-edge-list says 41, the file has 40 lines: truncated"}, good, {41, "num-edge-list"});
  both("CSV-02", {"num-edge-list says 39, the file has more lines"}, good, {39, "num-edge-list"});
}

TEST_CASE("links that need more memory than allowed are refused", "[io]") {
  std::string text;
  for (int k = 0; k < 1000; ++k) text += "0,1\n";
  io::TextBlocks blocks(bytes_of(text), "edge.csv", io::BlankTail::ignore, 64);
  refuses("GEN-03", {}, [&] {
    io::detail::read_link_table(blocks, {.num_rows = 2, .symmetrize = true}, {}, {.max_bytes = 1000});
  });
}

TEST_CASE("entries of five bytes suffice up to 2^25 rows", "[io]") {
  CHECK(BucketedLinks({.num_rows = (1u << 25) - 1}).fits());
  CHECK_FALSE(BucketedLinks({.num_rows = 1u << 25}).fits());
}
