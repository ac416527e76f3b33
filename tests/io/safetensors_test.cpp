// SPDX-License-Identifier: MIT
#include "tessera/io/safetensors.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using test::raw;
using test::refuses;

namespace {

std::string file_of(std::string_view header, std::string_view data = "") {
  return raw<std::uint64_t>({header.size()}) + std::string(header) + std::string(data);
}

io::SafetensorsFile open(const std::string& file) {
  return io::SafetensorsFile(std::as_bytes(std::span(file)), "model.safetensors");
}

const std::string kGood =
    file_of(R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
            R"("a":{"dtype":"I64","shape":[],"data_offsets":[16,24]},"e":{"dtype":"F32","shape":[0,5],)"
            R"("data_offsets":[24,24]}}   )",
            raw<float>({1, 2, 3, 4}) + raw<std::int64_t>({-7}));

}  // namespace

TEST_CASE("tensors are found by name and copied out", "[io]") {
  const io::SafetensorsFile file = open(kGood);
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.tensors()[0].name == "a");
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.find("c") == nullptr);
  CHECK(file.find("b")->shape == std::vector<std::uint64_t>{2, 2});
  const Array<float> b = file.values<float>("b");
  CHECK(std::vector<float>(b.begin(), b.end()) == std::vector<float>{1, 2, 3, 4});
  CHECK(file.values<std::int64_t>("a")[0] == -7);
  CHECK(file.values<float>("e").empty());
  refuses("STF-03", {"there is no tensor \"c\""}, [&] { file.values<float>("c"); });
  refuses("STF-03", {"tensor \"b\" has the dtype F32, want F64"}, [&] { file.values<double>("b"); });
  std::vector<float> three(3);
  refuses("STF-03", {"tensor \"b\" has the shape (2, 2), want 3 elements"},
          [&] { file.copy_to<float>("b", three); });
}

TEST_CASE("a header without tensors is a file without tensors", "[io]") {
  CHECK(open(file_of("{}")).tensors().empty());
  refuses("STF-05", {"tensors take 0 bytes, 1 follow the header"}, [] { open(file_of("{}", "x")); });
}

TEST_CASE("impossible header sizes are refused before anything is allocated", "[io]") {
  refuses("STF-01", {"the file has 7 bytes"}, [] { open("1234567"); });
  refuses("STF-01", {"header size is 9,223,372,036,854,775,808, limit is 100,000,000"},
          [] { open(raw<std::uint64_t>({std::uint64_t{1} << 63}) + "{}"); });
  refuses("STF-01", {"header size is 3, the file has 10 bytes: truncated"},
          [] { open(raw<std::uint64_t>({3}) + "{}"); });
  refuses("GEN-02", {"zip archive"}, [] { open("PK\x03\x04" + std::string(20, '\x7f')); });
}

TEST_CASE("headers that are not the expected JSON are refused", "[io]") {
  refuses("STF-02", {"not UTF-8"}, [] { open(file_of("{\"\xff\":1}")); });
  refuses("STF-02", {"does not start with '{'"}, [] { open(file_of(" {}")); });
  refuses("STF-02", {"does not start with '{'"}, [] { open(file_of("")); });
  refuses("STF-02", {"not the expected JSON"}, [] { open(file_of("{\"a\":")); });
  refuses("STF-02", {"not the expected JSON"}, [] { open(file_of("{\"a\":3}")); });
  refuses("STF-02", {"not the expected JSON"}, [] { open(file_of("{} {}")); });
  refuses("STF-02", {"metadata \"k\" is an integer, want a string"},
          [] { open(file_of(R"({"__metadata__":{"k":1}})")); });
  refuses("STF-02", {"two tensors are called \"a\""}, [] {
    open(file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                 R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                 "xy"));
  });
}

TEST_CASE("tensors whose description cannot be right are refused", "[io]") {
  const auto one = [](std::string_view description, std::string_view data = "12345678") {
    open(file_of("{\"t\":" + std::string(description) + "}", data));
  };
  refuses("STF-03", {"needs dtype, shape and two data_offsets"},
          [&] { one(R"({"dtype":"F32","shape":[2]})"); });
  refuses("STF-03", {"has the dtype F8_E4M3, which is not supported"},
          [&] { one(R"({"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]})"); });
  refuses("STF-03", {"bytes 0..8 but (3,) of F32 needs 12"},
          [&] { one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"); });
  refuses("STF-03", {"more than 64 bits can count"},
          [&] { one(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]})"); });
  refuses("STF-03", {"not a whole number"},
          [&] { one(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"); });
  refuses("STF-04", {"bytes 4..8 should start at 0"},
          [&] { one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"); });
  refuses("STF-04", {},
          [&] { one(R"({"dtype":"F32","shape":[0],"data_offsets":[0,8],"data_offsets":[8,0]})"); });
  refuses("STF-05", {"tensors take 4 bytes, 8 follow"},
          [&] { one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"); });
  refuses("STF-05", {"tensors take 8 bytes, 7 follow the header: truncated"},
          [&] { one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})", "1234567"); });
}

TEST_CASE("overlapping tensors are refused", "[io]") {
  refuses("STF-04", {"tensor \"b\": bytes 2..6 should start at 4"}, [] {
    open(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                 R"("b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
                 "123456"));
  });
}

TEST_CASE("damaged checkpoints never do more than throw", "[io]") {
  const std::size_t refused = test::read_damaged(kGood, 6000, [](std::span<const std::byte> bytes) {
    const io::SafetensorsFile file(bytes, "x");
    for (const io::SafetensorsEntry& tensor : file.tensors()) {
      if (tensor.dtype == "F32") file.values<float>(tensor.name);
      if (tensor.dtype == "I64") file.values<std::int64_t>(tensor.name);
    }
  });
  CHECK(refused > 4000);  // almost every byte of so small a file is header
}
