// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/mini_batch.hpp"

namespace tessera {

template <Sampler S>
class PrefetchLoader;

struct PrefetchOptions {
  std::size_t depth = 2;    ///< batches kept ready; 0 samples in the caller's thread when asked
  std::size_t threads = 0;  ///< threads for sampling, beside the caller; 0: half of max_threads(), at least 1

  /// What a trainer that is given these options makes.
  template <Sampler S>
  using Loader = PrefetchLoader<S>;
};

/// Where the time of a loader went since it was made.
struct LoaderTimes {
  double sampling_seconds = 0;  ///< inside the sampler, on whatever thread
  double waiting_seconds = 0;   ///< the consumer waiting in `next`
  std::uint64_t batches = 0;    ///< handed out
};

/// Hands out the batches of an epoch in the order of their numbers while later ones are being sampled.
///
///     PrefetchLoader loader(sampler, source, spec);
///     for (std::uint64_t epoch = 0; epoch < epochs; ++epoch) {
///       loader.start(seed, epoch);
///       while (const MiniBatch* batch = loader.next()) step(*batch);
///     }
///
/// Batches are pure functions of their keys, so neither `depth` nor `threads` changes a bit of them.
/// Cost     depth + 1 batches, recycled for as long as the loader lives: the steady state allocates nothing
/// Errors   what the sampler throws leaves `next` in the place of the batch that failed, and ends the epoch
/// Threads  one consumer at a time; sampler and source must outlive the loader and not change
template <Sampler S>
class PrefetchLoader {
 public:
  using Options = PrefetchOptions;

  PrefetchLoader(const S& sampler, const SampleSource& source, const AggregationSpec& spec,
                 Options options = {})
      : sampler_(sampler),
        source_(source),
        spec_(spec),
        depth_(options.depth),
        threads_(options.threads > 0 ? options.threads : std::max<std::size_t>(1, max_threads() / 2)),
        slots_(options.depth + 1) {
    if (depth_ > 0) worker_ = std::thread([this] { in_arena(threads_, [this] { serve(); }); });
  }
  PrefetchLoader(const S&&, const SampleSource&, const AggregationSpec&, Options = {}) = delete;
  PrefetchLoader(const PrefetchLoader&) = delete;
  PrefetchLoader& operator=(const PrefetchLoader&) = delete;
  ~PrefetchLoader() {
    if (!worker_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    work_.notify_one();
    worker_.join();
  }

  /// Begins an epoch, or a part of one from `first_batch` on (a resumed run). What was left of the epoch
  /// before is dropped; batches handed out are no longer valid.
  void start(std::uint64_t seed, std::uint64_t epoch, std::uint64_t first_batch = 0) {
    const auto began = Clock::now();
    std::unique_lock lock(mutex_);
    end_ = 0;  // nothing more to sample; a batch under way is waited for
    idle_.wait(lock, [this] { return !sampling_; });
    seed_ = seed;
    epoch_ = epoch;
    sampled_ = consumed_ = first_batch;
    holding_ = false;
    error_ = nullptr;
    end_ = sampler_.num_batches(source_);
    times_.waiting_seconds += seconds_since(began);
    lock.unlock();
    work_.notify_one();
  }

  /// The next batch, or nullptr after the last one. It stays valid until the next call of `next` or `start`.
  const MiniBatch* next() { return depth_ == 0 ? next_here() : next_prefetched(); }

  /// Batches of the epoch that was started, those already handed out included.
  std::size_t num_batches() const { return sampler_.num_batches(source_); }

  LoaderTimes times() const {
    const std::lock_guard lock(mutex_);
    return times_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  static double seconds_since(Clock::time_point began) {
    return std::chrono::duration<double>(Clock::now() - began).count();
  }

  MiniBatch& slot(std::uint64_t batch) { return slots_[batch % slots_.size()]; }

  const MiniBatch* next_here() {
    if (consumed_ >= end_) return nullptr;
    const std::uint64_t batch = consumed_;
    const auto began = Clock::now();
    try {
      sampler_.sample(source_, spec_, {seed_, epoch_, batch}, workspace_, slot(batch));
    } catch (...) {
      end_ = 0;
      throw;
    }
    const std::lock_guard lock(mutex_);
    ++consumed_;
    ++times_.batches;
    times_.sampling_seconds += seconds_since(began);
    times_.waiting_seconds += seconds_since(began);
    return &slot(batch);
  }

  const MiniBatch* next_prefetched() {
    const auto began = Clock::now();
    std::unique_lock lock(mutex_);
    if (std::exchange(holding_, false)) ++consumed_;  // the batch handed out last is free again
    work_.notify_one();
    ready_.wait(lock, [this] { return consumed_ < sampled_ || consumed_ >= end_; });
    times_.waiting_seconds += seconds_since(began);
    if (consumed_ < sampled_) {
      holding_ = true;
      ++times_.batches;
      return &slot(consumed_);
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return nullptr;
  }

  /// The background thread: samples the next batch whenever a slot is free.
  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [this] { return closing_ || can_sample(); });
      if (closing_) return;
      const BatchKey key{seed_, epoch_, sampled_};
      sampling_ = true;
      lock.unlock();
      const auto began = Clock::now();
      std::exception_ptr error;
      try {
        sampler_.sample(source_, spec_, key, workspace_, slot(key.batch));
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      sampling_ = false;
      times_.sampling_seconds += seconds_since(began);
      if (error != nullptr && end_ > key.batch) {
        error_ = error;
        end_ = key.batch;
      } else if (end_ > key.batch) {
        sampled_ = key.batch + 1;
      }
      idle_.notify_one();
      ready_.notify_one();
    }
  }

  /// Whether there is a batch to sample and a slot that neither waits nor is in the consumer's hands.
  bool can_sample() const noexcept { return sampled_ < end_ && sampled_ - consumed_ < slots_.size(); }

  const S& sampler_;
  SampleSource source_;
  AggregationSpec spec_;
  std::size_t depth_;
  std::size_t threads_;
  std::vector<MiniBatch> slots_;
  typename S::Workspace workspace_;

  mutable std::mutex mutex_;
  std::condition_variable work_;   ///< for the background thread: something to sample, or to stop
  std::condition_variable ready_;  ///< for `next`: a batch is ready, or none will come
  std::condition_variable idle_;   ///< for `start`: nothing is under way
  std::uint64_t seed_ = 0;
  std::uint64_t epoch_ = 0;
  std::uint64_t sampled_ = 0;   ///< batches below this number are sampled
  std::uint64_t consumed_ = 0;  ///< batches below this number are free again
  std::uint64_t end_ = 0;       ///< no batch from this number on is sampled
  bool holding_ = false;        ///< the consumer has batch `consumed_`
  bool sampling_ = false;
  bool closing_ = false;
  std::exception_ptr error_;
  LoaderTimes times_;
  std::thread worker_;  // last: it starts when everything else is there
};

}  // namespace tessera
