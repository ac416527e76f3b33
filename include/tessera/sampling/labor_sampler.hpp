// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/sampling/neighbor_frontier.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"

namespace tessera {

/// How picks with unequal chances become an estimate of a row's full sum.
enum class RowEstimator {
  hajek,             ///< 1 / chance, then the row scaled to its full weight: small error, biased by O(1 / k)
  horvitz_thompson,  ///< 1 / chance: unbiased
  plain              ///< no factor, and no weights where coefficients are 1: for mean aggregators
};

struct LaborSamplerOptions {
  std::vector<int> fanouts{10, 10};  ///< k per layer, next to the seeds first; -1 = all
  TargetBatches batches{};
  std::size_t iterations = 0;     ///< i of LABOR-i
  bool converge = false;          ///< LABOR-*: iterate until the expected number of sources stands still
  bool layer_dependency = false;  ///< the same numbers in all layers: their sources become nested
  RowEstimator estimator = RowEstimator::hajek;
};

/// Picks by one random number per source, which all destinations share: edge t -> s is kept where
/// r_t <= c_s pi_t, with c_s set so that the estimate of s has the variance of k-of-d sampling.
class LaborPicker {
 public:
  using Options = LaborSamplerOptions;
  static constexpr bool kExact = false;
  static constexpr const char* kName = "LaborSampler";

  struct Workspace {
    NeighborFrontier frontier;
    Array<double> c;   ///< per destination
    Array<double> pi;  ///< per source of the frontier; unused for LABOR-0
    Array<double> number;
    Array<double> next;
    bool uniform = true;  ///< pi is 1 everywhere
  };

  explicit LaborPicker(const Options& options) : options_(options) {
    detail::check_fanouts(options.fanouts, kName);
  }

  std::size_t num_layers() const noexcept { return options_.fanouts.size(); }
  void check(CsrView<>) const noexcept {}
  bool scales(CsrView<>) const noexcept { return options_.estimator != RowEstimator::plain; }

  /// Errors   Error if a weight of a destination's row is negative or not finite
  void begin_layer(const LayerView& layer, Workspace& w) const {
    const std::size_t rows = layer.rows.size();
    detail::resize_roomy(w.c, rows);
    w.uniform = options_.iterations == 0 && !options_.converge;
    if (w.uniform) {
      parallel_for(rows, 64, [&](std::size_t s, std::size_t end) {
        for (; s < end; ++s) w.c[s] = solve_row(layer, w, s, 1.0);
      });
      return;
    }
    w.frontier.find(layer);
    const std::size_t sources = w.frontier.num_sources();
    w.pi.reserve(w.frontier.node.capacity());
    w.number.reserve(w.frontier.node.capacity());
    w.next.reserve(w.frontier.node.capacity());
    w.pi.assign(sources, 1.0);
    w.number.resize(sources);
    w.next.resize(sources);
    parallel_for(sources, 1024, [&](std::size_t t, std::size_t end) {
      for (; t < end; ++t) w.number[t] = number_of(layer, w.frontier.node[t]);
    });
    solve(layer, w, true);
    double expected = expected_sources(w);
    const std::size_t limit = options_.converge ? 50 : options_.iterations;
    for (std::size_t i = 0; i < limit; ++i) {
      follow(w);
      solve(layer, w, false);
      const double now = expected_sources(w);
      if (options_.converge && now >= expected * (1 - 1e-4)) break;
      expected = now;
    }
  }

  std::size_t capacity(const LayerView& layer, const Workspace&, std::size_t i) const noexcept {
    return options_.fanouts[layer.hop] == 0 ? 0 : layer.graph.degree(layer.rows[i]);
  }

  PickedRow pick(const LayerView& layer, const Workspace& w, std::size_t s, std::uint32_t* step,
                 float* scale) const noexcept {
    const NodeId node = layer.rows[s];
    const auto row = layer.graph.neighbors(node);
    const auto weight = layer.graph.weights(node);
    if (options_.fanouts[layer.hop] == 0) return {};
    const double loop = layer.coefficients.adds_loop(node) ? 1.0 : 0.0;
    double full = loop;
    double kept = loop;
    std::size_t count = 0;
    for (std::size_t t = 0; t < row.size(); ++t) {
      const double a = weight.empty() ? 1.0 : static_cast<double>(weight[t]);
      full += a;
      const double chance = chance_of(w, s, t);
      const double number = w.uniform ? number_of(layer, row[t]) : w.number[source(w, s, t)];
      if (number > chance || a == 0.0) continue;
      if (scale != nullptr) scale[count] = static_cast<float>(1.0 / chance);
      kept += a / chance;
      step[count++] = static_cast<std::uint32_t>(t);
    }
    if (options_.estimator != RowEstimator::hajek || !(kept > 0)) return {count};
    const auto factor = static_cast<float>(full / kept);
    for (std::size_t t = 0; t < count; ++t) scale[t] *= factor;
    return {count, factor};
  }

