# A layer is a folder of lib/ built as an object library. It sees the headers of the public API, its own,
# and those of the layers it names after BELOW, through a folder of links made for each layer: an
# #include of anything else does not compile.
function(t2_layer name)
  cmake_parse_arguments(L "" "" "SOURCES;BELOW;LIBRARIES" ${ARGN})
  set(links ${CMAKE_BINARY_DIR}/layers/${name})
  file(MAKE_DIRECTORY ${links})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/lib/${name} ${links}/${name} SYMBOLIC)
  add_library(t2_${name} OBJECT ${L_SOURCES})
  target_include_directories(t2_${name} PUBLIC ${CMAKE_SOURCE_DIR}/include ${CMAKE_BINARY_DIR}/include ${links})
  foreach(below ${L_BELOW})
    target_include_directories(t2_${name} PUBLIC ${CMAKE_BINARY_DIR}/layers/${below})
  endforeach()
  target_link_libraries(t2_${name} PUBLIC ${L_LIBRARIES})
  set_property(TARGET t2_${name} PROPERTY T2_BELOW "${L_BELOW}")
endfunction()
