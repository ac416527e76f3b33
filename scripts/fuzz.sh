#!/usr/bin/env bash
# Fuzzes every reader with libFuzzer under the address and undefined-behaviour sanitizers (needs clang).
# Usage: scripts/fuzz.sh [SECONDS PER READER]   (default 60)
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
command -v clang++ >/dev/null || { echo "please install clang" >&2; exit 1; }
scripts/install_dependencies.sh
cmake -S . -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DTESSERA_BUILD_TESTS=OFF -DTESSERA_BUILD_EXAMPLES=OFF \
  -DTESSERA_BUILD_BENCHMARKS=OFF -DTESSERA_BUILD_COMPILED=OFF -DTESSERA_BUILD_FUZZERS=ON
cmake --build build/fuzz
for fuzzer in build/fuzz/tests/fuzz/fuzz_*; do
  [ -x "$fuzzer" ] || continue
  echo "== $(basename "$fuzzer")"
  corpus=$fuzzer-corpus
  mkdir -p "$corpus"
  "$fuzzer" -max_total_time="$seconds" -rss_limit_mb=4096 -artifact_prefix="$corpus-" "$corpus" 2>&1 | tail -n 3
done
