// SPDX-License-Identifier: MIT
#include "tessera/distill/teacher_file.hpp"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <string>

#include "support/catch.hpp"
#include "support/distill_cases.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/error.hpp"
#include "tessera/io/safetensors.hpp"
#include "tessera/io/safetensors_write.hpp"

using namespace tessera;
using testing::random_matrix;

namespace {

struct TeacherFolder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("tessera-teacher-test-" + std::to_string(::getpid()));
  TeacherFolder() { std::filesystem::create_directories(path); }
  ~TeacherFolder() { std::filesystem::remove_all(path); }
  std::filesystem::path file() const { return path / "teacher.safetensors"; }
  TeacherOutputs open() const { return open_teacher(std::make_shared<const io::SafetensorsFile>(file())); }
  void write(const TeacherOutputs& teacher) const {
    io::SafetensorsWriter out;
    add_teacher(teacher, out);
    out.write(file());
  }
};

}  // namespace

TEST_CASE("A teacher written to a file and opened again says the same, in float and bf16") {
  const TeacherFolder folder;
  const Dataset data = testing::community_task(120, 3);
  const std::uint64_t graph = graph_key(data.graph.view());
  const bool halved = GENERATE(false, true);
  const bool hidden = GENERATE(false, true);
  TeacherOutputs teacher(random_matrix<float>(120, 3, 1),
                         hidden ? random_matrix<float>(120, 9, 2) : Tensor<float>(), graph);
  if (halved) teacher.halve();
  folder.write(teacher);
  const TeacherOutputs again = folder.open();
  Tensor<float> a;
  Tensor<float> b;
  CHECK(testing::same_bits(teacher.logits<float>({}, 120, a), again.logits<float>({}, 120, b)));
  CHECK(again.has_hidden() == hidden);
  if (hidden) CHECK(testing::same_bits(teacher.hidden<float>({}, 120, a), again.hidden<float>({}, 120, b)));
  CHECK(again.graph() == graph);
  CHECK_NOTHROW(again.check_data(data));
  CHECK(std::filesystem::file_size(folder.file()) >= (halved ? 2u : 4u) * 120 * (hidden ? 12 : 3));
  CHECK(std::filesystem::file_size(folder.file()) < (halved ? 2u : 4u) * 120 * (hidden ? 12 : 3) + 1000);
}

TEST_CASE("Teachers' files that are cut, of another graph or not finite are refused") {
  const TeacherFolder folder;
  const Dataset data = testing::community_task(120, 3);
  const Dataset other = testing::community_task(120, 3, 5, 9);
  folder.write(TeacherOutputs(random_matrix<float>(120, 3, 1), {}, graph_key(data.graph.view())));
  CHECK_THROWS_AS(folder.open().check_data(other), ConfigError);

  const std::uintmax_t size = std::filesystem::file_size(folder.file());
  std::filesystem::resize_file(folder.file(), size - 1);
  CHECK_THROWS_AS(folder.open(), FormatError);
  std::filesystem::resize_file(folder.file(), 4);
  CHECK_THROWS_AS(folder.open(), FormatError);

  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    folder.write(TeacherOutputs(random_matrix<float>(120, 3, 1)));
    std::fstream file(folder.file(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-4, std::ios::end);
    file.write(reinterpret_cast<const char*>(&bad), 4);
    file.close();
    try {
      folder.open();
      FAIL("a number that is not finite was taken");
    } catch (const ConfigError& e) {
      CHECK(std::string(e.what()).find("row 119 of logits") != std::string::npos);
    }
  }
  io::SafetensorsWriter empty;
  empty.metadata("teacher.graph", "1");
  empty.write(folder.file());
  CHECK_THROWS_AS(folder.open(), ConfigError);
  io::SafetensorsWriter wrong;
  const Tensor<double> doubles = random_matrix<double>(4, 3, 1);
  wrong.add<double>("teacher.logits", doubles.view());
  wrong.metadata("teacher.graph", "1");
  wrong.write(folder.file());
  CHECK_THROWS_AS(folder.open(), ConfigError);
}
