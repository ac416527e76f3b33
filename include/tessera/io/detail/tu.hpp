// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tessera/io/detail/graph_links.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/finite.hpp"
#include "tessera/io/text_table.hpp"
#include "tessera/io/tu.hpp"

namespace tessera::io {
namespace detail {

inline constexpr std::string_view kTuIndicator = "_graph_indicator.txt";

/// The data set's name: what stands before _graph_indicator.txt; empty if the folder has no such file.
inline std::string tu_name(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kTuIndicator)) names.push_back(name.substr(0, name.size() - kTuIndicator.size()));
  }
  std::sort(names.begin(), names.end());
  return names.empty() ? "" : names.front();
}

/// Tables side by side.
inline Tensor<float> join_columns(MatrixView<const float> left, MatrixView<const float> right) {
  if (left.cols() == 0) return Tensor<float>::copy_of(right);
  if (right.cols() == 0) return Tensor<float>::copy_of(left);
  Tensor<float> out(left.rows(), left.cols() + right.cols());
  for (std::size_t i = 0; i < out.rows(); ++i) {
    std::copy(left.row(i).begin(), left.row(i).end(), out.row(i).begin());
    std::copy(right.row(i).begin(), right.row(i).end(),
              out.row(i).begin() + static_cast<std::ptrdiff_t>(left.cols()));
  }
  return out;
}

class TuReader {
 public:
  TuReader(const std::filesystem::path& folder, const ReadOptions& options)
      : folder_(folder), options_(options), limits_{.max_bytes = byte_limit(options)} {
    out_.name = tu_name(folder);
    if (out_.name.empty()) Place(folder).fail("GEN-01", "the folder has no <name>", kTuIndicator);
    out_.provenance.layout = "tu";
  }

  GraphDataset read() {
    read_indicator();
    read_targets();
    IdPairs pairs = read_edges();
    const BuildOptions build{.symmetrize = options_.symmetrise == Symmetrise::on,
                             .duplicates = options_.duplicates,
                             .self_loops = options_.self_loops};
    LinkedGraph linked = link_graph(graph_of_.size(), pairs.source, pairs.target, build);
    out_.graph = std::move(linked.graph);
    out_.provenance.edge_policy = describe(linked.counts, out_.graph.num_edges(), build.symmetrize);
    const std::size_t links = pairs.size();
    pairs = {};
    out_.features = read_features("node", graph_of_.size(), "graph_indicator.txt");
    const Tensor<float> of_links = read_features("edge", links, "A.txt");
    if (of_links.cols() != 0) out_.edge_features = spread_to_entries(of_links.view(), linked.link_of);
    out_.roles.assign(out_.num_graphs(), Role::none);
    return std::move(out_);
  }

 private:
  std::filesystem::path file(std::string_view suffix) const {
    return find_text(folder_, message(out_.name, "_", suffix));
  }
  std::filesystem::path require(std::string_view suffix) const {
    return require_text(folder_, message(out_.name, "_", suffix));
  }

