// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "tessera/core/error.hpp"
#include "tessera/core/fingerprint.hpp"

namespace tessera::detail {

/// The settings of a policy as "name=value, ..."; empty where it shows none.
template <class P>
std::string describe(const P& policy) {
  std::string out;
  const auto add = [&](std::string_view key, auto value) {
    if (!out.empty()) out += ", ";
    out += message(key, "=", value);
  };
  if constexpr (requires { policy.visit_options(add); }) policy.visit_options(add);
  return out;
}

}  // namespace tessera::detail
