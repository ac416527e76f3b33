// SPDX-License-Identifier: MIT
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/cluster_gcn_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"

// Counts every allocation of the program through operator new; everything else goes through the pool.
namespace {
std::atomic<std::uint64_t> allocations{0};

void* counted(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(bytes == 0 ? 1 : bytes)) return p;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

namespace {

using namespace tessera;
using namespace tessera::testing;

template <class M>
void check_steady(typename M::Options options) {
  options.in = 30;
  options.out = 5;
  M model(options);
  const CsrGraph graph = random_directed(3000, 20'000, 1);
  const PreparedAdjacency prepared = prepare_adjacency(graph, model.aggregation());
  const Adjacency level = prepared.adjacency();
  const AdjacencyStack stack(std::span(&level, 1));
  const auto x = random_matrix<float>(3000, 30, 1);
  std::vector<std::int32_t> classes(3000);
  for (std::size_t i = 0; i < classes.size(); ++i) classes[i] = static_cast<std::int32_t>(i % 5);

  Tape<float> tape;
  const auto step = [&](std::uint64_t number) {
    tape.rewind();
    model.parameters().zero_grads();
    const Pass pass{.training = true, .dropout_key = make_key(1, number, Purpose::dropout)};
    const Var logits = model.forward(tape, stack, tape.input(x.view()), pass);
    tape.backward(CrossEntropy{}(tape, logits, {.classes = classes}));
  };
  const auto counts = [] {
    return std::pair(BufferPool::global().stats().system_allocations, allocations.load());
  };
  with_threads(1, [&] {
    for (std::uint64_t s = 0; s < 2; ++s) step(s);
    const auto before = counts();
    for (std::uint64_t s = 2; s < 12; ++s) step(s);
    const auto after = counts();
    CHECK(after.first == before.first);
    CHECK(after.second == before.second);
  });
  // How many threads meet in a kernel, each with its scratch, is chance: the pool may grow now and then until
  // all of them have met. It must come to rest.
  int quiet = 0;
  for (std::uint64_t s = 0; s < 2000 && quiet < 20; ++s) {
    const auto before = counts();
    step(s);
    quiet = counts() == before ? quiet + 1 : 0;
  }
  CHECK(quiet == 20);
}

TEST_CASE("a training step in steady state allocates nothing") {
  check_steady<GcnNet<>>({.hidden = 32});
  check_steady<SageNet<>>({.hidden = 32, .norm = NormKind::layer, .residual = true});
  check_steady<GcnNet<>>({.hidden = 32, .norm = NormKind::graph, .conv = {.entry_dropout = 0.2f}});
  check_steady<GcnNet<>>({.hidden = 32, .norm = NormKind::pair_individual});
  check_steady<ClusterGcnNet<>>({.hidden = 32, .layers = 3});
}

}  // namespace
