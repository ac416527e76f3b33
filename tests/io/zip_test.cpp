// SPDX-License-Identifier: MIT
#include "tessera/io/zip.hpp"

#include <fstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using test::refuses;
using test::zip_file;
using test::ZipPart;

namespace {

/// Opens an archive in memory and reads the member `name`.
std::string content_of(const std::string& file, std::string_view name) {
  const io::ZipArchive zip(std::as_bytes(std::span(file)), "a.npz");
  const io::ZipMember* member = zip.find(name);
  REQUIRE(member != nullptr);
  return std::string(io::detail::as_text(zip.read(*member)));
}

void open(const std::string& file) { io::ZipArchive zip(std::as_bytes(std::span(file)), "a.npz"); }

}  // namespace

TEST_CASE("stored members are found by name", "[io]") {
  const std::string file = zip_file({{"b.npy", "second"}, {"a.npy", "first"}, {"empty", ""}});
  const io::ZipArchive zip(std::as_bytes(std::span(file)), "a.npz");
  REQUIRE(zip.members().size() == 3);
  CHECK(zip.members()[0].name == "a.npy");
  CHECK(zip.find("c") == nullptr);
  CHECK(content_of(file, "a.npy") == "first");
  CHECK(content_of(file, "b.npy") == "second");
  CHECK(content_of(file, "empty").empty());
  CHECK(io::detail::as_text(zip.view(*zip.find("b.npy"))) == "second");
  CHECK(io::detail::as_text(zip.read_front(*zip.find("b.npy"), 3)) == "sec");
}

