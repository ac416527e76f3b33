// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

#include "tessera/core/error.hpp"

namespace tessera {

/// What features are multiplied by. D holds the row sums of A, D~ those of A + I; 1/0 counts as 0.
enum class OperatorKind {
  gcn,        ///< D~^-1/2 (A + I) D~^-1/2
  symmetric,  ///< D^-1/2 A D^-1/2
  row,        ///< D^-1 A, the mean of the neighbours
  column,     ///< A D^-1
  row_loops,  ///< D~^-1 (A + I)
  improved,   ///< as gcn with loops of weight 2
  general,    ///< D~^(r-1) (A + I) D~^-r (GBP)
  ppr,        ///< alpha sum over t of (1 - alpha)^t S^t with S = gcn: personalised PageRank
  heat,       ///< exp(-t (I - S)) with S = gcn
  triangle,   ///< entry (i, j) is the number of triangles through edge (i, j), rows divided by their sum
  bethe,      ///< 8 I - ((c - 1) I - sqrt(c) A + D), Bethe-Hessian; unnormalised
  sum         ///< A itself; unnormalised
};

/// Which neighbours a node of a directed graph takes features from.
enum class Sides {
  undirected,  ///< the graph has to be symmetric
  in,          ///< the sources of the edges into a node: row i of the CSR matrix
  out,         ///< the targets of the edges out of a node
  both         ///< either: the graph is symmetrised, an edge stored both ways counts once
};

/// An operator by name and numbers.
struct OperatorSpec {
  OperatorKind kind = OperatorKind::gcn;
  double alpha = 0.1;       ///< ppr: the share of a step that returns, in (0, 1]
  double time = 3;          ///< heat: t, in (0, 50]
  double exponent = 0.5;    ///< general: r, in [0, 1]
  double tolerance = 0.01;  ///< ppr, heat: the weight of the part of the series that is left out, in (0, 1)
  double ratio = 0;         ///< bethe: c; 0 takes the mean degree
  bool triangle_symmetric = false;  ///< triangle: divide by the roots of both row sums instead
  Sides sides = Sides::undirected;
};

constexpr std::string_view name(OperatorKind kind) noexcept {
  switch (kind) {
    case OperatorKind::gcn:
      return "gcn";
    case OperatorKind::symmetric:
      return "symmetric";
    case OperatorKind::row:
      return "row";
    case OperatorKind::column:
      return "column";
    case OperatorKind::row_loops:
      return "row_loops";
    case OperatorKind::improved:
      return "improved";
    case OperatorKind::general:
      return "general";
    case OperatorKind::ppr:
      return "ppr";
    case OperatorKind::heat:
      return "heat";
    case OperatorKind::triangle:
      return "triangle";
    case OperatorKind::bethe:
      return "bethe";
    case OperatorKind::sum:
      break;
  }
  return "sum";
}

/// The operator of this name with its default numbers.
///
/// Errors   ConfigError for a name that is none
inline OperatorSpec operator_named(std::string_view text) {
  for (int k = 0; k <= static_cast<int>(OperatorKind::sum); ++k) {
    const OperatorSpec spec{.kind = static_cast<OperatorKind>(k)};
    if (name(spec.kind) == text) return spec;
  }
  throw ConfigError(message("operator_named: \"", text,
                            "\" is no operator, want gcn, symmetric, row, column, row_loops, improved, "
                            "general, ppr, heat, triangle, bethe or sum"));
}

/// One line that holds every number the operator depends on; part of the key of stored features.
inline std::string describe(const OperatorSpec& spec) {
  std::string out(name(spec.kind));
  if (spec.kind == OperatorKind::ppr) out += message("(alpha=", spec.alpha, ",tol=", spec.tolerance, ")");
  if (spec.kind == OperatorKind::heat) out += message("(t=", spec.time, ",tol=", spec.tolerance, ")");
  if (spec.kind == OperatorKind::general) out += message("(r=", spec.exponent, ")");
  if (spec.kind == OperatorKind::bethe) out += message("(c=", spec.ratio, ")");
  if (spec.kind == OperatorKind::triangle && spec.triangle_symmetric) out += "(symmetric)";
  constexpr std::string_view kSides[] = {"", "/in", "/out", "/both"};
  out += kSides[static_cast<std::size_t>(spec.sides)];
  return out;
}

/// Throws ConfigError naming the first number that cannot be.
inline void validate(const OperatorSpec& spec) {
  const auto require = [&](bool good, std::string_view what, double got, std::string_view want) {
    if (!good) throw ConfigError(message("OperatorSpec: ", what, " is ", got, ", want ", want));
  };
  const OperatorKind kind = spec.kind;
  if (kind == OperatorKind::ppr) require(spec.alpha > 0 && spec.alpha <= 1, "alpha", spec.alpha, "in (0, 1]");
  if (kind == OperatorKind::heat) require(spec.time > 0 && spec.time <= 50, "time", spec.time, "in (0, 50]");
  if (kind == OperatorKind::ppr || kind == OperatorKind::heat) {
    require(spec.tolerance > 0 && spec.tolerance < 1, "tolerance", spec.tolerance, "in (0, 1)");
  }
  if (kind == OperatorKind::general) {
    require(spec.exponent >= 0 && spec.exponent <= 1, "exponent", spec.exponent, "in [0, 1]");
  }
  if (kind == OperatorKind::bethe) {
    require(spec.ratio >= 0 && std::isfinite(spec.ratio), "ratio", spec.ratio, "a number >= 0");
  }
}

}  // namespace tessera
