// SPDX-License-Identifier: MIT
#include "tessera/io/id_map.hpp"

#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using io::ByteSource;
using io::IdMap;
using io::JsonScanner;
using io::TextIndex;
using test::read_damaged;
using test::refuses;

namespace {

IdMap read(std::string_view text) {
  JsonScanner json(ByteSource::memory(text, "id_map.json"), 64);
  return io::read_id_map(json);
}

}  // namespace

TEST_CASE("A text index numbers texts by first appearance", "[io]") {
  TextIndex index;
  CHECK(index.find("a") == TextIndex::kAbsent);
  for (int i = 0; i < 5000; ++i) {
    CHECK(index.add(message("id", i * 7)) == std::pair(static_cast<std::uint32_t>(i), true));
  }
  CHECK(index.add("").first == 5000);
  CHECK(index.size() == 5001);
  for (int i = 0; i < 5000; ++i) {
    const std::string text = message("id", i * 7);
    CHECK(index.find(text) == static_cast<std::uint32_t>(i));
    CHECK(index.add(text) == std::pair(static_cast<std::uint32_t>(i), false));
    CHECK(index[static_cast<std::size_t>(i)] == text);
  }
  CHECK(index.find("id1") == TextIndex::kAbsent);
}

TEST_CASE("A text index that counts needs no table, and makes one when it stops counting", "[io]") {
  for (const std::string odd : {"x", "07", "", "9", "12345678901234567890", "-1", "5 "}) {
    TextIndex index;
    for (std::uint32_t i = 0; i < 5; ++i) {
      CHECK(index.add(message(i)) == std::pair(i, true));
      CHECK(index.add(message(i / 2)) == std::pair(i / 2, false));
    }
    CHECK(index.find("4") == 4);
    CHECK(index.find("5") == TextIndex::kAbsent);
    CHECK(index.find("04") == TextIndex::kAbsent);
    CHECK(index.find(odd) == TextIndex::kAbsent);
    CHECK(index.add(odd) == std::pair(std::uint32_t{5}, true));
    CHECK(index.add(odd) == std::pair(std::uint32_t{5}, false));
    CHECK(index.add("5") == std::pair(std::uint32_t{6}, true));
    CHECK(index.find("3") == 3);
    CHECK(index.find("5") == 6);
    CHECK(index[5] == odd);
    CHECK(index.size() == 7);
  }
}

TEST_CASE("An id map finds rows by text and by integer alike", "[io]") {
  const IdMap map = read(R"({"2f4i98": 2, "17": 0, "2hxws5": 1})");
  CHECK(map.size() == 3);
  CHECK_FALSE(map.identity());
  CHECK(map.find("2f4i98") == 2);
  CHECK(map.find("17") == 0);
  CHECK(map.find(std::int64_t{17}) == 0);
  CHECK(map.find(std::int64_t{1}) == kNoNode);
  CHECK(map.find("017") == kNoNode);
  CHECK(map.id(1) == "2hxws5");
  for (const IdMap& same : {read(R"({"1": 1, "0": 0})"), IdMap::rows(2)}) {
    CHECK(same.identity());
    CHECK(same.size() == 2);
    CHECK(same.find("1") == 1);
    CHECK(same.find("01") == kNoNode);
    CHECK(same.find("2") == kNoNode);
    CHECK(same.find("-0") == kNoNode);
    CHECK(same.find("") == kNoNode);
    CHECK(same.find(std::int64_t{-1}) == kNoNode);
    CHECK(same.id(1) == "1");
  }
  CHECK(read("{}").size() == 0);
}

TEST_CASE("An id map that is no bijection is refused", "[io]") {
  refuses("IDM-02", {"\"b\"", "share number 0", "0..1, each once"}, [] { read(R"({"a": 0, "b": 0})"); });
  refuses("IDM-02", {"\"b\" has number 2", "0..1"}, [] { read(R"({"a": 0, "b": 2})"); });
  refuses("IDM-02", {"number -1"}, [] { read(R"({"a": -1})"); });
  refuses("IDM-02", {"\"a\" occurs twice"}, [] { read(R"({"a": 0, "\u0061": 1})"); });
  refuses("IDM-02", {"\"a\" has a string"}, [] { read(R"({"a": "0"})"); });
  refuses("IDM-02", {"a number"}, [] { read(R"({"a": 0.5})"); });
  refuses("JSN-01", {"end of file"}, [] { read(R"({"a": 0)"); });
  refuses("JSN-01", {"an object from node id"}, [] { read("[]"); });
}

TEST_CASE("Damaged id maps are read or refused", "[io]") {
  read_damaged(R"({"2f4i98": 2, "17": 0, "2hxws5": 1, "\u0041": 3})", 3000,
               [](std::span<const std::byte> bytes) {
                 read({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
               });
}

TEST_CASE("The id map of toy PPI is the identity", "[io]") {
  if (const auto folder = test::real_data("toy-ppi/graphsage")) {
    CHECK(std::filesystem::file_size(*folder / "toy-ppi-id_map.json") == 213'860);
    const IdMap map = io::read_id_map(*folder / "toy-ppi-id_map.json");
    CHECK(map.size() == 14'755);
    CHECK(map.identity());
  }
}
