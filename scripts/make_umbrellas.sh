#!/usr/bin/env bash
# Rewrites include/tessera/<layer>/all.hpp from the headers that are there. Run it after adding a header; the layer check
# fails until then.
set -euo pipefail
cd "$(dirname "$0")/../include"

for folder in tessera/*/; do
  layer=$(basename "$folder")
  {
    echo '// SPDX-License-Identifier: MIT'
    echo '#pragma once'
    echo
    echo "// Everything of the $layer layer; written by scripts/make_umbrellas.sh."
    find "tessera/$layer" -name '*.hpp' ! -path '*/detail/*' ! -path '*/reference/*' ! -name all.hpp ! -name fwd.hpp |
      LC_ALL=C sort | sed 's/.*/#include "&"/'
  } > "tessera/$layer/all.hpp"
done
