// SPDX-License-Identifier: MIT
#include "tessera/io/safetensors_write.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/core/tensor.hpp"

using namespace tessera;

TEST_CASE("what is written reads back, aligned, and the order of add does not matter", "[io]") {
  const test::ScratchFolder folder;
  Tensor<float> weight(3, 17);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 17; ++j) weight(i, j) = static_cast<float>(i * 17 + j);
  }
  const std::vector<std::int8_t> codes = {1, -2, 3};
  const std::vector<std::int64_t> step = {12};
  const std::vector<double> mean = {0.5, 0.25};
  const std::vector<bf16> half = {bf16(1.5f)};
  const auto write = [&](const char* name, bool reversed) {
    io::SafetensorsWriter out;
    if (reversed) out.add<std::int8_t>("quant.codes", codes);
    out.add<float>("model.weight", weight.view());
    out.add<std::int64_t>("train.step", step, {});
    out.add<double>("scaler.mean", mean);
    out.add<bf16>("half", half);
    out.add<float>("nothing", std::span<const float>(), {0, 4});
    if (!reversed) out.add<std::int8_t>("quant.codes", codes);
    out.metadata("format", "pt");
    out.metadata("arch", "{\"layers\": 2}\n\x01");
    out.write(folder / name);
  };
  write("a", false);
  write("b", true);
  CHECK(test::read_back(folder / "a") == test::read_back(folder / "b"));

  const io::SafetensorsFile file(folder / "a");
  CHECK(file.metadata().at("arch") == "{\"layers\": 2}\n\x01");
  const Array<float> back = file.values<float>("model.weight");
  REQUIRE(back.size() == 51);
  for (std::size_t k = 0; k < 51; ++k) CHECK(back[k] == static_cast<float>(k));
  CHECK(file.find("model.weight")->shape == std::vector<std::uint64_t>{3, 17});
  CHECK(file.find("train.step")->shape.empty());
  CHECK(file.values<std::int64_t>("train.step")[0] == 12);
  CHECK(file.values<double>("scaler.mean")[1] == 0.25);
  CHECK(static_cast<float>(file.values<bf16>("half")[0]) == 1.5f);
  CHECK(file.values<std::int8_t>("quant.codes")[1] == -2);
  CHECK(file.find("nothing")->shape == std::vector<std::uint64_t>{0, 4});
  const std::string text = test::read_back(folder / "a");
  CHECK(static_cast<unsigned char>(text[0]) % 8 == 0);  // the header keeps the data aligned
  for (const io::SafetensorsEntry& t : file.tensors())
    CHECK(t.begin % io::detail::safetensors_size(t.dtype) == 0);
}

TEST_CASE("names that cannot be stored and wrong shapes are refused", "[io]") {
  const std::vector<float> values = {1, 2, 3};
  io::SafetensorsWriter out;
  out.add<float>("x", values);
  CHECK_THROWS_AS(out.add<float>("x", values), ConfigError);
  CHECK_THROWS_AS(out.add<float>("__metadata__", values), ConfigError);
  CHECK_THROWS_AS(out.add<float>("\xff", values), ConfigError);
  CHECK_THROWS_AS(out.metadata("k", "\xff"), ConfigError);
  CHECK_THROWS_AS(out.add<float>("y", values, {2, 2}), ShapeError);
}

TEST_CASE("text becomes a JSON string", "[io]") {
  CHECK(io::json_quoted("a\"b\\c\n\x1f\xC3\xA9") == "\"a\\\"b\\\\c\\u000a\\u001f\xC3\xA9\"");
}
