#!/usr/bin/env bash
# Installs what is missing, builds everything with warnings as errors, compiles every header alone and runs all tests
# except those labelled slow (scripts/accuracy.sh and `ctest -L slow` run these).
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_dependencies.sh
cmake --preset ci
cmake --build build/ci
cmake --build build/ci --target all_verify_interface_header_sets
ctest --preset ci --parallel "$(nproc)"
