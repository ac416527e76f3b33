// SPDX-License-Identifier: MIT
#pragma once

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/parallel_invoke.h>
#include <oneapi/tbb/parallel_sort.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>

#include "tessera/core/array.hpp"

#if defined(__SANITIZE_THREAD__)
#define TESSERA_WATCHED_LOOPS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TESSERA_WATCHED_LOOPS 1
#endif
#endif
#ifdef TESSERA_WATCHED_LOOPS
#include <sanitizer/tsan_interface.h>
#endif

// The only header that includes oneTBB. Every loop here cuts its range into blocks that depend on the range
// alone, so whatever a body computes per block is the same for any number of threads.
//
// A body must not hold thread-local scratch across a nested parallel call: while it waits, its thread may run
// another body of the outer loop.

namespace tessera {

/// Threads that loops started here may use.
inline std::size_t max_threads() noexcept {
  return static_cast<std::size_t>(tbb::this_task_arena::max_concurrency());
}

/// Runs `body` with at most `threads` threads for every loop inside it; more than the processor has is
/// allowed.
///
/// Meant for a program's outermost scope and for tests: the limit holds for the whole process while `body`
/// runs.
template <class F>
decltype(auto) with_threads(std::size_t threads, F&& body) {
  const std::size_t count = std::max<std::size_t>(1, threads);
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, count);
  tbb::task_arena arena(static_cast<int>(count));
  return arena.execute(std::forward<F>(body));
}

/// Runs `body` with at most `threads` threads without touching the limit of the rest of the process.
template <class F>
decltype(auto) in_arena(std::size_t threads, F&& body) {
  tbb::task_arena arena(static_cast<int>(std::max<std::size_t>(1, threads)));
  return arena.execute(std::forward<F>(body));
}

namespace detail {

#ifdef TESSERA_WATCHED_LOOPS
/// Tells the thread sanitizer what it cannot see in oneTBB, which is not built with it: what a caller did happens
/// before the tasks it starts, and these before it goes on. Nothing in other builds.
class ForkJoin {
 public:
  ForkJoin() { __tsan_release(&begin_); }
  ~ForkJoin() { __tsan_acquire(&end_); }
  ForkJoin(const ForkJoin&) = delete;
  ForkJoin& operator=(const ForkJoin&) = delete;

  /// A task's bounds; on its stack.
  class Task {
   public:
    explicit Task(ForkJoin& order) : end_(&order.end_) { __tsan_acquire(&order.begin_); }
    ~Task() { __tsan_release(end_); }
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

   private:
    char* end_;
  };

 private:
  char begin_ = 0, end_ = 0;
};

/// What oneTBB runs. It reads itself, which oneTBB has copied unseen, before anything can be told: unwatched.
struct WatchedBlock {
  void (*body)(void*, std::size_t);
  void* context;
  ForkJoin* order;
  __attribute__((no_sanitize_thread)) void operator()(std::size_t block) const {
    const ForkJoin::Task task(*order);
    body(context, block);
  }
};
template <class F>
struct WatchedCall {
  F* body;
  ForkJoin* order;
  __attribute__((no_sanitize_thread)) void operator()() const {
    const ForkJoin::Task task(*order);
    (*body)();
  }
};
#endif

/// One compiled loop for every body: a block is coarse, so an indirect call per block costs nothing, and
/// oneTBB's templates are instantiated once per program part instead of once per loop.
inline void run_blocks(std::size_t blocks, void (*body)(void*, std::size_t), void* context) {
#ifdef TESSERA_WATCHED_LOOPS
  ForkJoin order;
  tbb::parallel_for(std::size_t{0}, blocks, WatchedBlock{body, context, &order});
#else
  tbb::parallel_for(std::size_t{0}, blocks, [=](std::size_t block) { body(context, block); });
#endif
}

}  // namespace detail

