// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/generator_options.hpp"

namespace tessera::detail {

/// Consecutive slots, in order of class and, inside a class, of community.
struct SlotRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t size() const noexcept { return end - begin; }
};

/// Who belongs where, and how many links each node shall have, before any link is drawn. Works on slots;
/// which node sits in which slot is decided elsewhere.
class CommunityPlan {
 public:
  /// Planned degrees count in units of 1 / kUnit, as integers: sums are exact.
  static constexpr std::uint64_t kUnit = 65536;

  explicit CommunityPlan(const CommunityGraphOptions& options) : options_(options) {
    size_classes();
    size_communities();
    plan_degrees();
  }

  std::size_t num_communities() const noexcept { return community_begin_.size() - 1; }
  std::size_t class_of(std::size_t slot) const noexcept { return class_of_community_[community_[slot]]; }
  std::size_t class_of_community(std::size_t c) const noexcept { return class_of_community_[c]; }
  std::size_t community_of(std::size_t slot) const noexcept { return community_[slot]; }
  SlotRange class_range(std::size_t slot) const noexcept {
    const std::size_t k = class_of(slot);
    return {class_begin_[k], class_begin_[k + 1]};
  }
  SlotRange community_range(std::size_t slot) const noexcept {
    const std::size_t c = community_of(slot);
    return {community_begin_[c], community_begin_[c + 1]};
  }

  /// The planned degree of a slot.
  double degree(std::size_t slot) const noexcept {
    return static_cast<double>(weight_before_[slot + 1] - weight_before_[slot]) / static_cast<double>(kUnit);
  }
  /// Planned degrees of the slots before this one, in units.
  std::uint64_t weight_before(std::size_t slot) const noexcept { return weight_before_[slot]; }
  /// The slot of [range) that holds this unit.
  std::size_t slot_of_unit(SlotRange range, std::uint64_t unit) const noexcept {
    const auto first = weight_before_.begin() + range.begin;
    const auto after = std::upper_bound(first, weight_before_.begin() + range.end, unit);
    return static_cast<std::size_t>(after - weight_before_.begin()) - 1;
  }

 private:
  /// Nodes of a rare class.
  static constexpr std::size_t kRare = 5;

  void size_classes() {
    const std::size_t rare = options_.rare_classes;
    const std::size_t classes = options_.classes - rare;
    const std::size_t nodes = options_.nodes - kRare * rare;
    const std::size_t spare = nodes - classes;  // every class has a node; the rest is shared out
    Array<double> share(classes);
    double sum = 0;
    for (std::size_t k = 0; k < classes; ++k)
      sum += share[k] = std::pow(static_cast<double>(k + 1), -options_.class_skew);
    class_begin_.push_back(0);
    double before = 0;
    for (std::size_t k = 0; k < classes; ++k) {
      before += share[k];
      const auto shared =
          k + 1 == classes
              ? spare
              : static_cast<std::size_t>(static_cast<double>(spare) * std::min(1.0, before / sum));
      class_begin_.push_back(k + 1 + shared);
    }
    for (std::size_t k = 1; k <= rare; ++k) class_begin_.push_back(nodes + kRare * k);
  }

  /// Sizes follow a Pareto law of exponent 1.5 from a third of the mean to ten times the mean.
  void size_communities() {
    const double mean = static_cast<double>(options_.community_size);
    const RngKey key = make_key(options_.seed, 1, Purpose::generate);
    community_begin_.push_back(0);
    for (std::size_t k = 0; k < options_.classes; ++k) {
      for (std::size_t at = class_begin_[k]; at < class_begin_[k + 1];) {
        const double u = CounterRng(key, 0, community_begin_.size()).uniform_open();
        const double size = std::min(10 * mean, mean / 3 * std::pow(u, -1 / 1.5));
        at = std::min(class_begin_[k + 1], at + std::max<std::size_t>(2, static_cast<std::size_t>(size)));
        if (class_begin_[k + 1] - at < 2) at = class_begin_[k + 1];  // nobody is left alone
        community_begin_.push_back(at);
        class_of_community_.push_back(static_cast<std::uint32_t>(k));
      }
    }
    community_.resize(options_.nodes);
    parallel_for(num_communities(), 16, [&](std::size_t begin, std::size_t end) {
      for (std::size_t c = begin; c < end; ++c) {
        std::fill(community_.begin() + community_begin_[c], community_.begin() + community_begin_[c + 1],
                  static_cast<std::uint32_t>(c));
      }
    });
  }

