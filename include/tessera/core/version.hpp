// SPDX-License-Identifier: MIT
#pragma once

namespace tessera {

// The one place the version is written; CMakeLists.txt reads these three lines.
inline constexpr int kVersionMajor = 0;
inline constexpr int kVersionMinor = 1;
inline constexpr int kVersionPatch = 0;
inline constexpr const char* kVersion = "0.1.0";

}  // namespace tessera
