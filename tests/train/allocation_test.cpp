// SPDX-License-Identifier: MIT
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

#include "support/catch.hpp"
#include "support/train_fakes.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/nn/optim/clip.hpp"
#include "tessera/quant/quantized.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/prefetch_loader.hpp"
#include "tessera/train/trainer.hpp"

namespace {
std::atomic<std::uint64_t> news{0};
}

// Counts what the whole program allocates through throwing new, the one the library and the standard containers
// use. Sanitizers bring their own allocator, which must not be mixed with another; there the pool alone counts.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Out of line: GCC warns where it sees only one of the two inlined.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  news.fetch_add(1, std::memory_order_relaxed);
  if (void* const p = std::malloc(bytes == 0 ? 1 : bytes)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
#endif

namespace {

using namespace tessera;

/// Remembers the counters after every batch, without allocating.
struct CountAllocations {
  struct Mark {
    std::uint64_t epoch, pool, heap;
  };
  std::vector<Mark> marks;

  explicit CountAllocations(std::size_t batches) { marks.reserve(batches); }
  void on_batch(auto&, const BatchRecord& batch) {
    marks.push_back({batch.epoch, BufferPool::global().stats().system_allocations, news.load()});
  }
  /// Allocations between the end of epoch `warm` and the last batch.
  std::pair<std::uint64_t, std::uint64_t> after(std::uint64_t warm) const {
    const Mark* start = nullptr;
    for (const Mark& m : marks) start = m.epoch <= warm ? &m : start;
    return {marks.back().pool - start->pool, marks.back().heap - start->heap};
  }
};

template <class M, class S, class B>
void check_steady(M model, S sampler, B loading, std::size_t batches, double sparse_below = 0.1) {
  const Dataset data = test::planted({.nodes = 3000});
  Trainer trainer{model, std::move(sampler), CrossEntropy{}, Adam{}, loading};
  constexpr std::uint64_t kEpochs = 30;
  CountAllocations count(kEpochs * batches);
  trainer.fit(data, {.epochs = kEpochs, .eval_every = 0, .sparse_below = sparse_below}, ClipNorm{1}, count);
  REQUIRE(count.marks.size() == kEpochs * batches);
  // Batch sizes differ and are combined anew each epoch; ten epochs have seen what there is to see.
  const auto [pool, heap] = count.after(9);
  CHECK(pool == 0);
  CHECK(heap == 0);
}

std::vector<PartId> parts(std::size_t nodes, std::size_t count) {
  std::vector<PartId> out;
  for (std::size_t i = 0; i < nodes; ++i) out.push_back(part_id(i * count / nodes));
  return out;
}

}  // namespace

TEST_CASE("A training step in steady state allocates nothing", "[allocation]") {
  const GcnNet<>::Options gcn{.in = 8, .hidden = 16, .out = 3};
  const SageNet<>::Options sage{.in = 8, .hidden = 16, .out = 3, .norm = NormKind::layer};
  SECTION("whole graph") { check_steady(GcnNet<>{gcn}, FullGraphSampler{}, InlineLoading{}, 1); }
  SECTION("clusters, sampled inline") {
    check_steady(GcnNet<>{gcn}, ClusterSampler(parts(3000, 12), {.clusters_per_batch = 3}), InlineLoading{},
                 4);
  }
  SECTION("clusters of features by their entries") {
    check_steady(GcnNet<>{gcn}, ClusterSampler(parts(3000, 12), {.clusters_per_batch = 3}), InlineLoading{},
                 4, 2.0);
  }
  SECTION("clusters, prefetched") {
    check_steady(SageNet<>{sage}, ClusterSampler(parts(3000, 12), {.clusters_per_batch = 3}),
                 PrefetchOptions{.depth = 2}, 4);
  }
}

TEST_CASE("A training step with codes in steady state allocates nothing", "[allocation]") {
  const Dataset data = test::planted({.nodes = 3000});
  const auto check = [&](auto net, QuantSettings settings) {
    settings.sample = 4096;  // percentiles of a share of the rows are in it too
    Quantized<decltype(net)> model(std::move(net), {settings});
    model.protect(data.graph.view());
    check_steady(AnyModel<>(std::move(model)), FullGraphSampler{}, InlineLoading{}, 1);
  };
  for (const Placement placement : {Placement::fused, Placement::faithful}) {
    const QuantSettings settings = DegreeQuant<4>{.placement = placement}.settings();
    CAPTURE(placement == Placement::fused);
    check(GcnNet<>({.in = 8, .hidden = 16, .out = 3}), settings);
    check(GatNet<>({.in = 8, .hidden = 16, .out = 3}), settings);
  }
}
