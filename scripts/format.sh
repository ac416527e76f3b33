#!/usr/bin/env bash
# Formats every source file in place; with --check only says which files differ and fails if any does.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=(-i)
[ "${1:-}" = --check ] && mode=(--dry-run --Werror)
git ls-files -z '*.hpp' '*.cpp' | xargs -0 clang-format "${mode[@]}"
