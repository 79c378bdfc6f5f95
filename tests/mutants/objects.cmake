# How the library's objects are built where mutants are put in: each source to an object of its own, and its headers compiled
# before. A mutant then costs one source without its headers, a sixth of a batch. (The tests stay joined: few mutants touch what
# they include.) Given as CMAKE_PROJECT_INCLUDE, so it waits until there are targets.
function(ipcq_separate_objects)
  file(GLOB headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/libipcq/src/layout/*.hpp" "${PROJECT_SOURCE_DIR}/libipcq/src/os/*.hpp"
       "${PROJECT_SOURCE_DIR}/libipcq/src/core/*.hpp")
  foreach(target ipcq_objects ipcq_objects_crash)
    set_property(TARGET ${target} PROPERTY UNITY_BUILD OFF)
    target_precompile_headers(${target} PRIVATE ${headers})
  endforeach()
endfunction()
cmake_language(DEFER CALL ipcq_separate_objects)
