# Installed packages first, a pinned download second. The headers need oneTBB; the rest serves our programs.
include(FetchContent)

FetchContent_Declare(TBB
  GIT_REPOSITORY https://github.com/uxlfoundation/oneTBB.git GIT_TAG v2021.8.0 GIT_SHALLOW ON
  FIND_PACKAGE_ARGS 2021)
FetchContent_MakeAvailable(TBB)

if(TESSERA_WITH_ZLIB)
  find_package(ZLIB QUIET)
endif()
if(TESSERA_WITH_ISAL)
  find_path(ISAL_INCLUDE_DIR isa-l/igzip_lib.h)
  find_library(ISAL_LIBRARY isal)
endif()
if(TESSERA_WITH_ISAL AND ISAL_INCLUDE_DIR AND ISAL_LIBRARY)
  set(TESSERA_ISAL_FOUND ON)
  message(STATUS "tessera: ISA-L found, compressed files are read with it")
endif()
if(ZLIB_FOUND)
  message(STATUS "tessera: zlib ${ZLIB_VERSION_STRING} found, compressed files can be read and written")
elseif(NOT TESSERA_ISAL_FOUND)
  message(STATUS "tessera: neither zlib nor ISA-L used, compressed files will be refused with a message")
endif()

if(TESSERA_WITH_METIS)
  find_path(METIS_INCLUDE_DIR metis.h)
  find_library(METIS_LIBRARY metis)
endif()
if(METIS_INCLUDE_DIR AND METIS_LIBRARY)
  # What MetisPartitioner needs; targets that use it link this. Others may define and link the same by hand.
  add_library(tessera_metis INTERFACE)
  target_include_directories(tessera_metis INTERFACE ${METIS_INCLUDE_DIR})
  target_link_libraries(tessera_metis INTERFACE ${METIS_LIBRARY})
  target_compile_definitions(tessera_metis INTERFACE TESSERA_HAS_METIS=1)
  add_library(tessera::metis ALIAS tessera_metis)
  message(STATUS "tessera: METIS found, target tessera::metis offers it as a partitioner")
else()
  message(STATUS "tessera: METIS not used")
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