/// Calls body(block) for every block in [0, blocks), in parallel, in no order.
template <class F>
void parallel_blocks(std::size_t blocks, F&& body) {
  if (blocks == 0) return;
  if (blocks == 1) {
    body(std::size_t{0});
    return;
  }
  using Body = std::remove_reference_t<F>;
  detail::run_blocks(
      blocks, [](void* context, std::size_t block) { (*static_cast<Body*>(context))(block); },
      const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

/// Calls body(begin, end) for consecutive ranges of `grain` items that cover [0, count).
template <class F>
void parallel_for(std::size_t count, std::size_t grain, F&& body) {
  const std::size_t step = std::max<std::size_t>(1, grain);
  parallel_blocks((count + step - 1) / step, [&](std::size_t block) {
    const std::size_t begin = block * step;
    body(begin, std::min(count, begin + step));
  });
}

/// Runs the callables, possibly at the same time, and returns when all have.
template <class... F>
void parallel_invoke(F&&... callables) {
#ifdef TESSERA_WATCHED_LOOPS
  detail::ForkJoin order;
  tbb::parallel_invoke(detail::WatchedCall<std::remove_reference_t<F>>{&callables, &order}...);
#else
  tbb::parallel_invoke(std::forward<F>(callables)...);
#endif
}

/// Combines map(begin, end) over blocks of `grain` items in a fixed binary tree: the same bits for any thread
/// count.
///
/// Cost     one value of V per block from the pool
template <class V, class Map, class Combine>
V parallel_reduce(std::size_t count, std::size_t grain, V identity, Map&& map, Combine&& combine) {
  const std::size_t step = std::max<std::size_t>(1, grain);
  const std::size_t blocks = (count + step - 1) / step;
  if (blocks == 0) return identity;
  if (blocks == 1) return combine(identity, map(std::size_t{0}, count));
  Array<V> partial(blocks);
  parallel_for(count, step,
               [&](std::size_t begin, std::size_t end) { partial[begin / step] = map(begin, end); });
  for (std::size_t width = 1; width < blocks; width *= 2) {
    for (std::size_t i = 0; i + width < blocks; i += 2 * width)
      partial[i] = combine(partial[i], partial[i + width]);
  }
  return combine(identity, partial[0]);
}

/// Sum of map(begin, end) over blocks; see parallel_reduce.
template <class V, class Map>
V parallel_sum(std::size_t count, std::size_t grain, Map&& map) {
  return parallel_reduce(count, grain, V{}, std::forward<Map>(map), std::plus<V>{});
}

/// Replaces every value by the sum of those before it and returns the sum of all. For integers.
template <class V>
V parallel_exclusive_scan(std::span<V> values) {
  constexpr std::size_t kBlock = 1 << 15;
  const std::size_t blocks = (values.size() + kBlock - 1) / kBlock;
  const auto scan_block = [&](std::size_t begin, std::size_t end, V sum) {
    for (std::size_t i = begin; i < end; ++i) sum += std::exchange(values[i], sum);
    return sum;
  };
  if (blocks <= 1) return scan_block(0, values.size(), V{});
  Array<V> start(blocks);
  parallel_for(values.size(), kBlock, [&](std::size_t begin, std::size_t end) {
    V sum{};
    for (std::size_t i = begin; i < end; ++i) sum += values[i];
    start[begin / kBlock] = sum;
  });
  V total{};
  for (V& block : start) total += std::exchange(block, total);
  parallel_for(values.size(), kBlock,
               [&](std::size_t begin, std::size_t end) { scan_block(begin, end, start[begin / kBlock]); });
  return total;
}

/// Sorts; equal elements may end in any order, so `less` must be a total order wherever the result matters.
template <class Iterator, class Less = std::less<>>
void parallel_sort(Iterator begin, Iterator end, Less less = {}) {
#ifdef TESSERA_WATCHED_LOOPS
  std::sort(begin, end, less);  // oneTBB's tasks have no place to say in that they begin or end
#else
  tbb::parallel_sort(begin, end, less);
#endif
}

}  // namespace tessera

#undef TESSERA_WATCHED_LOOPS
