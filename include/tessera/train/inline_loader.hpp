// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/mini_batch.hpp"

namespace tessera {

/// Samples each batch when it is asked for, on the calling thread: needs no second thread and no second
/// batch.
///
/// The trainer's default; `PrefetchOptions` (sampling/prefetch_loader.hpp) samples ahead instead.
struct InlineLoading {
  /// The batches of one run. Borrows the sampler and what the source points to.
  template <Sampler S>
  class Loader {
   public:
    Loader(const S& sampler, const SampleSource& source, const AggregationSpec& spec, const InlineLoading&)
        : sampler_(sampler), source_(source), spec_(spec), num_batches_(sampler.num_batches(source)) {}

    void start(std::uint64_t seed, std::uint64_t epoch) noexcept { key_ = {seed, epoch, 0}; }
    /// The next batch, valid until the following call; null when the epoch has no more.
    const MiniBatch* next() {
      if (key_.batch >= num_batches_) return nullptr;
      sampler_.sample(source_, spec_, key_, workspace_, batch_);
      ++key_.batch;
      return &batch_;
    }

   private:
    const S& sampler_;
    SampleSource source_;
    AggregationSpec spec_;
    std::size_t num_batches_;
    BatchKey key_;
    typename S::Workspace workspace_{};
    MiniBatch batch_;
  };
};

}  // namespace tessera
