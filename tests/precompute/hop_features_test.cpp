// SPDX-License-Identifier: MIT
#include "tessera/precompute/hop_features.hpp"

#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/hop_files.hpp"
#include "support/precompute_cases.hpp"
#include "tessera/precompute/propagate.hpp"

using namespace tessera;
using namespace tessera::testing;
namespace fs = std::filesystem;

extern char** environ;

namespace {

std::string code_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const FormatError& error) {
    return error.code();
  } catch (const std::exception&) {
    return "another exception";
  }
  return "none";
}

}  // namespace

TEST_CASE("propagate: stopped at any hop and resumed, the file is the same", "[propagate]") {
  const Folder folder("propagate-resume");
  const Sign sign;
  const fs::path want_path = folder / "want";
  std::size_t hops = 0;
  for (const ElementType element : {ElementType::f32, ElementType::f16}) {
    sign.run(
        {.element = element, .file = want_path, .panel = 16, .progress = [&](const PropagateProgress& p) {
           hops = p.num_hops;
         }});
    const std::string want = content(want_path);
    REQUIRE(hops == 12);
    for (std::size_t stop = 1; stop <= hops; ++stop) {
      const fs::path path = folder / "got";
      struct Stop {};
      const auto interrupt = [&](const PropagateProgress& p) {
        if (p.hops_done == stop) throw Stop{};
      };
      CHECK_THROWS_AS(sign.run({.element = element, .file = path, .panel = 16, .progress = interrupt}), Stop);
      CHECK_FALSE(fs::exists(path));
      std::size_t first = 0;
      sign.run({.element = element, .file = path, .panel = 16, .progress = [&](const PropagateProgress& p) {
                  if (first == 0) first = p.hops_done;
                }});
      CHECK(content(path) == want);
      // Families hold 2, 1 and 1 hops per panel: everything before the one that was stopped is kept.
      const std::size_t in_panel = (stop - 1) % 4;
      CHECK(first == (stop - 1) / 4 * 4 + (in_panel < 2 ? 0 : in_panel) + 1);
      fs::remove(path);
    }
    fs::remove(want_path);
  }
}

TEST_CASE("propagate: what was not on the disk when the machine stopped is done again", "[propagate]") {
  const Folder folder("propagate-reboot");
  const Sign sign;
  sign.run({.file = folder / "want", .panel = 16});
  const fs::path path = folder / "got";
  struct Stop {};
  const auto stop = [](const PropagateProgress& p) {
    if (p.hops_done == 7) throw Stop{};
  };
  const auto first_hop = [&] {
    std::size_t first = 0;
    sign.run({.file = path, .panel = 16, .progress = [&](const PropagateProgress& p) {
                if (first == 0) first = p.hops_done;
              }});
    return first;
  };
  CHECK_THROWS_AS(sign.run({.file = path, .panel = 16, .progress = stop}), Stop);
  {
    std::fstream partial(folder / "got.partial", std::ios::in | std::ios::out | std::ios::binary);
    partial.seekp(56);  // another run of the machine
    partial.write("reboot!", 8);
    partial.seekp(4096 + 4 * 4096);  // and a page that never came to the disk
    partial.write("garbage", 8);
    REQUIRE(partial.good());
  }
  CHECK(first_hop() == 1);
  CHECK(content(path) == content(folder / "want"));
}

TEST_CASE("child of the kill test", "[.kill]") {
  const char* const path = std::getenv("TESSERA_KILL_FILE");
  if (path == nullptr) return;
  const auto at = static_cast<std::size_t>(std::strtoul(std::getenv("TESSERA_KILL_HOP"), nullptr, 10));
  Sign().run({.file = path, .panel = 8, .progress = [&](const PropagateProgress& p) {
                if (p.hops_done == at) ::raise(SIGKILL);
              }});
}

TEST_CASE("propagate: killed and resumed, the file is the same", "[propagate]") {
  const Folder folder("propagate-kill");
  const fs::path want = folder / "want";
  Sign().run({.file = want, .panel = 8});
  for (const char* hop : {"1", "7", "15"}) {
    const fs::path path = folder / "got";
    ::setenv("TESSERA_KILL_FILE", path.c_str(), 1);
    ::setenv("TESSERA_KILL_HOP", hop, 1);
    const char* const argv[] = {"/proc/self/exe", "[.kill]", nullptr};
    const std::string self = fs::read_symlink("/proc/self/exe").string();
    pid_t child = 0;
    REQUIRE(::posix_spawn(&child, self.c_str(), nullptr, nullptr, const_cast<char* const*>(argv), environ) ==
            0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    ::unsetenv("TESSERA_KILL_FILE");
    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGKILL);
    CHECK_FALSE(fs::exists(path));
    std::size_t first = 0;
    Sign().run({.file = path, .panel = 8, .progress = [&](const PropagateProgress& p) {
                  if (first == 0) first = p.hops_done;
                }});
    CHECK(first > (std::strtoul(hop, nullptr, 10) - 1) / 4 * 4);
    CHECK(content(path) == content(want));
    fs::remove(path);
  }
}

