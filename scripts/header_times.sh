#!/usr/bin/env bash
# Prints the seconds of compiling each header alone (one include in an empty file, -O2), slowest first.
# Usage: scripts/header_times.sh [FOLDER UNDER include/tessera] [HOW MANY LINES]
set -euo pipefail
cd "$(dirname "$0")/../include"

folder=${1:-}
TIMEFORMAT=%U
for header in oneapi/tbb/parallel_for.h $(find "tessera/$folder" -name '*.hpp' | LC_ALL=C sort); do
  seconds=$({ time echo "#include <$header>" | "${CXX:-g++}" -std=c++20 -O2 -I. -x c++ -c -o /dev/null - 2>/dev/null; } 2>&1)
  echo "$seconds $header"
done | sort -rn | head -n "${2:-10}"
