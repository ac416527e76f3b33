// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/precompute_cases.hpp"
#include "tessera/core/error.hpp"
#include "tessera/precompute/propagate.hpp"

// A propagation to try things on, and a folder for its files.

namespace tessera::testing {

/// A folder that goes away with its owner.
struct Folder {
  std::filesystem::path path;
  explicit Folder(const char* name)
      : path(std::filesystem::temp_directory_path() /
             message("tessera-", name, "-", static_cast<int>(::getpid()))) {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path operator/(const char* name) const { return path / name; }
};

inline std::string content(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline Tensor<float> widened(const HopFeatures& hops) {
  Array<NodeId> rows(hops.rows());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<NodeId>(i);
  Tensor<float> out(hops.rows(), hops.cols());
  hops.gather(rows, out.view());
  return out;
}

inline bool same(const HopFeatures& a, const HopFeatures& b) {
  return same_bits<float>(widened(a).view(), widened(b).view());
}

/// The families of SIGN (2, 1, 1) on one graph, and what their blocks are.
struct Sign {
  CsrGraph graph = loopy_graph(90, 400, 1);
  PropagationOperator gcn{graph, {.kind = OperatorKind::gcn}};
  PropagationOperator ppr{graph, {.kind = OperatorKind::ppr, .alpha = 0.2}};
  PropagationOperator triangle{graph, {.kind = OperatorKind::triangle}};
  std::vector<PropagationFamily> families{{&gcn, 2}, {&ppr, 1}, {&triangle, 1}};
  Tensor<float> x = random_matrix<float>(90, 37, 2);

  HopFeatures run(const PropagateOptions& options = {}) const {
    return propagate(families, x.view(), options);
  }
};

}  // namespace tessera::testing
