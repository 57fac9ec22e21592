# `cmake --build BUILD --target reference` writes the API reference to BUILD/reference/html, where doxygen is found.
find_program(T2_DOXYGEN doxygen)
if(T2_DOXYGEN)
  add_custom_target(reference
    COMMAND ${CMAKE_COMMAND} -E env T2_SOURCE=${CMAKE_SOURCE_DIR} T2_BUILD=${CMAKE_BINARY_DIR} T2_VERSION=${PROJECT_VERSION}
            ${T2_DOXYGEN} ${CMAKE_SOURCE_DIR}/docs/Doxyfile
    VERBATIM)
endif()
