// SPDX-License-Identifier: MIT
// Every instantiation of tessera::compiled in one source (TESSERA_COMPILED and TESSERA_COMPILING are defined), which clang
// only reads (test package.clang): what GCC lets pass is found in seconds.
#include "tessera/tessera.hpp"  // IWYU pragma: keep
