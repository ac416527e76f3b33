# cmake -D program=PROGRAM -P every_model.cmake: runs a node example with every network that its --help lists for --model.
execute_process(COMMAND ${program} --help OUTPUT_VARIABLE help COMMAND_ERROR_IS_FATAL ANY)
if(NOT help MATCHES "--model[^{\n]*{([^}]+)}")
  message(FATAL_ERROR "--help lists no networks:\n${help}")
endif()
string(REGEX REPLACE "[, \n]+" ";" models "${CMAKE_MATCH_1}")
foreach(model IN LISTS models)
  execute_process(COMMAND ${program} --model ${model} --nodes 400 --epochs 2 --quiet
                  RESULT_VARIABLE code ERROR_VARIABLE errors OUTPUT_QUIET)
  if(NOT code EQUAL 0)
    message(SEND_ERROR "--model ${model}: ${code}\n${errors}")
  endif()
endforeach()
