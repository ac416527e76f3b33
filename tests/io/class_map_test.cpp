// SPDX-License-Identifier: MIT
#include "tessera/io/class_map.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using io::ByteSource;
using io::IdMap;
using io::JsonScanner;
using io::MultiLabel;
using io::ReadOptions;
using test::read_damaged;
using test::refuses;

namespace {

Labels read(std::string_view text, std::size_t rows, const ReadOptions& options = {},
            std::vector<std::string>* warnings = nullptr) {
  std::vector<std::string> ignored;
  JsonScanner json(ByteSource::memory(text, "class_map.json"), 64);
  return io::read_class_map(json, IdMap::rows(rows), options, warnings == nullptr ? ignored : *warnings);
}

}  // namespace

TEST_CASE("A class map gives classes in the order of the rows", "[io]") {
  const Labels labels = read(R"({"2": 1, "0": 3.0, "1": -1, "3": 0})", 4);
  CHECK_FALSE(labels.multilabel());
  CHECK(labels.num_classes == 4);
  CHECK(std::vector<std::int32_t>(labels.classes.begin(), labels.classes.end()) ==
        std::vector<std::int32_t>{3, -1, 1, 0});
  const Labels spread = read(R"({"0": 1, "1": -1, "2": 0})", 3, {.multilabel = MultiLabel::on});
  REQUIRE(spread.multilabel());
  CHECK(spread.indicators(0, 1) == 1.0f);
  CHECK(spread.indicators(0, 0) + spread.indicators(1, 0) + spread.indicators(1, 1) == 0.0f);
  CHECK(spread.indicators(2, 0) == 1.0f);
}

TEST_CASE("A class map of lists gives indicators", "[io]") {
  const std::string text = R"({"1": [0, 1.0, true], "0": [false, 0, 1]})";
  const Labels labels = read(text, 2);
  REQUIRE(labels.multilabel());
  CHECK(labels.num_classes == 3);
  const float want[2][3] = {{0, 0, 1}, {0, 1, 1}};
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t c = 0; c < 3; ++c) CHECK(labels.indicators(i, c) == want[i][c]);
  }
  refuses("LBL-02", {"lists of 3"}, [&] { read(text, 2, {.multilabel = MultiLabel::off}); });
  refuses("GEN-03", {"limit"}, [&] { read(text, 2, {.max_bytes = 8}); });
}

TEST_CASE("A class map with a defect is refused", "[io]") {
  refuses("LBL-01", {"2 entries, want 3", "first missing id: 1"}, [] { read(R"({"0": 1, "2": 1})", 3); });
  refuses("LBL-01", {"node 3 is unknown"}, [] { read(R"({"0": 1, "3": 1})", 2); });
  refuses("LBL-01", {"node 0 occurs twice"}, [] { read(R"({"0": 1, "0": 1})", 2); });
  refuses("LBL-01", {"no node has a label"}, [] { read(R"({"0": -1})", 1); });
  refuses("LBL-02", {"label of node 1 has 1 entries, others have 2"},
          [] { read(R"({"0": [0, 1], "1": [1]})", 2); });
  refuses("LBL-02", {"mix integers and lists", "node 1"}, [] { read(R"({"0": 1, "1": [1]})", 2); });
  refuses("LBL-02", {"mix integers and lists"}, [] { read(R"({"0": [1], "1": 1})", 2); });
  refuses("LBL-02", {"empty list"}, [] { read(R"({"0": []})", 1); });
  refuses("LBL-02", {"is a string"}, [] { read(R"({"0": "3"})", 1); });
  refuses("LBL-02", {"is an array"}, [] { read(R"({"0": [[1]]})", 1); });
  refuses("LBL-03", {"label -3 of node 0"}, [] { read(R"({"0": -3})", 1); });
  refuses("LBL-03", {"label 1.5 of node 0 is not an integer"}, [] { read(R"({"0": 1.5})", 1); });
  refuses("LBL-03", {"label 4000000000"}, [] { read(R"({"0": 4000000000})", 1); });
  refuses("LBL-03", {"multi-label entry 1 of node 0 is 3, want 0 or 1"}, [] { read(R"({"0": [0, 3]})", 1); });
  refuses("JSN-01", {"end of file"}, [] { read(R"({"0": [0, 1)", 1); });
}

TEST_CASE("Odd but legal class ids are reported", "[io]") {
  std::vector<std::string> warnings;
  CHECK(read(R"({"0": 2, "1": 5, "2": 2})", 3, {}, &warnings).num_classes == 6);
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[0].find("start at 2") != std::string::npos);
  CHECK(warnings[1].find("2 of 6 classes never occur") != std::string::npos);
}

TEST_CASE("Damaged class maps are read or refused", "[io]") {
  for (const std::string good :
       {R"({"0": 1, "1": 0, "2": 3.0, "3": -1})", R"({"0": [0, 1, 1], "1": [true, 0, 1.0]})"}) {
    read_damaged(good, 3000, [](std::span<const std::byte> bytes) {
      read({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, 4, {.max_bytes = 1 << 20});
    });
  }
}
