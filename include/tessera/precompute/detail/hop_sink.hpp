// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/core/f16.hpp"
#include "tessera/core/fingerprint.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/raw_file.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/precompute/hop_features.hpp"

namespace tessera {

/// Takes panels of columns as they are finished and puts them together, in memory or, by way of a partial file
/// that survives an interruption, in a file.
///
/// The partial file `<file>.partial` holds a page that says what is finished, the column scales, and then every
/// piece (panel, block) as a packed matrix of its own: all writes are sequential. `finish` deals the pieces out
/// to rows once. What is in the partial file survives the process; once a minute it is brought to the disk, so that
/// it survives the machine too. Short runs need not wait for the disk before the result itself is written.
class HopSink {
 public:
  /// Shapes   rows: the nodes whose features are kept, empty for all; `panel`: columns of each panel but the
  ///          last
  /// Errors   FormatError GEN-04 where the file system refuses, e.g. because the disk is full
  HopSink(HopLayout layout, std::span<const NodeId> rows, std::filesystem::path file, std::size_t panel)
      : rows_(rows), file_(std::move(file)), panel_(panel) {
    out_.layout_ = std::move(layout);
    out_.row_ids_ = Array<NodeId>::copy_of(rows);
    const HopLayout& l = out_.layout_;
    if (l.element == ElementType::f16) out_.scales_.assign(l.cols(), 1.0f);
    if (file_.empty()) {
      out_.memory_.resize(l.bytes());
      clear_padding();
    } else {
      open_partial();
    }
  }

  /// Units that an interrupted run has finished.
  std::size_t finished_units() const noexcept { return state_.units; }

