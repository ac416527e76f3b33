// SPDX-License-Identifier: MIT
#include "tessera/precompute/propagate.hpp"

#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/precompute_cases.hpp"

using namespace tessera;
using namespace tessera::testing;
namespace fs = std::filesystem;

extern char** environ;

namespace {

/// A folder that goes away with its owner.
struct Folder {
  fs::path path;
  explicit Folder(const char* name)
      : path(fs::temp_directory_path() / message("tessera-", name, "-", static_cast<int>(::getpid()))) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  fs::path operator/(const char* name) const { return path / name; }
};

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Tensor<float> widened(const HopFeatures& hops) {
  Array<NodeId> rows(hops.rows());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<NodeId>(i);
  Tensor<float> out(hops.rows(), hops.cols());
  hops.gather(rows, out.view());
  return out;
}

bool same(const HopFeatures& a, const HopFeatures& b) {
  return same_bits<float>(widened(a).view(), widened(b).view());
}

/// The families of SIGN (2, 1, 1) on one graph, and what their blocks are.
struct Sign {
  CsrGraph graph = loopy_graph(90, 400, 1);
  PropagationOperator gcn{graph, {.kind = OperatorKind::gcn}};
  PropagationOperator ppr{graph, {.kind = OperatorKind::ppr, .alpha = 0.2}};
  PropagationOperator triangle{graph, {.kind = OperatorKind::triangle}};
  std::vector<PropagationFamily> families{{&gcn, 2}, {&ppr, 1}, {&triangle, 1}};
  Tensor<float> x = random_matrix<float>(90, 37, 2);

  HopFeatures run(const PropagateOptions& options = {}) const {
    return propagate(families, x.view(), options);
  }
};

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

TEST_CASE("propagate: powers agree with dense ones", "[propagate]") {
  const CsrGraph graph = loopy_graph(50, 200, 1);
  const Tensor<float> x = random_matrix<float>(50, 19, 2);
  Matrix wide(50, 19), magnitude(50, 19);
  for (std::size_t i = 0; i < 50; ++i) {
    for (std::size_t f = 0; f < 19; ++f) {
      wide(i, f) = static_cast<double>(x(i, f));
      magnitude(i, f) = std::abs(wide(i, f));
    }
  }
  std::size_t longest = 0;
  for (std::size_t i = 0; i < 50; ++i) longest = std::max(longest, graph.degree(i));
  constexpr std::size_t kHops = 3;
  for (const ElementType element : {ElementType::f32, ElementType::bf16, ElementType::f16}) {
    for (const OperatorSpec& spec : all_operators()) {
      if (spec.kind == OperatorKind::bethe) continue;  // entries of both signs: the bound below is for >= 0
      INFO(describe(spec) << " " << name(element));
      const PropagationOperator op(graph, spec);
      const HopFeatures hops = propagate(op, kHops, x.view(), {.element = element});
      REQUIRE(hops.num_blocks() == kHops + 1);
      const Tensor<float> got = widened(hops);
      const Matrix dense_op = dense_operator(graph, spec);
      const double u = element == ElementType::f32    ? 0x1p-24
                       : element == ElementType::bf16 ? 0x1p-8
                                                      : 0x1p-11;
      const double f32 = 0x1p-24;
      for (std::size_t k = 0; k <= kHops; ++k) {
        const Matrix s = power(dense_op, k);
        const Matrix want = multiply(s, wide);
        const Matrix size = multiply(s, magnitude);
        // Per hop one rounding to the panel's type and, for each product, a sum of `longest` terms and five more
        // roundings in float; scaling in and out round once each, storing once more.
        const auto terms = static_cast<double>(op.products() * k * (longest + 6) + 4);
        const double bound = std::pow(1 + u, static_cast<double>(k) + 2) * std::pow(1 + f32, terms) - 1 +
                             static_cast<double>(k) * 1e-15;
        // A value below 2^-14 of its scaled column's top (at least 256) is a subnormal f16: off by 2^-25.
        for (std::size_t f = 0; f < 19; ++f) {
          double top = 0;
          for (std::size_t i = 0; i < 50; ++i) top = std::max(top, std::abs(want(i, f)));
          const double under = element == ElementType::f16 ? top * 0x1p-33 : 0;
          for (std::size_t i = 0; i < 50; ++i) {
            REQUIRE(std::abs(static_cast<double>(got(i, k * 19 + f)) - want(i, f)) <=
                    bound * size(i, f) + under + 1e-30);
          }
        }
      }
    }
  }
}

TEST_CASE("propagate: the same bits for any panel, target and thread count", "[propagate]") {
  const Folder folder("propagate-bits");
  const Sign sign;
  for (const ElementType element : {ElementType::f32, ElementType::bf16, ElementType::f16}) {
    const HopFeatures whole = sign.run({.element = element});
    CHECK(whole.cols() == 5 * 37);
    CHECK(whole.layout().blocks ==
          std::vector<std::string>{"x", "gcn^1", "gcn^2", "ppr(alpha=0.2,tol=0.01)^1", "triangle^1"});
    std::string first_file;
    for (const std::size_t panel : {1u, 5u, 16u, 32u, 36u, 37u}) {
      for (const std::size_t threads : {1u, 2u, 4u}) {
        with_threads(threads, [&] {
          CHECK(same(sign.run({.element = element, .panel = panel}), whole));
          const fs::path file = folder / "hops";
          const HopFeatures mapped = sign.run({.element = element, .file = file, .panel = panel});
          CHECK(mapped.mapped());
          CHECK(same(mapped, whole));
          mapped.verify();
          if (first_file.empty()) first_file = content(file);
          CHECK(content(file) == first_file);
          CHECK_FALSE(fs::exists(folder / "hops.partial"));
          fs::remove(file);
        });
      }
    }
  }
}

TEST_CASE("propagate: a memory budget narrows panels and changes nothing else", "[propagate]") {
  const Sign sign;
  const HopFeatures whole = sign.run();
  const PropagateOptions none;
  const std::size_t owned = sign.gcn.owned_bytes() + sign.ppr.owned_bytes() + sign.triangle.owned_bytes();
  const std::size_t two = propagate_bytes(sign.families, 90, 37, 2, none);
  CHECK(two < propagate_bytes(sign.families, 90, 37, 37, none));
  std::size_t panels = 0;
  const auto count = [&](const PropagateProgress& p) { panels = p.num_panels; };
  CHECK(same(sign.run({.memory_budget = owned + two, .progress = count}), whole));
  CHECK(panels >= 18);
  CHECK_THROWS_AS(sign.run({.memory_budget = 1000}), ConfigError);
  CHECK_THROWS_AS(sign.run({.memory_budget = owned + two, .panel = 37}), ConfigError);
}

TEST_CASE("propagate: wide features are cut into panels that stay in the cache", "[propagate]") {
  const Sign sign;
  std::size_t panels = 0;
  const auto count = [&](const PropagateProgress& p) { panels = p.num_panels; };
  const auto panels_of = [&](std::size_t cols, ElementType element) {
    Tensor<float> x(sign.x.rows(), cols);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t j = 0; j < cols; ++j) x(i, j) = static_cast<float>(i * 31 + j * 7 % 11) * 0.125f;
    }
    const HopFeatures cut = propagate(sign.gcn, 2, x.view(), {.element = element, .progress = count});
    const std::size_t chosen = panels;
    const HopFeatures whole =
        propagate(sign.gcn, 2, x.view(), {.element = element, .panel = cols, .progress = count});
    CHECK(panels == 1);
    CHECK(same(cut, whole));
    return chosen;
  };
  CHECK(panels_of(128, ElementType::f32) == 1);
  CHECK(panels_of(129, ElementType::f32) == 3);
  CHECK(panels_of(256, ElementType::bf16) == 1);
  CHECK(panels_of(300, ElementType::bf16) == 3);
}

