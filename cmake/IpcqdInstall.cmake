# Install rules of the watchdog: program, units, user, directory, an empty policy. Included by daemon/CMakeLists.txt.

if(NOT CMAKE_INSTALL_FULL_LIBDIR IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
  file(RELATIVE_PATH to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(ipcqd PROPERTIES INSTALL_RPATH "$ORIGIN/${to_lib}")
endif()
install(TARGETS ipcqd RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# Where systemd looks is below lib, also where libraries are elsewhere (lib/x86_64-linux-gnu).
foreach(unit ipcqd ipcqd-user)
  configure_file(systemd/${unit}.service.in ${PROJECT_BINARY_DIR}/${unit}.service @ONLY)
endforeach()
install(FILES ${PROJECT_BINARY_DIR}/ipcqd.service DESTINATION lib/systemd/system)
install(FILES ${PROJECT_BINARY_DIR}/ipcqd-user.service DESTINATION lib/systemd/user RENAME ipcqd.service)
install(FILES systemd/ipcqd.sysusers.conf DESTINATION lib/sysusers.d RENAME ipcqd.conf)
install(FILES systemd/ipcqd.tmpfiles.conf DESTINATION lib/tmpfiles.d RENAME ipcqd.conf)
install(FILES systemd/ipcqd.toml DESTINATION ${CMAKE_INSTALL_SYSCONFDIR}/ipcq)
install(FILES ${PROJECT_SOURCE_DIR}/docs/operations.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
