// SPDX-License-Identifier: MIT
#include "tessera/io/splits.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using io::ByteSource;
using io::JsonScanner;
using io::Place;
using test::read_damaged;
using test::refuses;
using test::ScratchFolder;

namespace {

Array<Role> read(std::string_view text, std::size_t nodes, std::vector<std::string>* warnings = nullptr) {
  std::vector<std::string> ignored;
  JsonScanner json(ByteSource::memory(text, "role.json"), 32);
  return io::read_roles(json, nodes, warnings == nullptr ? ignored : *warnings);
}

}  // namespace

TEST_CASE("A role file gives every node at most one role", "[io]") {
  const Array<Role> roles = read(R"({"te": [4], "tr": [0, 2], "va": []})", 5);
  const std::vector<Role> want = {Role::train, Role::none, Role::train, Role::none, Role::test};
  CHECK(std::vector<Role>(roles.begin(), roles.end()) == want);
  std::vector<std::string> warnings;
  read(R"({"tr": [1, 1], "va": [0], "te": [2], "note": {"a": [1]}})", 3, &warnings);
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[0].find("\"note\" is ignored") != std::string::npos);
  CHECK(warnings[1].find("1 nodes are listed twice") != std::string::npos);
}

TEST_CASE("A role file with a defect is refused", "[io]") {
  refuses("SPL-01", {"node 1 is in both tr and te"}, [] { read(R"({"tr": [1], "va": [], "te": [1]})", 3); });
  refuses("SPL-01", {"node 3 in va does not exist"}, [] { read(R"({"tr": [1], "va": [3], "te": []})", 3); });
  refuses("SPL-01", {"node -1"}, [] { read(R"({"tr": [-1], "va": [], "te": []})", 3); });
  refuses("SPL-01", {"(in tr)", "row numbers"}, [] { read(R"({"tr": ["1"], "va": [], "te": []})", 3); });
  refuses("SPL-01", {"\"tr\" occurs twice"}, [] { read(R"({"tr": [1], "tr": [], "te": []})", 3); });
  refuses("JSN-02", {"no \"va\" array"}, [] { read(R"({"tr": [1], "te": []})", 3); });
  refuses("JSN-01", {"an array of row numbers"}, [] { read(R"({"tr": 1})", 3); });
  read_damaged(R"({"tr": [0, 2, 5], "va": [1], "te": [4, 3]})", 3000, [](std::span<const std::byte> bytes) {
    read({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, 6);
  });
}

TEST_CASE("Role files are found by the name of their split", "[io]") {
  const ScratchFolder folder;
  refuses("SPL-03", {"the folder has none"}, [&] { io::find_role_file(folder.path(), ""); });
  for (const char* name : {"role-b.json", "role-a-1.json", "role.txt", "roles.json"})
    folder.write(name, "{}");
  CHECK(io::role_files(folder.path()).size() == 2);
  CHECK(io::find_role_file(folder.path(), "").filename() == "role-a-1.json");
  CHECK(io::find_role_file(folder.path(), "b").filename() == "role-b.json");
  CHECK(io::find_role_file(folder.path(), "role-b").filename() == "role-b.json");
  CHECK(io::find_role_file(folder.path(), "role-b.json").filename() == "role-b.json");
  CHECK(io::split_name("x/role-a-1.json") == "a-1");
  CHECK(io::split_name("role.json").empty());
  refuses("SPL-03", {"no split \"c\"", "a-1, b"}, [&] { io::find_role_file(folder.path(), "c"); });
}

TEST_CASE("A split is checked against the labels", "[io]") {
  Dataset data;
  data.labels.classes = Array<std::int32_t>(4, 0);
  data.labels.num_classes = 1;
  data.roles = Array<Role>(4, Role::train);
  std::vector<std::string> warnings;
  io::check_split(data, Place("x"), warnings);
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[0].find("warning[SPL-02] x: validation set is empty") == 0);
  CHECK(warnings[1].find("test set is empty; reporting on validation nodes") != std::string::npos);
  data.labels.classes[2] = kUnlabelled;
  refuses("LBL-04", {"1 training nodes have no label"}, [&] { io::check_split(data, Place("x"), warnings); });
  data.roles[2] = Role::none;
  CHECK_NOTHROW(io::check_split(data, Place("x"), warnings));
}