TEST_CASE("propagate: a subset of rows is the rows of the whole", "[propagate]") {
  const Folder folder("propagate-rows");
  const Sign sign;
  const std::vector<NodeId> rows{7, 3, 88, 3};
  for (const ElementType element : {ElementType::f32, ElementType::bf16}) {
    const Tensor<float> whole = widened(sign.run({.element = element}));
    const HopFeatures memory = sign.run({.element = element, .rows = rows});
    const HopFeatures file =
        sign.run({.element = element, .rows = rows, .file = folder / "rows", .panel = 8});
    CHECK(std::vector<NodeId>(file.row_ids().begin(), file.row_ids().end()) == rows);
    const Tensor<float> got = widened(memory);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      CHECK(std::memcmp(got.row(r).data(), whole.row(rows[r]).data(), whole.cols() * sizeof(float)) == 0);
    }
    CHECK(same(memory, file));
    fs::remove(folder / "rows");
  }
  const std::vector<NodeId> bad{90};
  CHECK_THROWS_AS(sign.run({.rows = bad}), IndexError);
}

TEST_CASE("propagate: hops compose, graphs side by side do not meet", "[propagate]") {
  const CsrGraph graph = loopy_graph(60, 240, 4);
  const Tensor<float> x = random_matrix<float>(60, 9, 5);
  const PropagationOperator op(graph, {.kind = OperatorKind::row_loops});
  const HopFeatures three = propagate(op, 3, x.view(), {.emit = Emit::last});
  const HopFeatures one = propagate(op, 1, x.view(), {.emit = Emit::last});
  const HopFeatures two_more = propagate(op, 2, one.view(), {.emit = Emit::last});
  CHECK(same(three, two_more));

  Links links;
  for (std::size_t i = 0; i < 60; ++i) {
    for (const NodeId j : graph.view().neighbors(i)) {
      links.push_back({j, static_cast<NodeId>(i)});
      links.push_back({j + 60, static_cast<NodeId>(i + 60)});
    }
  }
  const CsrGraph twice = from_links(120, links, {.self_loops = SelfLoops::keep});
  Tensor<float> stacked(120, 9);
  for (std::size_t i = 0; i < 120; ++i)
    std::copy(x.row(i % 60).begin(), x.row(i % 60).end(), stacked.row(i).begin());
  const PropagationOperator both(twice.view(), true, OperatorSpec{});
  const Tensor<float> got = widened(propagate(both, 2, std::as_const(stacked).view()));
  const Tensor<float> want = widened(propagate(PropagationOperator(graph, {}), 2, x.view()));
  CHECK(same_bits<float>(got.view().middle_rows(0, 60), want.view()));
  CHECK(same_bits<float>(got.view().middle_rows(60, 60), want.view()));
}

