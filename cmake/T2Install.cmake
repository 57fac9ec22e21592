# What `cmake --install` puts where: the programs with their manual pages, units and completion, the libraries, the public
# headers, and what pkg-config and find_package(tunnel2) read.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# The manual pages are written for Linux, and name no path that depends on the prefix.
file(GLOB T2_MAN_PAGES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/man/*.[0-9])
set(T2_UNITS tunneld.service proxyentry.service tunnelc@.service)

write_basic_package_version_file(${CMAKE_BINARY_DIR}/tunnel2-config-version.cmake COMPATIBILITY SameMinorVersion)

# t2_install_library(LIBDIR dir [RUNTIME component DEVELOPMENT component]): libraries, headers and what finds them, with
# dir for libraries. With components it is for a package alone: `cmake --install` as a whole leaves it out.
function(t2_install_library)
  cmake_parse_arguments(I "" "LIBDIR;RUNTIME;DEVELOPMENT" "" ${ARGN})
  set(runtime "")
  set(development "")
  set(export tunnel2-targets)
  if(I_RUNTIME)
    set(runtime COMPONENT ${I_RUNTIME} EXCLUDE_FROM_ALL)
    set(development COMPONENT ${I_DEVELOPMENT} EXCLUDE_FROM_ALL)
    set(export tunnel2-targets-${I_DEVELOPMENT})
  endif()
  set(generated ${CMAKE_BINARY_DIR}/install/${I_LIBDIR})
  set(package ${I_LIBDIR}/cmake/tunnel2)

  # Relative directories are below the prefix; a distribution may give absolute ones.
  foreach(dir LIBDIR INCLUDEDIR)
    set(T2_PC_${dir} "${CMAKE_INSTALL_${dir}}")
    if(dir STREQUAL LIBDIR)
      set(T2_PC_LIBDIR "${I_LIBDIR}")
    endif()
    if(NOT IS_ABSOLUTE "${T2_PC_${dir}}")
      set(T2_PC_${dir} "\${prefix}/${T2_PC_${dir}}")
    endif()
  endforeach()
  # The prefix is found from where tunnel2.pc is, so that what is installed can be moved.
  if(IS_ABSOLUTE "${I_LIBDIR}")
    set(T2_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
  else()
    file(RELATIVE_PATH up "/${I_LIBDIR}/pkgconfig" "/")
    string(REGEX REPLACE "/$" "" up "${up}")
    set(T2_PC_PREFIX "\${pcfiledir}/${up}")
  endif()
  configure_file(${CMAKE_SOURCE_DIR}/pkgconfig/tunnel2.pc.in ${generated}/tunnel2.pc @ONLY)
  configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/tunnel2-config.cmake.in ${generated}/tunnel2-config.cmake
                                INSTALL_DESTINATION ${package})

  if(I_RUNTIME)
    install(TARGETS tunnel2 EXPORT ${export} LIBRARY DESTINATION ${I_LIBDIR} ${runtime} NAMELINK_COMPONENT ${I_DEVELOPMENT}
            INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  else()
    install(TARGETS tunnel2 EXPORT ${export} LIBRARY DESTINATION ${I_LIBDIR}
            INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  endif()
  install(TARGETS tunnel2_static EXPORT ${export} ARCHIVE DESTINATION ${I_LIBDIR} ${development}
          INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  # What an optimising link reads is this compiler's own form: others, and strip, know nothing of it.
  set(archive "\${CMAKE_INSTALL_PREFIX}/${I_LIBDIR}/libtunnel2.a")
  if(IS_ABSOLUTE "${I_LIBDIR}")
    set(archive "${I_LIBDIR}/libtunnel2.a")
  endif()
  install(CODE "execute_process(COMMAND \"${CMAKE_OBJCOPY}\" --wildcard --remove-section=.gnu.lto_*
                --remove-section=.gnu.debuglto_* \"\$ENV{DESTDIR}${archive}\" COMMAND_ERROR_IS_FATAL ANY)"
          ${development})
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/tunnel2 ${CMAKE_BINARY_DIR}/include/tunnel2
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} ${development} FILES_MATCHING PATTERN "*.h")
  install(EXPORT ${export} NAMESPACE tunnel2:: FILE tunnel2-targets.cmake DESTINATION ${package} ${development})
  install(FILES ${generated}/tunnel2-config.cmake ${CMAKE_BINARY_DIR}/tunnel2-config-version.cmake
          DESTINATION ${package} ${development})
  install(FILES ${generated}/tunnel2.pc DESTINATION ${I_LIBDIR}/pkgconfig ${development})
endfunction()

# t2_install_units(DIR [COMPONENT arguments...]): systemd units that start the programs where they are installed, which
# is known when that is done (cmake --install --prefix).
function(t2_install_units dir)
  install(DIRECTORY DESTINATION ${dir} ${ARGN})
  foreach(unit ${T2_UNITS})
    install(CODE "
      set(T2_BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
      set(unit \"\${CMAKE_INSTALL_PREFIX}/${dir}/${unit}\")
      message(STATUS \"Installing: \$ENV{DESTDIR}\${unit}\")
      configure_file(\"${CMAKE_SOURCE_DIR}/packaging/systemd/${unit}.in\" \"\$ENV{DESTDIR}\${unit}\" @ONLY
                     FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
      list(APPEND CMAKE_INSTALL_MANIFEST_FILES \"\${unit}\")" ${ARGN})
  endforeach()
endfunction()

# t2_install_completion(DATADIR [COMPONENT arguments...]): one file for the three, found by each one's name.
function(t2_install_completion datadir)
  foreach(program tunneld proxyentry tunnelc)
    install(FILES ${CMAKE_SOURCE_DIR}/completions/tunnel2.bash DESTINATION ${datadir}/bash-completion/completions
            RENAME ${program} ${ARGN})
  endforeach()
endfunction()

# t2_install_man(MANDIR [COMPONENT arguments...])
function(t2_install_man mandir)
  foreach(page ${T2_MAN_PAGES})
    string(REGEX REPLACE ".*\\." "" section "${page}")
    install(FILES ${page} DESTINATION ${mandir}/man${section} ${ARGN})
  endforeach()
endfunction()

t2_install_library(LIBDIR ${CMAKE_INSTALL_LIBDIR})
install(TARGETS tunneld proxyentry tunnelc RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
t2_install_units(lib/systemd/system)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/sysusers.d/tunnel2.conf DESTINATION lib/sysusers.d)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/etc/tunneld.env ${CMAKE_SOURCE_DIR}/packaging/etc/proxyentry.env
              ${CMAKE_SOURCE_DIR}/packaging/etc/tunnelc.conf
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
t2_install_completion(${CMAKE_INSTALL_DATADIR})
t2_install_man(${CMAKE_INSTALL_MANDIR})
