#!/usr/bin/env bash
# Installs what is missing, builds the Cluster-GCN example and trains it on a generated graph.
# Options of the example may follow: scripts/demo.sh --data DIR --parts 8
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_dependencies.sh
cmake --preset release -DTESSERA_BUILD_TESTS=OFF -DTESSERA_BUILD_BENCHMARKS=OFF >/dev/null
cmake --build build/release --target cluster_gcn
build/release/examples/cluster_gcn "$@"
