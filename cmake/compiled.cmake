# tessera::compiled: what headers mark with TESSERA_INSTANTIATE or TESSERA_DEFINE, each header's in a generated source. What a
# header includes is declared only there, so nothing is compiled by two sources.
set(tessera_compiled_sources)
foreach(header IN LISTS tessera_headers)
  file(STRINGS ${header} marks REGEX "^TESSERA_(INSTANTIATE|DEFINE) " LIMIT_COUNT 1)
  if(marks)
    cmake_path(RELATIVE_PATH header BASE_DIRECTORY ${PROJECT_SOURCE_DIR}/include OUTPUT_VARIABLE include_name)
    string(REPLACE "/" "_" unit "${include_name}")
    string(REPLACE ".hpp" ".cpp" unit "${unit}")
    # Includes after the namespace has begun bring definitions, which are this source's own.
    file(STRINGS ${header} lines REGEX "^(#include \"tessera/|namespace tessera)")
    set(dependencies)
    foreach(line IN LISTS lines)
      if(line MATCHES "^namespace")
        break()
      endif()
      string(APPEND dependencies "${line}\n")
    endforeach()
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/compiled/${unit}
         CONTENT "#include \"tessera/core/config.hpp\"\n${dependencies}#define TESSERA_COMPILING 1\n#undef TESSERA_DEFINE
#define TESSERA_DEFINE\n#undef TESSERA_INSTANTIATE\n#define TESSERA_INSTANTIATE template
#include \"${include_name}\"  // IWYU pragma: keep\n")
    list(APPEND tessera_compiled_sources ${PROJECT_BINARY_DIR}/compiled/${unit})
  endif()
endforeach()

if(tessera_compiled_sources)
  add_library(tessera_compiled STATIC ${tessera_compiled_sources})
  target_link_libraries(tessera_compiled PUBLIC tessera)
  target_compile_definitions(tessera_compiled PUBLIC TESSERA_COMPILED=1)
else()
  add_library(tessera_compiled INTERFACE)
  target_link_libraries(tessera_compiled INTERFACE tessera)
endif()
add_library(tessera::compiled ALIAS tessera_compiled)
set_target_properties(tessera_compiled PROPERTIES EXPORT_NAME compiled)
