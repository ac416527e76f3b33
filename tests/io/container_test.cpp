// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/io/container_write.hpp"
#include "tessera/io/crc32c.hpp"
#include "tessera/io/load.hpp"
#include "tessera/io/mapped_dataset.hpp"
#include "tessera/io/train_graph.hpp"

using namespace tessera;
using test::ScratchFolder;

namespace {

template <class F>
void refuses(std::string_view code, std::string_view text, F&& read) {
  test::refuses(code, {text}, read);
}

template <class A, class B>
bool equal(const A& a, const B& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

bool equal(CsrView<> a, CsrView<> b) {
  return equal(a.row_ptr, b.row_ptr) && equal(a.col, b.col) && equal(a.weight, b.weight);
}

bool equal(MatrixView<const float> a, MatrixView<const float> b) {
  bool same = a.rows() == b.rows() && a.cols() == b.cols();
  for (std::size_t i = 0; i < a.rows() && same; ++i) same = equal(a.row(i), b.row(i));
  return same;
}

void check_equal(const DatasetView& a, const DatasetView& b) {
  CHECK(equal(a.graph.matrix, b.graph.matrix));
  CHECK(a.graph.symmetric == b.graph.symmetric);
  CHECK(a.train_graph.num_nodes() == b.train_graph.num_nodes());
  CHECK(equal(a.train_graph.matrix.col, b.train_graph.matrix.col));
  if (a.train_graph.num_nodes() != 0) CHECK(a.train_graph.symmetric == b.train_graph.symmetric);
  CHECK(equal(a.features, b.features));
  CHECK(equal(a.labels.classes, b.labels.classes));
  CHECK(equal(a.labels.indicators, b.labels.indicators));
  CHECK(a.labels.num_classes == b.labels.num_classes);
  CHECK(equal(a.roles, b.roles));
}

Dataset sample(bool multilabel = false) {
  Dataset data =
      generate_community_graph({.nodes = 500, .classes = 6, .features = 21, .multilabel = multilabel});
  data.name = "sample \"quoted\" \xC3\xA9";
  data.provenance.warnings = {"warning[X-1] a", "b\n"};
  return data;
}

/// Recomputes the checksums of header and table, so that what lies behind them is what is tested.
void seal(std::string& file) {
  const auto bytes = [&](std::size_t at, std::size_t count) {
    return std::as_bytes(std::span(file)).subspan(at, count);
  };
  std::uint32_t sections = 0;
  std::memcpy(&sections, file.data() + 20, 4);
  const std::uint32_t table = io::crc32c(bytes(4096, std::min<std::size_t>(sections, 64) * 128));
  std::memcpy(file.data() + 4092, &table, 4);
  const std::uint32_t header = io::crc32c(bytes(0, 4088));
  std::memcpy(file.data() + 4088, &header, 4);
}

void put(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

template <class T>
std::string patched(std::string file, std::size_t at, T value, bool sealed = true) {
  std::memcpy(file.data() + at, &value, sizeof value);
  if (sealed) seal(file);
  return file;
}

}  // namespace

TEST_CASE("crc32c has the published values, by table and by instruction, in pieces and in parallel", "[io]") {
  const std::string digits = "123456789";
  CHECK(io::crc32c(std::as_bytes(std::span(digits))) == 0xE3069283u);  // the check value of the catalogue
  const std::vector<unsigned char> zeros(32, 0), ones(32, 0xFF);
  CHECK(io::crc32c(std::as_bytes(std::span(zeros))) == 0x8A9136AAu);  // RFC 3720, B.4
  CHECK(io::crc32c(std::as_bytes(std::span(ones))) == 0x62A8AB43u);
  std::vector<std::uint32_t> noise((std::size_t{9} << 20) / 4 + 3);
  std::uint32_t x = 1;
  for (std::uint32_t& n : noise) n = x = x * 1664525u + 1013904223u;
  const auto bytes = std::as_bytes(std::span(noise));
  const std::uint32_t whole = io::crc32c(bytes);
  CHECK(~io::detail::crc32c_tables(~0u, bytes) == whole);
  CHECK(io::parallel_crc32c(bytes) == whole);
  for (const std::size_t cut : {std::size_t{0}, std::size_t{1}, std::size_t{4097}, bytes.size()}) {
    CHECK(io::crc32c(bytes.subspan(cut), io::crc32c(bytes.first(cut))) == whole);
    CHECK(io::crc32c_combine(io::crc32c(bytes.first(cut)), io::crc32c(bytes.subspan(cut)),
                             bytes.size() - cut) == whole);
  }
}

TEST_CASE("a container gives back what was written, in place and as a copy", "[io]") {
  const ScratchFolder folder;
  const auto path = folder.path() / "sample.tessera";
  for (const bool multilabel : {false, true}) {
    Dataset data = sample(multilabel);
    const bool inductive = multilabel;
    if (inductive) data.train_graph = io::edges_among_training_nodes(data.graph, data.roles);
    const io::ContentId id = io::write_container(path, data, data.provenance);
    const io::MappedDataset mapped(path, {.verify = io::Verify::everything});
    CHECK(mapped.content_id() == id);
    CHECK(io::to_text(id).size() == 32);
    check_equal(mapped, data);
    CHECK(mapped.name == data.name);
    CHECK(mapped.provenance.layout == data.provenance.layout);
    CHECK(mapped.provenance.warnings == data.provenance.warnings);
    check_equal(io::read_container(path), data);
    const Dataset loaded = io::load(path);
    check_equal(loaded, data);
    CHECK(loaded.name == data.name);
  }
}

TEST_CASE("the same data gives the same container, other data another content id", "[io]") {
  const ScratchFolder folder;
  Dataset data = sample();
  const io::ContentId one = io::write_container(folder.path() / "a", data, data.provenance);
  const io::ContentId two = io::write_container(folder.path() / "b", data, data.provenance);
  CHECK(one == two);
  CHECK(test::read_back(folder.path() / "a") == test::read_back(folder.path() / "b"));
  data.provenance.warnings.push_back("a note is no content");
  CHECK(io::write_container(folder.path() / "b", data, data.provenance) == one);
  data.features(7, 3) += 1;
  CHECK_FALSE(io::write_container(folder.path() / "b", data, data.provenance) == one);
}

TEST_CASE("a container of weights, bits and several splits", "[io]") {
  const ScratchFolder folder;
  const auto path = folder.path() / "c";
  io::ContainerWriter out(path);
  const std::vector<EdgeId> row_ptr = {0, 1, 2, 3};
  const std::vector<NodeId> col = {1, 2, 0};
  const std::vector<float> weight = {0.5f, 2, 3};
  out.add("csr.indptr", std::span(row_ptr), true);
  out.add("csr.indices", std::span(col), true);
  out.add("csr.weight", std::span(weight), true);
  const std::vector<float> x = {1, 2, 0, 0, 3, 4, 0, 0, 5, 6, 0, 0};
  out.add("x", MatrixView<const float>(x.data(), 3, 2, 4), true);
  const std::vector<std::uint64_t> bits = {0b101, 0b010, 0};
  out.begin("y.multi", io::SectionType::bit, {3, 3}, true);
  out.append(std::as_bytes(std::span(bits)));
  out.end();
  const std::vector<std::uint8_t> split = {1, 2, 3, 3, 1, 0};
  out.begin("split", io::SectionType::u8, {2, 3}, true);
  out.append(std::as_bytes(std::span(split)));
  out.end();
  const std::vector<std::int64_t> own = {7};
  out.add("own.note", std::span<const std::int64_t>(own));  // unknown and optional: skipped
  out.describe(3, 3, 2, 3, io::ContainerFlags::kMultilabel);
  CHECK_THROWS_AS(out.begin("x", io::SectionType::u8, {1}), ConfigError);
  CHECK_THROWS_AS(out.begin(std::string(32, 'n'), io::SectionType::u8, {1}), ConfigError);
  out.commit();
  const io::MappedDataset first(path);
  CHECK(equal(first.graph.matrix.weight, weight));
  CHECK_FALSE(first.graph.symmetric);
  CHECK(first.features(2, 1) == 6);
  CHECK(first.labels.indicators(0, 0) == 1);
  CHECK(first.labels.indicators(0, 1) == 0);
  CHECK(first.labels.indicators(1, 1) == 1);
  CHECK(first.roles[2] == Role::test);
  CHECK(first.name == "c");
  CHECK(first.section("own.note").size() == 8);
  CHECK(first.section("nothing").empty());
  const io::MappedDataset second(path, {.split = 1});
  CHECK(second.roles[0] == Role::test);
  CHECK(io::load(path, {.split = "1"}).roles[1] == Role::train);
  refuses("SPL-03", "no split 2", [&] { io::MappedDataset(path, {.split = 2}); });
  CHECK_THROWS_AS(io::load(path, {.split = "x"}), ConfigError);
}

TEST_CASE("a writer that is given up leaves nothing, and the old file as it was", "[io]") {
  const ScratchFolder folder;
  const auto path = folder.path() / "c";
  put(path, "old");
  {
    io::ContainerWriter out(path);
    out.begin("x", io::SectionType::f32, {2});
    CHECK_THROWS_AS(out.end(), ShapeError);
  }
  CHECK(test::read_back(path) == "old");
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
  Dataset broken = sample();
  broken.graph.col[0] = 10'000;
  CHECK_THROWS_AS(io::write_container(path, broken, broken.provenance), Error);
  CHECK(test::read_back(path) == "old");
}

TEST_CASE("damaged and hostile containers are refused", "[io]") {
  const ScratchFolder folder;
  const auto path = folder.path() / "c";
  const Dataset data = sample();
  io::write_container(path, data, data.provenance);
  const std::string good = test::read_back(path);
  const io::ContainerHeader header = io::parse_container(std::as_bytes(std::span(good)), io::Place(path));
  const auto opens = [&](const std::string& bytes, io::Verify verify = io::Verify::everything) {
    put(path, bytes);
    const io::MappedDataset mapped(path, {.verify = verify});
  };
  const auto entry = [&](std::string_view name) {
    return 4096 + 128 * static_cast<std::size_t>(header.find(name) - header.sections.data());
  };
  opens(good);

  SECTION("any byte of header and table that is flipped") {
    for (std::size_t at = 0; at < 4096; at += at < 96 ? 1 : 13) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 0x40);
      CHECK_THROWS_AS(opens(bad, io::Verify::header), FormatError);
    }
    for (std::size_t at = 4096; at < 4096 + 128 * header.sections.size(); at += 5) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 1);
      refuses("NAT-02", "section table checksum", [&] { opens(bad, io::Verify::header); });
    }
  }
  SECTION("a flipped byte of a section") {
    for (const io::Section& s : header.sections) {
      std::string bad = good;
      bad[s.offset + s.bytes / 2] = static_cast<char>(bad[s.offset + s.bytes / 2] ^ 0x10);
      refuses("NAT-02", s.name, [&] { opens(bad); });
    }
  }
  SECTION("sizes") {
    refuses("NAT-03", "the file has", [&] { opens(good.substr(0, good.size() - 4096)); });
    refuses("NAT-03", "less than a header", [&] { opens(good.substr(0, 100)); });
    refuses("NAT-03", "outside the file",
            [&] { opens(patched(good, entry("y") + 80, std::uint64_t{1} << 40)); });
    refuses("NAT-03", "extents", [&] { opens(patched(good, entry("x") + 40, std::uint64_t{1} << 62)); });
    refuses("NAT-03", "extents", [&] { opens(patched(good, entry("x") + 88, std::uint64_t{8})); });
    refuses("NAT-03", "rank", [&] { opens(patched(good, entry("x") + 34, std::uint8_t{9})); });
    refuses("NAT-03", "type", [&] { opens(patched(good, entry("x") + 32, std::uint16_t{77})); });
    refuses("NAT-03", "sections", [&] { opens(patched(good, 20, std::uint32_t{65})); });
    refuses("NAT-03", "edges", [&] { opens(patched(good, 40, std::uint64_t{3})); });
  }
  SECTION("overlaps") {
    refuses("NAT-04", "overlap",
            [&] { opens(patched(good, entry("split") + 80, header.find("csr.indptr")->offset)); });
    refuses("NAT-04", "named", [&] { opens(patched(good, entry("split"), std::array<char, 8>{'y'})); });
  }
  SECTION("sections") {
    const std::array<char, 2> other = {'z', 'z'};
    refuses("NAT-05", "'x' is missing", [&] {
      opens(patched(patched(good, entry("x"), other), entry("x") + 36, std::uint32_t{0}), io::Verify::header);
    });
    refuses("NAT-05", "required and unknown", [&] {
      opens(patched(patched(good, entry("meta"), other), entry("meta") + 36, std::uint32_t{1}),
            io::Verify::header);
    });
    refuses("NAT-05", "type", [&] {
      opens(patched(good, entry("x") + 32, static_cast<std::uint16_t>(io::SectionType::i32)),
            io::Verify::header);
    });
    refuses("NAT-01", "codec", [&] { opens(patched(good, entry("x") + 35, std::uint8_t{1})); });
  }
  SECTION("versions") {
    refuses("NAT-01", "version 2", [&] { opens(patched(good, 8, std::uint16_t{2})); });
    refuses("NAT-01", "version", [&] { opens(patched(good, 12, std::uint32_t{0x04030201})); });
  }
  SECTION("content behind a good header") {
    const auto at = [&](std::string_view name) { return header.find(name)->offset; };
    refuses("EDG-01", "csr",
            [&] { opens(patched(good, at("csr.indices"), std::uint32_t{500}), io::Verify::structure); });
    refuses("EDG-01", "csr", [&] {
      opens(patched(good, at("csr.indptr") + 8, std::numeric_limits<std::uint64_t>::max()),
            io::Verify::structure);
    });
    refuses("SPM-02", "indptr",
            [&] { opens(patched(good, at("csr.indptr") + 8 * 500, std::uint64_t{1}), io::Verify::header); });
    refuses("LBL-03", "labels",
            [&] { opens(patched(good, at("y") + 4, std::int32_t{6}), io::Verify::structure); });
    refuses("SPL-01", "role",
            [&] { opens(patched(good, at("split") + 4, std::uint8_t{4}), io::Verify::structure); });
  }
  SECTION("other files") {
    refuses("GEN-02", "", [&] { opens("<!DOCTYPE html>"); });
    refuses("GEN-02", "", [&] { opens("\x89GNN\n\x1A\n"); });  // went through a text-mode transfer
    refuses("GEN-02", "", [&] { opens(""); });
  }
}

TEST_CASE("opening does not depend on the size of the file", "[io]") {
  // A sparse file of 4 GB: were anything but the header touched in proportion, this would take a second.
  const ScratchFolder folder;
  const auto path = folder.path() / "c";
  const Dataset data = sample();
  io::write_container(path, data, data.provenance);
  std::string small = test::read_back(path);
  const std::uint64_t big = std::uint64_t{4} << 30;
  put(path, patched(small, 24, big));
  std::filesystem::resize_file(path, big);
  double best = 1;
  for (int k = 0; k < 20; ++k) {
    const auto start = std::chrono::steady_clock::now();
    const io::MappedDataset mapped(path);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    REQUIRE(mapped.num_nodes() == 500);
  }
  CHECK(best < 0.001);
}
