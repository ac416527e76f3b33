#!/usr/bin/env bash
# Runs the unit tests under the address and undefined-behaviour sanitizers, then under the thread sanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_dependencies.sh
for preset in ${*:-asan-ubsan tsan}; do
  cmake --preset "$preset" -DTESSERA_BUILD_EXAMPLES=OFF
  cmake --build "build/$preset"
  # oneTBB is not built with the thread sanitizer; the file tells its reports by their stacks.
  TSAN_OPTIONS="suppressions=$PWD/tests/support/tsan.supp history_size=7" ctest --preset "$preset" --parallel "$(nproc)"
done
