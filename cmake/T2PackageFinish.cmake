# What is done to the files of the packages between their installation to a folder and the packing, and the control files
# that follow from them. Run by CPack, in CPACK_TEMPORARY_DIRECTORY/<package>/.
string(FIND "${CPACK_T2_CHANGELOG_TOP}" "(${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})" found)
if(found EQUAL -1)
  message(FATAL_ERROR "packaging/debian/changelog begins with another version than ${CPACK_PACKAGE_VERSION}: "
                      "${CPACK_T2_CHANGELOG_TOP}")
endif()

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

foreach(package ${CPACK_COMPONENTS_ALL})
  set(root ${CPACK_TEMPORARY_DIRECTORY}/${package})
  # Whatever the umask.
  run(find ${root} -type d -exec chmod 755 {} +)
  file(GLOB_RECURSE compressed ${root}/usr/share/man/*.[0-9] ${root}/usr/share/doc/*/*.md)
  if(compressed)
    run(gzip -9n ${compressed})
  endif()
  # The sections that a distribution's own packages have no use for either.
  file(GLOB binaries ${root}/usr/bin/* ${root}/usr/${CPACK_T2_LIBDIR}/libtunnel2.so.*.*)
  if(binaries)
    run(strip --remove-section=.comment --remove-section=.note ${binaries})
  endif()
  file(GLOB archives ${root}/usr/${CPACK_T2_LIBDIR}/*.a)
  if(archives)
    run(strip --strip-debug --remove-section=.comment --enable-deterministic-archives ${archives})
  endif()
endforeach()

# Who links with this library needs this version or a later one: until 1.0 there is no promise for a single symbol.
set(library ${CPACK_T2_LIBRARY})
string(REGEX REPLACE ".*-" "" soversion "${library}")
file(WRITE ${CPACK_T2_MADE}/shlibs "libtunnel2 ${soversion} ${library} (>= ${CPACK_PACKAGE_VERSION})\n")
run(dpkg-gensymbols -q -p${library} -v${CPACK_PACKAGE_VERSION} -P${CPACK_TEMPORARY_DIRECTORY}/${library}
    -O${CPACK_T2_MADE}/symbols)
file(READ ${CPACK_T2_MADE}/symbols symbols)
string(REPLACE "#MINVER#\n" "#MINVER#\n* Build-Depends-Package: libtunnel2-dev\n" symbols "${symbols}")
file(WRITE ${CPACK_T2_MADE}/symbols "${symbols}")
# All that is below /etc is its administrator's.
file(GLOB_RECURSE conffiles RELATIVE ${CPACK_TEMPORARY_DIRECTORY}/tunnel2 ${CPACK_TEMPORARY_DIRECTORY}/tunnel2/etc/*)
list(TRANSFORM conffiles PREPEND /)
list(JOIN conffiles "\n" conffiles)
file(WRITE ${CPACK_T2_MADE}/conffiles "${conffiles}\n")
