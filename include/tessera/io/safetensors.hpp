// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/json_scanner.hpp"
#include "tessera/io/limits.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/npy_header.hpp"
#include "tessera/io/utf8.hpp"

// safetensors, the checkpoint format: 8 bytes of header size H, H bytes of JSON naming every tensor's dtype,
// shape and byte range, then the bytes, without holes. No code, mappable, one line to read in Python.

namespace tessera::io {

/// One tensor of a safetensors file.
///
/// Units    begin, end in bytes from the end of the header
struct SafetensorsEntry {
  std::string name;
  std::string dtype;  ///< BOOL U8 I8 U16 I16 F16 BF16 U32 I32 F32 U64 I64 F64
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// The dtype a value of type T is stored as; none for other types.
template <class T>
constexpr std::string_view safetensors_dtype() noexcept {
  if constexpr (std::same_as<T, bool>) return "BOOL";
  if constexpr (std::same_as<T, std::uint8_t>) return "U8";
  if constexpr (std::same_as<T, std::int8_t>) return "I8";
  if constexpr (std::same_as<T, std::uint16_t>) return "U16";
  if constexpr (std::same_as<T, std::int16_t>) return "I16";
  if constexpr (std::same_as<T, bf16>) return "BF16";
  if constexpr (std::same_as<T, std::uint32_t>) return "U32";
  if constexpr (std::same_as<T, std::int32_t>) return "I32";
  if constexpr (std::same_as<T, float>) return "F32";
  if constexpr (std::same_as<T, std::uint64_t>) return "U64";
  if constexpr (std::same_as<T, std::int64_t>) return "I64";
  if constexpr (std::same_as<T, double>) return "F64";
  return {};
}

/// Types a safetensors file can hold.
template <class T>
concept SafetensorsElement = !safetensors_dtype<T>().empty();

namespace detail {

/// Bytes per element; 0 for types that are not supported.
constexpr std::size_t safetensors_size(std::string_view dtype) noexcept {
  if (dtype == "BOOL" || dtype == "U8" || dtype == "I8") return 1;
  if (dtype == "U16" || dtype == "I16" || dtype == "F16" || dtype == "BF16") return 2;
  if (dtype == "U32" || dtype == "I32" || dtype == "F32") return 4;
  if (dtype == "U64" || dtype == "I64" || dtype == "F64") return 8;
  return 0;
}

/// Reads the JSON header of a safetensors file.
class SafetensorsHeader {
 public:
  SafetensorsHeader(std::string_view text, const Place& place)
      : json_(ByteSource::memory(text, place.file),
              std::min<std::size_t>(text.size() + 1, JsonScanner::kChunk)),
        place_(place) {}

  void read(std::vector<SafetensorsEntry>& tensors, std::map<std::string, std::string>& metadata) {
    bool have_metadata = false;
    json_.expect(JsonEvent::begin_object, "an object from tensor name to description");
    while (json_.next() == JsonEvent::key) {
      const std::string name(json_.text());
      if (name == "__metadata__") {
        if (std::exchange(have_metadata, true)) place_.fail("STF-02", "__metadata__ occurs twice");
        read_metadata(metadata);
      } else {
        tensors.push_back(read_entry(name));
      }
    }
    json_.expect(JsonEvent::end, "nothing after the object");
  }

 private:
  void read_metadata(std::map<std::string, std::string>& metadata) {
    json_.expect(JsonEvent::begin_object, "an object of strings");
    while (json_.next() == JsonEvent::key) {
      std::string key(json_.text());
      if (json_.next() != JsonEvent::string) {
        place_.fail("STF-02", "metadata \"", key.substr(0, 80), "\" is ", JsonScanner::name_of(json_.last()),
                    ", want a string");
      }
      metadata.insert_or_assign(std::move(key), std::string(json_.text()));
    }
  }

