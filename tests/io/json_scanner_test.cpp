// SPDX-License-Identifier: MIT
#include "tessera/io/json_scanner.hpp"

#include <sys/stat.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using tessera::FormatError;
using tessera::message;
using tessera::io::ByteSource;
using tessera::io::JsonEvent;
using tessera::io::JsonScanner;
using tessera::test::read_damaged;
using tessera::test::refuses;
using tessera::test::ScratchFolder;

namespace {

/// The events of a document in one line: {a: 1 [s"x" 0.5 true null ] }
std::string events(std::string_view text, std::size_t chunk = 1 << 16) {
  JsonScanner json(ByteSource::memory(text, "doc.json"), chunk);
  std::string out;
  for (;;) {
    switch (json.next()) {
      case JsonEvent::begin_object:
        out += "{";
        break;
      case JsonEvent::end_object:
        out += "}";
        break;
      case JsonEvent::begin_array:
        out += "[";
        break;
      case JsonEvent::end_array:
        out += "]";
        break;
      case JsonEvent::key:
        out += message(json.text(), ":");
        break;
      case JsonEvent::string:
        out += message("\"", json.text(), "\"");
        break;
      case JsonEvent::integer:
        out += message("i", json.integer());
        break;
      case JsonEvent::real:
        out += message("r", json.number());
        break;
      case JsonEvent::boolean:
        out += json.boolean() ? "T" : "F";
        break;
      case JsonEvent::null:
        out += "N";
        break;
      case JsonEvent::end:
        return out;
    }
    out += " ";
  }
}

/// What is left of an object after every value is skipped.
std::string keys(std::string_view text, std::size_t chunk) {
  JsonScanner json(ByteSource::memory(text, "doc.json"), chunk);
  std::string out;
  json.expect(JsonEvent::begin_object, "an object");
  while (json.next() == JsonEvent::key) {
    out += message(json.text(), " ");
    json.skip_value();
  }
  json.expect(JsonEvent::end, "the end");
  return out;
}

}  // namespace

TEST_CASE("The scanner reports a document as events, for any size of read", "[io]") {
  const std::string text =
      " {\"a\" : 1, \"b\":[ -2,0.5 ,1e3, true,false , null, \"x y\", [], {} ], "
      "\"\":{\"k\":\"v\"},\n\t\"z\":9007199254740993}\r\n";
  const std::string want =
      "{ a: i1 b: [ i-2 r0.5 r1000 T F N \"x y\" [ ] { } ] : { k: \"v\" } z: i9007199254740993 } ";
  for (std::size_t chunk = 1; chunk < 80; ++chunk) {
    INFO("chunk " << chunk);
    CHECK(events(text, chunk) == want);
    CHECK(events("\xEF\xBB\xBF" + text, chunk) == want);  // a byte-order mark
  }
  CHECK(events("7") == "i7 ");
  CHECK(events("-0") == "i0 ");
  CHECK(events("\"s\"") == "\"s\" ");
  CHECK(events("123456789012345678") == "i123456789012345678 ");
  CHECK(events("9223372036854775807") == "i9223372036854775807 ");
  CHECK(events("-9223372036854775808") == "i-9223372036854775808 ");
  CHECK(events("9223372036854775808") == "r9223372036854775808 ");  // one too many for an integer
  CHECK(events("[1.25E+2, 1e-400]") == "[ r125 r0 ] ");
}

TEST_CASE("Escapes are decoded to UTF-8", "[io]") {
  for (const std::size_t chunk : {1u, 2u, 9u, 13u, 500u}) {
    CHECK(events(R"(["\"\\\/\b\f\n\r\t"])", chunk) == "[ \"\"\\/\b\f\n\r\t\" ] ");
    CHECK(events(R"(["caf\u00e9 \u20AC \ud83d\ude00"])", chunk) ==
          "[ \"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\" ] ");
    CHECK(events(R"({"2f4\u0069\u0039\u0038":1})", chunk) == "{ 2f4i98: i1 } ");
    CHECK(events(R"(["\ud83dx","\ud83d"])", chunk) ==
          "[ \"\xED\xA0\xBDx\" \"\xED\xA0\xBD\" ] ");  // lone surrogates
  }
}

