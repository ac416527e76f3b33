// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/class_map.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/finite.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/pickle.hpp"
#include "tessera/io/pickle_arrays.hpp"
#include "tessera/io/read_options.hpp"
#include "tessera/io/splits.hpp"

namespace tessera::io {

/// Where a Planetoid data set lies: `<folder>/ind.<name>.<part>` for eight parts.
struct PlanetoidFiles {
  static constexpr std::array<std::string_view, 8> kParts = {"x",  "tx",   "allx",  "y",
                                                             "ty", "ally", "graph", "test.index"};
  std::filesystem::path folder;
  std::string name;  ///< "cora"

  std::filesystem::path part(std::string_view which) const {
    return folder / message("ind.", name, ".", which);
  }
};

namespace detail {

/// "cora" for ind.cora.allx, "" for a file of another layout.
inline std::string planetoid_name(std::string_view file) {
  if (!file.starts_with("ind.")) return {};
  file.remove_prefix(4);
  for (const std::string_view part : PlanetoidFiles::kParts) {
    if (file.size() > part.size() + 1 && file.ends_with(part) && file[file.size() - part.size() - 1] == '.') {
      return std::string(file.substr(0, file.size() - part.size() - 1));
    }
  }
  return {};
}

inline std::vector<std::string> planetoid_names(const std::filesystem::path& folder) {
  std::vector<std::string> out;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = planetoid_name(entry.path().filename().string());
    if (!name.empty()) out.push_back(name);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace detail

/// Finds a Planetoid data set: `path` is its folder, or one of its files where a folder holds several sets.
///
/// Errors   FormatError GEN-01 with the parts that are missing, GEN-02 if a folder holds several data sets
inline PlanetoidFiles find_planetoid(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  PlanetoidFiles out;
  if (fs::is_directory(path, ignored)) {
    const std::vector<std::string> names = detail::planetoid_names(path);
    if (names.empty()) Place(path).fail("GEN-01", "the folder has no ind.<name>.graph");
    if (names.size() > 1) {
      Place(path).fail("GEN-02", "the folder holds several data sets, ", names[0], " and ", names[1],
                       "; name one file, e.g. ind.", names[0], ".graph");
    }
    out = {path, names.front()};
  } else {
    out = {path.has_parent_path() ? path.parent_path() : fs::path("."),
           detail::planetoid_name(path.filename().string())};
    if (out.name.empty()) Place(path).fail("GEN-01", "not a Planetoid file; want ind.<name>.<part>");
  }
  std::string missing;
  for (const std::string_view part : PlanetoidFiles::kParts) {
    if (!fs::exists(out.part(part), ignored))
      missing += message(missing.empty() ? "" : ", ", "ind.", out.name, ".", part);
  }
  if (!missing.empty()) {
    Place(out.folder)
        .fail("GEN-01", "missing ", missing,
              "; a Planetoid data set has the parts x, tx, allx, y, ty, ally, "
              "graph and test.index");
  }
  return out;
}

namespace detail {

/// One number per line, as in test.index.
///
/// Errors   FormatError CSV-01
inline Array<std::uint32_t> read_index_lines(const std::filesystem::path& path) {
  const MappedFile file(path);
  std::string_view text = as_text(file.bytes());
  const Place place(path);
  refuse_wrong_kind(place, file.bytes(), "text file of numbers");
  Array<std::uint32_t> out;
  for (std::size_t line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view row = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (row.empty() && text.empty()) break;
    std::uint32_t value = 0;
    const auto got = std::from_chars(row.data(), row.data() + row.size(), value);
    if (got.ec != std::errc{} || got.ptr != row.data() + row.size()) {
      place.fail("CSV-01", "line ", line, ": \"", row.substr(0, 40), "\" is not a node number");
    }
    out.push_back(value);
  }
  return out;
}

/// A file of the set, open as long as what was read from it is used.
struct PickleFile {
  PickleFile(const std::filesystem::path& path, std::uint64_t limit)
      : file(path), pickle(bounded(limit), Place(path)) {}

  MappedFile file;
  Pickle pickle;

 private:
  std::span<const std::byte> bounded(std::uint64_t limit) const {
    require_within(Place(file.path()), saturating_product(file.bytes().size(), 100), limit);
    return file.bytes();
  }
};

/// Puts the parts of a Planetoid set together, as the reference loaders do.
class PlanetoidAssembler {
 public:
  PlanetoidAssembler(PlanetoidFiles files, const ReadOptions& options)
      : files_(std::move(files)), options_(options) {}

  Dataset assemble() {
    out_.name = files_.name;
    out_.provenance.layout = "planetoid";
    read_test_index();
    read_features();
    read_labels();
    read_graph();
    check_split(out_, Place(files_.folder), out_.provenance.warnings);
    if (options_.multilabel == MultiLabel::on) to_indicators(out_.labels);
    return std::move(out_);
  }

 private:
  PickleFile open(std::string_view part) const { return {files_.part(part), byte_limit(options_)}; }

  void read_test_index() {
    test_ = read_index_lines(files_.part("test.index"));
    const Place place(files_.part("test.index"));
    if (test_.empty()) place.fail("SPL-02", "the file is empty");
    first_test_ = *std::min_element(test_.begin(), test_.end());
    num_nodes_ = std::size_t{*std::max_element(test_.begin(), test_.end())} + 1;
    if (num_nodes_ >= kNoNode)
      place.fail("SPL-01", "node ", num_nodes_ - 1, " does not fit a 32-bit node number");
  }

  // Rows of allx first, then rows of tx: row i of tx belongs to the i-th line of test.index.
  void read_features() {
    const PickleFile all_file = open("allx");
    const PickleFile test_file = open("tx");
    const PickleCsr all = pickle_csr(all_file.pickle, all_file.pickle.root());
    const PickleCsr test = pickle_csr(test_file.pickle, test_file.pickle.root());
    const PickleFile train_file = open("x");
    const PickleCsr train = pickle_csr(train_file.pickle, train_file.pickle.root());
    check_width("tx", test.cols, all.cols);
    check_width("x", train.cols, all.cols);
    known_ = all.rows;
    train_ = train.rows;
    if (first_test_ != known_) {
      Place(files_.part("test.index"))
          .fail("SPL-01", "test nodes start at ", first_test_, " but allx has ", known_,
                " rows; the two must meet");
    }
    check_rows("tx", test.rows, test_.size());
    if (train_ > known_)
      Place(files_.part("x")).fail("FEA-03", "x has ", train_, " rows, allx only ", known_);
    if (num_nodes_ - known_ > 16 * test_.size() + 4096) {
      Place(files_.part("test.index"))
          .fail("SPL-01", "node ", num_nodes_ - 1, " is far beyond the ", test_.size(), " test nodes from ",
                first_test_, " on");
    }
    const std::uint64_t bytes =
        saturating_product(saturating_product(num_nodes_, all.cols + 16), sizeof(float));
    require_within(Place(files_.part("allx")), bytes, byte_limit(options_));
    out_.features = Tensor<float>::zeros(num_nodes_, all.cols);
    const auto scatter = [&](const PickleCsr& from, auto&& row_of, const std::filesystem::path& path) {
      for (std::size_t i = 0; i < from.rows; ++i) {
        const auto row = out_.features.row(row_of(i));
        for (std::uint64_t e = from.row_ptr[i]; e < from.row_ptr[i + 1]; ++e)
          row[from.col[e]] += from.value[e];
      }
      check_finite(out_.features.view(), Place(path), options_.nan, &out_.provenance.warnings);
    };
    scatter(
        all, [](std::size_t i) { return i; }, files_.part("allx"));
    scatter(
        test, [&](std::size_t i) { return std::size_t{test_[i]}; }, files_.part("tx"));
  }

  void read_labels() {
    const PickleFile all_file = open("ally");
    const PickleFile test_file = open("ty");
    const PickleFile train_file = open("y");
    const PickleArray all = pickle_array(all_file.pickle, all_file.pickle.root());
    const PickleArray test = pickle_array(test_file.pickle, test_file.pickle.root());
    const PickleArray train = pickle_array(train_file.pickle, train_file.pickle.root());
    check_rows("ally", all.rows, known_);
    check_rows("ty", test.rows, test_.size());
    check_rows("y", train.rows, train_);
    check_width("ty", test.cols, all.cols);
    check_width("y", train.cols, all.cols);
    Array<std::int32_t>& classes = out_.labels.classes;
    classes.assign(num_nodes_, kUnlabelled);
    take_classes(all, files_.part("ally"), [&](std::size_t i, std::int32_t c) { classes[i] = c; });
    take_classes(test, files_.part("ty"), [&](std::size_t i, std::int32_t c) { classes[test_[i]] = c; });
    out_.labels.num_classes = all.cols;
    std::vector<std::string>& warnings = out_.provenance.warnings;
    if (const std::size_t used = count_classes(classes, Place(files_.part("ally")), warnings);
        used < all.cols) {
      warnings.push_back(Place(files_.part("ally"))
                             .warning("LBL-03", all.cols - used, " of ", all.cols,
                                      " label columns, the last ones, are never set"));
    }
    assign_roles();
  }

  // A row of zeros with at most one 1.
  template <class Put>
  void take_classes(const PickleArray& from, const std::filesystem::path& path, Put&& put) const {
    const Place place(path);
    from.with_elements([&](auto load) {
      for (std::size_t i = 0; i < from.rows; ++i) {
        std::int32_t found = kUnlabelled;
        for (std::size_t c = 0; c < from.cols; ++c) {
          const auto value = static_cast<double>(load(from.fortran ? c * from.rows + i : i * from.cols + c));
          if (value == 0) continue;
          if (value != 1) place.fail("LBL-03", "entry ", c, " of row ", i, " is ", value, ", want 0 or 1");
          if (found != kUnlabelled)
            place.fail("LBL-03", "row ", i, " has the classes ", found, " and ", c, ", want one");
          found = static_cast<std::int32_t>(c);
        }
        put(i, found);
      }
    });
  }

  void assign_roles() {
    constexpr std::size_t kValidation = 500;
    out_.roles.assign(num_nodes_, Role::none);
    std::fill_n(out_.roles.begin(), train_, Role::train);
    const std::size_t end = std::min(known_, train_ + kValidation);
    std::fill(out_.roles.begin() + train_, out_.roles.begin() + end, Role::val);
    for (const std::uint32_t node : test_) {
      if (out_.roles[node] == Role::test) {
        Place(files_.part("test.index")).fail("SPL-01", "node ", node, " is listed twice");
      }
      out_.roles[node] = Role::test;
    }
  }

  void read_graph() {
    const PickleFile file = open("graph");
    const Place place(files_.part("graph"));
    const Pickle& pickle = file.pickle;
    pickle.require(pickle.root(), PickleItem::Kind::dict, "the graph");
    const auto pairs = pickle.items(pickle.root());
    Array<NodeId> source;
    Array<NodeId> target;
    std::vector<bool> listed(num_nodes_);
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
      const NodeId node = node_of(pickle, pairs[i], place);
      if (listed[node]) place.fail("PKL-02", "node ", node, " has two lists of neighbours");
      listed[node] = true;
      pickle.require(pairs[i + 1], PickleItem::Kind::list, "the neighbours of a node");
      const auto neighbours = pickle.items(pairs[i + 1]);
      if (source.size() + neighbours.size() > pickle.file_bytes())
        pickle.fail("lists are shared between nodes");
      for (const PickleItem& neighbour : neighbours) {
        source.push_back(node_of(pickle, neighbour, place));
        target.push_back(node);
      }
    }
    out_.graph =
        build_graph(num_nodes_, {source, target, {}}, Stored::both, options_, place, out_.provenance);
  }

  NodeId node_of(const Pickle& pickle, const PickleItem& item, const Place& place) const {
    pickle.require(item, PickleItem::Kind::integer, "a node of the graph");
    if (item.value < 0 || static_cast<std::uint64_t>(item.value) >= num_nodes_) {
      place.fail("EDG-01", "node ", item.value, " but N = ", grouped(num_nodes_), " (valid 0..",
                 grouped(num_nodes_ - 1), ")");
    }
    return static_cast<NodeId>(item.value);
  }

  void check_rows(std::string_view part, std::size_t got, std::size_t want) const {
    if (got != want)
      Place(files_.part(part)).fail("FEA-03", part, " has ", grouped(got), " rows, want ", grouped(want));
  }
  void check_width(std::string_view part, std::size_t got, std::size_t want) const {
    if (got != want)
      Place(files_.part(part))
          .fail("NPY-07", part, " has ", got, " columns, want ", want, " as the others have");
  }

  PlanetoidFiles files_;
  const ReadOptions& options_;
  Dataset out_;
  Array<std::uint32_t> test_;
  std::size_t first_test_ = 0;
  std::size_t num_nodes_ = 0;
  std::size_t known_ = 0;  // rows of allx
  std::size_t train_ = 0;  // rows of x
};

}  // namespace detail

/// Reads a Planetoid data set (Cora, CiteSeer, PubMed in the files of Yang et al. 2016) with its public
/// split.
///
/// Ids between test nodes that no file mentions (15 in CiteSeer) have no features, no label and no role.
/// Validation nodes are the 500 after the training nodes.
/// Source   kimiyoung/planetoid (files), Kipf & Welling 2017 (assembly and validation set)
/// Errors   FormatError GEN-01 with the missing parts, PKL, NPY-04, SPM-02, EDG-01, LBL-03, SPL-01, FEA-01,
///          FEA-03
inline Dataset read_planetoid(const std::filesystem::path& path, const ReadOptions& options = {}) {
  return detail::PlanetoidAssembler(find_planetoid(path), options).assemble();
}

}  // namespace tessera::io
