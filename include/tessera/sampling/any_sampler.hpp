// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/mini_batch.hpp"

namespace tessera {

/// A sampler chosen at run time: holds any `Sampler` and is one, so that a trainer is compiled once for all.
///
/// Batches are those of the sampler inside. Copies share it; it is never changed.
/// Cost     one virtual call per batch; a workspace is made by the first `sample` that it is given to
/// Threads  const members may be called concurrently, with one workspace each
class AnySampler {
  struct Scratch {
    virtual ~Scratch() = default;
  };
  struct Interface {
    virtual ~Interface() = default;
    virtual std::size_t num_batches(const SampleSource& source) const = 0;
    virtual bool same_every_epoch() const = 0;
    virtual std::unique_ptr<Scratch> make_scratch() const = 0;
    virtual void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key,
                        Scratch& scratch, MiniBatch& batch) const = 0;
  };
  template <Sampler S>
  struct Holder;

 public:
  class Workspace {
    friend class AnySampler;
    std::shared_ptr<const Interface> owner_;
    std::unique_ptr<Scratch> scratch_;
  };

  template <Sampler S>
    requires(!std::same_as<S, AnySampler>)
  AnySampler(S sampler)  // NOLINT(google-explicit-constructor): any sampler is one
      : held_(std::make_shared<const Holder<S>>(std::move(sampler))) {}

  std::size_t num_batches(const SampleSource& source) const { return held_->num_batches(source); }
  bool same_every_epoch() const { return held_->same_every_epoch(); }
  /// Errors   as the sampler inside
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    if (workspace.owner_ != held_) {
      workspace.scratch_ = held_->make_scratch();
      workspace.owner_ = held_;
    }
    held_->sample(source, spec, key, *workspace.scratch_, batch);
  }

 private:
  std::shared_ptr<const Interface> held_;
};

template <Sampler S>
struct AnySampler::Holder final : Interface {
  struct Held final : Scratch {
    typename S::Workspace workspace{};
  };

  explicit Holder(S s) : sampler(std::move(s)) {}

  std::size_t num_batches(const SampleSource& source) const override { return sampler.num_batches(source); }
  bool same_every_epoch() const override { return tessera::same_every_epoch(sampler); }
  std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<Held>(); }
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Scratch& scratch,
              MiniBatch& batch) const override {
    sampler.sample(source, spec, key, static_cast<Held&>(scratch).workspace, batch);
  }

  S sampler;
};

}  // namespace tessera
