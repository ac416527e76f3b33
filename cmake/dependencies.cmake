# Installed packages first, a pinned download second. The headers need oneTBB; the rest serves our programs.
include(FetchContent)

FetchContent_Declare(TBB
  GIT_REPOSITORY https://github.com/uxlfoundation/oneTBB.git GIT_TAG v2021.8.0 GIT_SHALLOW ON
  FIND_PACKAGE_ARGS 2021)
FetchContent_MakeAvailable(TBB)

if(TESSERA_WITH_ZLIB)
  find_package(ZLIB QUIET)
endif()
if(ZLIB_FOUND)
  message(STATUS "tessera: zlib ${ZLIB_VERSION_STRING} found, compressed files can be read")
else()
  message(STATUS "tessera: zlib not used, compressed files will be refused with a message")
endif()

if(TESSERA_BUILD_TESTS)
  FetchContent_Declare(Catch2
    GIT_REPOSITORY https://github.com/catchorg/Catch2.git GIT_TAG v3.4.0 GIT_SHALLOW ON
    FIND_PACKAGE_ARGS)
  FetchContent_MakeAvailable(Catch2)
endif()
if(TESSERA_BUILD_EXAMPLES OR TESSERA_BUILD_BENCHMARKS)
  FetchContent_Declare(CLI11
    GIT_REPOSITORY https://github.com/CLIUtils/CLI11.git GIT_TAG v2.1.2 GIT_SHALLOW ON
    FIND_PACKAGE_ARGS)
  FetchContent_MakeAvailable(CLI11)
endif()
if(TESSERA_BUILD_BENCHMARKS)  # the peer of bench_spmm and bench_gemm
  FetchContent_Declare(Eigen3
    GIT_REPOSITORY https://gitlab.com/libeigen/eigen.git GIT_TAG 3.4.0 GIT_SHALLOW ON
    FIND_PACKAGE_ARGS 3.4 NO_MODULE)
  FetchContent_MakeAvailable(Eigen3)
endif()
