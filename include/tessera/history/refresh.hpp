// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "tessera/core/error.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/history/concepts.hpp"

namespace tessera {

/// A hook that makes a model's history exact: before the first epoch (also of a resumed run), and after epochs.
///
///     trainer.fit(data, {.epochs = 200}, RefreshHistory{});
///
/// Evaluations on the training graph refresh already; what is left to the hook are epochs without one and inductive
/// runs. With a refresh after every epoch the tables are a function of the weights, so that resumed runs are those
/// that never stopped.
/// Cost     an inference over the training graph each time; holds its prepared adjacency
/// Errors   ConfigError if `every` is 0; when training begins, if the model's tables belong to another graph
class RefreshHistory {
 public:
  struct Options {
    std::uint64_t every = 1;        ///< epochs between refreshes
    bool before_first = true;       ///< never train on empty tables
    std::size_t memory_budget = 0;  ///< bytes of activations, 0 = as many as it takes
  };

  RefreshHistory() : RefreshHistory(Options{}) {}
  explicit RefreshHistory(const Options& options) : options_(options) {
    if (options.every == 0) throw ConfigError("RefreshHistory: every is 0, want at least 1 epoch");
  }

  template <class Run>
  void on_fit_begin(Run& run) {
    prepare(run);
    if (options_.before_first) refresh(run);
  }
  template <class Run>
  void on_epoch_end(Run& run) {
    const bool evaluated = !run.history().empty() && run.history().back().evaluated;
    if (evaluated && !run.options().inductive) return;
    if (run.next_epoch() % options_.every == 0 && !run.finished()) refresh(run);
  }

 private:
  template <class Run>
  void prepare(Run& run) {
    static_assert(KeepsHistory<std::remove_cvref_t<decltype(run.model())>>,
                  "RefreshHistory needs a HistoryModel");
    const auto& data = run.data();
    const bool inductive = run.options().inductive;
    graph_.emplace(prepare_adjacency(inductive ? data.train_graph.view() : data.graph.view(),
                                     inductive ? data.train_graph.symmetric : data.graph.symmetric,
                                     run.model().aggregation()));
    run.model().keep_for(graph_->adjacency());
  }
  template <class Run>
  void refresh(Run& run) {
    run.model().infer_layers(graph_->adjacency(), training_features(run.data()), options_.memory_budget);
  }

  Options options_;
  std::optional<PreparedAdjacency> graph_;
};

}  // namespace tessera
