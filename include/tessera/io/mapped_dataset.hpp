// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/graph/validate.hpp"
#include "tessera/io/container_format.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/json_scanner.hpp"
#include "tessera/io/mapped_file.hpp"

namespace tessera::io {

/// How much of a container is checked when it is opened; the header always is.
enum class Verify {
  automatic,  ///< everything up to 256 MB; beyond, what `header` does if the writer checked, else `structure`
  header,     ///< O(1): trusts the indices of the file
  structure,  ///< every index, offset, label and role: 0.05 s per 100 million edges
  everything  ///< and every checksum: 5 GB/s per core
};

/// A node task used where it lies in a container file: nothing is parsed or copied.
///
///     const MappedDataset data("amazon2m.tessera");
///     trainer.fit(data);                             // or any function that takes a DatasetView
///
/// Moving it keeps every view valid.
/// Shapes   as Dataset
/// Cost     opening O(1), well under a millisecond (multi-label targets stored as bits are expanded); see Verify
/// Errors   FormatError GEN-01, GEN-02, NAT-01 (version), NAT-02 (checksum), NAT-03 (sizes), NAT-04 (overlap),
///          NAT-05 (a section is missing, unknown but required, or of another type); EDG, LBL, SPL for content
/// Threads  reading is safe from any number of threads
class MappedDataset {
 public:
  struct Options {
    Verify verify = Verify::automatic;
    std::size_t split = 0;  ///< which one, where the file has several
  };

  explicit MappedDataset(const std::filesystem::path& path) : MappedDataset(path, Options{}) {}
  MappedDataset(const std::filesystem::path& path, const Options& options)
      : file_(path, {.access = Access::random}),
        place_(path),
        header_(parse_container(file_.bytes(), place_)) {
    open(options);
  }

  std::string name;
  GraphRef graph;
  GraphRef train_graph;
  MatrixView<const float> features;
  LabelsRef labels;
  std::span<const Role> roles;
  Provenance provenance;

  std::size_t num_nodes() const noexcept { return graph.num_nodes(); }
  std::size_t num_features() const noexcept { return features.cols(); }
  std::size_t num_classes() const noexcept { return labels.num_classes; }
  bool multilabel() const noexcept { return labels.multilabel(); }

  const ContainerHeader& header() const noexcept { return header_; }
  ContentId content_id() const noexcept { return header_.content_id; }
  /// The bytes of a section, e.g. one of your own; empty if there is none.
  std::span<const std::byte> section(std::string_view section_name) const noexcept {
    const Section* s = header_.find(section_name);
    return s == nullptr ? std::span<const std::byte>() : bytes(*s);
  }

  /// Compares every section with its checksum, and the content id with the checksums.
  ///
  /// Errors   FormatError NAT-02 naming the section
  /// Threads  parallel
  void verify_checksums() const {
    for (const Section& s : header_.sections) {
      if (parallel_crc32c(bytes(s)) != s.crc) {
        place_.fail("NAT-02", "section '", s.name,
                    "' checksum mismatch: file damaged after writing; convert again");
      }
    }
    if (detail::content_id_of(header_.sections) != header_.content_id)
      place_.fail("NAT-02", "the content id does not belong to the sections; convert again");
  }

  /// Checks every offset, index, label and role.
  ///
  /// Errors   FormatError EDG-01, LBL-03, SPL-01
  /// Threads  parallel
  void verify_structure() const {
    for (const GraphRef* g : {&graph, &train_graph}) {
      if (g->matrix.row_ptr.empty()) continue;  // no graph of its own for training
      try {
        validate(g->matrix);
      } catch (const Error& e) {
        place_.fail("EDG-01", g == &graph ? "csr: " : "train: ", e.what());
      }
    }
    const auto count_bad = [](std::size_t count, auto&& bad) {
      return parallel_sum<std::size_t>(count, 1 << 14, [&](std::size_t i, std::size_t end) {
        std::size_t found = 0;
        for (; i < end; ++i) found += bad(i) ? 1u : 0u;
        return found;
      });
    };
    const std::size_t bad_labels = count_bad(labels.classes.size(), [&](std::size_t i) {
      const std::int32_t y = labels.classes[i];
      return y < kUnlabelled || (y >= 0 && static_cast<std::size_t>(y) >= labels.num_classes);
    });
    if (bad_labels != 0)
      place_.fail("LBL-03", grouped(bad_labels), " labels are not below ", labels.num_classes);
    const std::size_t bad_roles =
        count_bad(roles.size(), [&](std::size_t i) { return static_cast<unsigned>(roles[i]) > 3; });
    if (bad_roles != 0)
      place_.fail("SPL-01", grouped(bad_roles), " nodes have a role that is none of 0 to 3");
  }

  /// Asks the system to read the file ahead of its use, page by page being slow. Returns when it has been asked for
  /// everything, which may take as long as the disk does: call it beside the training.
  void read_ahead() const noexcept { file_.read_ahead(); }

