// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>

#include "tessera/core/error.hpp"
#include "tessera/core/rng.hpp"

namespace tessera {

/// What a HistoryModel does about the rows of a batch's halo, where batches differ from the whole graph.
///
/// Semantics no compiler can check: `kComputesHalo` says whether batches must bring rows of the halo (`HaloRows`),
/// `kSendsGradients` whether those take part in backward; `kAddsNoise`, where there is one, whether blocks have a second
/// column for every computed one.
template <class P>
concept HistoryPolicy = std::copyable<P> && requires(const P& policy) {
  { P::kComputesHalo } -> std::convertible_to<bool>;
  { P::kSendsGradients } -> std::convertible_to<bool>;
  policy.check();
};

/// The halo is what the history holds: GNNAutoScale, and VR-GCN with ControlVariateSampler.
struct PullHistory {
  static constexpr bool kComputesHalo = false;
  static constexpr bool kSendsGradients = false;
  void check() const {}
};

/// The halo is what the history holds, and dropout is a noise with columns of its own (CVD): rows enter a layer without
/// dropout, what dropout adds to the computed ones comes beside them, weighted so that its variance is that of the full
/// sum. Needs ControlVariateSamplerOptions::noise_columns and a model that drops nothing itself.
///
/// Errors   ConfigError unless dropout is in [0, 1)
/// Source   Chen, Zhu & Song, ICML 2018, section 4.3 (CVD); differs: features enter the first layer undropped
struct ControlVariateDropout {
  static constexpr bool kComputesHalo = false;
  static constexpr bool kSendsGradients = false;
  static constexpr bool kAddsNoise = true;
  float dropout = 0.5f;

  void check() const {
    if (dropout >= 0 && dropout < 1) return;
    throw ConfigError(message("ControlVariateDropout: dropout is ", dropout, ", want a number in [0, 1)"));
  }
};

/// Before halo rows are used, the history moves towards what the batch says of them:
/// T_j <- (1 - gamma) T_j + gamma p_j, p_j the layer's row of j over its neighbours in the batch. Needs
/// HaloRows::from_batch.
///
/// Errors   ConfigError unless gamma is in [0, 1]; 0 is PullHistory
/// Source   Yu et al., GraphFM: improving large-scale GNN training via feature momentum, ICML 2022, eq. (8)
///          (FM-OB); differs: j's own row takes part where the layer has loops, and the step at hand already uses the
///          new value
struct FeatureMomentum {
  static constexpr bool kComputesHalo = true;
  static constexpr bool kSendsGradients = false;
  double gamma = 0.5;

  void check() const {
    if (gamma >= 0 && gamma <= 1) return;
    throw ConfigError(message("FeatureMomentum: gamma is ", gamma, ", want a number in [0, 1]"));
  }
};

/// How far a halo row that is incomplete by a share 1 - x may be believed.
enum class CompensationScore {
  linear,    ///< x
  constant,  ///< 1
  concave,   ///< x (2 - x)
  convex     ///< x^2
};

/// Local message compensation: halo rows are computed as far as the batch shows them and mixed with the history,
/// values forward and gradients backward. Needs HaloRows::all.
///
///     forward   h^_i = (1 - beta_i) T_i + beta_i h~_i, its derivative that of h~_i
///     backward  g^_i = (1 - beta_i) V_i + beta_i g_i, V the history of the loss's derivatives by rows
///
/// with beta_i = beta score(share of i's row that the batch shows), 1 for complete rows and where T_i was never written.
/// Weights learn from the batch's own rows only.
/// Errors   ConfigError unless beta is in [0, 1]
/// Source   Shi, Liang & Wang, LMC: fast training of GNNs via subgraph sampling with provable convergence, ICLR 2023,
///          eq. (8) to (13); differs: histories hold activated rows, as GNNAutoScale's
struct MessageCompensation {
  static constexpr bool kComputesHalo = true;
  static constexpr bool kSendsGradients = true;
  double beta = 0.4;
  CompensationScore score = CompensationScore::linear;

  void check() const {
    if (beta >= 0 && beta <= 1) return;
    throw ConfigError(message("MessageCompensation: beta is ", beta, ", want a number in [0, 1]"));
  }
  /// What a row of which the batch shows a share x weighs against its history.
  double weight(double x) const noexcept {
    if (x >= 1) return 1;
    switch (score) {
      case CompensationScore::linear:
        return beta * x;
      case CompensationScore::constant:
        return beta;
      case CompensationScore::concave:
        return beta * x * (2 - x);
      case CompensationScore::convex:
        return beta * x * x;
    }
    return beta;
  }
};

}  // namespace tessera
