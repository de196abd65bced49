# Fails when an object compiled for one instruction set defines a symbol that the linker may merge with another's.
foreach(object ${OBJECTS})
  execute_process(COMMAND ${NM} -C --defined-only ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[0-9a-f]+ [WVu] [^\n]*" weak "${symbols}")
  list(FILTER weak EXCLUDE REGEX "hiddenstate::(avx512|avx2|baseline|neon)::|DW\\.ref\\.")
  if(weak)
    message(FATAL_ERROR "${object} shares inline code with other instruction sets: ${weak}")
  endif()
endforeach()
