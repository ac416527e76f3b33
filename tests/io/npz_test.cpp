// SPDX-License-Identifier: MIT
#include "tessera/io/npz.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/io/npy_convert.hpp"

using namespace tessera;
using test::npy_array;
using test::raw;
using test::refuses;
using test::zip_file;

namespace {

io::NpzFile archive(const std::string& file, const io::Limits& limits = {}) {
  return io::NpzFile(std::as_bytes(std::span(file)), "a.npz", limits);
}

std::string ints(std::initializer_list<std::int32_t> values) {
  return npy_array("<i4", message("(", values.size(), ",)"), raw<std::int32_t>(values));
}

}  // namespace

TEST_CASE("arrays are found by key", "[io]") {
  const std::string file = zip_file(
      {{"b.npy", ints({1, 2})}, {"convs.0/lin.weight.npy", ints({3})}, {"readme.txt", "not an array"}});
  const io::NpzFile npz = archive(file);
  CHECK(npz.keys() == std::vector<std::string>{"b", "convs.0/lin.weight"});
  CHECK(npz.has("b"));
  CHECK_FALSE(npz.has("readme.txt"));
  CHECK(io::to_integers<std::int32_t>(npz.read("b"))[1] == 2);
  const auto both = npz.read({"convs.0/lin.weight", "b"});
  CHECK(io::to_integers<std::int32_t>(both[0])[0] == 3);
  CHECK(both[1].size() == 2);
}

TEST_CASE("a missing array is reported with those there are", "[io]") {
  const std::string file = zip_file({{"data.npy", ints({1})}, {"shape.npy", ints({1})}});
  refuses("ZIP-05", {"needs 'indptr'; archive has: data, shape"}, [&] { archive(file).read("indptr"); });
  refuses("ZIP-05", {"needs 'x'"}, [&] { archive(file).require({"data", "x"}); });
  refuses("ZIP-05", {"archive has: no arrays"}, [] { archive(zip_file({})).read("x"); });
}

TEST_CASE("pickled members hurt only those who ask for them", "[io]") {
  const std::string file =
      zip_file({{"adj.npy", npy_array("|O", "()", "\x80\x04pickle")}, {"labels.npy", ints({7})}});
  const io::NpzFile npz = archive(file);
  CHECK(io::to_integers<std::int32_t>(npz.read("labels"))[0] == 7);
  refuses("NPY-06", {"a.npz: member 'adj': pickled Python object array"}, [&] { npz.read("adj"); });
}

TEST_CASE("a member's size must be that of its array", "[io]") {
  refuses("ZIP-04", {"needs 132 bytes, the member holds 133"}, [] {
    archive(zip_file({{"x.npy", ints({1}) + "z"}})).read("x");
  });
  const std::string whole = ints({1, 2});
  const std::string cut = whole.substr(0, whole.size() - 1);
  refuses("NPY-05", {"needs 8 bytes"}, [&] { archive(zip_file({{"x.npy", cut}})).read("x"); });
}

TEST_CASE("the downloaded archive of a folder is recognised", "[io]") {
  refuses("GEN-02", {"this is the download archive, extract it first"}, [] {
    archive(zip_file({{"reddit/", ""}, {"reddit/adj_full.npz", "..."}}));
  });
}

#if defined(TESSERA_HAS_ZLIB)

TEST_CASE("deflated arrays read as stored ones", "[io]") {
  const std::string data(400'000, '\1');
  const std::string file =
      zip_file({{.name = "ones.npy", .content = npy_array("|u1", "(400000,)", data), .deflate = true},
                {.name = "five.npy", .content = ints({5}), .deflate = true}});
  REQUIRE(file.size() < 3000);
  const auto arrays = archive(file).read({"five", "ones"});
  CHECK(io::to_integers<std::int32_t>(arrays[0])[0] == 5);
  CHECK(io::detail::as_text(arrays[1].bytes()) == data);
}

TEST_CASE("decompression bombs are stopped by size, not by ratio", "[io]") {
  // The header asks for more than the directory admits, or the reverse.
  const std::string content = npy_array("|u1", "(1000,)", std::string(1000, '\0'));
  const auto declare = [&](std::uint64_t size) {
    return zip_file({{.name = "x.npy", .content = content, .deflate = true, .declared_size = size}});
  };
  refuses("ZIP-04", {"needs 1,128 bytes, the directory declares 1,127"},
          [&] { archive(declare(1127)).read("x"); });
  refuses("ZIP-04", {"needs 1,128 bytes, the directory declares 9,000"},
          [&] { archive(declare(9000)).read("x"); });
  // Both tell the same lie.
  const std::string huge = npy_array("<f4", "(1000000000000,)", std::string(100, '\0'));
  const std::string file =
      zip_file({{.name = "x.npy", .content = huge, .deflate = true, .declared_size = 4'000'000'000}});
  refuses("ZIP-04", {"declares 4.0 GB, more than"}, [&] { archive(file).read("x"); });
  // Nobody lies, but it is too much.
  refuses("ZIP-04", {"declares 1.1 kB for shape (1000,), limit is 500 bytes"},
          [&] { archive(declare(1128), {.max_bytes = 500}).read("x"); });
  refuses("GEN-03", {"declares 1.1 kB, limit is 500 bytes"},
          [&] { archive(declare(1128), {.max_bytes = 500}).read({"x"}); });
}

TEST_CASE("damaged .npz files never do more than throw", "[io]") {
  const std::string good = zip_file(
      {{.name = "a.npy", .content = npy_array("<f4", "(20, 5)", std::string(400, '\0')), .deflate = true},
       {.name = "b.npy", .content = ints({1, 2, 3}), .zip64_local = true, .zip64_central = true},
       {.name = "c.npy", .content = ints({4, 5, 6}), .deflate = true, .streamed = true}});
  const std::size_t refused = test::read_damaged(good, 6000, [](std::span<const std::byte> bytes) {
    const io::NpzFile npz(bytes, "a.npz", {.max_bytes = 1 << 20});
    for (const std::string& key : npz.keys()) {
      try {
        npz.read(key);
      } catch (const FormatError&) {  // the others may be whole
      }
    }
    npz.read({"a", "b", "c"});
  });
  CHECK(refused > 3000);
}

#endif
