// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/safetensors.hpp"

namespace tessera::io {

/// `text` as a JSON string, quotes included.
inline std::string json_quoted(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto value = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (value < 0x20) {
      out += "\\u00";
      out.push_back(kHex[value >> 4]);
      out.push_back(kHex[value & 15]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
  return out;
}

/// Collects tensors and writes them as one safetensors file, whole or not at all.
///
///     SafetensorsWriter out;
///     out.add<float>("model.lin.weight", weight.view());
///     out.metadata("format", "pt");
///     out.write("best.safetensors");
///
/// Tensors are borrowed: they must stay alive and unchanged until `write` returns. Every tensor starts at
/// a multiple of its element size; the same tensors give the same bytes whatever the order of `add`.
/// Errors   ConfigError for a name used twice, reserved, or not UTF-8; ShapeError if a shape does not fit
///          the values; FormatError GEN-01, GEN-04 from `write`
class SafetensorsWriter {
 public:
  /// Row-major values of any shape; an empty shape is a scalar.
  template <SafetensorsElement T>
  void add(std::string name, std::span<const T> values, std::vector<std::uint64_t> shape) {
    std::uint64_t count = 1;
    for (const std::uint64_t n : shape) count = saturating_product(count, n);
    if (count != values.size()) {
      throw ShapeError(message("SafetensorsWriter::add: \"", name, "\" has ", values.size(),
                               " values, shape ", shape_text(shape), " wants ", count));
    }
    const std::span<const std::byte> bytes = std::as_bytes(values);
    insert({std::move(name), safetensors_dtype<T>(), sizeof(T), std::move(shape), bytes.data(), 1,
            bytes.size(), 0});
  }
  /// A vector.
  template <SafetensorsElement T>
  void add(std::string name, std::span<const T> values) {
    add(std::move(name), values, {values.size()});
  }
  /// A matrix, strided or not.
  template <SafetensorsElement T>
  void add(std::string name, MatrixView<const T> values) {
    insert({std::move(name),
            safetensors_dtype<T>(),
            sizeof(T),
            {values.rows(), values.cols()},
            reinterpret_cast<const std::byte*>(values.data()),
            values.rows(),
            values.cols() * sizeof(T),
            values.stride() * sizeof(T)});
  }

  /// A note in the header, e.g. the architecture. Values are text.
  void metadata(std::string key, std::string value) {
    if (!is_utf8(key) || !is_utf8(value)) {
      throw ConfigError(message("SafetensorsWriter::metadata: \"", key, "\" is not UTF-8"));
    }
    metadata_.insert_or_assign(std::move(key), std::move(value));
  }

  void write(const std::filesystem::path& path) {
    std::sort(tensors_.begin(), tensors_.end(), [](const Tensor& a, const Tensor& b) {
      return a.element_bytes != b.element_bytes ? a.element_bytes > b.element_bytes : a.name < b.name;
    });
    AtomicFile file(path);
    const std::string header = header_text();
    const std::uint64_t size = header.size();
    file.write(std::as_bytes(std::span(&size, 1)));
    file.write(header);
    for (const Tensor& tensor : tensors_) {
      for (std::size_t i = 0; i < tensor.rows && tensor.row_bytes > 0; ++i) {
        file.write(std::span(tensor.data + i * tensor.stride_bytes, tensor.row_bytes));
      }
    }
    file.commit();
  }

 private:
  struct Tensor {
    std::string name;
    std::string_view dtype;
    std::size_t element_bytes;
    std::vector<std::uint64_t> shape;
    const std::byte* data;
    std::size_t rows;
    std::size_t row_bytes;
    std::size_t stride_bytes;
  };

  void insert(Tensor tensor) {
    if (tensor.name == "__metadata__" || !is_utf8(tensor.name)) {
      throw ConfigError(message("SafetensorsWriter::add: \"", tensor.name, "\" cannot be a tensor's name"));
    }
    for (const Tensor& other : tensors_) {
      if (other.name == tensor.name) {
        throw ConfigError(message("SafetensorsWriter::add: \"", tensor.name, "\" is used twice"));
      }
    }
    tensors_.push_back(std::move(tensor));
  }

  std::string header_text() const {
    std::string out = "{";
    if (!metadata_.empty()) {
      std::string notes;
      for (const auto& [key, value] : metadata_) {
        notes += message(notes.empty() ? "" : ",", json_quoted(key), ":", json_quoted(value));
      }
      out += message("\"__metadata__\":{", notes, "}");
    }
    std::uint64_t begin = 0;
    for (const Tensor& tensor : tensors_) {
      std::string shape;
      for (const std::uint64_t n : tensor.shape) shape += message(shape.empty() ? "" : ",", n);
      const std::uint64_t end = begin + tensor.rows * tensor.row_bytes;
      out += message(out.size() > 1 ? "," : "", json_quoted(tensor.name), ":{\"dtype\":\"", tensor.dtype,
                     "\",\"shape\":[", shape, "],\"data_offsets\":[", begin, ",", end, "]}");
      begin = end;
    }
    out += "}";
    out.append((8 - out.size() % 8) % 8, ' ');
    return out;
  }

  std::vector<Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace tessera::io