  /// Reads every page once, so that training does not wait for the disk.
  ///
  /// Cost     the bandwidth of the disk; nothing where the file is in memory
  /// Threads  parallel
  void prefault() const {
    constexpr std::size_t kPage = 4096;
    const std::span<const std::byte> all = file_.bytes();
    const auto sum =
        parallel_sum<unsigned>(all.size(), std::size_t{16} << 20, [&](std::size_t i, std::size_t end) {
          unsigned part = 0;
          for (; i < end; i += kPage) part += std::to_integer<unsigned>(all[i]);
          return part;
        });
    volatile unsigned sink = sum;  // the loads are the point
    static_cast<void>(sink);
  }

 private:
  static constexpr std::uint64_t kSmall = std::uint64_t{256} << 20;

  void open(const Options& options) {
    for (const Section& s : header_.sections) {
      constexpr std::string_view kKnown[] = {"csr.indptr",    "csr.indices",  "csr.weight", "train.indptr",
                                             "train.indices", "train.weight", "x",          "y",
                                             "y.multi",       "split",        "meta"};
      if (s.required && std::find(std::begin(kKnown), std::end(kKnown), s.name) == std::end(kKnown)) {
        place_.fail("NAT-05", "section '", s.name,
                    "' is required and unknown to this program; a newer one wrote the file");
      }
    }
    const Verify verify = options.verify != Verify::automatic               ? options.verify
                          : header_.file_bytes <= kSmall                    ? Verify::everything
                          : (header_.flags & ContainerFlags::kChecked) != 0 ? Verify::header
                                                                            : Verify::structure;
    if (verify == Verify::everything) verify_checksums();
    if (header_.nodes >= kNoNode)
      place_.fail("EDG-03", grouped(header_.nodes), " nodes do not fit 32-bit ids");
    graph = open_graph("csr", (header_.flags & ContainerFlags::kSymmetric) != 0);
    if (graph.num_edges() != header_.edges)
      place_.fail("NAT-03", "the header says ", grouped(header_.edges), " edges, csr.indices has ",
                  grouped(graph.num_edges()));
    if (header_.find("train.indptr") != nullptr)
      train_graph = open_graph("train", (header_.flags & ContainerFlags::kTrainSymmetric) != 0);
    features = matrix("x", header_.features);
    open_labels();
    open_roles(options.split);
    if (verify == Verify::everything || verify == Verify::structure) verify_structure();
    read_meta();
  }

  std::span<const std::byte> bytes(const Section& s) const noexcept {
    return file_.bytes().subspan(s.offset, s.bytes);
  }

  template <class T>
  std::span<const T> typed(const Section& s) const noexcept {
    // For vectors all elements, for matrices where they start. Sections start at multiples of 64 bytes of a page-aligned mapping or a pool block.
    return {reinterpret_cast<const T*>(file_.bytes().data() + s.offset), static_cast<std::size_t>(s.dims[0])};
  }

  const Section& need(std::string_view section_name, SectionType type,
                      std::initializer_list<std::uint64_t> dims) const {
    const Section* s = header_.find(section_name);
    if (s == nullptr) {
      std::string have;
      for (const Section& other : header_.sections) have += (have.empty() ? "" : ", ") + other.name;
      place_.fail("NAT-05", "section '", section_name, "' is missing; the file has: ", have);
    }
    bool good = s->type == type && s->rank == dims.size();
    std::size_t d = 0;
    for (const std::uint64_t want : dims) good = good && s->dims[d++] == want;
    if (!good || (s->row_stride != 0 && s->row_stride % std::max<std::size_t>(1, bytes_of(type)) != 0)) {
      place_.fail("NAT-05", "section '", section_name, "' has type ", static_cast<unsigned>(s->type),
                  ", rank ", unsigned{s->rank}, " and extents ", s->dims[0], " x ", s->dims[1],
                  ", which do not fit the header or this program");
    }
    return *s;
  }

  GraphRef open_graph(const std::string& prefix, bool symmetric) const {
    const std::uint64_t n = header_.nodes;
    const auto row_ptr = typed<EdgeId>(need(prefix + ".indptr", SectionType::u64, {n + 1}));
    const Section* found = header_.find(prefix + ".indices");
    const std::uint64_t entries = found == nullptr ? 0 : found->dims[0];
    const auto col = typed<NodeId>(need(prefix + ".indices", SectionType::u32, {entries}));
    std::span<const float> weight;
    if (header_.find(prefix + ".weight") != nullptr)
      weight = typed<float>(need(prefix + ".weight", SectionType::f32, {entries}));
    if (row_ptr.front() != 0 || row_ptr.back() != entries) {
      place_.fail("SPM-02", prefix, ".indptr runs from ", row_ptr.front(), " to ", row_ptr.back(),
                  ", want 0 to ", entries);
    }
    return {{n, n, row_ptr, col, weight}, symmetric};
  }

  MatrixView<const float> matrix(std::string_view section_name, std::uint64_t cols) const {
    const Section& s = need(section_name, SectionType::f32, {header_.nodes, cols});
    const std::size_t stride = s.row_stride == 0 ? cols : s.row_stride / sizeof(float);
    return {typed<float>(s).data(), static_cast<std::size_t>(header_.nodes), cols, stride};
  }