  /// The chance that entry t of row s is kept, after begin_layer.
  double chance_of(const Workspace& w, std::size_t s, std::size_t t) const noexcept {
    return std::min(1.0, w.uniform ? w.c[s] : w.c[s] * w.pi[source(w, s, t)]);
  }

  /// The expected number of different sources, destinations not counted unless someone aggregates from them.
  static double expected_sources(const Workspace& w) {
    const NeighborFrontier& f = w.frontier;
    return parallel_sum<double>(f.num_sources(), 1024, [&](std::size_t t, std::size_t end) {
      double sum = 0;
      for (; t < end; ++t) sum += std::min(1.0, w.pi[t] * largest_c(w, t));
      return sum;
    });
  }

 private:
  static std::size_t source(const Workspace& w, std::size_t s, std::size_t t) noexcept {
    return w.frontier.col[w.frontier.row_ptr[s] + t];
  }
  double number_of(const LayerView& layer, NodeId t) const noexcept {
    return layer.rng(options_.layer_dependency ? 0 : layer.hop, t).uniform_open();
  }
  static double largest_c(const Workspace& w, std::size_t t) noexcept {
    double c = 0;
    for (EdgeId e = w.frontier.column_ptr[t]; e < w.frontier.column_ptr[t + 1]; ++e)
      c = std::max(c, w.c[w.frontier.row_of[e]]);
    return c;
  }

  /// pi_t <- pi_t max_s c_s.
  static void follow(Workspace& w) {
    parallel_for(w.pi.size(), 1024, [&](std::size_t t, std::size_t end) {
      for (; t < end; ++t) {
        const double c = largest_c(w, t);
        w.next[t] = c > 0 ? w.pi[t] * c : w.pi[t];
      }
    });
    std::swap(w.pi, w.next);
  }

  void solve(const LayerView& layer, Workspace& w, bool first) const {
    parallel_for(layer.rows.size(), 64, [&](std::size_t s, std::size_t end) {
      for (; s < end; ++s) w.c[s] = solve_row(layer, w, s, first ? 1.0 : w.c[s]);
    });
  }

  /// c of sum_t A^2 / min(1, c pi_t) = a^2 / k - a^2 / d + sum_t A^2, whose left side falls in c.
  double solve_row(const LayerView& layer, const Workspace& w, std::size_t s, double c) const {
    const NodeId node = layer.rows[s];
    const auto weight = layer.graph.weights(node);
    const auto d = static_cast<double>(layer.graph.degree(node));
    const std::size_t fanout = detail::fanout_or_all(options_.fanouts[layer.hop]);
    if (fanout == 0 || d == 0) return 0;
    double a = d;
    double squares = d;
    if (!weight.empty()) {
      a = squares = 0;
      for (const float x : weight) {
        if (!(x >= 0.0f) || !std::isfinite(x)) {
          throw Error(message("LaborSampler: row ", node, " has a weight of ", x,
                              ", want a finite number of 0 or more"));
        }
        a += static_cast<double>(x);
        squares += static_cast<double>(x) * static_cast<double>(x);
      }
      if (!(squares > 0)) return 0;
    }
    const double k = std::min(d, static_cast<double>(fanout));
    const double want = a * a / k - a * a / d + squares;
    if (w.uniform) return fanout >= layer.graph.degree(node) ? 1.0 : std::min(1.0, squares / want);
    c = c > 0 ? c : 1.0;
    constexpr int kMostRounds = 100;
    for (int round = 0; round < kMostRounds; ++round) {
      double have = 0;
      for (std::size_t t = 0; t < static_cast<std::size_t>(d); ++t) {
        const double x = weight.empty() ? 1.0 : static_cast<double>(weight[t]);
        have += x * x / std::min(1.0, c * w.pi[source(w, s, t)]);
      }
      if (std::min(have, want) >= std::max(have, want) * (1 - 1e-6)) break;
      c *= have / want;
    }
    return c;
  }

  Options options_;
};

/// LABOR: neighbour sampling whose destinations agree about their common neighbours, so that fewer different
/// nodes are fetched for the same variance.
///
///     LaborSampler sampler({.fanouts = {10, 10}, .iterations = 1});
///
/// The number kept varies around k; a row may keep none. A mean aggregator, which ignores coefficients, is
/// right for LABOR-0 on an unweighted graph only. Weighted graphs use the general equation with pi = 1 at
/// first.
/// Cost     sample: work O(degrees of the destinations), times the rounds of the solver for LABOR-i, i > 0
/// Errors   sample: Error for a weight that is negative or not finite
/// Source   Balin & Catalyurek, Layer-neighbor sampling: defusing neighborhood explosion in GNNs, NeurIPS
///          2023, section 3.2
using LaborSampler = BlockSampler<LaborPicker>;

}  // namespace tessera
