# tessera::tessera: the headers, and nothing a user did not ask for (no flags, no warnings, no -march).
add_library(tessera INTERFACE)
add_library(tessera::tessera ALIAS tessera)

file(GLOB_RECURSE tessera_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/*.hpp)
target_sources(tessera INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${tessera_headers})
target_compile_features(tessera INTERFACE cxx_std_20)
target_link_libraries(tessera INTERFACE TBB::tbb)
if(ZLIB_FOUND)
  target_link_libraries(tessera INTERFACE ZLIB::ZLIB)
  target_compile_definitions(tessera INTERFACE TESSERA_HAS_ZLIB=1)
endif()
if(TESSERA_ISAL_FOUND)
  target_include_directories(tessera SYSTEM INTERFACE $<BUILD_INTERFACE:${ISAL_INCLUDE_DIR}>)
  target_link_libraries(tessera INTERFACE $<BUILD_INTERFACE:${ISAL_LIBRARY}> $<INSTALL_INTERFACE:isal>)
  target_compile_definitions(tessera INTERFACE TESSERA_HAS_ISAL=1)
endif()

# `all_verify_interface_header_sets` compiles every header alone.
set_target_properties(tessera PROPERTIES VERIFY_INTERFACE_HEADER_SETS ${PROJECT_IS_TOP_LEVEL})