  /// Stores rows of columns [first, first + panel.cols()) of block `b`: value (i, f) = panel(i, f) factor(i).
  template <class X, class Factor>
  void put(std::size_t b, std::size_t first, MatrixView<const X> panel, const Factor& factor) {
    const HopLayout& l = out_.layout_;
    const std::size_t width = panel.cols();
    float* const scale =
        l.element == ElementType::f16 ? out_.scales_.data() + b * l.features + first : nullptr;
    if (scale != nullptr) choose_scales(panel, factor, scale);
    const std::size_t item = width * bytes_of(l.element);
    const std::size_t chunk =
        std::max<std::size_t>(64, (std::size_t{1} << 20) / std::max<std::size_t>(1, item));
    const Isa isa = active_isa();
    parallel_for(l.rows, chunk, [&](std::size_t begin, std::size_t end) {
      Array<std::byte> staging(file_.empty() ? 0 : (end - begin) * item);
      std::byte* const base = file_.empty() ? out_.memory_.data() + begin * l.stride() +
                                                  (b * l.features + first) * bytes_of(l.element)
                                            : staging.data();
      const std::size_t stride = file_.empty() ? l.stride() : item;
      dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
        for (std::size_t r = begin; r < end; ++r) {
          const std::size_t i = rows_.empty() ? r : rows_[r];
          narrow_row(l.element, panel.data() + i * panel.stride(), static_cast<float>(factor(i)), scale,
                     width, base + (r - begin) * stride);
        }
      });
      if (!file_.empty()) partial_.write_at(piece_at(b, first) + begin * item, staging.span());
    });
  }

  /// Everything put so far stays finished from here on, whatever happens to the process.
  void finish_unit() {
    ++state_.units;
    if (file_.empty()) return;
    if (!out_.scales_.empty())
      partial_.write_at(kScalesAt, std::as_bytes(std::as_const(out_.scales_).span()));
    constexpr std::chrono::seconds kBetweenSyncs{60};
    const auto now = std::chrono::steady_clock::now();
    const bool to_disk = state_.boot == 0 || now - synced_ > kBetweenSyncs;
    if (to_disk) {
      partial_.sync();
      state_.units_on_disk = state_.units;
      synced_ = now;
    }
    partial_.write_at(0, std::as_bytes(std::span(&state_, 1)));
    if (to_disk) partial_.sync();
  }

  HopFeatures finish() {
    if (file_.empty()) return std::move(out_);
    write_file();
    return HopFeatures::open(file_, out_.layout_.key);
  }

 private:
  struct State {
    char magic[8] = {'T', 'S', 'R', 'P', 'A', 'R', 'T', '2'};
    std::uint64_t key = 0;
    std::uint64_t rows = 0;
    std::uint64_t cols = 0;
    std::uint64_t panel = 0;
    std::uint64_t units = 0;          ///< finished while the machine runs on
    std::uint64_t units_on_disk = 0;  ///< finished whatever happens
    std::uint64_t boot = 0;           ///< which run of the machine `units` is about
  };
  static constexpr std::uint64_t kScalesAt = 4096;

  /// A number of this run of the machine: what was written before it ended may be lost. 0 where the system has none.
  static std::uint64_t this_boot() {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string id;
    file >> id;
    return id.empty() ? 0 : detail::Fingerprint().add(std::as_bytes(std::span(id))).value();
  }

  std::filesystem::path partial_path() const {
    std::filesystem::path path = file_;
    path += ".partial";
    return path;
  }
  std::uint64_t pieces_at() const noexcept {
    return kScalesAt + (out_.layout_.cols() * sizeof(float) + 4095) / 4096 * 4096;
  }
  std::size_t width_at(std::size_t first) const noexcept {
    return std::min(panel_, out_.layout_.features - first);
  }
  /// Panel by panel, block by block inside.
  std::uint64_t piece_at(std::size_t b, std::size_t first) const noexcept {
    const HopLayout& l = out_.layout_;
    const std::uint64_t column = std::uint64_t{l.rows} * bytes_of(l.element);
    return pieces_at() + column * (l.blocks.size() * first + b * width_at(first));
  }

  void open_partial() {
    const HopLayout& l = out_.layout_;
    State wanted;
    wanted.key = l.key;
    wanted.rows = l.rows;
    wanted.cols = l.cols();
    wanted.panel = panel_;
    wanted.boot = this_boot();
    const std::uint64_t bytes = pieces_at() + std::uint64_t{l.rows} * l.cols() * bytes_of(l.element);
    partial_ = detail::RawFile(partial_path(), O_RDWR | O_CREAT);
    State found;
    const bool usable =
        partial_.size() == bytes && partial_.read_at(0, std::as_writable_bytes(std::span(&found, 1)));
    state_ = wanted;
    if (usable) {
      state_.units = found.boot == wanted.boot ? found.units : found.units_on_disk;
      state_.units_on_disk = found.units_on_disk;
      State same = found;
      same.units = state_.units;
      same.boot = wanted.boot;
      if (std::memcmp(&state_, &same, sizeof same) == 0) {
        if (!out_.scales_.empty() &&
            !partial_.read_at(kScalesAt, std::as_writable_bytes(out_.scales_.span()))) {
          detail::fail_file(partial_path(), "read", EIO);
        }
        return;
      }
      state_ = wanted;
    }
    try {
      partial_.reserve(bytes);
      partial_.write_at(0, std::as_bytes(std::span(&state_, 1)));
    } catch (...) {
      partial_ = detail::RawFile();
      std::error_code ignored;
      std::filesystem::remove(partial_path(), ignored);
      throw;
    }
  }

  void clear_padding() {
    const HopLayout& l = out_.layout_;
    const std::size_t used = l.cols() * bytes_of(l.element);
    for (std::size_t r = 0; r < l.rows && used < l.stride(); ++r) {
      std::memset(out_.memory_.data() + r * l.stride() + used, 0, l.stride() - used);
    }
  }

  /// scale[f] = the power of two that a stored value of column f is multiplied by to be the real one.
  template <class X, class Factor>
  void choose_scales(MatrixView<const X> panel, const Factor& factor, float* scale) const {
    const std::size_t width = panel.cols();
    constexpr std::size_t kRows = 4096;
    const std::size_t rows = out_.layout_.rows;
    Array<float> largest((rows + kRows - 1) / kRows * width, 0.0f);
    parallel_for(rows, kRows, [&](std::size_t begin, std::size_t end) {
      float* const to = largest.data() + begin / kRows * width;
      for (std::size_t r = begin; r < end; ++r) {
        const std::size_t i = rows_.empty() ? r : rows_[r];
        const float by = static_cast<float>(factor(i));
        for (std::size_t f = 0; f < width; ++f) {
          to[f] = std::max(to[f], std::abs(static_cast<float>(panel(i, f)) * by));
        }
      }
    });
    for (std::size_t f = 0; f < width; ++f) {
      float top = 0;
      for (std::size_t at = f; at < largest.size(); at += width) top = std::max(top, largest[at]);
      int exponent = 0;
      if (top > 0 && std::isfinite(top)) {
        std::frexp(top, &exponent);
        exponent = std::clamp(9 - exponent, -126, 126);
      }
      scale[f] = std::ldexp(1.0f, -exponent);
    }
  }

  template <class X>
  static TESSERA_ALWAYS_INLINE void narrow_row(ElementType element, const X* from, float by,
                                               const float* scale, std::size_t width, std::byte* to) {
    const auto narrow = [&]<class Y>(Y* out) TESSERA_INLINE_LAMBDA {
      detail::for_vectors<float>(width, [=]<std::size_t W>(std::size_t f) TESSERA_INLINE_LAMBDA {
        detail::Simd<float, W> value;
        detail::simd_load<W, float>(value, from + f);
        value *= by;
        detail::simd_store<W, float>(out + f, value);
      });
    };
    if (element == ElementType::f32) {
      narrow(reinterpret_cast<float*>(to));
    } else if (element == ElementType::bf16) {
      narrow(reinterpret_cast<bf16*>(to));
    } else {
      f16* const out = reinterpret_cast<f16*>(to);
      for (std::size_t f = 0; f < width; ++f) out[f] = f16(static_cast<float>(from[f]) * by / scale[f]);
    }
  }

  /// Deals the pieces out to rows, adds what a reader needs, and gives the file its name.
  void write_file() {
    const HopLayout& l = out_.layout_;
    std::string names;
    for (const std::string& block : l.blocks) names += block + "\n";
    const detail::HopFilePlan plan(names.size(), l.cols(), out_.row_ids_.size(), l.bytes());
    std::filesystem::path temporary = file_;
    temporary += ".tmp";
    try {
      const detail::RawFile file(temporary, O_RDWR | O_CREAT | O_TRUNC);
      file.reserve(plan.payload_at + plan.payload_bytes);
      deal_rows(file, plan.payload_at);
      write_head(file, plan, names);
      // Before the disk is waited for: pages of a removed file need not be written.
      partial_ = detail::RawFile();
      std::filesystem::remove(partial_path());
      file.sync();
    } catch (...) {
      std::error_code ignored;
      std::filesystem::remove(temporary, ignored);
      throw;
    }
    detail::rename_durably(temporary, file_);
  }

  void deal_rows(const detail::RawFile& file, std::uint64_t payload_at) const {
    const HopLayout& l = out_.layout_;
    const detail::Mapping pieces(partial_);
    const std::size_t s = bytes_of(l.element);
    const std::size_t chunk =
        std::max<std::size_t>(16, (std::size_t{4} << 20) / std::max<std::size_t>(1, l.stride()));
    parallel_for(l.rows, chunk, [&](std::size_t begin, std::size_t end) {
      Array<std::byte> rows((end - begin) * l.stride(), std::byte{0});
      for (std::size_t b = 0; b < l.blocks.size(); ++b) {
        for (std::size_t first = 0; first < l.features; first += panel_) {
          const std::size_t item = width_at(first) * s;
          const std::byte* const from = pieces.bytes().data() + piece_at(b, first);
          for (std::size_t r = begin; r < end; ++r) {
            std::memcpy(rows.data() + (r - begin) * l.stride() + (b * l.features + first) * s,
                        from + r * item, item);
          }
        }
      }
      file.write_at(payload_at + begin * l.stride(), rows.span());
      file.start_writing(payload_at + begin * l.stride(), rows.size());
    });
  }

  void write_head(const detail::RawFile& file, const detail::HopFilePlan& plan,
                  const std::string& names) const {
    const HopLayout& l = out_.layout_;
    const auto head_bytes = static_cast<std::size_t>(plan.payload_at);
    Array<std::byte> head(head_bytes, std::byte{0});
    detail::HopFileHeader h;
    h.element = static_cast<std::uint32_t>(l.element);
    h.blocks = static_cast<std::uint32_t>(l.blocks.size());
    h.rows = l.rows;
    h.features = l.features;
    h.stride = l.stride();
    h.key = l.key;
    h.names_bytes = names.size();
    h.row_ids = out_.row_ids_.size();
    h.payload_at = plan.payload_at;
    const auto place = [&](std::uint64_t at, const void* from, std::size_t count) {
      if (count > 0) std::memcpy(head.data() + at, from, count);
    };
    place(plan.names_at, names.data(), names.size());
    place(plan.scales_at, out_.scales_.data(), out_.scales_.size() * sizeof(float));
    place(plan.rows_at, out_.row_ids_.data(), out_.row_ids_.size() * sizeof(NodeId));
    const detail::Mapping written(file);
    parallel_blocks(static_cast<std::size_t>(plan.num_sums), [&](std::size_t b) {
      const std::uint64_t at = b * detail::kChecksumBlock;
      const auto count = static_cast<std::size_t>(std::min(detail::kChecksumBlock, plan.payload_bytes - at));
      const std::uint64_t sum =
          detail::checksum_of(written.bytes().subspan(static_cast<std::size_t>(plan.payload_at + at), count));
      place(plan.sums_at + b * 8, &sum, 8);
    });
    const auto rest = std::as_const(head).span().subspan(sizeof h);
    h.checksum = detail::Fingerprint().add(std::as_bytes(std::span(&std::as_const(h), 1))).add(rest).value();
    std::memcpy(head.data(), &h, sizeof h);
    file.write_at(0, head.span());
  }

  HopFeatures out_;
  std::span<const NodeId> rows_;
  std::filesystem::path file_;
  std::size_t panel_;
  detail::RawFile partial_;
  State state_;
  std::chrono::steady_clock::time_point synced_ = std::chrono::steady_clock::now();
};

}  // namespace tessera