TEST_CASE("propagate: combined powers are the weighted sum", "[propagate]") {
  const CsrGraph graph = loopy_graph(40, 160, 6);
  const Tensor<float> x = random_matrix<float>(40, 6, 7);
  for (const OperatorKind kind : {OperatorKind::gcn, OperatorKind::symmetric, OperatorKind::row}) {
    const PropagationOperator op(graph, {.kind = kind});
    const std::vector<double> weights =
        kind == OperatorKind::row ? ssgc_weights(3, 0.1) : ppr_weights(3, 0.2);
    const HopFeatures all = propagate(op, 3, x.view());
    const HopFeatures sum =
        propagate(op, 3, x.view(), {.emit = Emit::combined, .weights = weights, .panel = 4});
    REQUIRE(sum.cols() == 6);
    for (std::size_t i = 0; i < 40; ++i) {
      for (std::size_t f = 0; f < 6; ++f) {
        double want = 0, size = 0;
        for (std::size_t k = 0; k <= 3; ++k) {
          const double term = weights[k] * static_cast<double>(all.block(k)(i, f));
          want += term;
          size += std::abs(term);
        }
        CHECK(std::abs(static_cast<double>(sum.view()(i, f)) - want) <= 10 * 0x1p-24 * size);
      }
    }
  }
  const std::vector<double> closed = ppr_weights(5, 0.1, true);
  double total = 0;
  for (const double w : closed) total += w;
  CHECK(std::abs(total - 1) < 1e-15);
  CHECK(std::abs(closed[5] - std::pow(0.9, 5)) < 1e-15);
  CHECK(ssgc_weights(4, 0.05)[0] == 0.05);
  CHECK(std::abs(ssgc_weights(4, 0.05)[4] - 0.95 / 4) < 1e-16);
  CHECK_THROWS_AS(ssgc_weights(0), ConfigError);
  CHECK_THROWS_AS(ppr_weights(2, 0), ConfigError);
}

TEST_CASE("propagate: standardised powers of an unnormalised operator stay finite", "[propagate]") {
  const CsrGraph graph = loopy_graph(80, 300, 8);
  const Tensor<float> x = random_matrix<float>(80, 21, 9);
  const PropagationOperator op(graph, {.kind = OperatorKind::bethe});
  const HopFeatures hops = propagate(op, 120, x.view(), {.standardize = true});
  const Tensor<float> narrow = widened(propagate(op, 120, x.view(), {.standardize = true, .panel = 16}));
  CHECK(same_bits<float>(widened(hops).view(), std::as_const(narrow).view()));
  for (const std::size_t k : {1u, 60u, 120u}) {
    for (std::size_t f = 0; f < 21; ++f) {
      double mean = 0, square = 0;
      for (std::size_t i = 0; i < 80; ++i) {
        mean += static_cast<double>(hops.block(k)(i, f)) / 80;
        square += std::pow(static_cast<double>(hops.block(k)(i, f)), 2) / 80;
      }
      CHECK(std::abs(mean) < 1e-5);
      CHECK(std::abs(square - 1) < 1e-3);  // the variance gets 1e-5 before its root is taken
    }
  }
  const PropagationOperator gcn(graph, {});
  CHECK_THROWS_AS(propagate(gcn, 2, x.view(), {.standardize = true}), ConfigError);
}

TEST_CASE("propagate: no hops, and options that contradict each other", "[propagate]") {
  const Sign sign;
  const HopFeatures input = propagate(sign.gcn, 0, sign.x.view());
  CHECK(same_bits<float>(input.view(), sign.x.view()));
  CHECK(same_bits<float>(propagate(sign.gcn, 0, sign.x.view(), {.emit = Emit::last}).view(), sign.x.view()));
  CHECK(same_bits<float>(propagate({}, sign.x.view()).view(), sign.x.view()));
  CHECK_THROWS_AS(propagate(sign.gcn, 0, sign.x.view(), {.include_input = false}), ConfigError);
  CHECK_THROWS_AS(propagate(sign.gcn, 2, sign.x.view(), {.emit = Emit::combined, .weights = {1, 2}}),
                  ConfigError);
  const Tensor<float> short_x(89, 3);
  CHECK_THROWS_AS(propagate(sign.gcn, 2, short_x.view()), ShapeError);
  CHECK_THROWS_AS(propagate(sign.gcn, 2, Tensor<float>(90, 0).view()), ConfigError);
  const HopFeatures half = sign.run({.element = ElementType::bf16});
  CHECK_THROWS_AS(half.view(), ConfigError);
  CHECK_THROWS_AS(input.block(1), IndexError);
}

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
