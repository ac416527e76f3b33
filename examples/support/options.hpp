// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/checks.hpp"
#include "tessera/core/precision.hpp"
#include "tessera/train/report.hpp"

namespace examples {

/// The options every node example shares; `--help` prints them with these defaults.
struct Options {
  std::string data;
  std::string format;
  std::string split;
  std::string features = "auto";
  EdgeChoice edges;
  bool inductive = false;
  bool multilabel = false;
  std::size_t nodes = 20'000;

  std::string model = "gcn";
  std::size_t epochs = 200;
  std::size_t hidden = 16;
  std::size_t layers = 2;
  float dropout = 0.5f;
  bool layer_norm = false;
  bool residual = false;
  float diag_lambda = 0;
  bool precomputed =
      false;  ///< features are [A X | X]: the cluster-gcn network's first layer only transforms
  std::string arch = "1-0-1-0";
  double lr = 0.01;
  double weight_decay = 5e-4;
  std::string decay = "first";
  double clip_norm = 0;
  std::string keep = "best-loss";
  std::uint64_t patience = 0;
  std::uint64_t eval_every = 1;
  std::string precision = "fp32";

  std::size_t runs = 1;
  std::uint64_t seed = 0;
  std::size_t threads = 0;

  std::vector<std::string> models;  ///< names `--model` takes; empty: all
  /// Shared options this program does not have, e.g. "--model": refused on its command line and left out of its report.
  std::vector<std::string> without;

  std::string report;
  std::string log;
  std::string plot;
  std::string checkpoint;
  bool resume = false;
  std::string profile;
  bool quiet = false;
};

inline tessera::Precision precision_of(const Options& o) noexcept {
  return o.precision == "bf16" ? tessera::Precision::bf16 : tessera::Precision::fp32;
}

/// `without` of a program that brings its own network, and `more`.
std::vector<std::string> without_networks(std::vector<std::string> more = {});

/// Declares the shared options. An example changes defaults in `o` before and adds its own options after.
void add_options(CLI::App& app, Options& o);

/// The options as a report lists them.
std::vector<tessera::ReportField> report_fields(const Options& o);

}  // namespace examples
