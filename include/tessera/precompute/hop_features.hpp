// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/f16.hpp"
#include "tessera/core/fingerprint.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/raw_file.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"

namespace tessera {

/// How an element of stored features is kept; arithmetic is done in float.
enum class ElementType : std::uint32_t {
  f32 = 0,
  f16 = 1,  ///< each column times a power of two that brings its largest magnitude into [256, 512)
  bf16 = 2
};

constexpr std::size_t bytes_of(ElementType type) noexcept { return type == ElementType::f32 ? 4 : 2; }
constexpr std::string_view name(ElementType type) noexcept {
  return type == ElementType::f32 ? "f32" : type == ElementType::f16 ? "f16" : "bf16";
}

/// What stored features are: extents, and names of their blocks of columns.
///
/// Shapes   a matrix [rows, blocks.size() * features], block b in columns [b features, (b + 1) features)
struct HopLayout {
  std::size_t rows = 0;
  std::size_t features = 0;
  std::vector<std::string> blocks;  ///< e.g. "x", "gcn^1", "gcn^2"
  ElementType element = ElementType::f32;
  std::uint64_t key = 0;  ///< fingerprint of graph, features and options

  std::size_t cols() const noexcept { return blocks.size() * features; }
  /// Bytes from row to row: whole cache lines.
  std::size_t stride() const noexcept { return (cols() * bytes_of(element) + 63) / 64 * 64; }
  std::size_t bytes() const noexcept { return rows * stride(); }
};

namespace detail {

/// The first bytes of a file of hop features. Names, scales, row ids and checksums follow, then, from a page
/// boundary on, the payload.
struct HopFileHeader {
  char magic[8] = {'T', 'S', 'R', 'H', 'O', 'P', 'S', '\0'};
  std::uint32_t version = 1;
  std::uint32_t byte_order = 0x01020304u;
  std::uint32_t element = 0;
  std::uint32_t blocks = 0;
  std::uint64_t rows = 0;
  std::uint64_t features = 0;
  std::uint64_t stride = 0;
  std::uint64_t key = 0;
  std::uint64_t names_bytes = 0;
  std::uint64_t row_ids = 0;  ///< rows, or 0 where row i is node i
  std::uint64_t payload_at = 0;
  std::uint64_t checksum = 0;  ///< of this header with 0 here, and of everything before the payload
};

inline constexpr std::uint64_t kChecksumBlock = std::uint64_t{64} << 20;

/// Where the parts of a file lie.
struct HopFilePlan {
  std::uint64_t names_at, scales_at, rows_at, sums_at, payload_at, payload_bytes, num_sums;

  HopFilePlan(std::uint64_t names_bytes, std::uint64_t cols, std::uint64_t row_ids, std::uint64_t payload) {
    const auto align = [](std::uint64_t at, std::uint64_t to) { return (at + to - 1) / to * to; };
    names_at = sizeof(HopFileHeader);
    scales_at = align(names_at + names_bytes, 8);
    rows_at = align(scales_at + cols * 4, 8);
    sums_at = align(rows_at + row_ids * 4, 8);
    num_sums = (payload + kChecksumBlock - 1) / kChecksumBlock;
    payload_at = align(sums_at + num_sums * 8, 4096);
    payload_bytes = payload;
  }
};

inline std::uint64_t checksum_of(std::span<const std::byte> bytes) {
  return Fingerprint().add(bytes).value();
}

template <class E>
TESSERA_ALWAYS_INLINE void widen_run(const std::byte* from, const float* scale, std::size_t count,
                                     float* to) {
  const E* const values = reinterpret_cast<const E*>(from);
  if constexpr (std::is_same_v<E, bf16>) {
    for_vectors<float>(count, [=]<std::size_t W>(std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<float, W> value;
      simd_load<W, float>(value, values + f);
      simd_store<W, float>(to + f, value);
    });
  } else {
    for (std::size_t f = 0; f < count; ++f) to[f] = static_cast<float>(values[f]) * scale[f];
  }
}

}  // namespace detail

/// Propagated features: for every row the outputs of all operators and hops side by side, in memory or in a
/// mapped file.
///
/// Cost     reading rows costs their bytes; a mapped file takes memory only as long as nobody else wants it
/// Threads  const members may be called concurrently
class HopFeatures {
 public:
  HopFeatures() = default;

