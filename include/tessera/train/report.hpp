// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tessera/core/isa.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/version.hpp"
#include "tessera/train/concepts.hpp"
#include "tessera/train/detail/replace_file.hpp"
#include "tessera/train/json_writer.hpp"
#include "tessera/train/records.hpp"
#include "tessera/train/system_info.hpp"

namespace tessera {

/// A named value of a report: an option, or a method's own figure.
struct ReportField {
  std::string name;
  std::variant<bool, std::int64_t, double, std::string> value;
};

/// What is said about the data.
struct DatasetSummary {
  std::string name = {};
  std::size_t nodes = 0;
  std::size_t edges = 0;
  std::size_t features = 0;
  std::size_t classes = 0;
  std::size_t train = 0;
  std::size_t val = 0;
  std::size_t test = 0;
};

/// Counts nodes, stored edges and roles.
template <NodeData D>
DatasetSummary summarize(const D& data, std::string name) {
  const CsrView<> graph = data.graph.view();
  DatasetSummary out{std::move(name), graph.num_rows, graph.num_edges(),
                     MatrixView<const float>(data.features).cols(), data.labels.num_classes};
  for (const Role role : std::span<const Role>(data.roles)) {
    out.train += role == Role::train ? 1u : 0u;
    out.val += role == Role::val ? 1u : 0u;
    out.test += role == Role::test ? 1u : 0u;
  }
  return out;
}

/// One run of a report.
struct RunSummary {
  std::uint64_t seed = 0;
  FitReport fit = {};
  std::vector<ReportField> additions = {};
};

/// Where the wall time of a program went.
struct PhaseSeconds {
  double load = 0;
  double partition = 0;
  double precompute = 0;
  double train = 0;
  double infer = 0;
};

/// Everything a program reports about itself; `to_json` gives the text.
struct Report {
  std::string program = {};
  DatasetSummary dataset = {};
  std::vector<ReportField> options = {};
  std::vector<RunSummary> runs = {};
  PhaseSeconds seconds = {};
  std::string precision = "fp32";
  std::vector<ReportField> additions = {};  ///< per method: edge cut, staleness, ...

  /// Mean of the runs' test metric; 0 without runs.
  double test_mean() const noexcept {
    double sum = 0;
    for (const RunSummary& run : runs) sum += run.fit.evaluation.test.metric;
    return runs.empty() ? 0 : sum / static_cast<double>(runs.size());
  }
  /// Sample standard deviation (n - 1) of the runs' test metric; 0 for fewer than two.
  double test_std() const noexcept {
    if (runs.size() < 2) return 0;
    const double mean = test_mean();
    double sum = 0;
    for (const RunSummary& run : runs) {
      const double off = run.fit.evaluation.test.metric - mean;
      sum += off * off;
    }
    return std::sqrt(sum / static_cast<double>(runs.size() - 1));
  }
};

namespace detail {

inline void write_field(JsonWriter& json, const ReportField& field) {
  std::visit([&](const auto& value) { json.member(field.name, value); }, field.value);
}

/// A metric, or null where the role has no labelled node.
inline void write_score(JsonWriter& json, std::string_view key, const Score& score, double Score::*what) {
  json.key(key);
  if (score.count == 0) {
    json.null();
  } else {
    json.value(score.*what);
  }
}

inline void write_profile(JsonWriter& json, const Profile& p) {
  json.key("profile").begin_object().member("wait", p.wait).member("gather", p.gather);
  json.member("forward", p.forward).member("backward", p.backward).member("optimizer", p.optimizer);
  json.member("other", p.other).member("overhead", p.overhead()).member("sample", p.sample).end_object();
}

inline void write_run(JsonWriter& json, const RunSummary& run) {
  const FitReport& fit = run.fit;
  json.begin_object()
      .member("seed", run.seed)
      .member("epochs", fit.epochs)
      .member("best_epoch", fit.best_epoch);
  write_score(json, "train_metric", fit.evaluation.train, &Score::metric);
  write_score(json, "val_metric", fit.evaluation.val, &Score::metric);
  write_score(json, "test_metric", fit.evaluation.test, &Score::metric);
  write_score(json, "val_loss", fit.evaluation.val, &Score::loss);
  json.member("seconds_train", fit.seconds_train).member("seconds_per_epoch", fit.seconds_per_epoch());
  json.member("seconds_evaluate", fit.seconds_evaluate).member("stopped_early", fit.stopped_early);
  write_profile(json, fit.profile);
  for (const ReportField& field : run.additions) write_field(json, field);
  json.end_object();
}

}  // namespace detail

/// The report as indented JSON: the common envelope of all programs, with the machine it ran on.
inline std::string to_json(const Report& report) {
  JsonWriter json(JsonWriter::Layout::indented);
  json.begin_object().member("program", report.program).member("version", kVersion);
  const DatasetSummary& d = report.dataset;
  json.key("dataset").begin_object().member("name", d.name).member("nodes", d.nodes).member("edges", d.edges);
  json.member("features", d.features).member("classes", d.classes).member("train", d.train);
  json.member("val", d.val).member("test", d.test).end_object();
  json.key("options").begin_object();
  for (const ReportField& field : report.options) detail::write_field(json, field);
  json.end_object().key("runs").begin_array();
  for (const RunSummary& run : report.runs) detail::write_run(json, run);
  json.end_array();
  json.member("metric", name(report.runs.empty() ? Metric::accuracy : report.runs.front().fit.metric));
  const bool tested = !report.runs.empty() && report.runs.front().fit.evaluation.test.count > 0;
  json.key("test_mean");
  tested ? json.value(report.test_mean()) : json.null();
  json.key("test_std");
  tested ? json.value(report.test_std()) : json.null();
  const PhaseSeconds& s = report.seconds;
  json.key("seconds").begin_object().member("load", s.load).member("partition", s.partition);
  json.member("precompute", s.precompute).member("train", s.train).member("infer", s.infer).end_object();
  json.member("peak_rss_bytes", peak_rss_bytes()).member("threads", max_threads());
  json.member("isa", name(active_isa())).member("precision", report.precision);
  for (const ReportField& field : report.additions) detail::write_field(json, field);
  json.end_object();
  return json.text() + "\n";
}

/// Writes the report, whole or not at all.
///
/// Errors   FormatError GEN-04 if the file cannot be written
inline void write_report(const std::filesystem::path& file, const Report& report) {
  detail::replace_file(file, to_json(report));
}

}  // namespace tessera
