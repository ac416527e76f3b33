// SPDX-License-Identifier: MIT
// Every instantiation of tessera::compiled in one source, which clang only reads (test package.clang): what GCC lets pass
// is found in seconds.
#include "tessera/core/config.hpp"
#define TESSERA_COMPILING 1
#undef TESSERA_DEFINE
#define TESSERA_DEFINE
#undef TESSERA_INSTANTIATE
#define TESSERA_INSTANTIATE template
#include "tessera/tessera.hpp"