TEST_CASE("hop features: every way a file can be wrong has its own code", "[propagate]") {
  const Folder folder("propagate-files");
  const Sign sign;
  const fs::path path = folder / "hops";
  const auto write = [&](const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; };
  const std::uint64_t key = sign.run({.element = ElementType::f16, .file = path}).layout().key;
  const std::string good = content(path);
  CHECK(code_of([&] { HopFeatures::open(path, key); }) == "none");
  CHECK(code_of([&] { HopFeatures::open(folder / "absent"); }) == "GEN-01");
  CHECK(code_of([&] { HopFeatures::open(path, key + 1); }) == "HOP-05");
  // The same file for another computation: other features, another operator, other hops.
  CHECK(code_of([&] { sign.run({.element = ElementType::bf16, .file = path}); }) == "HOP-05");
  CHECK(code_of([&] {
          propagate(sign.gcn, 2, sign.x.view(), {.element = ElementType::f16, .file = path});
        }) == "HOP-05");
  Sign other;
  other.x(3, 3) += 1;
  CHECK(code_of([&] { other.run({.element = ElementType::f16, .file = path}); }) == "HOP-05");
  // The same operators, hops and features on another graph, and on the same one with weights.
  const auto on = [&](const CsrGraph& graph) {
    const PropagationOperator gcn(graph, {.kind = OperatorKind::gcn});
    const PropagationOperator ppr(graph, {.kind = OperatorKind::ppr, .alpha = 0.2});
    const PropagationOperator triangle(graph, {.kind = OperatorKind::triangle});
    const std::vector<PropagationFamily> families{{&gcn, 2}, {&ppr, 1}, {&triangle, 1}};
    return code_of([&] { propagate(families, sign.x.view(), {.element = ElementType::f16, .file = path}); });
  };
  CHECK(on(loopy_graph(90, 400, 1)) == "none");
  CHECK(on(loopy_graph(90, 400, 2)) == "HOP-05");
  CsrGraph weighted = loopy_graph(90, 400, 1);
  weighted.weight.assign(weighted.num_edges(), 2.0f);
  CHECK(on(weighted) == "HOP-05");
  // The same computation is not done again.
  bool computed = false;
  sign.run({.element = ElementType::f16, .file = path, .progress = [&](const PropagateProgress&) {
              computed = true;
            }});
  CHECK_FALSE(computed);

  write("TSRH");
  CHECK(code_of([&] { HopFeatures::open(path); }) == "HOP-01");
  write(std::string(5000, 'x'));
  CHECK(code_of([&] { HopFeatures::open(path); }) == "HOP-01");
  write(good.substr(0, good.size() - 1));
  CHECK(code_of([&] { HopFeatures::open(path); }) == "HOP-03");
  std::string bad = good;
  bad[8] = 2;  // version
  write(bad);
  CHECK(code_of([&] { HopFeatures::open(path); }) == "HOP-02");
  // Any flipped bit of the header is noticed when the file is opened, of the payload by verify.
  for (std::size_t at = 16; at < 4096; at += 13) {
    bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    write(bad);
    const std::string code = code_of([&] { HopFeatures::open(path); });
    CHECK((code == "HOP-04" || code == "HOP-03"));
  }
  bad = good;
  bad[good.size() - 100] = static_cast<char>(bad[good.size() - 100] ^ 1);
  write(bad);
  CHECK(code_of([&] { HopFeatures::open(path); }) == "none");
  CHECK(code_of([&] { HopFeatures::open(path).verify(); }) == "HOP-06");
}

TEST_CASE("propagate: a disk that fills while rows are put together loses nothing", "[propagate]") {
  const Folder folder("propagate-full-late");
  const CsrGraph graph = loopy_graph(900, 3000, 3);
  const Tensor<float> x = random_matrix<float>(900, 1, 4);
  const PropagationOperator op(graph, {.kind = OperatorKind::gcn});
  const fs::path path = folder / "hops";
  bool computed = false;
  const auto run = [&] {
    propagate(op, 1, x.view(),
              {.file = path, .progress = [&](const PropagateProgress&) { computed = true; }});
  };
  // Pieces take 8 bytes a row, finished rows a cache line.
  rlimit was{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &was) == 0);
  auto* const old = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{30'000, was.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string code = code_of(run);
  ::setrlimit(RLIMIT_FSIZE, &was);
  ::signal(SIGXFSZ, old);
  CHECK(code == "GEN-04");
  CHECK(computed);
  CHECK_FALSE(fs::exists(path));
  CHECK_FALSE(fs::exists(folder / "hops.tmp"));
  CHECK(fs::exists(folder / "hops.partial"));
  computed = false;
  run();  // on a disk with room again
  CHECK_FALSE(computed);
  CHECK(same(HopFeatures::open(path), propagate(op, 1, x.view())));
}

TEST_CASE("propagate: what memory cannot hold wants a file", "[propagate]") {
  const Sign sign;
  // Extents alone: nothing is read before they are refused.
  const MatrixView<const float> huge(sign.x.data(), 90, std::size_t{1} << 36, std::size_t{1} << 36);
  std::string said;
  try {
    propagate(sign.gcn, 2, huge);
  } catch (const ConfigError& error) {
    said = error.what();
  }
  CHECK(said.find("memory_budget") != std::string::npos);
  CHECK(said.find("name a file") != std::string::npos);
}

TEST_CASE("propagate: a full disk is an error that leaves nothing behind", "[propagate]") {
  const Folder folder("propagate-full");
  const Sign sign;
  rlimit was{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &was) == 0);
  auto* const old = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{20'000, was.rlim_max};  // bytes a file may have
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string code = code_of([&] { sign.run({.file = folder / "hops"}); });
  ::setrlimit(RLIMIT_FSIZE, &was);
  ::signal(SIGXFSZ, old);
  CHECK(code == "GEN-04");
  CHECK(fs::is_empty(folder.path));
  CHECK(code_of([&] { sign.run({.file = folder.path / "no" / "folder"}); }) == "GEN-01");
}