  /// Graph numbers per node, from 1 and ascending; graphs without nodes are possible.
  void read_indicator() {
    TextBlocks text{require("graph_indicator.txt")};
    const Array<std::int64_t> numbers = read_integer_column(text, {}, limits_);
    if (numbers.size() >= kNoNode) text.place().fail("EDG-03", "the nodes do not fit 32-bit node numbers");
    graph_of_.resize(numbers.size());
    std::int64_t last = 1;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (numbers[i] < last || numbers[i] > static_cast<std::int64_t>(numbers.size()) + last) {
        text.at_line(i + 1).fail("TUD-01", "graph ", numbers[i], " follows graph ", last,
                                 "; want numbers from 1 on in ascending order");
      }
      last = numbers[i];
      graph_of_[i] = static_cast<std::uint32_t>(last - 1);
    }
    lines_ = static_cast<std::uint64_t>(numbers.empty() ? 0 : last);
  }

  void read_targets() {
    const std::filesystem::path labels = file("graph_labels.txt");
    const std::filesystem::path values = file("graph_attributes.txt");
    if (labels.empty() && values.empty()) require("graph_labels.txt");
    std::size_t graphs = 0;
    if (!labels.empty()) {
      TextBlocks text{labels};
      graphs = number_classes(read_integer_column(text, {}, limits_), text.place());
    } else {
      TextBlocks text{values};
      out_.targets.task = GraphTask::regression;
      out_.targets.values = read_number_table(text, {}, {}, limits_);
      graphs = out_.targets.values.rows();
    }
    if (graphs < lines_) {
      Place(labels.empty() ? values : labels)
          .fail("CSV-02", "graph_indicator.txt counts ", grouped(lines_), " graphs, the file has ",
                grouped(graphs), " lines");
    }
    out_.node_ptr.assign(graphs + 1, 0);
    for (const std::uint32_t g : graph_of_) ++out_.node_ptr[g + 1];
    for (std::size_t g = 0; g < graphs; ++g) out_.node_ptr[g + 1] += out_.node_ptr[g];
  }

  std::size_t number_classes(const Array<std::int64_t>& labels, const Place& place) {
    std::vector<std::int64_t> values(labels.begin(), labels.end());
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    constexpr std::size_t kMostClasses = 1 << 24;
    if (values.size() > kMostClasses) place.fail("LBL-03", "there are ", grouped(values.size()), " classes");
    out_.targets.num_classes = values.size();
    out_.targets.classes.resize(labels.size());
    for (std::size_t g = 0; g < labels.size(); ++g) {
      const auto at = std::lower_bound(values.begin(), values.end(), labels[g]);
      out_.targets.classes[g] = static_cast<std::int32_t>(at - values.begin());
    }
    return labels.size();
  }

  IdPairs read_edges() {
    TextBlocks text{require("A.txt")};
    IdPairs pairs = read_id_pairs(text, graph_of_.size(), 1, {}, {}, limits_);
    for (std::size_t e = 0; e < pairs.size(); ++e) {
      if (graph_of_[pairs.source[e]] != graph_of_[pairs.target[e]]) {
        text.at_line(e + 1).fail("TUD-02", "joins node ", pairs.source[e] + 1, " of graph ",
                                 graph_of_[pairs.source[e]] + 1, " to node ", pairs.target[e] + 1,
                                 " of graph ", graph_of_[pairs.target[e]] + 1);
      }
    }
    return pairs;
  }

  /// Attributes, then labels as columns with a single one; `what` is "node" or "edge".
  Tensor<float> read_features(std::string_view what, std::size_t rows, std::string_view says) {
    Tensor<float> attributes(rows, 0);
    if (const auto path = file(message(what, "_attributes.txt")); !path.empty()) {
      TextBlocks text{path};
      attributes = read_number_table(text, {rows, says}, {}, limits_);
      check_finite(attributes.view(), text.place(), options_.nan, &out_.provenance.warnings);
    }
    if (const auto path = file(message(what, "_labels.txt")); !path.empty()) {
      TextBlocks text{path};
      const Tensor<float> labels = read_number_table(text, {rows, says}, {}, limits_);
      return join_columns(attributes.view(), spread_labels(labels.view(), text).view());
    }
    return attributes;
  }

  /// Every column of labels counted from its least value, one column per value.
  Tensor<float> spread_labels(MatrixView<const float> labels, const TextBlocks& text) const {
    constexpr float kMostLabels = 1 << 16;
    Tensor<float> codes = Tensor<float>::copy_of(labels);
    std::vector<std::uint32_t> categories(labels.cols(), 0);
    std::uint64_t width = 0;
    for (std::size_t j = 0; j < labels.cols() && labels.rows() > 0; ++j) {
      float least = labels(0, j);
      float most = labels(0, j);
      for (std::size_t i = 0; i < labels.rows(); ++i) {
        const float value = labels(i, j);
        if (!std::isfinite(value) || value != std::trunc(value)) {
          text.at_line(i + 1).fail("LBL-03", "label ", value, " is not an integer");
        }
        least = std::min(least, value);
        most = std::max(most, value);
      }
      if (most - least >= kMostLabels) text.place().fail("LBL-03", "labels run from ", least, " to ", most);
      categories[j] = static_cast<std::uint32_t>(most - least) + 1;
      width += categories[j];
      for (std::size_t i = 0; i < labels.rows(); ++i) codes(i, j) -= least;
    }
    require_within(text.place(), saturating_product(labels.rows(), width * sizeof(float)), limits_.max_bytes);
    return one_hot(codes.view(), categories);
  }

  std::filesystem::path folder_;
  ReadOptions options_;
  Limits limits_;
  Array<std::uint32_t> graph_of_;
  std::uint64_t lines_ = 0;
  GraphDataset out_;
};

}  // namespace detail

TESSERA_DEFINE GraphDataset read_tu(const std::filesystem::path& path, const ReadOptions& options) {
  return detail::TuReader(path, options).read();
}

}  // namespace tessera::io