  void open_labels() {
    labels.num_classes = header_.classes;
    const Section* multi = header_.find("y.multi");
    if (multi == nullptr) {
      labels.classes = typed<std::int32_t>(need("y", SectionType::i32, {header_.nodes}));
    } else if (multi->type == SectionType::bit) {
      expand_bits(need("y.multi", SectionType::bit, {header_.nodes, header_.classes}));
      labels.indicators = indicators_;
    } else {
      labels.indicators = matrix("y.multi", header_.classes);
    }
  }

  void expand_bits(const Section& s) {
    const std::size_t words = (header_.classes + 63) / 64;
    const std::size_t stride = s.row_stride == 0 ? words * 8 : s.row_stride;
    indicators_.resize(header_.nodes, header_.classes);
    parallel_for(header_.nodes, 1024, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const std::span<float> row = indicators_.row(i);
        const std::span<const std::byte> packed = bytes(s).subspan(i * stride, words * 8);
        for (std::size_t k = 0; k < row.size(); ++k)
          row[k] = (std::to_integer<unsigned>(packed[k / 8]) >> (k % 8) & 1u) != 0 ? 1.0f : 0.0f;
      }
    });
  }

  void open_roles(std::size_t split) {
    const Section* s = header_.find("split");
    const bool several = s != nullptr && s->rank == 2;
    const std::uint64_t splits = several ? s->dims[0] : 1;
    if (several) {
      need("split", SectionType::u8, {splits, header_.nodes});
    } else {
      s = &need("split", SectionType::u8, {header_.nodes});
    }
    if (split >= splits) place_.fail("SPL-03", "there is no split ", split, "; the file has ", splits);
    const std::uint64_t stride = s->row_stride == 0 || !several ? header_.nodes : s->row_stride;
    roles = {reinterpret_cast<const Role*>(bytes(*s).data() + split * stride),
             static_cast<std::size_t>(header_.nodes)};
  }

  void read_meta() {
    name = dataset_stem();
    const std::span<const std::byte> meta = section("meta");
    if (meta.empty()) return;
    const std::string_view text(reinterpret_cast<const char*>(meta.data()), meta.size());
    JsonScanner json(ByteSource::memory(text, place_.file), std::min<std::size_t>(meta.size(), 1 << 16));
    json.set_section("meta");
    json.expect(JsonEvent::begin_object, "an object");
    while (json.next() == JsonEvent::key) {
      const std::string key(json.text().substr(0, 80));
      if (key == "warnings") {
        json.expect(JsonEvent::begin_array, "an array of texts");
        while (json.next() == JsonEvent::string) provenance.warnings.emplace_back(json.text());
        if (json.last() != JsonEvent::end_array) json.fail("JSN-02", "warnings are texts");
        continue;
      }
      std::string* const field = key == "name"            ? &name
                                 : key == "layout"        ? &provenance.layout
                                 : key == "edge_policy"   ? &provenance.edge_policy
                                 : key == "feature_state" ? &provenance.feature_state
                                                          : nullptr;
      if (field == nullptr) {
        json.skip_value();
      } else {
        json.expect(JsonEvent::string, "a text");
        *field = std::string(json.text());
      }
    }
    json.expect(JsonEvent::end, "nothing after the object");
  }

  std::string dataset_stem() const { return std::filesystem::path(place_.file).stem().string(); }

  MappedFile file_;
  Place place_;
  ContainerHeader header_;
  Tensor<float> indicators_;
};

static_assert(NodeData<MappedDataset>);

/// The number of the split that `text` names; 0 where it is empty.
///
/// Errors   ConfigError if it is no number
inline std::size_t container_split(std::string_view text) {
  std::size_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (!text.empty() && (parsed.ec != std::errc{} || parsed.ptr != end))
    throw ConfigError(message("load: split is \"", text, "\", want a number for a container"));
  return number;
}

/// A container as a data set in memory, for what has to change it.
///
/// Cost     one copy of everything
/// Errors   as MappedDataset
inline Dataset read_container(const std::filesystem::path& path, const MappedDataset::Options& options = {}) {
  const MappedDataset mapped(path, options);
  const auto copy = [](const GraphRef& g) {
    const CsrView<> a = g.matrix;
    CsrGraph out{Array<EdgeId>::copy_of(a.row_ptr), Array<NodeId>::copy_of(a.col),
                 Array<float>::copy_of(a.weight), a.num_cols, g.symmetric};
    return out;
  };
  Dataset out;
  out.name = mapped.name;
  out.graph = copy(mapped.graph);
  if (mapped.train_graph.num_nodes() != 0) out.train_graph = copy(mapped.train_graph);
  out.features = Tensor<float>::copy_of(mapped.features);
  out.labels.num_classes = mapped.labels.num_classes;
  if (mapped.multilabel()) {
    out.labels.indicators = Tensor<float>::copy_of(mapped.labels.indicators);
  } else {
    out.labels.classes = Array<std::int32_t>::copy_of(mapped.labels.classes);
  }
  out.roles = Array<Role>::copy_of(mapped.roles);
  out.provenance = mapped.provenance;
  return out;
}

}  // namespace tessera::io
