// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <string>
#include <vector>

#include "tessera/io/detect.hpp"
#include "tessera/io/read_options.hpp"

namespace examples {

/// A check for numbers above 0, or from 0 on. CLI11's own names the largest double when it refuses.
inline CLI::Validator number_check(bool zero_too) {
  const auto check = [zero_too](std::string& text) {
    char* rest = nullptr;
    const double value = std::strtod(text.c_str(), &rest);
    const bool good = rest != text.c_str() && *rest == '\0' && (zero_too ? value >= 0 : value > 0);
    return good ? std::string() : text + ", want a number " + (zero_too ? "from 0 on" : "above 0");
  };
  return CLI::Validator(check, zero_too ? "NONNEGATIVE" : "POSITIVE");
}
inline const CLI::Validator kPositive = number_check(false);
inline const CLI::Validator kNonNegative = number_check(true);

/// What `--format` takes.
inline std::vector<std::string> layout_names() {
  return {tessera::io::kLayoutNames.begin(), tessera::io::kLayoutNames.end()};
}

/// `--symmetrise` and `--directed`: what becomes of edges that are stored in one direction.
struct EdgeChoice {
  bool symmetrise = false;
  bool directed = false;

  tessera::io::Symmetrise value() const {
    return symmetrise ? tessera::io::Symmetrise::on
           : directed ? tessera::io::Symmetrise::off
                      : tessera::io::Symmetrise::automatic;
  }
};

inline void add_edge_options(CLI::App& app, EdgeChoice& edges) {
  auto* both = app.add_flag("--symmetrise", edges.symmetrise, "Add the reverse of every edge");
  app.add_flag("--directed", edges.directed, "Keep the direction of the edges")->excludes(both);
}

}  // namespace examples
