// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/io_archives.hpp"
#include "tessera/core/error.hpp"

// Pickles as Python 2 writes them (protocol 2), and a small Planetoid data set made of them.

namespace tessera::test {

inline std::string little(std::uint64_t value, std::size_t size) {
  std::string out;
  for (std::size_t i = 0; i < size; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return out;
}

inline std::string pickle_file(std::string_view body) { return "\x80\x02" + std::string(body) + "."; }
inline std::string pickle_int(std::int64_t value) {
  if (value >= 0 && value < 256) return "K" + little(static_cast<std::uint64_t>(value), 1);
  if (value >= 0 && value < 65536) return "M" + little(static_cast<std::uint64_t>(value), 2);
  return "J" + little(static_cast<std::uint64_t>(value), 4);
}
inline std::string pickle_bytes(std::string_view text) {
  const std::string head = text.size() < 256 ? "U" + little(text.size(), 1) : "T" + little(text.size(), 4);
  return head + std::string(text);
}
inline std::string pickle_global(std::string_view module, std::string_view name) {
  return message("c", module, "\n", name, "\n");
}

inline std::string pickle_dtype(std::string_view name, std::string_view order = "<") {
  return pickle_global("numpy", "dtype") + pickle_bytes(name) + "K\x01K\x01\x87R" + "(K\x03" +
         pickle_bytes(order) + "NNN" + pickle_int(-1) + pickle_int(-1) + std::string("K\0tb", 4);
}

/// An ndarray; `shape` is a tuple of extents.
inline std::string pickle_ndarray(std::string_view type, const std::vector<std::int64_t>& shape,
                                  std::string_view data, bool fortran = false) {
  std::string tuple = "(";
  for (const std::int64_t n : shape) tuple += pickle_int(n);
  tuple += "t";
  return pickle_global("numpy.core.multiarray", "_reconstruct") + pickle_global("numpy", "ndarray") +
         std::string("K\0\x85", 3) + pickle_bytes("b") + "\x87Rq\x05(K\x01" + tuple + pickle_dtype(type) +
         (fortran ? "\x88" : "\x89") + pickle_bytes(data) + "tb";
}

template <class T>
std::string raw_vector(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// A scipy csr_matrix of float32 with these rows of (column, value).
inline std::string pickle_csr(std::int64_t cols,
                              const std::vector<std::vector<std::pair<std::int32_t, float>>>& rows) {
  std::vector<std::int32_t> indptr{0}, indices;
  std::vector<float> data;
  for (const auto& row : rows) {
    for (const auto& [col, value] : row) {
      indices.push_back(col);
      data.push_back(value);
    }
    indptr.push_back(static_cast<std::int32_t>(indices.size()));
  }
  const auto size = [](const auto& v) { return static_cast<std::int64_t>(v.size()); };
  return pickle_global("scipy.sparse.csr", "csr_matrix") + ")\x81q\x01}q\x02(" + pickle_bytes("_shape") +
         pickle_int(size(rows)) + pickle_int(cols) + "\x86" + pickle_bytes("maxprint") + "K\x32" +
         pickle_bytes("indices") + pickle_ndarray("i4", {size(indices)}, raw_vector(indices)) +
         pickle_bytes("indptr") + pickle_ndarray("i4", {size(indptr)}, raw_vector(indptr)) +
         pickle_bytes("data") + pickle_ndarray("f4", {size(data)}, raw_vector(data)) + "ub";
}

inline std::string pickle_one_hot(std::int64_t classes, const std::vector<int>& labels) {
  std::vector<std::int32_t> data(labels.size() * static_cast<std::size_t>(classes), 0);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= 0) data[i * static_cast<std::size_t>(classes) + static_cast<std::size_t>(labels[i])] = 1;
  }
  return pickle_ndarray("i4", {static_cast<std::int64_t>(labels.size()), classes}, raw_vector(data));
}

inline std::string pickle_graph(const std::map<int, std::vector<int>>& lists) {
  std::string out =
      pickle_global("collections", "defaultdict") + pickle_global("__builtin__", "list") + "\x85Rq\x01(";
  for (const auto& [node, neighbours] : lists) {
    out += pickle_int(node) + "]";
    if (neighbours.size() == 1) {
      out += pickle_int(neighbours[0]) + "a";
    } else if (!neighbours.empty()) {
      out += "(";
      for (const int n : neighbours) out += pickle_int(n);
      out += "e";
    }
  }
  return out + "u";
}

/// The eight files of a Planetoid set "toy": 4 known nodes (2 training), test nodes 6 and 4, a gap at 5.
inline std::map<std::string, std::string> toy_planetoid() {
  const std::vector<std::vector<std::pair<std::int32_t, float>>> known = {
      {{0, 1.0f}}, {{1, 1.0f}, {2, 1.0f}}, {}, {{2, 0.5f}}};
  return {{"x", pickle_file(pickle_csr(3, {known[0], known[1]}))},
          {"allx", pickle_file(pickle_csr(3, known))},
          {"tx", pickle_file(pickle_csr(3, {{{0, 6.0f}}, {{0, 4.0f}}}))},
          {"y", pickle_file(pickle_one_hot(2, {0, 1}))},
          {"ally", pickle_file(pickle_one_hot(2, {0, 1, 1, 0}))},
          {"ty", pickle_file(pickle_one_hot(2, {1, 0}))},
          {"graph", pickle_file(pickle_graph({{0, {1, 1, 6}}, {1, {0, 0}}, {2, {}}, {4, {4, 4}}, {6, {0}}}))},
          {"test.index", "6\n4\n"}};
}

inline void write_planetoid(const ScratchFolder& folder, const std::map<std::string, std::string>& parts) {
  for (const auto& [part, content] : parts) folder.write("ind.toy." + part, content);
}

}  // namespace tessera::test
