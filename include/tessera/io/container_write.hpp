// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/graph/validate.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/container_format.hpp"
#include "tessera/io/safetensors_write.hpp"

namespace tessera::io {

/// Element types a section can hold.
template <class T>
concept SectionElement = std::same_as<T, float> || std::same_as<T, double> ||
    (std::integral<T> && sizeof(T) <= 8);

template <SectionElement T>
constexpr SectionType section_type() noexcept {
  if constexpr (std::floating_point<T>) return sizeof(T) == 4 ? SectionType::f32 : SectionType::f64;
  constexpr SectionType kUnsigned[] = {SectionType::u8, SectionType::u16, SectionType::u32, SectionType::u64};
  constexpr SectionType kSigned[] = {SectionType::i8, SectionType::i16, SectionType::i32, SectionType::i64};
  constexpr std::size_t kIndex = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
  return std::is_signed_v<T> ? kSigned[kIndex] : kUnsigned[kIndex];
}

/// Writes a container section by section, front to back; it appears under its name on commit, whole.
///
///     ContainerWriter out(path);
///     out.begin("x", SectionType::f32, {n, f});
///     for (...) out.append(rows);                 // any number of pieces
///     out.end();
///     out.commit();
///
/// The same sections in the same order give the same bytes.
/// Cost     one pass over what is written; memory O(1)
/// Errors   FormatError GEN-01, GEN-04; ConfigError for a name used twice, longer than 31 bytes or more than
/// 64
///          sections; ShapeError at `end` if the pieces are not what the extents say
class ContainerWriter {
 public:
  explicit ContainerWriter(std::filesystem::path path) : file_(std::move(path)) {
    const std::vector<std::byte> front(detail::kContainerFront);
    file_.write(front);
  }

  void begin(std::string_view name, SectionType type, std::initializer_list<std::uint64_t> dims,
             bool required = false) {
    if (name.empty() || name.size() >= detail::kSectionName || dims.size() > 4 ||
        header_.find(name) != nullptr || header_.sections.size() == detail::kMaxSections) {
      throw ConfigError(message("ContainerWriter::begin: section '", name, "' number ",
                                header_.sections.size(),
                                ", want a new name of 1 to 31 bytes, at most 4 extents and 64 sections"));
    }
    const std::vector<std::byte> gap((detail::kContainerPage - file_.size() % detail::kContainerPage) %
                                     detail::kContainerPage);
    file_.write(gap);
    Section section;
    section.name = std::string(name);
    section.type = type;
    section.rank = static_cast<std::uint8_t>(dims.size());
    section.required = required;
    std::copy(dims.begin(), dims.end(), section.dims.begin());
    section.offset = file_.size();
    header_.sections.push_back(std::move(section));
  }

  void append(std::span<const std::byte> bytes) {
    constexpr std::size_t kParallel = std::size_t{16} << 20;
    Section& section = header_.sections.back();
    section.crc = bytes.size() < kParallel
                      ? crc32c(bytes, section.crc)
                      : crc32c_combine(section.crc, parallel_crc32c(bytes), bytes.size());
    section.bytes += bytes.size();
    file_.write(bytes);
  }

  void end() {
    const Section& section = header_.sections.back();
    std::uint64_t want = 0;
    if (!detail::section_bytes(section, want) || want != section.bytes) {
      throw ShapeError(message("ContainerWriter::end: section '", section.name, "' got ", section.bytes,
                               " bytes, its extents want ", want));
    }
  }

  /// A vector, whole.
  template <SectionElement T>
  void add(std::string_view name, std::span<const T> values, bool required = false) {
    begin(name, section_type<T>(), {values.size()}, required);
    append(std::as_bytes(values));
    end();
  }
  /// A matrix, strided or not; stored dense.
  template <SectionElement T>
  void add(std::string_view name, MatrixView<const T> values, bool required = false) {
    begin(name, section_type<T>(), {values.rows(), values.cols()}, required);
    if (values.contiguous()) {
      append(std::as_bytes(std::span(values.data(), values.size())));
    } else {
      for (std::size_t i = 0; i < values.rows(); ++i) append(std::as_bytes(values.row(i)));
    }
    end();
  }

