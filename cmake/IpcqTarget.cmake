# What every target of this project is built with. Set on each target, PRIVATE: nothing of it reaches a user's build.

set(IPCQ_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
                  -Wcast-align -Wundef -Wimplicit-fallthrough)

function(ipcq_set_up target)
  target_compile_features(${target} PRIVATE cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  # Frame pointers stay: a profile or a back trace of a stuck process is worth more than the one register.
  target_compile_options(${target} PRIVATE ${IPCQ_WARNINGS} -fno-omit-frame-pointer)
  if(IPCQ_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(IPCQ_COVERAGE)
    # Tests too: of an inline function the linker takes any copy. atomic: threads. A process that kills itself at a crash
    # point writes its counters before.
    target_compile_options(${target} PRIVATE --coverage -fprofile-update=atomic)
    target_compile_definitions(${target} PRIVATE IPCQ_COVERAGE=1)
    target_link_options(${target} PRIVATE --coverage)
  endif()
  if(IPCQ_SANITIZE)
    # gcc sees uninitialised memory in the standard library where a sanitizer has taken its code apart.
    target_compile_options(${target} PRIVATE -fsanitize=${IPCQ_SANITIZE} -fno-sanitize-recover=all
                                             $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    target_link_options(${target} PRIVATE -fsanitize=${IPCQ_SANITIZE})
  endif()
endfunction()

# Compiles the sources of a target some at a time, as if they were one: to parse the headers again for each is most of a build.
# So what their unnamed namespaces hold has names of its own. Each source stands alone all the same: the lint builds do without.
function(ipcq_join target batch)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${IPCQ_UNITY} UNITY_BUILD_BATCH_SIZE ${batch})
endfunction()

# The sources of a folder, in `variable`; empty if there are none.
function(ipcq_sources variable)
  file(GLOB found CONFIGURE_DEPENDS ${ARGN})
  set(${variable} ${found} PARENT_SCOPE)
endfunction()
