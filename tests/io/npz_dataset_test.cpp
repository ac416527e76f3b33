// SPDX-License-Identifier: MIT
#include "tessera/io/npz_dataset.hpp"

#include <string>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/io/npz_write.hpp"

using namespace tessera;
using test::refuses;

namespace {

void write_npz(const std::filesystem::path& path, std::string_view key) {
  const std::int32_t one[] = {1};
  io::NpzWriter out(path);
  out.add<std::int32_t>(key, one);
  out.commit();
}

}  // namespace

TEST_CASE("a path means the archive it names or holds", "[io]") {
  const test::ScratchFolder folder;
  refuses("GEN-01", {"no .npz file with the array 'adj_data'"},
          [&] { io::find_npz(folder.path(), "adj_data"); });
  write_npz(folder / "a.npz", "other");
  CHECK(io::find_npz(folder / "x.npz", "adj_data") == folder / "x.npz");
  CHECK(io::find_npz(folder.path(), "adj_data") ==
        folder / "a.npz");  // the only one: its own message is better
  write_npz(folder / "b.npz", "adj_data");
  CHECK(io::find_npz(folder.path(), "adj_data") == folder / "b.npz");
  write_npz(folder / "c.npz", "adj_data");
  refuses("GEN-02", {"several data sets, b.npz and c.npz"}, [&] { io::find_npz(folder.path(), "adj_data"); });
}

TEST_CASE("roles come from the file the options name", "[io]") {
  const test::ScratchFolder folder;
  write_npz(folder / "a.npz", "adj_data");
  Dataset data;
  data.graph.row_ptr.assign(4, 0);
  data.labels.classes.assign(3, 0);
  io::read_role_split(data, folder / "a.npz", {});
  CHECK(data.nodes(Role::none).size() == 3);
  CHECK(data.provenance.warnings.size() == 1);
  folder.write("role-s0.json", R"({"tr": [0], "va": [1], "te": [2]})");
  folder.write("role-s1.json", R"({"tr": [2], "va": [1], "te": [0]})");
  io::read_role_split(data, folder / "a.npz", {});
  CHECK(data.roles[0] == Role::train);
  io::read_role_split(data, folder / "a.npz", {.split = "s1"});
  CHECK(data.roles[2] == Role::train);
  refuses("SPL-03", {"no split \"s7\"", "s0, s1"},
          [&] { io::read_role_split(data, folder / "a.npz", {.split = "s7"}); });
}
