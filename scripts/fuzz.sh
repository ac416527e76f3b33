#!/usr/bin/env bash
# Fuzzes every reader with libFuzzer under the address and undefined-behaviour sanitizers (needs clang and python3).
# Usage: scripts/fuzz.sh [SECONDS PER PROGRAM] [PROGRAMS AT ONCE]   (default 60, 1)
# Corpora grow in build/fuzz/corpus; a finding is left in build/fuzz/findings and fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
at_once=${2:-1}
command -v clang++ >/dev/null || { echo "please install clang" >&2; exit 1; }
scripts/install_dependencies.sh
cmake -S . -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DTESSERA_BUILD_TESTS=OFF -DTESSERA_BUILD_EXAMPLES=OFF \
  -DTESSERA_BUILD_BENCHMARKS=OFF -DTESSERA_BUILD_COMPILED=OFF -DTESSERA_BUILD_FUZZERS=ON
cmake --build build/fuzz
python3 tests/fuzz/make_seeds.py build/fuzz/seeds
mkdir -p build/fuzz/findings

fuzz_one() {
  local fuzzer=build/fuzz/tests/fuzz/$1 corpus=build/fuzz/corpus/$1 seeds=build/fuzz/seeds/$1
  mkdir -p "$corpus" "$seeds"
  if "$fuzzer" -max_total_time="$2" -rss_limit_mb=2048 -timeout=20 -max_len=4096 \
      -artifact_prefix="build/fuzz/findings/$1-" "$corpus" "$seeds" >"build/fuzz/$1.log" 2>&1; then
    echo "$1: clean, $(tail -n 1 "build/fuzz/$1.log")"
  else
    echo "$1: FINDING, see build/fuzz/$1.log"
    return 1
  fi
}
export -f fuzz_one
find build/fuzz/tests/fuzz -maxdepth 1 -name 'fuzz_*' -type f -executable -printf '%f\n' | sort |
  xargs -P "$at_once" -I{} bash -c 'fuzz_one {} "$0"' "$seconds"
