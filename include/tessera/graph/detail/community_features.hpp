// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/detail/community_plan.hpp"

namespace tessera::detail {

/// Four standard normals from four words: Box and Muller twice, in float.
inline std::array<float, 4> four_normals(const std::array<std::uint32_t, 4>& words) noexcept {
  std::array<float, 4> out{};
  for (std::size_t k = 0; k < 4; k += 2) {
    const float u = (static_cast<float>(words[k] >> 8) + 0.5f) * 0x1p-24f;
    const float angle = 2 * std::numbers::pi_v<float> * (static_cast<float>(words[k + 1] >> 8) * 0x1p-24f);
    const float radius = std::sqrt(-2 * std::log(u));
    out[k] = radius * std::cos(angle);
    out[k + 1] = radius * std::sin(angle);
  }
  return out;
}

/// Adds `scale` times a row of normals that belongs to `entity`.
inline void add_normals(std::span<float> row, RngKey key, std::uint64_t entity, float scale) noexcept {
  for (std::size_t j = 0; j < row.size(); j += 4) {
    const std::array<float, 4> z =
        four_normals(philox4x32({static_cast<std::uint32_t>(j / 4), 0, static_cast<std::uint32_t>(entity),
                                 static_cast<std::uint32_t>(entity >> 32)},
                                key));
    for (std::size_t k = j; k < std::min(j + 4, row.size()); ++k) row[k] += scale * z[k - j];
  }
}

/// Labels and features of a plan.
class CommunityFeatures {
 public:
  /// The norm of a community's own mean beside that of its class, 1.
  static constexpr double kCommunityNorm = 0.5;
  /// Labels a community has beside its class, on average, and how likely a node keeps each.
  static constexpr double kFurtherLabels = 2;
  static constexpr double kKeepLabel = 0.9;
  /// Deviation of the logarithm of a heavy column.
  static constexpr double kHeavySigma = 1.5;

  CommunityFeatures(const CommunityGraphOptions& options, const CommunityPlan& plan,
                    std::span<const NodeId> node_of)
      : options_(options),
        plan_(plan),
        node_of_(node_of),
        class_mean_(means(options.classes, 5, 1.0)),
        community_mean_(means(plan.num_communities(), 6, kCommunityNorm)) {
    if (options.multilabel && options.mean_labels > 0) label_order_ = label_orders();
  }

  void write(Tensor<float>& features, Labels& labels) const {
    features.resize(options_.nodes, options_.features);
    labels.num_classes = options_.classes;
    if (options_.multilabel) {
      labels.indicators.resize(options_.nodes, options_.classes);
    } else {
      labels.classes.resize(options_.nodes);
    }
    const RngKey noise = make_key(options_.seed, 0, Purpose::noise);
    parallel_for(options_.nodes, 256, [&](std::size_t begin, std::size_t end) {
      for (std::size_t slot = begin; slot < end; ++slot) {
        const std::size_t node = node_of_.empty() ? slot : node_of_[slot];
        const std::span<float> row = features.row(node);
        const auto community = community_mean_.row(plan_.community_of(slot));
        std::copy(community.begin(), community.end(), row.begin());
        if (options_.multilabel) {
          write_labels(slot, labels.indicators.row(node), row);
        } else {
          labels.classes[node] = static_cast<std::int32_t>(plan_.class_of(slot));
          add(row, class_mean_.row(plan_.class_of(slot)), 1.0f);
        }
        add_normals(row, noise, slot, static_cast<float>(options_.feature_noise));
        apply_law(slot, row);
      }
    });
  }

 private:
  /// Random directions of about this norm.
  Tensor<float> means(std::size_t count, std::uint64_t stream, double norm) const {
    Tensor<float> out = Tensor<float>::zeros(count, options_.features);
    const RngKey key = make_key(options_.seed, stream, Purpose::generate);
    const auto scale = static_cast<float>(norm / std::sqrt(static_cast<double>(options_.features)));
    parallel_for(count, 16, [&](std::size_t begin, std::size_t end) {
      for (std::size_t k = begin; k < end; ++k) add_normals(out.row(k), key, k, scale);
    });
    return out;
  }

  static void add(std::span<float> row, std::span<const float> values, float scale) noexcept {
    for (std::size_t j = 0; j < row.size(); ++j) row[j] += scale * values[j];
  }