  /// Draws relative degrees and scales them to the mean, each cut at what its class can serve.
  void plan_degrees() {
    const std::size_t n = options_.nodes;
    const RngKey key = make_key(options_.seed, 2, Purpose::generate);
    Array<double> relative(n);
    parallel_for(n, kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t s = begin; s < end; ++s) {
        CounterRng rng(key, 0, s);
        relative[s] = is_isolated(s) ? 0 : relative_degree(rng);
      }
    });
    if (options_.degree_law == DegreeLaw::log_normal_tail && options_.max_degree > 0) {
      // Such data sets have one hub far above the rest; the largest class can serve it.
      *std::max_element(relative.begin(), relative.begin() + class_begin_[1]) = 1e100;
    }
    const auto mean_at = [&](double scale) {
      const double sum = parallel_sum<double>(n, kGrain, [&](std::size_t begin, std::size_t end) {
        double part = 0;
        for (std::size_t s = begin; s < end; ++s) part += degree_at(s, scale * relative[s]);
        return part;
      });
      return sum / static_cast<double>(n);
    };
    const double mean = options_.links == 0
                            ? options_.mean_degree
                            : 2 * static_cast<double>(options_.links) / static_cast<double>(n);
    double low = 0;
    double high = std::max(1.0, mean);
    for (int k = 0; k < 80 && mean_at(high) < mean; ++k) high *= 2;
    if (mean_at(high) < mean * 0.999) {
      throw ConfigError(message("generate_community_graph: the mean degree is ", mean, ", want at most ",
                                mean_at(high), " for this many nodes, classes and this homophily"));
    }
    for (int k = 0; k < 50; ++k) {
      const double middle = (low + high) / 2;
      (mean_at(middle) < mean ? low : high) = middle;
    }
    weight_before_.resize(n + 1);
    parallel_for(n, kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t s = begin; s < end; ++s)
        weight_before_[s] =
            is_isolated(s)
                ? 0
                : static_cast<std::uint64_t>(degree_at(s, high * relative[s]) * static_cast<double>(kUnit)) +
                      1;
    });
    weight_before_[n] = 0;
    parallel_exclusive_scan(weight_before_.span());
  }

  /// Isolated slots lie evenly among the others; which nodes they are is the shuffle's business.
  bool is_isolated(std::size_t slot) const noexcept {
    const auto before = [&](std::size_t s) {
      return static_cast<std::uint64_t>(static_cast<uint128>(s) * options_.isolated / options_.nodes);
    };
    return options_.isolated != 0 && before(slot + 1) != before(slot);
  }

  /// A planned degree before scaling.
  ///
  /// Source   the tail of log_normal_tail starts at the 99th percentile of the log-normal, z = 2.3263
  double relative_degree(CounterRng& rng) const noexcept {
    constexpr double kTail = 0.01;
    constexpr double kTailStart = 2.3263;
    const double exponent = -1 / (options_.degree_exponent - 1);
    if (options_.degree_law == DegreeLaw::power_law) return std::pow(rng.uniform_open(), exponent);
    const double z = rng.normal();
    if (options_.degree_law == DegreeLaw::log_normal || z < kTailStart)
      return std::exp(options_.degree_sigma * z);
    // The upper tail probability of z, uniform in (0, kTail), becomes that of a Pareto variable.
    const double above = std::erfc(z / std::numbers::sqrt2) / 2 / kTail;
    return std::exp(options_.degree_sigma * kTailStart) * std::pow(above, exponent);
  }

  double degree_at(std::size_t slot, double wanted) const noexcept {
    if (wanted == 0) return 0;
    return std::min(std::max(wanted, options_.min_degree), most_links(slot));
  }

  /// Half of all partners a node has inside and outside its class bounds its degree, so that drawing without
  /// repetition neither stalls nor bends the homophily.
  double most_links(std::size_t slot) const noexcept {
    const SlotRange own = class_range(slot);
    const double inside = 0.5 * static_cast<double>(own.size() - 1);
    const double outside = 0.5 * static_cast<double>(options_.nodes - own.size());
    double most = inside + outside;
    if (options_.homophily > 0) most = std::min(most, inside / options_.homophily);
    if (options_.homophily < 1) most = std::min(most, outside / (1 - options_.homophily));
    if (options_.max_degree > 0) most = std::min(most, static_cast<double>(options_.max_degree));
    return most;
  }

  static constexpr std::size_t kGrain = 1 << 13;

  CommunityGraphOptions options_;
  Array<std::size_t> class_begin_;
  Array<std::size_t> community_begin_;
  Array<std::uint32_t> class_of_community_;
  Array<std::uint32_t> community_;
  Array<std::uint64_t> weight_before_;
};

}  // namespace tessera::detail
