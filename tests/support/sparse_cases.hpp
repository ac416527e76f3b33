// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/bf16.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"

// Small awkward sparse matrices and dense data for kernel tests.

namespace tessera::test {

/// A sparse matrix that owns its arrays.
struct SparseCase {
  const char* name = "";
  std::size_t num_cols = 0;
  std::vector<EdgeId> row_ptr{0};
  std::vector<NodeId> col;
  std::vector<float> weight;

  std::size_t num_rows() const { return row_ptr.size() - 1; }
  CsrView<> view() const { return {num_rows(), num_cols, row_ptr, col, weight}; }
  CsrView<> unweighted() const { return {num_rows(), num_cols, row_ptr, col, {}}; }
};

/// Rows with these numbers of entries; columns random, unsorted, duplicates and loops included.
inline SparseCase random_sparse(const char* name, std::span<const std::size_t> degrees, std::size_t num_cols,
                                bool weighted, std::uint64_t seed) {
  SparseCase out;
  out.name = name;
  out.num_cols = num_cols;
  CounterRng rng(make_key(seed, 0, Purpose::generate), 0, 0);
  for (const std::size_t degree : degrees) {
    for (std::size_t k = 0; k < degree; ++k) {
      out.col.push_back(static_cast<NodeId>(rng.below(num_cols)));
      if (weighted) out.weight.push_back(static_cast<float>(rng.uniform() * 2 - 1));
    }
    out.row_ptr.push_back(out.col.size());
  }
  return out;
}

/// The shapes every sparse kernel must survive.
inline std::vector<SparseCase> awkward_cases(bool weighted) {
  std::vector<SparseCase> out;
  using Degrees = std::vector<std::size_t>;
  out.push_back(random_sparse("no rows", Degrees{}, 3, weighted, 1));
  out.push_back(random_sparse("one row, no entry", Degrees{0}, 1, weighted, 2));
  out.push_back(random_sparse("one loop", Degrees{1}, 1, weighted, 3));
  out.push_back(random_sparse("two rows, duplicates", Degrees{5, 3}, 2, weighted, 4));
  Degrees mixed(1000);
  for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] = (i * 7919) % 13;  // every 13th row is isolated
  out.push_back(random_sparse("thousand rows", mixed, 1000, weighted, 5));
  out.push_back(random_sparse("bipartite", Degrees{3, 0, 9, 1}, 50, weighted, 6));
  Degrees hub(200, 5);
  hub[77] = 9 * 199 * 5;  // 90 % of all entries, a hub once beyond EdgeRanges::kHubEntries
  hub[0] = hub[199] = 0;
  out.push_back(random_sparse("hub", hub, 200, weighted, 7));
  return out;
}

/// The transpose with columns ascending; from[e] is the entry of `a` that entry e was.
inline SparseCase transpose_of(const CsrView<>& a, std::vector<std::size_t>* from = nullptr) {
  struct Entry {
    std::size_t row, col, entry;
  };
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (std::size_t e = a.begin(i); e < a.end(i); ++e) entries.push_back({a.col[e], i, e});
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& l, const Entry& r) { return l.row < r.row; });
  SparseCase out;
  out.name = "transpose";
  out.num_cols = a.num_rows;
  out.row_ptr.assign(a.num_cols + 1, 0);
  for (const Entry& entry : entries) {
    ++out.row_ptr[entry.row + 1];
    out.col.push_back(static_cast<NodeId>(entry.col));
    if (a.weighted()) out.weight.push_back(a.weight[entry.entry]);
    if (from != nullptr) from->push_back(entry.entry);
  }
  for (std::size_t i = 0; i < a.num_cols; ++i) out.row_ptr[i + 1] += out.row_ptr[i];
  return out;
}

/// Uniform in [-1, 1).
template <class T>
Tensor<T> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  Tensor<T> out(rows, cols);
  CounterRng rng(make_key(seed, 1, Purpose::generate), 0, 0);
  for (std::size_t i = 0; i < rows; ++i) {
    for (T& value : out.row(i)) value = static_cast<T>(static_cast<float>(rng.uniform() * 2 - 1));
  }
  return out;
}

/// Instruction-set levels this processor can run.
inline std::vector<Isa> isa_levels() {
  std::vector<Isa> out;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa <= detected_isa()) out.push_back(isa);
  }
  return out;
}

/// Equal extents and bits, NaN equal to itself.
template <class T>
bool same_bits(const Tensor<T>& a, const Tensor<T>& b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return false;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    const auto left = std::as_bytes(a.row(i));
    const auto right = std::as_bytes(b.row(i));
    if (!std::equal(left.begin(), left.end(), right.begin())) return false;
  }
  return true;
}

}  // namespace tessera::test
