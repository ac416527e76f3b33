// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/pickle.hpp"

// NumPy arrays and SciPy matrices as pickles describe them.

namespace tessera::io {

/// A numeric array inside a pickle, of rank 1 or 2, little-endian.
///
/// Shapes   [rows] (cols is 1) or [rows, cols]; `fortran`: columns are contiguous
struct PickleArray {
  std::string_view type;  ///< "f4", "i8", ... or "b1"
  std::size_t rows = 0;
  std::size_t cols = 1;
  std::size_t rank = 1;
  bool fortran = false;
  std::span<const std::byte> bytes;

  std::size_t size() const noexcept { return rows * cols; }

  /// Calls visit(load) where load(i) is the i-th element in the order of the file.
  template <class Visit>
  decltype(auto) with_elements(Visit&& visit) const {
    const auto as = [this](auto zero) {
      return [data = bytes.data(), zero](std::size_t i) mutable {
        std::memcpy(&zero, data + i * sizeof zero, sizeof zero);
        return zero;
      };
    };
    if (type == "f4") return visit(as(float{}));
    if (type == "f8") return visit(as(double{}));
    if (type == "i8") return visit(as(std::int64_t{}));
    if (type == "i2") return visit(as(std::int16_t{}));
    if (type == "i1") return visit(as(std::int8_t{}));
    if (type == "u1" || type == "b1") return visit(as(std::uint8_t{}));
    return visit(as(std::int32_t{}));
  }
};

/// A compressed sparse row matrix inside a pickle, checked: offsets ascend, columns are in range.
///
/// Shapes   [rows, cols]; row_ptr [rows + 1], col [nnz], value [nnz]
struct PickleCsr {
  std::size_t rows = 0;
  std::size_t cols = 0;
  Array<std::uint64_t> row_ptr;
  Array<std::uint32_t> col;
  Array<float> value;
};

namespace detail {

// dtype state: (3, '<', None, None, None, -1, -1, 0); its arguments: ('f4', 0, 1).
inline std::string_view pickle_dtype(const Pickle& pickle, const PickleItem& item) {
  using Kind = PickleItem::Kind;
  pickle.require(item, Kind::object, "the dtype of an array");
  const Pickle::Object& object = pickle.object(item);
  if (object.type != PickleGlobal::dtype) pickle.fail("the dtype of an array is another object");
  const auto arguments = pickle.items(object.arguments);
  if (arguments.empty()) pickle.fail("a dtype without arguments");
  pickle.require(arguments[0], Kind::bytes, "the name of a dtype");
  const std::string_view name = pickle.text(arguments[0]);
  constexpr std::string_view kKnown[] = {"f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"};
  if (std::find(std::begin(kKnown), std::end(kKnown), name) == std::end(kKnown)) {
    pickle.place().fail("NPY-04", "dtype '", name.substr(0, 20),
                        "' is not supported; expected one of f4 f8 i1..i8 u1 b1");
  }
  if (object.state.kind == Kind::tuple) {
    const auto state = pickle.items(object.state);
    if (state.size() > 1 && state[1].kind == Kind::bytes && pickle.text(state[1]) == ">") {
      pickle.place().fail("NPY-04", "dtype '>", name, "' is not supported in a pickle; want little-endian");
    }
  }
  return name;
}

inline std::size_t pickle_extent(const Pickle& pickle, const PickleItem& item) {
  pickle.require(item, PickleItem::Kind::integer, "an extent");
  if (item.value < 0) pickle.fail(message("extent ", item.value, " is negative"));
  return static_cast<std::size_t>(item.value);
}

}  // namespace detail

/// Reads an item as a numeric array.
///
/// Cost     O(1); the elements stay where they are
/// Errors   FormatError PKL-02 (not an array, or its parts do not fit each other), NPY-04 (element type)
inline PickleArray pickle_array(const Pickle& pickle, const PickleItem& item) {
  using Kind = PickleItem::Kind;
  pickle.require(item, Kind::object, "the array");
  const Pickle::Object& object = pickle.object(item);
  if (object.type != PickleGlobal::ndarray) pickle.fail("expected a NumPy array, found another object");
  pickle.require(object.state, Kind::tuple, "the state of an array");
  const auto state = pickle.items(object.state);  // (1, shape, dtype, is_fortran, bytes)
  if (state.size() != 5) pickle.fail(message("the state of an array has ", state.size(), " parts, want 5"));
  PickleArray out;
  pickle.require(state[1], Kind::tuple, "the shape of an array");
  const auto shape = pickle.items(state[1]);
  if (shape.empty() || shape.size() > 2)
    pickle.fail(message("an array of rank ", shape.size(), ", want 1 or 2"));
  out.rank = shape.size();
  out.rows = detail::pickle_extent(pickle, shape[0]);
  if (shape.size() == 2) out.cols = detail::pickle_extent(pickle, shape[1]);
  out.type = detail::pickle_dtype(pickle, state[2]);
  pickle.require(state[3], Kind::boolean, "the order of an array");
  out.fortran = state[3].value != 0;
  pickle.require(state[4], Kind::bytes, "the content of an array");
  out.bytes = pickle.bytes(state[4]);
  const auto width = static_cast<std::uint64_t>(out.type[1] - '0');
  const std::uint64_t want = saturating_product(saturating_product(out.rows, out.cols), width);
  if (want != out.bytes.size()) {
    pickle.fail(message("shape (", out.rows, ", ", out.cols, ") of ", out.type, " needs ", grouped(want),
                        " bytes, the array has ", grouped(out.bytes.size())));
  }
  return out;
}

/// Reads an item as a CSR matrix and checks it.
///
/// Cost     work and memory O(rows + nnz)
/// Errors   FormatError PKL-02 (not such a matrix), SPM-02 (offsets), EDG-01 (column out of range), FEA-01
/// (NaN)
inline PickleCsr pickle_csr(const Pickle& pickle, const PickleItem& item) {
  using Kind = PickleItem::Kind;
  pickle.require(item, Kind::object, "the matrix");
  const Pickle::Object& object = pickle.object(item);
  if (object.type != PickleGlobal::csr_matrix)
    pickle.fail("expected a SciPy csr_matrix, found another object");
  pickle.require(object.state, Kind::dict, "the state of a matrix");
  const auto state = pickle.items(object.state);
  const auto find = [&](std::string_view key) -> const PickleItem& {
    for (std::size_t i = 0; i + 1 < state.size(); i += 2) {
      if (state[i].kind == Kind::bytes && pickle.text(state[i]) == key) return state[i + 1];
    }
    pickle.fail(message("the matrix has no '", key, "'"));
  };
  PickleCsr out;
  const PickleItem& shape = find("_shape");
  pickle.require(shape, Kind::tuple, "the shape of a matrix");
  if (pickle.items(shape).size() != 2) pickle.fail("the shape of a matrix has not two extents");
  out.rows = detail::pickle_extent(pickle, pickle.items(shape)[0]);
  out.cols = detail::pickle_extent(pickle, pickle.items(shape)[1]);
  const PickleArray indptr = pickle_array(pickle, find("indptr"));
  const PickleArray indices = pickle_array(pickle, find("indices"));
  const PickleArray data = pickle_array(pickle, find("data"));
  const Place& place = pickle.place();
  if (indptr.size() != out.rows + 1 || out.cols > std::numeric_limits<std::uint32_t>::max()) {
    place.fail("SPM-02", "indptr has ", grouped(indptr.size()), " entries, want ", grouped(out.rows + 1));
  }
  if (data.size() != indices.size()) {
    place.fail("SPM-02", "data has ", grouped(data.size()), " entries, indices has ",
               grouped(indices.size()));
  }
  if (indptr.type[0] == 'f' || indices.type[0] == 'f')
    pickle.fail("the positions of a matrix are not integers");
  out.row_ptr.resize(indptr.size());
  indptr.with_elements([&](auto load) {
    for (std::size_t i = 0; i < indptr.size(); ++i) {
      const auto value = static_cast<double>(load(i));
      const double before = i == 0 ? 0.0 : static_cast<double>(out.row_ptr[i - 1]);
      if (!(value >= before) || (i == 0 && value != 0) || value > static_cast<double>(indices.size())) {
        place.fail("SPM-02", "indptr[", i, "] = ", value, ", want a value from ", before, " to ",
                   indices.size());
      }
      out.row_ptr[i] = static_cast<std::uint64_t>(value);
    }
  });
  const auto nnz = static_cast<std::size_t>(out.row_ptr[out.rows]);
  out.col.resize(nnz);
  indices.with_elements([&](auto load) {
    for (std::size_t e = 0; e < nnz; ++e) {
      const auto value = static_cast<double>(load(e));
      if (!(value >= 0 && value < static_cast<double>(out.cols))) {
        place.fail("EDG-01", "entry ", grouped(e), ": column ", value, " but there are ", grouped(out.cols),
                   " columns");
      }
      out.col[e] = static_cast<std::uint32_t>(value);
    }
  });
  out.value.resize(nnz);
  data.with_elements([&](auto load) {
    for (std::size_t e = 0; e < nnz; ++e) out.value[e] = static_cast<float>(load(e));
  });
  return out;
}

}  // namespace tessera::io
