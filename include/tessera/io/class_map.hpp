// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/id_map.hpp"
#include "tessera/io/json_scanner.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// The class count of single labels, max + 1, and warnings about classes that never occur.
///
/// Errors   FormatError LBL-03 for a label below -1 or beyond 2^24; LBL-01 if every node is unlabelled
inline std::size_t count_classes(std::span<const std::int32_t> classes, const Place& place,
                                 std::vector<std::string>& warnings) {
  constexpr std::int32_t kMaxClass = 1 << 24;
  std::int32_t highest = -1;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (classes[i] < kUnlabelled || classes[i] > kMaxClass) {
      place.fail("LBL-03", "label ", classes[i], " of node ", i, ", want -1 (none) or a class from 0 on");
    }
    highest = std::max(highest, classes[i]);
  }
  if (highest < 0) place.fail("LBL-01", "no node has a label");
  std::vector<bool> occurs(static_cast<std::size_t>(highest) + 1);
  for (const std::int32_t c : classes) {
    if (c >= 0) occurs[static_cast<std::size_t>(c)] = true;
  }
  const auto lowest = std::find(occurs.begin(), occurs.end(), true) - occurs.begin();
  const auto absent = std::count(occurs.begin() + lowest, occurs.end(), false);
  if (lowest > 0) {
    warnings.push_back(place.warning("LBL-03", "class ids start at ", static_cast<std::int64_t>(lowest), "; ",
                                     occurs.size(), " classes are counted"));
  }
  if (absent > 0) {
    warnings.push_back(place.warning("LBL-03", static_cast<std::int64_t>(absent), " of ", occurs.size(),
                                     " classes never occur"));
  }
  return occurs.size();
}

/// Turns single labels into one indicator per class; an unlabelled node gets a row of zeros.
inline void to_indicators(Labels& labels) {
  labels.indicators = Tensor<float>::zeros(labels.classes.size(), labels.num_classes);
  for (std::size_t i = 0; i < labels.classes.size(); ++i) {
    if (labels.classes[i] >= 0) labels.indicators(i, static_cast<std::size_t>(labels.classes[i])) = 1.0f;
  }
  labels.classes = {};
}

namespace detail {

/// Reads the values of a class map in the order of the file; `finish` puts them in the order of the rows.
class ClassMapReader {
 public:
  ClassMapReader(JsonScanner& json, const IdMap& ids, const ReadOptions& options)
      : json_(json),
        ids_(ids),
        options_(options),
        place_(json.file()),
        row_seen_(ids.size(), std::uint8_t{0}) {}

  void read() {
    json_.expect(JsonEvent::begin_object, "an object from node id to label");
    while (json_.next() == JsonEvent::key) {
      id_ = json_.text().substr(0, 80);
      const NodeId row = ids_.find(json_.text());
      if (row == kNoNode) {
        place_.fail("LBL-01", "node ", id_, " is unknown; ", grouped(ids_.size()), " nodes have ids");
      }
      if (row_seen_[row]++ != 0) place_.fail("LBL-01", "node ", id_, " occurs twice");
      rows_.push_back(row);
      read_value(json_.next());
    }
    json_.expect(JsonEvent::end, "nothing after the object");
    if (rows_.size() != ids_.size()) {
      const auto missing = std::find(row_seen_.begin(), row_seen_.end(), std::uint8_t{0}) - row_seen_.begin();
      place_.fail("LBL-01", "the map has ", grouped(rows_.size()), " entries, want ", grouped(ids_.size()),
                  "; first missing id: ", ids_.id(static_cast<NodeId>(missing)));
    }
  }

