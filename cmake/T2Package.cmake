# Debian packages: `cpack -G DEB` in the build directory of the release preset (docs/PACKAGING.md). A package is a component
# of the same name; `cmake --install` as a whole leaves them out.
set(T2_DEB_MAINTAINER "The libtunnel2 authors <authors@libtunnel2.example>" CACHE STRING "Maintainer of the packages")
set(T2_DEB_PACKAGES libtunnel2-${T2_SOVERSION} libtunnel2-dev tunnel2 python3-tunnel2)
set(debian ${CMAKE_SOURCE_DIR}/packaging/debian)
set(made ${CMAKE_BINARY_DIR}/debian)
set(version ${PROJECT_VERSION})
file(STRINGS ${debian}/changelog top LIMIT_COUNT 1)
string(REGEX REPLACE ".*-([0-9.~a-z+]+)\\).*" "\\1" release "${top}")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${debian}/changelog)

# Debian's directory for libraries whatever the prefix of this build is.
if(CMAKE_LIBRARY_ARCHITECTURE)
  set(libdir lib/${CMAKE_LIBRARY_ARCHITECTURE})
else()
  set(libdir lib)
endif()

# ---- What is in which package ----

t2_install_library(LIBDIR ${libdir} RUNTIME libtunnel2-${T2_SOVERSION} DEVELOPMENT libtunnel2-dev)

set(programs COMPONENT tunnel2 EXCLUDE_FROM_ALL)
install(TARGETS tunneld proxyentry tunnelc RUNTIME DESTINATION bin ${programs})
t2_install_units(lib/systemd/system ${programs})
install(FILES ${CMAKE_SOURCE_DIR}/packaging/etc/tunneld.env ${CMAKE_SOURCE_DIR}/packaging/etc/proxyentry.env
        DESTINATION /etc/tunnel2 ${programs})
install(DIRECTORY DESTINATION /etc/tunnel2/tunnelc ${programs})
install(FILES ${CMAKE_SOURCE_DIR}/packaging/etc/tunnelc.conf DESTINATION share/doc/tunnel2/examples ${programs})
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/docs/OPERATIONS.md ${CMAKE_SOURCE_DIR}/docs/PROTOCOL.md
        DESTINATION share/doc/tunnel2 ${programs})
t2_install_completion(share ${programs})
t2_install_man(share/man ${programs})

# The Python package finds libtunnel2.so.0 of the system when it has none inside.
install(DIRECTORY ${CMAKE_SOURCE_DIR}/bindings/python/tunnel2 DESTINATION lib/python3/dist-packages
        COMPONENT python3-tunnel2 EXCLUDE_FROM_ALL
        FILES_MATCHING PATTERN "*.py" PATTERN "*.pyi" PATTERN py.typed PATTERN __pycache__ EXCLUDE)

# gzip -n: the same bytes whenever it is made.
file(MAKE_DIRECTORY ${made})
execute_process(COMMAND gzip -9nc ${debian}/changelog OUTPUT_FILE ${made}/changelog.Debian.gz COMMAND_ERROR_IS_FATAL ANY)
foreach(package ${T2_DEB_PACKAGES})
  install(FILES ${debian}/copyright ${made}/changelog.Debian.gz DESTINATION share/doc/${package} COMPONENT ${package}
          EXCLUDE_FROM_ALL)
  if(EXISTS ${debian}/${package}.lintian-overrides)
    install(FILES ${debian}/${package}.lintian-overrides DESTINATION share/lintian/overrides RENAME ${package}
            COMPONENT ${package} EXCLUDE_FROM_ALL)
  endif()
endforeach()

# ---- What CPack is told ----

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME libtunnel2)
set(CPACK_PACKAGE_VENDOR "The libtunnel2 authors")
set(CPACK_PACKAGE_VERSION ${version})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_SET_DESTDIR ON) # there are files below /etc
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL ${T2_DEB_PACKAGES})
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/T2PackageFinish.cmake)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${release})
set(CPACK_DEBIAN_PACKAGE_SOURCE libtunnel2)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${T2_DEB_MAINTAINER}")
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)

# t2_deb(PACKAGE SECTION section [DEPENDS text] [RECOMMENDS text] [MULTIARCH word] [SHLIBDEPS] [ALL] [CONTROL file...] SYNOPSIS line
# CONTENT text)
macro(t2_deb package)
  cmake_parse_arguments(D "SHLIBDEPS;ALL" "SECTION;DEPENDS;RECOMMENDS;MULTIARCH;SYNOPSIS;CONTENT" "CONTROL" ${ARGN})
  string(TOUPPER ${package} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package})
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${D_SECTION})
  if(D_MULTIARCH) # CPack has no variable for it, and writes what this one has as it is
    string(APPEND CPACK_DEBIAN_${upper}_PACKAGE_SECTION "\nMulti-Arch: ${D_MULTIARCH}")
  endif()
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${D_DEPENDS}")
  set(CPACK_DEBIAN_${upper}_PACKAGE_SHLIBDEPS ${D_SHLIBDEPS})
  set(CPACK_DEBIAN_${upper}_PACKAGE_RECOMMENDS "${D_RECOMMENDS}")
  set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA "${D_CONTROL}")
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${D_SYNOPSIS}
libtunnel2 makes a service behind NAT or a firewall reachable: a client next
to it dials out to an entry, and public requests travel back over that
connection.

${D_CONTENT}")
  if(D_ALL)
    set(CPACK_DEBIAN_${upper}_PACKAGE_ARCHITECTURE all)
  endif()
endmacro()

file(WRITE ${made}/triggers "activate-noawait ldconfig\n")
t2_deb(libtunnel2-${T2_SOVERSION} SECTION libs MULTIARCH same SHLIBDEPS RECOMMENDS ca-certificates
       CONTROL ${made}/triggers ${made}/symbols ${made}/shlibs
       SYNOPSIS "reverse tunnel as a C library"
       CONTENT "This package has the shared library.")
t2_deb(libtunnel2-dev SECTION libdevel MULTIARCH same
       DEPENDS "libtunnel2-${T2_SOVERSION} (= ${version}-${release}), libuv1-dev, libnghttp2-dev, libjansson-dev, libmbedtls-dev"
       SYNOPSIS "reverse tunnel as a C library - development files"
       CONTENT "This package has what is needed to build programs with it: headers, the static
library, and files for pkg-config and CMake.")
t2_deb(tunnel2 SECTION net SHLIBDEPS DEPENDS adduser RECOMMENDS ca-certificates
       CONTROL ${debian}/tunnel2/postinst ${debian}/tunnel2/prerm ${debian}/tunnel2/postrm ${made}/conffiles
       SYNOPSIS "reverse tunnel for HTTP, TCP and UDP"
       CONTENT "This package has the programs: tunnelc publishes a service, proxyentry takes
public requests, and tunneld registers sessions. None is started before it
has been configured.")
t2_deb(python3-tunnel2 SECTION python ALL
       DEPENDS "libtunnel2-${T2_SOVERSION} (= ${version}-${release}), python3 (>= 3.9)"
       CONTROL ${debian}/python3-tunnel2/postinst ${debian}/python3-tunnel2/prerm
       SYNOPSIS "reverse tunnel as a C library - Python module"
       CONTENT "This package has the Python module tunnel2.")
set(CPACK_T2_MADE ${made})
set(CPACK_T2_LIBRARY libtunnel2-${T2_SOVERSION})
set(CPACK_T2_LIBDIR ${libdir})
set(CPACK_T2_CHANGELOG_TOP "${top}")
include(CPack)
