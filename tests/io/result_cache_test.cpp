// SPDX-License-Identifier: MIT
#include "tessera/io/result_cache.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using test::ScratchFolder;

namespace {

struct Result {
  Array<float> curve;
  double area = 0;
  std::uint64_t steps = 0;

  template <class F>
  void visit(F&& f) {
    f("curve", curve);
    f("area", area);
    f("steps", steps);
  }
};

Result some_result() {
  Result out;
  for (int k = 0; k < 1000; ++k) out.curve.push_back(static_cast<float>(k) / 7);
  out.area = 0.1;
  out.steps = ~std::uint64_t{0};
  return out;
}

}  // namespace

TEST_CASE("ResultCache gives back what was stored under a key, and nothing under another") {
  const ScratchFolder folder;
  const io::ResultCache cache(folder.path() / "deep" / "er");
  Result stored = some_result();
  Result loaded;
  loaded.area = 7;
  CHECK_FALSE(cache.load("a", loaded));
  CHECK(loaded.area == 7);
  cache.store("a", stored);
  CHECK_FALSE(cache.load("b", loaded));
  REQUIRE(cache.load("a", loaded));
  CHECK(std::equal(stored.curve.begin(), stored.curve.end(), loaded.curve.begin(), loaded.curve.end()));
  CHECK(loaded.area == stored.area);
  CHECK(loaded.steps == stored.steps);
  Result empty;
  cache.store("a", empty);
  REQUIRE(cache.load("a", loaded));
  CHECK(loaded.curve.empty());
}

TEST_CASE("ResultCache refuses damaged files and files of another key, and changes nothing") {
  const ScratchFolder folder;
  const io::ResultCache cache(folder.path());
  Result result = some_result();
  cache.store("a", result);
  result.area = 5;
  std::filesystem::copy_file(cache.file_of("a"), cache.file_of("b"));
  CHECK_THROWS_AS(cache.load("b", result), FormatError);
  std::filesystem::resize_file(cache.file_of("a"), std::filesystem::file_size(cache.file_of("a")) - 4);
  CHECK_THROWS_AS(cache.load("a", result), FormatError);
  std::ofstream(cache.file_of("c")) << "no tensors here";
  CHECK_THROWS_AS(cache.load("c", result), FormatError);
  CHECK(result.area == 5);
  CHECK(result.curve.size() == 1000);
}

TEST_CASE("ResultCache says when its folder cannot be made") {
  const ScratchFolder folder;
  const std::filesystem::path file = folder.write("file", "a file where the folder should be");
  CHECK_THROWS_AS(io::ResultCache(file / "below"), FormatError);
}