#if defined(TESSERA_HAS_ZLIB)
TEST_CASE("deflated members are decompressed", "[io]") {
  std::string ones;
  for (int i = 0; i < 100'000; ++i) ones += test::raw<float>({1.0f});
  const std::string file = zip_file({{.name = "ones", .content = ones, .deflate = true},
                                     {.name = "empty", .content = "", .deflate = true}});
  REQUIRE(file.size() < ones.size() / 500);  // constant data is no bomb
  CHECK(content_of(file, "ones") == ones);
  CHECK(content_of(file, "empty").empty());
}

TEST_CASE("members of another size than declared are refused", "[io]") {
  const std::string content(5000, 'x');
  const auto declare = [&](std::uint64_t size) {
    return zip_file({{.name = "x.npy", .content = content, .deflate = true, .declared_size = size}});
  };
  refuses("ZIP-04", {"member 'x.npy': inflates beyond its declared 4,999 bytes"},
          [&] { content_of(declare(4999), "x.npy"); });
  refuses("ZIP-04", {"inflates to 5,000 bytes, declared are 5,001"},
          [&] { content_of(declare(5001), "x.npy"); });
  refuses("ZIP-04", {"declares 4.0 GB, more than its"}, [&] { content_of(declare(4'000'000'000), "x.npy"); });
}
#endif

TEST_CASE("stored members with two sizes are refused", "[io]") {
  const std::string file = zip_file({{.name = "x", .content = "12345", .declared_size = 6}});
  refuses("ZIP-04", {"is stored in 5 bytes but declares 6"}, [&] { content_of(file, "x"); });
}

TEST_CASE("what numpy's ZIP64 habits and pipes write is read", "[io]") {
  CHECK(content_of(zip_file({{.name = "x", .content = "12345", .zip64_local = true}}), "x") == "12345");
  CHECK(content_of(zip_file({{.name = "y", .content = "1"},
                             {.name = "x", .content = "12345", .zip64_central = true}}),
                   "x") == "12345");
  CHECK(content_of(zip_file({{.name = "x", .content = "12345", .streamed = true}}), "x") == "12345");
}

TEST_CASE("a comment of any length is stepped over", "[io]") {
  CHECK(content_of(zip_file({{"x", "12345"}}, std::string(65'535, 'c')), "x") == "12345");
  CHECK(content_of(zip_file({{"x", "12345"}}, "PK\x05\x06 in a comment"), "x") == "12345");
}

TEST_CASE("members beyond 4 GiB are found through ZIP64", "[io][slow]") {
  const test::ScratchFolder folder;
  // A sparse file: five gigabytes of hole before the member, a directory and both ZIP64 end records behind
  // it.
  const std::string local = zip_file({{"x", "12345"}});
  const std::uint64_t offset = 5'000'000'000;
  const std::string member = local.substr(0, 30 + 1 + 5);
  std::string central = local.substr(member.size(), 46 + 1);
  central.replace(42, 4, 4, '\xff');
  central.replace(30, 2, std::string("\x0c\0", 2));
  central += std::string("\1\0\x08\0", 4) + test::raw<std::uint64_t>({offset});
  const std::uint64_t directory = offset + member.size();
  std::string end = "PK\x06\x06" + test::raw<std::uint64_t>({44}) + test::raw<std::uint16_t>({45, 45}) +
                    test::raw<std::uint32_t>({0, 0}) +
                    test::raw<std::uint64_t>({1, 1, central.size(), directory});
  end += "PK\x06\x07" + test::raw<std::uint32_t>({0}) +
         test::raw<std::uint64_t>({directory + central.size()}) + test::raw<std::uint32_t>({1});
  end += "PK\x05\x06" + test::raw<std::uint16_t>({0, 0, 0xffff, 0xffff}) +
         test::raw<std::uint32_t>({0xffffffff, 0xffffffff}) + test::raw<std::uint16_t>({0});
  {
    std::ofstream out(folder / "big.npz", std::ios::binary);
    out.seekp(static_cast<std::streamoff>(offset));
    out << member << central << end;
    REQUIRE(out.good());
  }
  const io::ZipArchive zip(folder / "big.npz");
  REQUIRE(zip.find("x") != nullptr);
  CHECK(zip.find("x")->header_offset == offset);
  CHECK(io::detail::as_text(zip.read(*zip.find("x"))) == "12345");
}

TEST_CASE("a file cut anywhere is refused", "[io]") {
  std::vector<ZipPart> parts;
  for (int i = 0; i < 5; ++i)
    parts.push_back({message("member-", i), std::string(3000, static_cast<char>('a' + i))});
  const std::string file = zip_file(parts);
  for (std::size_t size = 0; size < file.size(); size += 512) {
    const std::vector<std::byte> cut = test::exact_bytes(file.substr(0, size));
    refuses("ZIP-01", {"download is incomplete"}, [&] { io::ZipArchive zip(cut, "a.npz"); });
  }
}

TEST_CASE("what is no zip is named", "[io]") {
  refuses("GEN-02", {"HTML page"}, [] { open("<!doctype html>" + std::string(100, ' ')); });
  refuses("GEN-02", {"this is a .npy array, want a .npz archive"},
          [] { open("\x93NUMPY" + std::string(100, ' ')); });
  refuses("ZIP-01", {"end of archive record missing"}, [] { open("hello"); });
  refuses("ZIP-01", {"end of archive record missing"}, [] { open(""); });
}

TEST_CASE("damaged content is refused with both checksums", "[io]") {
  const std::string file = zip_file({{.name = "indices.npy", .content = "12345", .crc = 0x12345678}});
  refuses("ZIP-03", {"member 'indices.npy': is damaged: CRC-32 is cbf53a1c, directory says 12345678"},
          [&] { content_of(file, "indices.npy"); });
}

TEST_CASE("other methods and encryption are refused by name", "[io]") {
  const auto method = [](std::uint16_t m) {
    return zip_file({{.name = "x.npy", .content = "12345", .method = m}});
  };
  refuses("ZIP-02", {"uses method 93 (zstd); only stored and deflate are supported"},
          [&] { content_of(method(93), "x.npy"); });
  refuses("ZIP-02", {"method 12 (bzip2)"}, [&] { content_of(method(12), "x.npy"); });
  refuses("ZIP-02", {"method 14 (lzma)"}, [&] { content_of(method(14), "x.npy"); });
  refuses("ZIP-02", {"encrypted"},
          [] { content_of(zip_file({{.name = "x", .content = "12345", .flags = 1}}), "x"); });
}

TEST_CASE("hostile directories are refused", "[io]") {
  refuses("ZIP-05", {"two members are called 'x'"}, [] {
    open(zip_file({{"x", "1"}, {"y", "2"}, {"x", "3"}}));
  });
  for (const std::string name : {"../x.npy", "/x.npy", "a/../../x.npy", "a\\x.npy"}) {
    refuses("ZIP-05", {"leaves the archive"}, [&] { open(zip_file({{name, "1"}})); });
  }
  std::vector<ZipPart> many;
  for (int i = 0; i < 5000; ++i) many.push_back({message(i), ""});
  refuses("GEN-03", {"declares 5,000 members, limit is 4,096"}, [&] { open(zip_file(many)); });

  std::string file = zip_file({{"x", "12345"}});
  file[0] = 'Q';
  refuses("ZIP-01", {"local header is missing"}, [&] { content_of(file, "x"); });
  file = zip_file({{"x", "12345"}});
  file.replace(36 + 42, 4, "\xf0\xff\xff\x7f");
  refuses("ZIP-01", {"past the end of the file"}, [&] { content_of(file, "x"); });
}

TEST_CASE("70,000 members are refused before any is looked at", "[io]") {
  std::string end = "PK\x06\x06" + test::raw<std::uint64_t>({44}) + test::raw<std::uint16_t>({45, 45}) +
                    test::raw<std::uint32_t>({0, 0}) + test::raw<std::uint64_t>({70'000, 70'000, 0, 0});
  end += "PK\x06\x07" + test::raw<std::uint32_t>({0}) + test::raw<std::uint64_t>({0}) +
         test::raw<std::uint32_t>({1});
  end += "PK\x05\x06" + test::raw<std::uint16_t>({0, 0, 0xffff, 0xffff}) + test::raw<std::uint32_t>({0, 0}) +
         test::raw<std::uint16_t>({0});
  refuses("GEN-03", {"declares 70,000 members"}, [&] { open(end); });
}

TEST_CASE("a member over the limit is refused before it is read", "[io]") {
  const std::string file = zip_file({{"x", std::string(1000, 'x')}});
  const io::ZipArchive zip(std::as_bytes(std::span(file)), "a.npz", {.max_bytes = 999});
  refuses("GEN-03", {"member 'x': declares 1.0 kB"}, [&] { zip.read(*zip.find("x")); });
}