  Labels finish(std::vector<std::string>& warnings) {
    Labels out;
    if (lists_) {
      if (options_.multilabel == MultiLabel::off) {
        place_.fail("LBL-02", "labels are lists of ", width_, ", but single classes were asked for");
      }
      require_within(place_, saturating_product(rows_.size(), 4 * width_), byte_limit(options_));
      out.num_classes = width_;
      out.indicators.resize(rows_.size(), width_);
      parallel_for(rows_.size(), 1024, [&](std::size_t begin, std::size_t end) {
        for (std::size_t k = begin; k < end; ++k) {
          std::copy_n(bits_.begin() + k * width_, width_, out.indicators.row(rows_[k]).begin());
        }
      });
      return out;
    }
    out.classes.resize(rows_.size());
    for (std::size_t k = 0; k < rows_.size(); ++k) out.classes[rows_[k]] = classes_[k];
    out.num_classes = count_classes(out.classes, place_, warnings);
    if (options_.multilabel == MultiLabel::on) to_indicators(out);
    return out;
  }

 private:
  void read_value(JsonEvent event) {
    const bool list = event == JsonEvent::begin_array;
    if (rows_.size() == 1) lists_ = list;
    if (list != lists_) place_.fail("LBL-02", "labels mix integers and lists, first at node ", id_);
    if (list) {
      read_list();
    } else {
      const std::int64_t label = number(event, "label ");
      if (label < kUnlabelled || label > (1 << 24)) {
        place_.fail("LBL-03", "label ", label, " of node ", id_, ", want -1 (none) or a class from 0 on");
      }
      classes_.push_back(static_cast<std::int32_t>(label));
    }
  }

  void read_list() {
    std::size_t width = 0;
    for (JsonEvent e = json_.next(); e != JsonEvent::end_array; e = json_.next(), ++width) {
      const std::int64_t bit =
          e == JsonEvent::boolean ? (json_.boolean() ? 1 : 0) : number(e, "multi-label entry ");
      if (bit != 0 && bit != 1) {
        place_.fail("LBL-03", "multi-label entry ", width, " of node ", id_, " is ", bit, ", want 0 or 1");
      }
      bits_.push_back(static_cast<std::uint8_t>(bit));
    }
    if (rows_.size() == 1) {
      if (width == 0) place_.fail("LBL-02", "label of node ", id_, " is an empty list");
      width_ = width;
    }
    if (width != width_) {
      place_.fail("LBL-02", "label of node ", id_, " has ", width, " entries, others have ", width_);
    }
  }

  // 3 and 3.0 are the integer 3.
  std::int64_t number(JsonEvent event, std::string_view what) const {
    if (event == JsonEvent::integer) return json_.integer();
    if (event != JsonEvent::real) {
      place_.fail("LBL-02", what, "of node ", id_, " is ", JsonScanner::name_of(event), ", want an integer");
    }
    const double value = json_.number();
    if (std::trunc(value) != value || std::abs(value) > 1e9) {
      place_.fail("LBL-03", what, json_.text().substr(0, 40), " of node ", id_, " is not an integer");
    }
    return static_cast<std::int64_t>(value);
  }

  JsonScanner& json_;
  const IdMap& ids_;
  const ReadOptions& options_;
  Place place_;
  std::string id_;
  bool lists_ = false;
  std::size_t width_ = 0;
  Array<std::uint8_t> row_seen_;
  Array<NodeId> rows_;           // in the order of the file
  Array<std::int32_t> classes_;  // one per row, or
  Array<std::uint8_t> bits_;     // width_ per row
};

}  // namespace detail

/// Reads `class_map.json`: one object from node id to a class, or to a list of C zeros and ones.
///
/// Labels may be printed as 3 or 3.0; -1 means none.
/// Shapes   ids.size() entries, one per id -> labels over the rows of `ids`
/// Errors   FormatError LBL-01 (an id missing, unknown or twice), LBL-02 (integers and lists mixed, lists of
///          different length), LBL-03 (value), JSN-01 (syntax), GEN-03 (larger than the limit)
inline Labels read_class_map(JsonScanner& json, const IdMap& ids, const ReadOptions& options,
                             std::vector<std::string>& warnings) {
  detail::ClassMapReader reader(json, ids, options);
  reader.read();
  return reader.finish(warnings);
}

inline Labels read_class_map(const std::filesystem::path& path, const IdMap& ids, const ReadOptions& options,
                             std::vector<std::string>& warnings) {
  JsonScanner json(ByteSource::file(path));
  return read_class_map(json, ids, options, warnings);
}

}  // namespace tessera::io
