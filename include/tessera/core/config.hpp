// SPDX-License-Identifier: MIT
#pragma once

// How the heaviest templates come to be. Header-only use: nothing here matters, they are instantiated where
// used. Against the target tessera::compiled (it defines TESSERA_COMPILED), headers declare their common
// instantiations extern and one generated source per such header defines them (it also defines
// TESSERA_COMPILING):
//
//     #if defined(TESSERA_COMPILED)
//     TESSERA_INSTANTIATE void spmm_sum<float, float>(...);
//     #endif
//
// A heavy function without template arguments is declared for everybody and defined
//
//     #if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
//     TESSERA_DEFINE Dataset load(...) { ... }  // inline, or emitted once by its header's generated source
//     #endif
#if defined(TESSERA_COMPILED) && defined(TESSERA_COMPILING)
#define TESSERA_DEFINE
#else
#define TESSERA_DEFINE inline
#endif

#if defined(TESSERA_COMPILED)
#if defined(TESSERA_COMPILING)
#define TESSERA_INSTANTIATE template
#else
#define TESSERA_INSTANTIATE extern template
#endif
#endif