  SafetensorsEntry read_entry(const std::string& name) {
    SafetensorsEntry out{.name = name, .dtype = {}, .shape = {}, .begin = 0, .end = 0};
    bool have_shape = false;
    std::vector<std::uint64_t> offsets;
    json_.expect(JsonEvent::begin_object, "the description of a tensor");
    while (json_.next() == JsonEvent::key) {
      if (json_.text() == "dtype") {
        json_.expect(JsonEvent::string, "the name of a dtype");
        out.dtype = std::string(json_.text());
      } else if (json_.text() == "shape") {
        have_shape = true;
        out.shape = read_sizes(name);
      } else if (json_.text() == "data_offsets") {
        offsets = read_sizes(name);
      } else {
        json_.skip_value();
      }
    }
    if (out.dtype.empty() || !have_shape || offsets.size() != 2) {
      place_.fail("STF-03", "tensor \"", name.substr(0, 80), "\" needs dtype, shape and two data_offsets");
    }
    if (safetensors_size(out.dtype) == 0) {
      place_.fail("STF-03", "tensor \"", name.substr(0, 80), "\" has the dtype ", out.dtype.substr(0, 20),
                  ", which is not supported; save it as F32");
    }
    out.begin = offsets[0];
    out.end = offsets[1];
    return out;
  }

  std::vector<std::uint64_t> read_sizes(const std::string& name) {
    std::vector<std::uint64_t> out;
    json_.expect(JsonEvent::begin_array, "an array of sizes");
    while (json_.next() != JsonEvent::end_array) {
      if (json_.last() != JsonEvent::integer || json_.integer() < 0) {
        place_.fail("STF-03", "tensor \"", name.substr(0, 80), "\" has a size that is not a whole number");
      }
      out.push_back(static_cast<std::uint64_t>(json_.integer()));
    }
    return out;
  }

  JsonScanner json_;
  const Place& place_;
};

}  // namespace detail

/// A safetensors file opened for reading; tensors are copied out on demand.
///
/// Everything is checked on opening, in the order of the reference implementation.
/// Cost     opening O(header); the file is mapped
/// Errors   FormatError GEN-01..04, STF-01 (header size), STF-02 (header text), STF-03 (a tensor's
///          description), STF-04 (holes, overlap), STF-05 (file size)
/// Source   github.com/huggingface/safetensors, format description
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path, const Limits& limits = {})
      : file_(path, {.access = Access::random, .max_bytes = limits.max_bytes}), place_(path) {
    open(file_.bytes(), limits);
  }
  /// A file in bytes that outlive it; `name` stands for the path in messages.
  SafetensorsFile(std::span<const std::byte> bytes, std::string name, const Limits& limits = {})
      : place_(std::move(name)) {
    open(bytes, limits);
  }

  /// By name.
  std::span<const SafetensorsEntry> tensors() const noexcept { return tensors_; }
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
  const Place& place() const noexcept { return place_; }

  /// The tensor of that name, or none.
  const SafetensorsEntry* find(std::string_view name) const noexcept {
    const auto at =
        std::lower_bound(tensors_.begin(), tensors_.end(), name,
                         [](const SafetensorsEntry& t, std::string_view n) { return t.name < n; });
    return at != tensors_.end() && at->name == name ? &*at : nullptr;
  }

  /// The bytes of a tensor, row-major and little-endian, at any alignment.
  std::span<const std::byte> bytes(const SafetensorsEntry& tensor) const noexcept {
    return data_.subspan(static_cast<std::size_t>(tensor.begin),
                         static_cast<std::size_t>(tensor.end - tensor.begin));
  }

  /// Copies a tensor of exactly the type T; `out` has its number of elements.
  ///
  /// Errors   FormatError STF-03 if the file has no such tensor, or another dtype or size
  template <SafetensorsElement T>
  void copy_to(std::string_view name, std::span<T> out) const {
    const SafetensorsEntry& tensor = require<T>(name);
    const std::span<const std::byte> source = bytes(tensor);
    if (source.size() != out.size_bytes()) {
      place_.fail("STF-03", "tensor \"", name, "\" has the shape ", shape_text(tensor.shape), ", want ",
                  out.size(), " elements");
    }
    if (!source.empty()) std::memcpy(out.data(), source.data(), source.size());
  }

  /// A copy of a tensor of exactly the type T.
  ///
  /// Errors   FormatError STF-03
  template <SafetensorsElement T>
  Array<T> values(std::string_view name) const {
    Array<T> out(bytes(require<T>(name)).size() / sizeof(T));
    copy_to<T>(name, out.span());
    return out;
  }

