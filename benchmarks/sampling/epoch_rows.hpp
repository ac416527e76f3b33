// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "sampling/table.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/sampling/prefetch_loader.hpp"
#include "tessera/sampling/saint_sampler.hpp"
#include "tessera/train/layer_wise.hpp"
#include "tessera/train/trainer.hpp"

namespace tessera::bench {

/// Loads batches of one epoch that were all made before: training without sampling.
struct PrecomputedLoading {
  template <Sampler S>
  class Loader {
   public:
    Loader(const S& sampler, const SampleSource& source, const AggregationSpec& spec,
           const PrecomputedLoading&)
        : batches_(sampler.num_batches(source)) {
      typename S::Workspace workspace{};
      for (std::size_t b = 0; b < batches_.size(); ++b)
        sampler.sample(source, spec, {0, 0, b}, workspace, batches_[b]);
    }
    void start(std::uint64_t, std::uint64_t) noexcept { next_ = 0; }
    const MiniBatch* next() noexcept { return next_ < batches_.size() ? &batches_[next_++] : nullptr; }

   private:
    std::vector<MiniBatch> batches_;
    std::size_t next_ = 0;
  };
};

/// A 2-layer, 256-wide epoch with one loader; the first one warms up.
template <class Loading>
std::vector<double> epoch_seconds(const SamplingShape& shape, const AnySampler& sampler, std::size_t epochs,
                                  Loading loading, Profile& profile) {
  SageNet<> model{{.in = shape.data->num_features(),
                   .hidden = 256,
                   .out = shape.data->num_classes(),
                   .layers = 2,
                   .dropout = 0.1f}};
  Trainer trainer{model, sampler, CrossEntropy{}, Adam{.lr = 0.01}, std::move(loading)};
  const FitReport fit = trainer.fit(*shape.data, {.epochs = epochs + 1, .eval_every = 0});
  std::vector<double> seconds;
  for (std::size_t e = 1; e < fit.history.size(); ++e) {
    seconds.push_back(fit.history[e].seconds);
    profile += fit.history[e].profile;
  }
  return seconds;
}

/// What sampling adds to an epoch: prefetched, against the same work on batches made before.
inline void add_epoch_case(const SamplingShape& shape, SamplingTable& table, const std::string& name,
                           const AnySampler& sampler) {
  std::vector<double> ahead;
  std::vector<double> before;
  Profile profile;
  Profile unused;
  for (std::size_t r = 0; r < table.options().common.repeats; ++r) {
    for (const double s : epoch_seconds(shape, sampler, 2, PrecomputedLoading{}, unused)) before.push_back(s);
    for (const double s : epoch_seconds(shape, sampler, 2, PrefetchOptions{}, profile)) ahead.push_back(s);
  }
  const Timing with = summarize(std::move(ahead));
  const Timing without = summarize(std::move(before));
  char text[200];
  std::snprintf(
      text, sizeof text,
      "epoch %.3f s prefetched, %.3f s with batches made before: %.2fx (fastest %.2fx); waiting %.1f %%",
      with.median, without.median, with.median / without.median, with.fastest / without.fastest,
      100 * profile.wait / std::max(1e-9, profile.total()));
  table.add_figures(name, text, [&](JsonObject& row) {
    row.add("seconds_prefetched", with.median).add("seconds_precomputed", without.median);
    row.add("ratio", with.median / without.median).add("ratio_of_fastest", with.fastest / without.fastest);
    row.add("seconds_waiting", profile.wait);
  });
}

/// Layer-wise training: what a layer costs before its epochs, and what each epoch costs.
inline void add_layer_wise_case(const SamplingShape& shape, SamplingTable& table) {
  const std::string name = "L-GCN, 2 layers, 128";
  if (!table.wanted(name)) return;
  const auto make = [&](std::size_t in, std::size_t layer) -> AnyModel<> {
    return MlpNet<>({.in = in,
                     .hidden = 128,
                     .out = shape.data->num_classes(),
                     .layers = 2,
                     .dropout = 0,
                     .seed = layer});
  };
  const AnySampler rows = NeighborSampler({.fanouts = {0, 0}, .batches = {.batch_size = 4096}});
  std::vector<double> around;
  std::vector<double> epoch;
  for (std::size_t r = 0; r < table.options().common.repeats; ++r) {
    double training = 0;
    const LayerWiseOptions options{.layers = 2, .fit = {.epochs = 2, .eval_every = 0}};
    const double whole = seconds_of([&] {
      const auto made =
          fit_layer_wise(DatasetView(*shape.data), options, make, rows, CrossEntropy{}, Adam{.lr = 1e-3});
      for (const FitReport& report : made.reports) training += report.seconds_train;
    });
    around.push_back((whole - training) / 2);
    epoch.push_back(training / 4);
  }
  const Timing before = summarize(std::move(around));
  const Timing each = summarize(std::move(epoch));
  char text[120];
  std::snprintf(text, sizeof text, "%.3f s per layer to propagate, %.3f s per epoch of rows", before.median,
                each.median);
  table.add_figures(name, text, [&](JsonObject& row) {
    row.add("seconds_per_layer", before.median).add("seconds_per_epoch", each.median);
  });
}

inline void add_epoch_rows(const SamplingShape& shape, SamplingTable& table) {
  add_layer_wise_case(shape, table);
  const bool reddit = shape.name.find("Reddit") != std::string::npos;
  const SampleSource source{shape.data->graph.view(), shape.data->graph.symmetric, shape.targets.span()};
  if (table.wanted("SAINT-RW epoch")) {
    add_epoch_case(
        shape, table, "SAINT-RW epoch",
        SaintWalkSampler(
            source, {.roots = shape.scaled(reddit ? 2000 : 20'000), .length = std::size_t{reddit ? 4u : 2u}},
            {.coverage = 1, .round = 64}));
  }
}

}  // namespace tessera::bench