  /// Facts of the header page. Edges, features and classes as readers report them; flags of ContainerFlags.
  void describe(std::uint64_t nodes, std::uint64_t edges, std::size_t features, std::size_t classes,
                std::uint64_t flags) {
    constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
    if (features > kMost || classes > kMost)
      throw ConfigError(message("ContainerWriter::describe: ", features, " features, ", classes, " classes"));
    header_.nodes = nodes;
    header_.edges = edges;
    header_.features = static_cast<std::uint32_t>(features);
    header_.classes = static_cast<std::uint32_t>(classes);
    header_.flags = flags;
  }

  /// Writes header and table, and gives the file its name.
  ContentId commit() {
    header_.file_bytes = file_.size();
    header_.content_id = detail::content_id_of(header_.sections);
    file_.overwrite(0, detail::container_front(header_));
    file_.commit();
    return header_.content_id;
  }

 private:
  AtomicFile file_;
  ContainerHeader header_;
};

namespace detail {

inline std::string container_meta(std::string_view name, const Provenance& provenance) {
  std::string warnings;
  for (const std::string& w : provenance.warnings) warnings += (warnings.empty() ? "" : ",") + json_quoted(w);
  return message("{\"name\":", json_quoted(name), ",\"layout\":", json_quoted(provenance.layout),
                 ",\"edge_policy\":", json_quoted(provenance.edge_policy),
                 ",\"feature_state\":", json_quoted(provenance.feature_state), ",\"warnings\":[", warnings,
                 "]}");
}

inline bool has_loop(CsrView<> a) {
  return parallel_sum<std::size_t>(a.num_rows, 1024, [&](std::size_t i, std::size_t end) {
           std::size_t loops = 0;
           for (; i < end; ++i) {
             const auto row = a.neighbors(i);
             loops += std::binary_search(row.begin(), row.end(), static_cast<NodeId>(i)) ? 1u : 0u;
           }
           return loops;
         }) != 0;
}

}  // namespace detail

/// Writes a node task as a container: a file that opens in microseconds and is used where it lies.
///
///     write_container("amazon2m.tessera", data, data.provenance);
///
/// Shapes   sections csr.indptr, csr.indices, csr.weight, x, y or y.multi, split, meta; train.* where the data
///          has a graph of its own for training
/// Cost     one pass over the data, checks included
/// Errors   as `validate`, FormatError GEN-01, GEN-04
inline ContentId write_container(const std::filesystem::path& path, const DatasetView& data,
                                 const Provenance& provenance) {
  const CsrView<> graph = data.graph.view();
  const CsrView<> train = data.train_graph.view();
  const std::size_t n = graph.num_rows;
  validate(graph);
  const bool has_train = train.num_rows == n && n != 0;
  if (has_train) validate(train);
  if (data.features.rows() != n || data.roles.size() != n ||
      (data.multilabel() ? data.labels.indicators.rows() : data.labels.classes.size()) != n) {
    throw ShapeError(message("write_container: ", data.features.rows(), " feature rows, ", data.roles.size(),
                             " roles, ", data.labels.classes.size(), " labels, want ", n, " of each"));
  }
  using Flags = ContainerFlags;
  std::uint64_t flags = Flags::kSortedRows | Flags::kNoDuplicates | Flags::kChecked;
  if (data.graph.symmetric) flags |= Flags::kSymmetric;
  if (!detail::has_loop(graph)) flags |= Flags::kNoLoops;
  if (data.multilabel()) flags |= Flags::kMultilabel;
  if (provenance.feature_state.starts_with("standardised")) flags |= Flags::kStandardised;
  if (has_train && data.train_graph.symmetric) flags |= Flags::kTrainSymmetric;

  ContainerWriter out(path);
  const auto add_graph = [&](const std::string& prefix, CsrView<> a, bool required) {
    out.add(prefix + ".indptr", a.row_ptr, required);
    out.add(prefix + ".indices", a.col, required);
    if (a.weighted()) out.add(prefix + ".weight", a.weight, true);
  };
  add_graph("csr", graph, true);
  if (has_train) add_graph("train", train, false);
  out.add("x", data.features, true);
  if (data.multilabel()) {
    out.add("y.multi", data.labels.indicators, true);
  } else {
    out.add("y", data.labels.classes, true);
  }
  out.begin("split", SectionType::u8, {n}, true);
  out.append(std::as_bytes(data.roles));
  out.end();
  const std::string meta = detail::container_meta(data.name, provenance);
  out.begin("meta", SectionType::u8, {meta.size()});
  out.append(std::as_bytes(std::span(meta)));
  out.end();
  out.describe(n, graph.num_edges(), data.features.cols(), data.labels.num_classes, flags);
  return out.commit();
}

}  // namespace tessera::io
