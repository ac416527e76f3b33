// SPDX-License-Identifier: MIT
#include "tessera/train/spill.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include <filesystem>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/pna_net.hpp"
#include "tessera/train/infer.hpp"

using namespace tessera;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("tessera-spill-test-" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

template <class M>
void check_spilled(const M& model, const Dataset& data, const fs::path& folder) {
  const Tensor<float> want = infer(model, data);
  const Tensor<float> got = infer(model, data, {.memory_budget = 4 << 20, .spill = folder});
  REQUIRE(got.rows() == want.rows());
  for (std::size_t i = 0; i < want.rows(); ++i) {
    REQUIRE(std::equal(want.row(i).begin(), want.row(i).end(), got.row(i).begin()));
  }
  CHECK(fs::is_empty(folder));
}

}  // namespace

TEST_CASE("Matrices spilled to files hold their numbers while their pages come and go", "[spill]") {
  const Folder folder;
  SpillScope spill(folder.path, 2 << 20, 0);
  Tensor<float> x(5000, 512);
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (float& v : x.row(i)) v = static_cast<float>(i + static_cast<std::size_t>(round));
    }
    for (std::size_t i = 0; i < x.rows(); ++i)
      REQUIRE(x(i, 511) == static_cast<float>(i + static_cast<std::size_t>(round)));
  }
  const std::size_t bytes = spill.file_bytes();
  CHECK(bytes >= 5000 * 512 * 4);
  x = Tensor<float>();
  x.resize(5000, 512);
  CHECK(spill.file_bytes() == bytes);  // reused
  x = Tensor<float>();
  spill.stop();
  const Tensor<float> in_memory(5000, 512);
  CHECK(spill.file_bytes() == bytes);
  CHECK(fs::is_empty(folder.path));
}

TEST_CASE("Inference that spills gives the bits of inference in memory", "[spill]") {
  const Folder folder;
  const Dataset data =
      generate_community_graph({.nodes = 12'000, .classes = 4, .features = 32, .mean_degree = 8});
  check_spilled(GcnNet<>({.in = 32, .hidden = 256, .out = 4, .layers = 3}), data, folder.path);
  check_spilled(GatNet<>({.in = 32, .hidden = 256, .out = 4, .layers = 2}), data, folder.path);
  check_spilled(PnaNet<>({.in = 32, .hidden = 64, .out = 4, .layers = 2}), data, folder.path);
}

TEST_CASE("A folder without room is refused before anything is computed, with the bytes wanted", "[spill]") {
  const Folder folder;
  const auto text_of = [&](std::size_t estimate) -> std::string {
    try {
      SpillScope spill(folder.path, 1 << 20, estimate);
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(text_of(1).empty());
  CHECK(text_of(std::size_t{1} << 60).find("1152921504606846976 bytes") != std::string::npos);

  const Dataset data =
      generate_community_graph({.nodes = 12'000, .classes = 4, .features = 32, .mean_degree = 8});
  const GcnNet<> model({.in = 32, .hidden = 256, .out = 4, .layers = 2});
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{1 << 20, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  CHECK_THROWS_AS(infer(model, data, {.memory_budget = 4 << 20, .spill = folder.path}), FormatError);
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  CHECK(fs::is_empty(folder.path));
  CHECK(infer(model, data).rows() == 12'000);  // the pool is as it was
}
