# What our own tests, examples and benchmarks are built with. Users of the library inherit none of it.
function(tessera_own_executable target)
  target_compile_options(${target} PRIVATE
    $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion>
    $<$<CXX_COMPILER_ID:GNU>:-Wno-psabi>  # wide vectors never cross a call that is not inlined
    # GCC 12 sees overruns inside std::string that are not there (its bugs 105329, 105651); later versions do not.
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-array-bounds
      -Wno-stringop-overflow -Wno-stringop-overread -Wno-restrict>)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF
                        COMPILE_WARNING_AS_ERROR ${TESSERA_WARNINGS_AS_ERRORS})
  if(TARGET tessera::compiled)
    target_link_libraries(${target} PRIVATE tessera::compiled)
  else()
    target_link_libraries(${target} PRIVATE tessera::tessera)
  endif()
endfunction()
