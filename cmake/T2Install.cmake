# What `cmake --install` puts where: the programs, the libraries, the public headers, and what pkg-config and
# find_package(tunnel2) read.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/tunnel2)
# Relative directories are below the prefix; a distribution may give absolute ones.
foreach(dir LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
    set(T2_PC_${dir} "${CMAKE_INSTALL_${dir}}")
  else()
    set(T2_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
# The prefix is found from where tunnel2.pc is, so that what is installed can be moved.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(T2_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  set(T2_PC_PREFIX "\${pcfiledir}/${up}")
endif()
configure_file(${CMAKE_SOURCE_DIR}/pkgconfig/tunnel2.pc.in ${CMAKE_BINARY_DIR}/tunnel2.pc @ONLY)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/tunnel2-config.cmake.in ${CMAKE_BINARY_DIR}/tunnel2-config.cmake
                              INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/tunnel2-config-version.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS tunneld proxyentry tunnelc RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS tunnel2 tunnel2_static EXPORT tunnel2-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/tunnel2 ${CMAKE_BINARY_DIR}/include/tunnel2
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT tunnel2-targets NAMESPACE tunnel2:: DESTINATION ${package})
install(FILES ${CMAKE_BINARY_DIR}/tunnel2-config.cmake ${CMAKE_BINARY_DIR}/tunnel2-config-version.cmake
        DESTINATION ${package})
install(FILES ${CMAKE_BINARY_DIR}/tunnel2.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