TEST_CASE("Values can be skipped without being decoded", "[io]") {
  const std::string text =
      R"({"feature": [0.1, NaN, -Infinity, Infinity, 1e999], "s": "\"}]\\", "o": {"a": [{}, [[]]], "b": "]"}, "n": 12, "t": true, "last": null})";
  for (std::size_t chunk = 1; chunk < 70; ++chunk) CHECK(keys(text, chunk) == "feature s o n t last ");
  refuses("JSN-01", {"expected a value", "'N'"}, [] { events("[NaN]"); });
  refuses("JSN-01", {"end of file"}, [] { keys("{\"a\": [1, 2", 16); });
  refuses("JSN-01", {"expected a value", "'}'"}, [] { keys("{\"a\": [1}", 16); });
  refuses("JSN-01", {"end of file"}, [] { keys("{\"a\": \"x", 16); });
  refuses("JSN-01", {"','"}, [] { keys("{\"a\": ,}", 16); });
}

TEST_CASE("Bad syntax is refused with its position", "[io]") {
  refuses("JSN-01", {"doc.json: byte 0: expected a value, found end of file: truncated"}, [] { events(""); });
  refuses("JSN-01", {"byte 6: expected ',' or '}', found end of file"}, [] { events("{\"a\":1"); });
  refuses("JSN-01", {"byte 7: expected ',' or '}', found '2'"}, [] { events("{\"a\":1 2}"); });
  refuses("JSN-01", {"expected a key in quotes, found '}'"}, [] { events("{\"a\":1,}"); });
  refuses("JSN-01", {"expected a value, found ']'"}, [] { events("[1,]"); });
  refuses("JSN-01", {"expected ':'"}, [] { events("{\"a\" 1}"); });
  refuses("JSN-01", {"expected end of file, found '1'"}, [] { events("{} 1"); });
  refuses("JSN-01", {"without leading zeros"}, [] { events("[01]"); });
  refuses("JSN-01", {"expected a digit"}, [] { events("[-]"); });
  refuses("JSN-01", {"expected a digit"}, [] { events("[1.]"); });
  refuses("JSN-01", {"expected a digit"}, [] { events("[1e+]"); });
  refuses("JSN-01", {"does not fit a double"}, [] { events("[1e999]"); });
  refuses("JSN-01", {"expected 'true', found"}, [] { events("[tru]"); });
  refuses("JSN-01", {"expected 'null', found end of file"}, [] { events("nul"); });
  refuses("JSN-01", {"control characters"}, [] { events("[\"a\nb\"]"); });
  refuses("JSN-01", {"byte 2"}, [] { events("[\"\n\"]"); });
  refuses("JSN-01", {"escape character, found 'q'"}, [] { events(R"(["\q"])"); });
  refuses("JSN-01", {"hexadecimal"}, [] { events(R"(["\u12g4"])"); });
  refuses("JSN-01", {"found end of file"}, [] { events(R"(["\u12)"); });
  refuses("JSN-01", {"found byte value 0"}, [] { events(std::string_view("[\0]", 3)); });
  refuses("JSN-01", {"byte 6 (in links): expected"}, [] {
    JsonScanner json(ByteSource::memory("{\"a\": ?}", "G.json"));
    json.next();
    json.next();
    json.set_section("links");
    json.next();
  });
}

TEST_CASE("Every truncation of a document is refused", "[io]") {
  const std::string text = R"({"id": 123, "name": "a\u00e9b", "ok": [true, -1.5e3, null]})";
  for (std::size_t size = 0; size < text.size(); ++size) {
    INFO("first " << size << " bytes");
    CHECK_THROWS_AS(events(std::string_view(text).substr(0, size)), FormatError);
    CHECK_THROWS_AS(events(std::string_view(text).substr(0, size), 8), FormatError);
  }
}

TEST_CASE("The scanner limits nesting and the length of strings", "[io]") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(events(nested(64)).size() == 256);
  refuses("JSN-01", {"more than 64"}, [&] { events(nested(65)); });
  refuses("JSN-01", {"more than 64"}, [&] { keys("{\"a\":" + nested(64) + "}", 512); });
  CHECK(keys("{\"a\":" + nested(63) + "}", 512) == "a ");
  const std::string mib(JsonScanner::kMaxToken, 'x');
  CHECK(events("\"" + mib.substr(10) + "\"", 4096).size() == JsonScanner::kMaxToken - 10 + 3);
  refuses("JSN-01", {"longer than 1 MiB"}, [&] { events("\"" + mib + "x\"", 4096); });
  refuses("JSN-01", {"longer than 1 MiB"}, [&] { events("\"\\n" + mib + "x\"", 4096); });
  refuses("JSN-01", {"longer than 1 MiB"},
          [&] { events("1" + std::string(JsonScanner::kMaxToken, '0'), 4096); });
  CHECK(keys("{\"a\":\"" + mib + mib + "\"}", 4096) == "a ");     // nothing is kept of what is skipped
  CHECK(events(std::string(3 << 20, ' ') + "1", 4096) == "i1 ");  // nor of blanks
}

TEST_CASE("Files of another kind are named", "[io]") {
  refuses("GEN-02", {"HTML page"}, [] { events("<!DOCTYPE html><html>"); });
  refuses("GEN-02", {"Git LFS pointer for a 3,410,531-byte file"},
          [] { events("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3410531\n"); });
  refuses("GEN-02", {"zip archive"}, [] { events("PK\x03\x04xxxx"); });
  refuses("GEN-02", {"pickle"}, [] { events("\x80\x02}q"); });
  refuses("JSN-01", {"expected a value"}, [] { events("hello"); });
}

TEST_CASE("Damaged documents are read or refused, never anything else", "[io]") {
  const std::string good =
      R"({"directed": false, "graph": {"x": [1, [2, {"y": null}]]}, "nodes": [{"id": "2f4\u0069\ud83d\ude00", "val": true, "f": [0.1, -2e-3]}], "links": [{"source": 0, "target": 123456789012345678901}]})";
  for (const std::size_t chunk : {8u, 64u, 4096u}) {
    const std::size_t refused = read_damaged(good, 4000, [&](std::span<const std::byte> bytes) {
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      events(text, chunk);
    });
    CHECK(refused > 1000);
    read_damaged(good, 2000, [&](std::span<const std::byte> bytes) {
      keys({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, chunk);
    });
  }
}

namespace {

std::size_t resident_kib() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long total = 0, resident = 0;
  const int got = file == nullptr ? 0 : std::fscanf(file, "%lu %lu", &total, &resident);
  if (file != nullptr) std::fclose(file);
  return got == 2 ? resident * 4 : 0;
}

}  // namespace

TEST_CASE("A document of 5 GB is read in constant memory", "[io][slow]") {
  // A named pipe stands for the file, so that nothing has to be stored.
  const ScratchFolder folder;
  const auto path = folder / "G.json";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  std::string block;
  constexpr std::size_t kLinks = 40'000;
  for (std::size_t i = 0; i < kLinks; ++i)
    block += message("{\"source\": ", i, ", \"target\": ", i * 61, "}, ");
  const std::size_t blocks = (std::size_t{5} << 30) / block.size() + 1;
  std::thread writer([&] {
    std::FILE* out = std::fopen(path.c_str(), "wb");
    std::fputs("[", out);
    for (std::size_t b = 0; b < blocks; ++b) std::fwrite(block.data(), 1, block.size(), out);
    std::fputs("null]", out);
    std::fclose(out);
  });
  const std::size_t before = resident_kib();
  std::size_t most = 0;
  std::size_t links = 0;
  std::uint64_t sum = 0;
  JsonScanner json(ByteSource::file(path));
  for (JsonEvent e = json.next(); e != JsonEvent::end; e = json.next()) {
    if (e == JsonEvent::integer) sum += static_cast<std::uint64_t>(json.integer());
    if (e == JsonEvent::end_object && ++links % 10'000'000 == 0) most = std::max(most, resident_kib());
  }
  writer.join();
  CHECK(links == blocks * kLinks);
  CHECK(sum == blocks * (kLinks * (kLinks - 1) / 2) * 62);
  CHECK(json.position() > (std::uint64_t{1} << 32));
  CHECK(most < before + 64 * 1024);
}