 private:
  template <class T>
  const SafetensorsEntry& require(std::string_view name) const {
    const SafetensorsEntry* tensor = find(name);
    if (tensor == nullptr) place_.fail("STF-03", "there is no tensor \"", name, "\"");
    if (tensor->dtype != safetensors_dtype<T>()) {
      place_.fail("STF-03", "tensor \"", name, "\" has the dtype ", tensor->dtype, ", want ",
                  safetensors_dtype<T>());
    }
    return *tensor;
  }

  void open(std::span<const std::byte> file, const Limits& limits) {
    if (file.size() < 8) place_.fail("STF-01", "the file has ", file.size(), " bytes, a header size needs 8");
    const std::uint64_t header = detail::load_little(file.first(8));
    if (header > limits.max_safetensors_header) {
      refuse_wrong_kind(place_, file, "safetensors file");
      place_.fail("STF-01", "header size is ", grouped(header), ", limit is ",
                  grouped(limits.max_safetensors_header), "; is this a safetensors file?");
    }
    if (header > file.size() - 8) {
      place_.fail("STF-01", "header size is ", grouped(header), ", the file has ", grouped(file.size()),
                  " bytes: truncated");
    }
    const std::string_view text = detail::as_text(file.subspan(8, static_cast<std::size_t>(header)));
    if (!is_utf8(text)) place_.fail("STF-02", "the header is not UTF-8");
    if (!text.starts_with('{')) place_.fail("STF-02", "the header does not start with '{'");
    parse(text);
    data_ = file.subspan(8 + static_cast<std::size_t>(header));
    check_layout();
    std::sort(tensors_.begin(), tensors_.end(),
              [](const SafetensorsEntry& a, const SafetensorsEntry& b) { return a.name < b.name; });
    const auto twice = std::adjacent_find(
        tensors_.begin(), tensors_.end(),
        [](const SafetensorsEntry& a, const SafetensorsEntry& b) { return a.name == b.name; });
    if (twice != tensors_.end())
      place_.fail("STF-02", "two tensors are called \"", twice->name.substr(0, 80), "\"");
  }

  void parse(std::string_view text) {
    try {
      detail::SafetensorsHeader(text, place_).read(tensors_, metadata_);
    } catch (const FormatError& error) {
      if (!error.code().starts_with("JSN")) throw;
      const std::string_view what = error.what();
      const std::size_t at = what.find(place_.file);  // keep what follows "error[JSN-01] <file>: "
      place_.fail("STF-02",
                  "the header is not the expected JSON: ", what.substr(at + place_.file.size() + 2));
    }
  }

  /// Tensors in the order of their bytes must follow each other exactly, from the first byte to the last.
  void check_layout() {
    std::sort(tensors_.begin(), tensors_.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::uint64_t next = 0;
    for (const SafetensorsEntry& tensor : tensors_) {
      const std::string name = tensor.name.substr(0, 80);
      if (tensor.begin != next || tensor.end < tensor.begin) {
        place_.fail("STF-04", "tensor \"", name, "\": bytes ", tensor.begin, "..", tensor.end,
                    " should start at ", next, "; tensors must follow each other without hole or overlap");
      }
      next = tensor.end;
      std::uint64_t needed = detail::safetensors_size(tensor.dtype);
      bool overflow = false;
      for (const std::uint64_t n : tensor.shape) overflow |= __builtin_mul_overflow(needed, n, &needed);
      if (overflow || needed != tensor.end - tensor.begin) {
        place_.fail("STF-03", "tensor \"", name, "\": bytes ", tensor.begin, "..", tensor.end, " but ",
                    shape_text(tensor.shape), " of ", tensor.dtype, " needs ",
                    overflow ? "more than 64 bits can count" : message(needed));
      }
    }
    if (next != data_.size()) {
      place_.fail("STF-05", "tensors take ", grouped(next), " bytes, ", grouped(data_.size()),
                  " follow the header", next > data_.size() ? ": truncated" : "");
    }
  }

  MappedFile file_;
  Place place_;
  std::span<const std::byte> data_;
  std::vector<SafetensorsEntry> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace tessera::io
