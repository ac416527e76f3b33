// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/io/npz.hpp"

namespace tessera::testing {

/// The arrays of one file of tests/data/golden, which a script in tests/golden made.
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& file) : file_(std::string(TESSERA_TEST_DATA) + "/golden/" + file) {}

  /// An array of T of any shape, row by row.
  template <class T>
  std::vector<T> values(const std::string& name) const {
    const io::NpyArray array = file_.read(name);
    std::vector<T> out(array.size());
    REQUIRE(array.bytes().size() == out.size() * sizeof(T));
    std::memcpy(out.data(), array.bytes().data(), array.bytes().size());
    return out;
  }
  /// Node ids, stored as integers of type I.
  template <class I = std::int64_t>
  std::vector<NodeId> ids(const std::string& name) const {
    std::vector<NodeId> out;
    for (const I v : values<I>(name)) out.push_back(static_cast<NodeId>(v));
    return out;
  }
  /// A matrix of doubles.
  Tensor<double> matrix(const std::string& name) const {
    const io::NpyArray array = file_.read(name);
    REQUIRE(array.rank() == 2);
    Tensor<double> out(array.dim(0), array.dim(1));
    REQUIRE(array.bytes().size() == out.size() * sizeof(double));
    for (std::size_t i = 0; i < out.rows(); ++i) {
      std::memcpy(out.row(i).data(), array.bytes().data() + i * out.cols() * sizeof(double),
                  out.cols() * sizeof(double));
    }
    return out;
  }

 private:
  io::NpzFile file_;
};

}  // namespace tessera::testing
