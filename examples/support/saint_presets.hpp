// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace examples {

/// What the authors of GraphSAINT train a data set with; the sizes mean for each sampler:
///   node: draws, -; edge: draws, -; rw: roots, steps; mrw: draws, roots.
struct SaintPreset {
  std::string_view data;
  std::string_view sampler;
  std::string_view arch;
  std::size_t hidden;
  float dropout;
  double coverage;
  std::uint64_t epochs;
  std::size_t size;
  std::size_t second;
  std::size_t degree_clip = 3000;
};

// Source: GraphSAINT/GraphSAINT, train_config/table2. Learning rate 0.01 and gradient norm 5 everywhere.
inline constexpr std::array kSaintPresets{
    SaintPreset{"ppi", "node", "1-0-1-0", 512, 0.0f, 50, 1000, 6000, 0},
    SaintPreset{"ppi", "edge", "1-0-1-0", 512, 0.1f, 50, 1000, 4000, 0},
    SaintPreset{"ppi", "rw", "1-0-1-0", 512, 0.1f, 50, 1000, 3000, 2},
    SaintPreset{"ppi", "mrw", "1-0-1-0", 512, 0.1f, 50, 1000, 8000, 2500},
    SaintPreset{"flickr", "node", "1-1-0", 256, 0.2f, 25, 30, 8000, 0},
    SaintPreset{"flickr", "edge", "1-1-0", 256, 0.2f, 25, 15, 6000, 0},
    SaintPreset{"flickr", "rw", "1-1-0", 256, 0.2f, 25, 15, 6000, 2},
    SaintPreset{"flickr", "mrw", "1-1-0", 256, 0.2f, 25, 15, 12000, 3000},
    SaintPreset{"reddit", "node", "1-0-1-0", 128, 0.1f, 50, 40, 8000, 0},
    SaintPreset{"reddit", "edge", "1-0-1-0", 128, 0.1f, 50, 40, 6000, 0},
    SaintPreset{"reddit", "rw", "1-0-1-0", 128, 0.1f, 50, 30, 2000, 4},
    SaintPreset{"reddit", "mrw", "1-0-1-0", 128, 0.1f, 50, 30, 8000, 1000},
    SaintPreset{"yelp", "node", "1-1-0", 512, 0.1f, 50, 50, 5000, 0},
    SaintPreset{"yelp", "edge", "1-1-0", 512, 0.1f, 50, 100, 2500, 0},
    SaintPreset{"yelp", "rw", "1-1-0", 512, 0.1f, 50, 75, 1250, 2},
    SaintPreset{"yelp", "mrw", "1-1-0", 512, 0.1f, 50, 100, 2500, 1000, 100},
    SaintPreset{"amazon", "node", "1-1-0", 512, 0.1f, 50, 30, 4500, 0},
    SaintPreset{"amazon", "edge", "1-1-0", 512, 0.1f, 50, 30, 2000, 0},
    SaintPreset{"amazon", "rw", "1-1-0", 512, 0.1f, 50, 30, 1500, 2},
    SaintPreset{"amazon", "mrw", "1-1-0", 512, 0.1f, 50, 30, 4500, 1500},
};

/// The names `--preset` takes: "ppi-rw" and so on.
inline std::vector<std::string> saint_preset_names() {
  std::vector<std::string> names;
  for (const SaintPreset& p : kSaintPresets)
    names.push_back(std::string(p.data) + "-" + std::string(p.sampler));
  return names;
}

/// The preset of that name, which must be one of saint_preset_names().
inline const SaintPreset& saint_preset(std::string_view name) {
  const std::vector<std::string> names = saint_preset_names();
  std::size_t k = 0;
  while (names[k] != name) ++k;
  return kSaintPresets[k];
}

}  // namespace examples