  const HopLayout& layout() const noexcept { return layout_; }
  std::size_t rows() const noexcept { return layout_.rows; }
  std::size_t cols() const noexcept { return layout_.cols(); }
  std::size_t num_blocks() const noexcept { return layout_.blocks.size(); }
  bool mapped() const noexcept { return !mapping_.bytes().empty(); }
  /// The node of each row; empty where row i is node i.
  std::span<const NodeId> row_ids() const noexcept { return row_ids_; }

  /// All blocks side by side, without a copy.
  ///
  /// Errors   ConfigError unless elements are stored as f32
  MatrixView<const float> view() const {
    if (layout_.element != ElementType::f32) {
      throw ConfigError(
          message("HopFeatures::view: elements are ", name(layout_.element), ", want f32; gather() widens"));
    }
    return {reinterpret_cast<const float*>(payload()), rows(), cols(), layout_.stride() / sizeof(float)};
  }
  /// One block without a copy; as view.
  ///
  /// Errors   IndexError if there is no such block
  MatrixView<const float> block(std::size_t b) const {
    if (b >= num_blocks())
      throw IndexError(message("HopFeatures::block: b is ", b, ", want below ", num_blocks()));
    return view().middle_cols(b * layout_.features, layout_.features);
  }

  /// out_i = row rows[i], widened to float.
  ///
  /// Shapes   rows [B] below rows() -> out [B, cols()]
  /// Cost     O(B cols()), nothing allocated
  /// Errors   ShapeError if out does not fit; positions are trusted
  /// Threads  parallel; result independent of T
  void gather(std::span<const NodeId> rows, MatrixView<float> out) const {
    detail::check_shape("HopFeatures::gather", "out", out, rows.size(), cols());
    const Isa isa = active_isa();
    const std::size_t stride = layout_.stride();
    const float* const scale = scales_.empty() ? nullptr : scales_.data();
    parallel_for(rows.size(), detail::rows_per_block(cols()), [&](std::size_t begin, std::size_t end) {
      dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
        constexpr std::size_t kAhead = 4;
        for (std::size_t i = begin; i < end; ++i) {
          if (i + kAhead < end) detail::prefetch_bytes(payload() + rows[i + kAhead] * stride, stride);
          const std::byte* const from = payload() + rows[i] * stride;
          float* const to = out.data() + i * out.stride();
          if (layout_.element == ElementType::f32) {
            std::memcpy(to, from, cols() * sizeof(float));
          } else if (layout_.element == ElementType::bf16) {
            detail::widen_run<bf16>(from, nullptr, cols(), to);
          } else {
            detail::widen_run<f16>(from, scale, cols(), to);
          }
        }
      });
    });
  }

  /// Reads everything and compares it with the checksums of the file; a no-op in memory.
  ///
  /// Errors   FormatError HOP-06 names the first damaged block
  void verify() const {
    for (std::size_t b = 0; b < checksums_.size(); ++b) {
      const std::uint64_t at = b * detail::kChecksumBlock;
      const std::size_t count =
          static_cast<std::size_t>(std::min<std::uint64_t>(detail::kChecksumBlock, layout_.bytes() - at));
      if (detail::checksum_of({payload() + at, count}) != checksums_[b]) {
        throw FormatError("HOP-06", path_,
                          message("bytes ", at, " to ", at + count,
                                  " of the payload do not match "
                                  "their checksum. Delete the file and compute it again"));
      }
    }
  }

  /// Maps a file that `propagate` wrote. With `key` it must be of these inputs and options.
  ///
  /// Cost     O(header); the payload is read when it is used
  /// Errors   FormatError GEN-01 (no such file), HOP-01 (another kind of file), HOP-02 (another version or byte
  ///          order), HOP-03 (truncated), HOP-04 (damaged header), HOP-05 (of other inputs)
  static HopFeatures open(const std::filesystem::path& path, std::optional<std::uint64_t> key = {}) {
    HopFeatures out;
    const detail::RawFile file(path, O_RDONLY);
    out.path_ = path.string();
    out.mapping_ = detail::Mapping(file);
    out.read_header(key);
    out.mapping_.advise(false);
    return out;
  }

 private:
  friend class HopSink;

  const std::byte* payload() const noexcept {
    return mapped() ? mapping_.bytes().data() + payload_at_ : memory_.data();
  }

  [[noreturn]] void fail(std::string_view code, const std::string& problem) const {
    throw FormatError(std::string(code), path_, problem);
  }

  void read_header(std::optional<std::uint64_t> key) {
    const std::span<const std::byte> bytes = mapping_.bytes();
    detail::HopFileHeader h;
    const detail::HopFileHeader good;
    if (bytes.size() < sizeof h || std::memcmp(bytes.data(), good.magic, sizeof good.magic) != 0) {
      fail("HOP-01", "this is no file of propagated features");
    }
    std::memcpy(&h, bytes.data(), sizeof h);
    if (h.byte_order != good.byte_order) fail("HOP-02", "written on a machine of another byte order");
    if (h.version != good.version) {
      fail("HOP-02", message("format version ", h.version, ", this library reads version ", good.version));
    }
    constexpr std::uint64_t kMost = std::uint64_t{1} << 48;
    if (h.rows > kMost || h.features > kMost || h.blocks > 4096 || h.stride > kMost ||
        h.names_bytes > kMost || h.element > 2 || (h.stride != 0 && h.rows > kMost / h.stride) ||
        (h.row_ids != 0 && h.row_ids != h.rows)) {
      fail("HOP-04", "the header holds impossible extents");
    }
    const detail::HopFilePlan plan(h.names_bytes, h.blocks * h.features, h.row_ids, h.rows * h.stride);
    if (plan.payload_at != h.payload_at) fail("HOP-04", "the header contradicts itself");
    if (bytes.size() != plan.payload_at + plan.payload_bytes) {
      fail("HOP-03", message("has ", bytes.size(), " bytes, want ", plan.payload_at + plan.payload_bytes));
    }
    const std::uint64_t stated = std::exchange(h.checksum, 0);
    const auto rest = bytes.subspan(sizeof h, static_cast<std::size_t>(plan.payload_at) - sizeof h);
    if (detail::Fingerprint().add(std::as_bytes(std::span(&h, 1))).add(rest).value() != stated) {
      fail("HOP-04", "the header does not match its checksum");
    }
    if (key && *key != h.key) {
      fail("HOP-05",
           "was made of another graph, other features or other options. Delete it or name another file");
    }
    layout_ = {static_cast<std::size_t>(h.rows),
               static_cast<std::size_t>(h.features),
               {},
               static_cast<ElementType>(h.element),
               h.key};
    const char* const names = reinterpret_cast<const char*>(bytes.data() + plan.names_at);
    for (std::string_view left(names, static_cast<std::size_t>(h.names_bytes)); !left.empty();) {
      const std::size_t end = std::min(left.find('\n'), left.size());
      layout_.blocks.emplace_back(left.substr(0, end));
      left.remove_prefix(std::min(end + 1, left.size()));
    }
    if (layout_.blocks.size() != h.blocks || layout_.stride() != h.stride) {
      fail("HOP-04", "the header contradicts itself");
    }
    payload_at_ = static_cast<std::size_t>(plan.payload_at);
    const auto part = [&]<class T>(Array<T>& to, std::uint64_t at, std::size_t count) {
      to.resize(count);
      if (count > 0) std::memcpy(to.data(), bytes.data() + at, count * sizeof(T));
    };
    part(scales_, plan.scales_at, layout_.element == ElementType::f16 ? cols() : 0);
    part(row_ids_, plan.rows_at, static_cast<std::size_t>(h.row_ids));
    part(checksums_, plan.sums_at, static_cast<std::size_t>(plan.num_sums));
  }

  HopLayout layout_;
  Array<std::byte> memory_;
  detail::Mapping mapping_;
  std::size_t payload_at_ = 0;
  Array<float> scales_;  ///< f16: what a stored value is multiplied by
  Array<NodeId> row_ids_;
  Array<std::uint64_t> checksums_;
  std::string path_;
};

}  // namespace tessera
