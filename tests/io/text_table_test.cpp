// SPDX-License-Identifier: MIT
#include "tessera/io/text_table.hpp"

#include <charconv>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/core/parallel.hpp"

using namespace tessera;
using test::refuses;

namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string joined(io::TextBlocks& text) {
  std::string out;
  while (const auto block = text.next()) {
    CHECK(block->text.back() == '\n');
    CHECK(block->first_line == io::TextBlocks::count_lines(out) + 1);
    out += block->text;
  }
  return out;
}

io::IdPairs pairs(std::string_view content, io::WantRows want = {}, std::size_t block = 1 << 20) {
  io::TextBlocks text(bytes_of(content), "e.csv", io::BlankTail::ignore, block);
  return io::read_id_pairs(text, 100, 0, want);
}

Tensor<float> table(std::string_view content, io::TableFormat format = {}, io::WantRows want = {}) {
  io::TextBlocks text(bytes_of(content), "t.csv");
  return io::read_number_table(text, want, format);
}

}  // namespace

TEST_CASE("Blocks of any size give the same lines", "[io]") {
  const std::string content = "a\n\nlonger line\r\nb";
  for (const std::size_t block : {1u, 2u, 3u, 5u, 8u, 64u}) {
    io::TextBlocks plain(bytes_of(content), "x", io::BlankTail::keep, block);
    CHECK(joined(plain) == content + "\n");
#if defined(TESSERA_HAS_ZLIB)
    const std::string packed =
        test::gzipped(content.substr(0, 4)) + test::gzipped("") + test::gzipped(content.substr(4));
    io::TextBlocks gz(bytes_of(packed), "x.gz", io::BlankTail::keep, block);
    CHECK(gz.compressed());
    CHECK(joined(gz) == content + "\n");
    const std::string blank = test::gzipped("1\n\n2\n\n \n\n");
    io::TextBlocks tail(bytes_of(blank), "x.gz", io::BlankTail::ignore, block);
    CHECK(joined(tail) == "1\n\n2\n");
#endif
  }
  io::TextBlocks tail(bytes_of("a\n \n\r\n"), "x");
  CHECK(joined(tail) == "a\n");
  io::TextBlocks kept(bytes_of("a\n\n"), "x", io::BlankTail::keep);
  CHECK(joined(kept) == "a\n\n");
  io::TextBlocks mark(bytes_of("\xEF\xBB\xBF"
                               "1\n"),
                      "x");
  CHECK(joined(mark) == "1\n");
  io::TextBlocks empty(bytes_of(""), "x");
  CHECK_FALSE(empty.next());
}

TEST_CASE("Pairs of ids are read whatever stands around them", "[io]") {
  const io::IdPairs p = pairs("0,1\r\n 2 , 3 \n99,0");
  REQUIRE(p.size() == 3);
  CHECK(p.source[1] == 2);
  CHECK(p.target[1] == 3);
  CHECK(p.source[2] == 99);
  refuses("CSV-01", {"e.csv: line 2: \"12,\" has 1 number, want 2"}, [] { pairs("0,1\n12,\n"); });
  refuses("CSV-01", {"line 1: \"1,x\": \"x\" is not a whole number"}, [] { pairs("1,x\n"); });
  refuses("CSV-01", {"has 3 numbers, want 2"}, [] { pairs("1,2,3\n"); });
  refuses("CSV-01", {"is not 2 whole numbers"}, [] { pairs("1,2.5\n"); });
  refuses("EDG-02", {"edge 1: target is negative in \"3,-1\""}, [] { pairs("0,1\n3,-1\n"); });
  refuses("EDG-01", {"edge 0: source 100 but N = 100 (valid 0..99); do the ids count from 1?"},
          [] { pairs("100,1\n"); });
  refuses("EDG-01", {"target 9,223,372,036,854,775,807"}, [] { pairs("0,9223372036854775807\n"); });
  refuses("CSV-01", {"is not 2 whole numbers"}, [] { pairs("0,99999999999999999999999\n"); });
  refuses("CSV-02", {"num-edge-list says 3, the file has 2 lines: truncated"}, [] {
    pairs("0,1\n1,2\n", {3, "num-edge-list"});
  });
  refuses("CSV-02", {"says 1, the file has more lines"}, [] { pairs("0,1\n1,2\n", {1, "num-edge-list"}); });
}

