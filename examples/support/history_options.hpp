// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "support/options.hpp"
#include "tessera/history/policies.hpp"
#include "tessera/history/store.hpp"
#include "tessera/train/report.hpp"

namespace examples {

/// What the programs with histories offer beside the shared options.
struct HistoryChoice {
  std::size_t parts = 40;
  std::size_t clusters_per_batch = 10;
  std::string partitioner = "multilevel";
  std::string method = "gas";
  std::string format = "exact";
  std::string folder;
  bool warm_start = false;
  bool overlap = true;
  double beta = 0.4;
  double gamma = 0.5;
  std::string score_name = "linear";
  double noise_penalty = 0;
  double alpha = 0.1;
  float entry_dropout = 0;

  /// The tables of one run; `key` says of which graph and model.
  tessera::HistoryStoreOptions store(std::uint64_t seed, std::uint64_t key) const {
    return {.format = tessera::history_format(format),
            .overlap = overlap,
            .folder = folder.empty() ? std::filesystem::path()
                                     : std::filesystem::path(folder) / ("run-" + std::to_string(seed)),
            .key = key,
            .resume = warm_start};
  }
  tessera::CompensationScore score() const {
    using S = tessera::CompensationScore;
    return score_name == "constant"  ? S::constant
           : score_name == "concave" ? S::concave
           : score_name == "convex"  ? S::convex
                                     : S::linear;
  }
  std::vector<tessera::ReportField> report_fields() const {
    return {{"method", method},
            {"parts", static_cast<std::int64_t>(parts)},
            {"clusters_per_batch", static_cast<std::int64_t>(clusters_per_batch)},
            {"partitioner", partitioner},
            {"history_format", format},
            {"appnp_alpha", alpha},
            {"entry_dropout", static_cast<double>(entry_dropout)},
            {"history_overlap", overlap}};
  }
};

/// What the GNNAutoScale paper trained a data set with (its small benchmark), and toy-PPI.
struct HistoryPreset {
  std::string_view name, model;
  std::size_t layers, hidden, parts, clusters_per_batch, epochs;
  double lr, weight_decay;
  float dropout;
  double clip;
  double alpha = 0.1;  ///< of APPNP
};
inline constexpr std::array kHistoryPresets{
    HistoryPreset{"cora-gcn", "gcn", 2, 16, 40, 10, 200, 0.01, 5e-4, 0.5f, 1},
    HistoryPreset{"citeseer-gcn", "gcn", 2, 16, 24, 8, 200, 0.01, 5e-4, 0.5f, 0},
    HistoryPreset{"computers-gcn", "gcn", 2, 64, 32, 16, 200, 0.01, 1e-3, 0.5f, 1},
    HistoryPreset{"physics-gcn", "gcn", 2, 64, 4, 2, 200, 0.01, 1e-3, 0.5f, 0},
    HistoryPreset{"cora-gat", "gat", 2, 64, 40, 10, 400, 0.005, 5e-4, 0.6f, 1},
    HistoryPreset{"citeseer-gat", "gat", 2, 64, 24, 8, 400, 0.005, 5e-4, 0.6f, 0},
    HistoryPreset{"cora-appnp", "appnp", 2, 64, 4, 2, 600, 0.01, 5e-3, 0.5f, 0},
    HistoryPreset{"citeseer-appnp", "appnp", 2, 64, 24, 6, 600, 0.01, 5e-3, 0.5f, 1},
    HistoryPreset{"cora-gcnii", "gcnii", 64, 64, 2, 1, 1000, 0.01, 1e-2, 0.6f, 0},
    HistoryPreset{"citeseer-gcnii", "gcnii", 32, 256, 40, 20, 1000, 0.01, 1e-2, 0.7f, 1},
    HistoryPreset{"computers-appnp", "appnp", 2, 64, 4, 2, 600, 0.01, 5e-3, 0.5f, 0, 0.2},
    HistoryPreset{"computers-gcnii", "gcnii", 16, 64, 32, 16, 300, 0.01, 1e-2, 0.2f, 1},
    HistoryPreset{"physics-gat", "gat", 2, 64, 4, 1, 400, 0.005, 1e-2, 0.6f, 0},
    HistoryPreset{"physics-appnp", "appnp", 2, 64, 2, 1, 600, 0.01, 5e-3, 0.5f, 1, 0.2},
    HistoryPreset{"physics-gcnii", "gcnii", 16, 64, 2, 1, 1000, 0.01, 1e-2, 0.5f, 1},
    HistoryPreset{"toy-ppi", "sage", 3, 512, 20, 2, 300, 0.005, 0, 0.0f, 1},
};

inline void apply_history_preset(std::string_view name, Options& o, HistoryChoice& h) {
  for (const HistoryPreset& p : kHistoryPresets) {
    if (p.name != name) continue;
    o.model = p.model;
    o.layers = p.layers;
    o.hidden = p.hidden;
    o.epochs = p.epochs;
    o.lr = p.lr;
    o.weight_decay = p.weight_decay;
    o.dropout = p.dropout;
    o.clip_norm = p.clip;
    o.keep = "best-metric";
    // Convolutions but the last decay in the paper: the first of two layers.
    o.decay = o.model == "gcn" || o.model == "appnp" ? "first" : "all";
    h.alpha = p.alpha;
    h.parts = p.parts;
    h.clusters_per_batch = p.clusters_per_batch;
    if (name != "toy-ppi") continue;
    o.inductive = o.multilabel = o.layer_norm = true;
    o.features = "standard";
    o.eval_every = 5;
  }
}

inline void add_history_options(CLI::App& app, Options& o, HistoryChoice& h) {
  std::vector<std::string> names;
  for (const HistoryPreset& p : kHistoryPresets) names.emplace_back(p.name);
  app.add_option_function<std::string>(
         "--preset", [&](const std::string& name) { apply_history_preset(name, o, h); },
         "The paper's settings for a data set and network; further options override them")
      ->check(CLI::IsMember(names));
  app.add_option("--parts", h.parts, "Parts of the partition")->check(kPositive)->capture_default_str();
  app.add_option("--clusters-per-batch", h.clusters_per_batch, "Parts joined into one batch")
      ->check(kPositive)
      ->capture_default_str();
  app.add_option("--partitioner", h.partitioner, "How parts are made")
      ->check(CLI::IsMember({"multilevel", "random"}))
      ->capture_default_str();
  app.add_option(
         "--method", h.method,
         "What happens at the border of a batch: gas pulls, lmc compensates, graphfm adds momentum, cluster "
         "cuts (no history)")
      ->check(CLI::IsMember({"gas", "lmc", "graphfm", "cluster"}))
      ->capture_default_str();
  app.add_option("--history-format", h.format, "How rows are kept")
      ->check(CLI::IsMember(tessera::kHistoryFormats))
      ->capture_default_str();
  auto* folder =
      app.add_option("--history-dir", h.folder, "Folder for tables in mapped files; in memory without it");
  app.add_flag("--warm-start", h.warm_start, "Begin with the tables an earlier run left there")
      ->needs(folder);
  app.add_flag("--overlap,!--no-overlap", h.overlap, "Move rows beside the computation");
  app.add_option("--beta", h.beta, "lmc: weight of fresh rows against the history")->capture_default_str();
  app.add_option("--score", h.score_name, "lmc: how that falls with missing links")
      ->check(CLI::IsMember({"linear", "constant", "concave", "convex"}))
      ->capture_default_str();
  app.add_option("--gamma", h.gamma, "graphfm: weight of fresh rows")->capture_default_str();
  app.add_option("--alpha", h.alpha, "appnp: share of the predictions in every step")->capture_default_str();
  app.add_option("--entry-dropout", h.entry_dropout, "appnp: share of the links a step drops")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--noise-penalty", h.noise_penalty, "Weight of the change of hidden rows under noise")
      ->capture_default_str();
}

}  // namespace examples
