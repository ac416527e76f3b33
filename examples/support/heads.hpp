// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "support/options.hpp"
#include "support/train.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/precompute/hop_features.hpp"
#include "tessera/precompute/propagate_options.hpp"

namespace examples {

/// How features are propagated before training.
struct PropagateChoice {
  std::string operators = "gcn:2";  ///< name:hops, separated by commas
  std::string store = "f32";
  std::string file;        ///< "" keeps the result in memory
  double memory_gib = 0;   ///< 0: no limit
  double alpha = 0.1;      ///< of ppr
  bool last_only = false;  ///< keep the last power of each operator only
  bool include_input = true;
};

/// Declares the options above.
void add_options(CLI::App& app, PropagateChoice& choice);

/// A data set whose features are propagated ones; training reads those of the training graph where that is
/// another one.
struct PropagatedData {
  tessera::HopFeatures whole;
  tessera::HopFeatures train;
  tessera::Tensor<float> wide_whole;  ///< reduced elements, widened
  tessera::Tensor<float> wide_train;
  tessera::Array<tessera::EdgeId> row_ptr;  ///< of a graph without entries: heads look at no neighbours
  tessera::DatasetView view;
};

/// Propagates the features of `data`; seconds and blocks go into the report. `data` must outlive the result.
PropagatedData propagate_data(const Options& o, const PropagateChoice& choice,
                              const tessera::DatasetView& data, tessera::Report& report);

/// Random roles for every labelled node, a function of the seed: the share `train`, then `val`, the rest test.
tessera::Array<tessera::Role> random_roles(const tessera::LabelsRef& labels, double train, double val,
                                           std::uint64_t seed);

/// Trains heads on rows: `o.runs` models of make_model, in batches of `batch_size` rows (0: full). With
/// `resplit`, every run draws 60/20/20 roles of its own.
void train_heads(const Options& o, tessera::DatasetView data, std::size_t batch_size, bool resplit,
                 tessera::Report& report, const RunExtras& extras);

/// Logits of every row.
tessera::Tensor<float> logits_of(const tessera::AnyModel<>& model, tessera::MatrixView<const float> features);

}  // namespace examples