TEST_CASE("The first mistake is named, in whatever block and thread it is found", "[io]") {
  std::string content;
  for (std::size_t i = 0; i < 200'000; ++i) content += message(i % 100, ",", i % 97, "\n");
  std::string bad = content;
  bad[bad.size() / 2] = 'x';
  const std::size_t line =
      static_cast<std::size_t>(
          std::count(bad.begin(), bad.begin() + static_cast<std::ptrdiff_t>(bad.size() / 2), '\n')) +
      1;
  bad[bad.size() - 3] = 'y';
  for (const std::size_t threads : {1u, 2u, 4u}) {
    with_threads(threads, [&] {
      const io::IdPairs p = pairs(content, {}, 50'000);
      REQUIRE(p.size() == 200'000);
      bool same = true;
      for (std::size_t i = 0; i < p.size(); ++i)
        same = same && p.source[i] == i % 100 && p.target[i] == i % 97;
      CHECK(same);
      refuses("CSV-01", {"line " + io::grouped(line) + ":"}, [&] { pairs(bad, {}, 50'000); });
      refuses("CSV-01", {"line " + io::grouped(line) + ":"}, [&] { pairs(bad); });
    });
  }
}

TEST_CASE("Numbers are rounded as the C++ library rounds them", "[io]") {
  std::mt19937_64 random(7);
  const auto exact = [](const std::string& text) {
    float want = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), want);
    REQUIRE(end.ec == std::errc());
    const std::string line = text + "\n";
    float got = 0;
    const char* after = io::detail::scan_float(line.c_str(), got);
    REQUIRE(after == line.c_str() + text.size());
    std::uint32_t a = 0;
    std::uint32_t b = 0;
    std::memcpy(&a, &want, 4);
    std::memcpy(&b, &got, 4);
    if (a != b) FAIL(text);
  };
  for (int k = 0; k < 50'000; ++k) {
    std::uint32_t bits = static_cast<std::uint32_t>(random());
    float value = 0;
    std::memcpy(&value, &bits, 4);
    if (!std::isfinite(value)) continue;
    exact(message(value));
    exact(message(static_cast<std::int64_t>(random() % 2'000'000) - 1'000'000, ".", random() % 1'000'000));
  }
  // More digits than a double holds, at random and around the middle of two floats.
  for (int k = 0; k < 20'000; ++k) {
    const std::uint64_t digits = random() % 1'000'000'000'000'000'000;
    std::string text = message(digits);
    text.insert(text.size() - std::min<std::size_t>(text.size() - 1, random() % 18), ".");
    exact(text);
    const float low = std::ldexp(1.0f + static_cast<float>(random() % (1u << 23)) * 0x1p-23f,
                                 static_cast<int>(random() % 20) - 10);
    const double middle = (static_cast<double>(low) + static_cast<double>(std::nextafter(low, 2 * low))) / 2;
    char buffer[64];
    const auto end =
        std::to_chars(buffer, buffer + sizeof buffer, middle, std::chars_format::fixed, middle < 1 ? 17 : 14);
    text.assign(buffer, end.ptr);
    for (const char last : {'0', '1', '4', '9'}) {
      text.back() = last;
      exact(text);
    }
  }
  // Exactly between two floats, just above, and just below: the places where rounding twice goes wrong.
  for (const std::string_view text :
       {"16777217", "16777217.0", "16777217.000001", "16777216.999999", "0.1", "-0.0", "1e-45",
        "1.17549435e-38", "33554434", "33554435", "33554433.5", "1e22", "1e23", "0.000000000000000001"}) {
    exact(std::string(text));
  }
}

TEST_CASE("A table takes its columns from the first line", "[io]") {
  const Tensor<float> t = table("1.5,-2\n 3e1 ,.25\n+1,nan\n");
  REQUIRE(t.rows() == 3);
  REQUIRE(t.cols() == 2);
  CHECK(t(1, 0) == 30.0f);
  CHECK(t(1, 1) == 0.25f);
  CHECK(t(2, 0) == 1.0f);
  CHECK(std::isnan(t(2, 1)));
  CHECK(table("1 2\t 3\n4 5 6\n", {.separator = ' '}).cols() == 3);
  CHECK(table("a,b\n1,2\n", {.skip_lines = 1}).rows() == 1);
  CHECK(std::isnan(table("1,\n2,3\n", {.empty_is_nan = true})(0, 1)));
  CHECK(std::isinf(table("1e39\n")(0, 0)));
  CHECK(table("1e-60\n")(0, 0) == 0.0f);
  CHECK(table("").rows() == 0);
  CHECK(table("1,2\n3,4\n", {}, {2, "x"})(1, 1) == 4.0f);
  refuses("CSV-01", {"line 2: \"3\" has 1 number, want 2"}, [] { table("1,2\n3\n"); });
  refuses("CSV-01", {"line 2: \"3,4,5\" has 3 numbers, want 2"}, [] { table("1,2\n3,4,5\n"); });
  refuses("CSV-01", {"\"0x1\" is not a number"}, [] { table("1\n0x1\n"); });
  refuses("CSV-01", {"line 2"}, [] { table("1\n\n3\n"); });
  refuses("CSV-02", {"num-node-list says 9, the file has 1 line: truncated"}, [] {
    table("1\n", {}, {9, "num-node-list"});
  });
  refuses("CSV-02", {"more lines"}, [] { table("1\n2\n", {}, {1, "num-node-list"}); });
  io::TextBlocks text(bytes_of("1,2,3\n"), "t.csv");
  refuses("GEN-03", {"limit is 8 bytes"}, [&] { io::read_number_table(text, {}, {}, {.max_bytes = 8}); });
}

TEST_CASE("A declared number of rows costs nothing the file cannot hold", "[io]") {
  refuses("CSV-02", {"says 1,000,000,000,000, the file has 1 line"}, [] {
    table("1,2\n", {}, {1'000'000'000'000, "num-node-list"});
  });
  refuses("CSV-02", {"says 1,000,000,000,000"}, [] { pairs("1,2\n", {1'000'000'000'000, "num-edge-list"}); });
}
