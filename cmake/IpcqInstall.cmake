# Install and export: headers, library, find_package(ipcq) and pkg-config. Included by libipcq/CMakeLists.txt.
include(CMakePackageConfigHelpers)

install(TARGETS ipcq EXPORT ipcqTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/libipcq/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ipcq)
install(EXPORT ipcqTargets NAMESPACE ipcq:: FILE ipcqConfig.cmake DESTINATION ${package_dir})
# Until 1.0 freezes the SONAME, a minor version may break what was compiled before it.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ipcqConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ipcqConfigVersion.cmake DESTINATION ${package_dir})

# The prefix is found from the file's own place, so an installed tree may be moved.
file(RELATIVE_PATH IPCQ_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(${PROJECT_SOURCE_DIR}/cmake/ipcq.pc.in ${PROJECT_BINARY_DIR}/ipcq.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/ipcq.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
