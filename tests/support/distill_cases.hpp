// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tessera/graph/dataset.hpp"
#include "tessera/graph/generators.hpp"

namespace tessera::testing {

/// A planted partition with noisy features: `labelled` training and validation nodes per class, the rest test.
inline Dataset community_task(std::size_t nodes, std::size_t classes, std::size_t labelled = 5,
                              std::uint64_t seed = 3) {
  Dataset data = generate_community_graph({.nodes = nodes,
                                           .classes = classes,
                                           .features = 16,
                                           .mean_degree = nodes < 100 ? 5.0 : 20.0,
                                           .seed = seed});
  data.roles.assign(nodes, Role::test);
  for (const Role role : {Role::train, Role::val}) {
    for (std::size_t c = 0; c < classes; ++c) {
      std::size_t taken = 0;
      for (std::size_t i = 0; i < nodes && taken < labelled; ++i) {
        if (data.labels.classes[i] != static_cast<std::int32_t>(c) || data.roles[i] != Role::test) continue;
        data.roles[i] = role;
        ++taken;
      }
    }
  }
  return data;
}

}  // namespace tessera::testing
