// SPDX-License-Identifier: MIT
#pragma once

namespace tessera {

/// Whether a kernel replaces its output or adds to it.
enum class Accumulate : bool { no, yes };

}  // namespace tessera
