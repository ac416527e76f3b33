if(Catch2_VERSION VERSION_LESS 3)
  set(tessera_catch_target Catch2::Catch2)
else()
  set(tessera_catch_target Catch2::Catch2)
endif()
include(Catch OPTIONAL RESULT_VARIABLE found_catch_module)
if(NOT found_catch_module)
  list(APPEND CMAKE_MODULE_PATH ${Catch2_DIR} ${Catch2_SOURCE_DIR}/extras)
  include(Catch)
endif()

# Where the real datasets lie; tests that need one skip with a message when it is absent.
set(TESSERA_DATA_DIR ${PROJECT_SOURCE_DIR}/../shared/data CACHE PATH "Folder of real datasets for tests")

function(tessera_layer_tests layer)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${layer}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${layer} ${sources})
  tessera_own_executable(test_${layer})
  target_link_libraries(test_${layer} PRIVATE tessera_test_main)
  target_compile_definitions(test_${layer} PRIVATE
    TESSERA_DATA_DIR="${TESSERA_DATA_DIR}" TESSERA_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/data")
  target_precompile_headers(test_${layer} PRIVATE
    ${CMAKE_CURRENT_SOURCE_DIR}/support/catch.hpp <algorithm> <cmath> <cstdint> <span> <string> <vector>)
  catch_discover_tests(test_${layer} TEST_SPEC "~[slow]" TEST_PREFIX "${layer}: "
    PROPERTIES LABELS unit TIMEOUT 300)
  add_test(NAME ${layer}.slow COMMAND test_${layer} "[slow]")
  set_tests_properties(${layer}.slow PROPERTIES LABELS slow TIMEOUT 3600)
endfunction()
