// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/crc32.hpp"
#include "tessera/io/npy_write.hpp"

namespace tessera::io {

/// Writes a .npz archive array by array, as numpy.savez does: stored, ZIP64 where a size needs it. The
/// file appears on commit, whole.
///
///     NpzWriter out("predictions.npz");
///     out.add("logits", logits.view());
///     out.commit();
///
/// The same arrays in the same order give the same bytes: the date is that of the format's epoch.
/// Errors   FormatError GEN-01, GEN-04; ConfigError for a key used twice, and for "file", which numpy
///          cannot load
class NpzWriter {
 public:
  explicit NpzWriter(std::filesystem::path path) : file_(std::move(path)) {}

  /// A two-dimensional array.
  template <NpyElement T>
  void add(std::string_view key, MatrixView<const T> values) {
    const std::uint64_t shape[] = {values.rows(), values.cols()};
    add(key, values, shape);
  }
  /// A one-dimensional array.
  template <NpyElement T>
  void add(std::string_view key, std::span<const T> values) {
    const std::uint64_t shape[] = {values.size()};
    add(key, MatrixView<const T>(values.data(), 1, values.size()), shape);
  }
  /// An array of any shape from its row-major elements; `values` holds their product.
  ///
  /// Errors   ShapeError if it does not
  template <NpyElement T>
  void add(std::string_view key, std::span<const T> values, std::span<const std::uint64_t> shape) {
    std::uint64_t count = 1;
    for (const std::uint64_t n : shape) count = saturating_product(count, n);
    if (count != values.size()) {
      throw ShapeError(message("NpzWriter::add: '", key, "' has ", values.size(), " elements, want ", count));
    }
    add(key, MatrixView<const T>(values.data(), 1, values.size()), shape);
  }

  /// A single text as numpy holds it, an array of no dimensions of type S<n>.
  void add_text(std::string_view key, std::string_view text) {
    const std::string bytes = npy_preamble(message("|S", std::max<std::size_t>(text.size(), 1)), {}) +
                              (text.empty() ? std::string(1, '\0') : std::string(text));
    add_bytes(key, [&](auto&& sink) { sink(std::as_bytes(std::span(bytes))); });
  }

  /// Writes the directory and gives the file its name.
  void commit() {
    const std::uint64_t offset = file_.size();
    for (const Member& member : members_) write_central(member);
    write_end(offset, file_.size() - offset);
    file_.commit();
  }

 private:
  static constexpr std::uint64_t k32 = 0xffffffff;

  struct Member {
    std::string name;
    std::uint32_t crc = 0;
    std::uint64_t size = 0;
    std::uint64_t offset = 0;
  };

  /// Little-endian fields, one after the other.
  class Fields {
   public:
    Fields& u16(std::uint64_t v) { return put(v, 2); }
    Fields& u32(std::uint64_t v) { return put(v, 4); }
    Fields& u64(std::uint64_t v) { return put(v, 8); }
    Fields& text(std::string_view t) {
      bytes_.append(t);
      return *this;
    }
    const std::string& bytes() const noexcept { return bytes_; }

   private:
    Fields& put(std::uint64_t v, int size) {
      for (int i = 0; i < size; ++i) bytes_.push_back(static_cast<char>(v >> (8 * i) & 0xff));
      return *this;
    }
    std::string bytes_;
  };

  template <NpyElement T>
  void add(std::string_view key, MatrixView<const T> values, std::span<const std::uint64_t> shape) {
    add_bytes(key, [&](auto&& sink) { detail::emit_npy(values, shape, sink); });
  }

  /// One member; `emit` hands its bytes to a sink, the same ones each time.
  template <class Emit>
  void add_bytes(std::string_view key, Emit&& emit) {
    Member member{.name = std::string(key) + ".npy", .crc = 0, .size = 0, .offset = file_.size()};
    if (key == "file")
      throw ConfigError("NpzWriter::add: key is 'file', which numpy cannot load; use another");
    for (const Member& other : members_) {
      if (other.name == member.name)
        throw ConfigError(message("NpzWriter::add: key '", key, "' is used twice"));
    }
    emit([&](std::span<const std::byte> bytes) {
      member.crc = crc32(bytes, member.crc);
      member.size += bytes.size();
    });
    const bool wide = member.size >= k32;
    Fields local;
    local.u32(0x04034b50).u16(wide ? 45 : 20).u16(0).u16(0).u16(kTime).u16(kDate).u32(member.crc);
    local.u32(wide ? k32 : member.size).u32(wide ? k32 : member.size);
    local.u16(member.name.size()).u16(wide ? 20 : 0).text(member.name);
    if (wide) local.u16(1).u16(16).u64(member.size).u64(member.size);
    file_.write(local.bytes());
    emit([&](std::span<const std::byte> bytes) { file_.write(bytes); });
    members_.push_back(std::move(member));
  }

  void write_central(const Member& member) {
    const bool wide_size = member.size >= k32;
    const bool wide_offset = member.offset >= k32;
    Fields extra;
    if (wide_size || wide_offset) {
      extra.u16(1).u16((wide_size ? 16u : 0u) + (wide_offset ? 8u : 0u));
      if (wide_size) extra.u64(member.size).u64(member.size);
      if (wide_offset) extra.u64(member.offset);
    }
    const unsigned version = extra.bytes().empty() ? 20 : 45;
    Fields central;
    central.u32(0x02014b50).u16(0x300 | version).u16(version).u16(0).u16(0).u16(kTime).u16(kDate);
    central.u32(member.crc).u32(wide_size ? k32 : member.size).u32(wide_size ? k32 : member.size);
    central.u16(member.name.size()).u16(extra.bytes().size()).u16(0).u16(0).u16(0).u32(kMode);
    central.u32(wide_offset ? k32 : member.offset).text(member.name).text(extra.bytes());
    file_.write(central.bytes());
  }

  void write_end(std::uint64_t offset, std::uint64_t size) {
    const std::uint64_t count = members_.size();
    const bool wide = offset >= k32 || size >= k32 || count >= 0xffff;
    Fields end;
    if (wide) {
      end.u32(0x06064b50).u64(44).u16(45).u16(45).u32(0).u32(0).u64(count).u64(count).u64(size).u64(offset);
      end.u32(0x07064b50).u32(0).u64(offset + size).u32(1);
    }
    const std::uint64_t count16 = wide ? 0xffff : count;
    end.u32(0x06054b50)
        .u16(0)
        .u16(0)
        .u16(count16)
        .u16(count16)
        .u32(wide ? k32 : size)
        .u32(wide ? k32 : offset);
    end.u16(0);
    file_.write(end.bytes());
  }

  static constexpr unsigned kTime = 0;
  static constexpr unsigned kDate = 0x21;              // 1 January 1980
  static constexpr std::uint64_t kMode = 0600u << 16;  // as numpy

  AtomicFile file_;
  std::vector<Member> members_;
};

}  // namespace tessera::io