  /// Bends a row of class mean, community mean and noise as the law wants it.
  void apply_law(std::size_t slot, std::span<float> row) const {
    switch (options_.feature_law) {
      case FeatureLaw::gaussian:
        return;
      case FeatureLaw::decaying:
        for (std::size_t j = 0; j < row.size(); ++j) row[j] *= 1 / std::sqrt(static_cast<float>(j + 1));
        return;
      case FeatureLaw::heavy_columns: {
        CounterRng rng(make_key(options_.seed, 1, Purpose::noise), 0, slot);
        for (std::size_t j = 0; j < std::min<std::size_t>(2, row.size()); ++j)
          row[j] = static_cast<float>(std::exp(kHeavySigma * rng.normal()));
        return;
      }
      case FeatureLaw::counts: {
        const auto width = static_cast<double>(options_.features);
        const auto scale = static_cast<float>(1 / std::sqrt(options_.feature_noise * options_.feature_noise +
                                                            (1 + kCommunityNorm * kCommunityNorm) / width));
        // Of a standard normal z, 1.2 z + 0.9 falls below 1, which gives no count, in 53 % of cases.
        for (float& x : row) x = std::max(0.0f, std::floor(1.2f * (x * scale) + 0.9f));
        return;
      }
    }
  }

  /// As many labels as drawn for the node: its class, then those its community likes best, with gaps.
  void write_many_labels(std::size_t slot, std::span<float> indicators) const {
    // A log-normal of mean 9.4 and median 6, as published for Yelp, has this deviation.
    constexpr double kSigma = 0.9476;
    const auto classes = static_cast<double>(indicators.size());
    CounterRng rng(make_key(options_.seed, 8, Purpose::generate), 0, slot);
    const double median = options_.mean_labels * std::exp(-kSigma * kSigma / 2);
    const double drawn = std::round(median * std::exp(kSigma * rng.normal()));
    auto left = static_cast<std::size_t>(std::clamp(drawn, 1.0, 0.97 * classes)) - 1;
    std::fill(indicators.begin(), indicators.end(), 0.0f);
    indicators[plan_.class_of(slot)] = 1.0f;
    const std::size_t first = plan_.community_of(slot) * indicators.size();
    for (int round = 0; round < 2 && left > 0; ++round) {  // the second takes the gaps of the first
      for (std::size_t k = 0; k < indicators.size() && left > 0; ++k) {
        float& label = indicators[label_order_[first + k]];
        if (label != 0.0f || (round == 0 && rng.uniform() > kKeepLabel)) continue;
        label = 1.0f;
        --left;
      }
    }
  }

  /// For every community the classes in the order in which its nodes take them: at random, frequent ones early.
  ///
  /// Source   Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006
  Array<std::uint16_t> label_orders() const {
    Array<std::uint16_t> out(plan_.num_communities() * options_.classes);
    parallel_for(plan_.num_communities(), 64, [&](std::size_t begin, std::size_t end) {
      Array<double> key(options_.classes);
      for (std::size_t c = begin; c < end; ++c) {
        CounterRng rng(make_key(options_.seed, 7, Purpose::generate), 0, c);
        std::uint16_t* const order = out.data() + c * options_.classes;
        for (std::size_t k = 0; k < options_.classes; ++k) {
          order[k] = static_cast<std::uint16_t>(k);
          key[k] = -std::log(rng.uniform_open()) * std::pow(static_cast<double>(k + 1), options_.class_skew);
        }
        std::sort(order, order + options_.classes, [&](std::uint16_t x, std::uint16_t y) {
          return key[x] != key[y] ? key[x] < key[y] : x < y;
        });
      }
    });
    return out;
  }

  /// The class, and the further labels of the community this node keeps; the features average their means.
  void write_labels(std::size_t slot, std::span<float> indicators, std::span<float> row) const {
    if (options_.mean_labels > 0) {
      write_many_labels(slot, indicators);
    } else {
      const std::size_t own = plan_.class_of(slot);
      const double likely = std::min(0.5, kFurtherLabels / static_cast<double>(options_.classes));
      CounterRng of_community(make_key(options_.seed, 7, Purpose::generate), 0, plan_.community_of(slot));
      CounterRng of_node(make_key(options_.seed, 8, Purpose::generate), 0, slot);
      for (std::size_t k = 0; k < indicators.size(); ++k) {
        const bool offered = of_community.uniform() < likely;
        const bool kept = offered && of_node.uniform() < kKeepLabel;
        indicators[k] = k == own || kept ? 1.0f : 0.0f;
      }
    }
    float count = 0;
    for (const float label : indicators) count += label;
    for (std::size_t k = 0; k < indicators.size(); ++k) {
      if (indicators[k] != 0.0f) add(row, class_mean_.row(k), 1.0f / std::sqrt(count));
    }
  }

  const CommunityGraphOptions& options_;
  const CommunityPlan& plan_;
  std::span<const NodeId> node_of_;
  Tensor<float> class_mean_;
  Tensor<float> community_mean_;
  Array<std::uint16_t> label_order_;
};

}  // namespace tessera::detail
