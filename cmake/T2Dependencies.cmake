# The four libraries the product stands on, from the distribution: found with pkg-config, or for
# mbedTLS 2.28 (which ships no .pc file) by header and library name.
find_package(PkgConfig REQUIRED)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2>=1.52)
include(CheckSymbolExists)
set(CMAKE_REQUIRED_LIBRARIES PkgConfig::NGHTTP2)
check_symbol_exists(nghttp2_option_set_stream_reset_rate_limit nghttp2/nghttp2.h T2_NGHTTP2_RESET_RATE)
unset(CMAKE_REQUIRED_LIBRARIES)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv>=1.44)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.14)

find_path(MBEDTLS_INCLUDE_DIR mbedtls/ssl.h)
find_library(MBEDTLS_LIBRARY mbedtls)
find_library(MBEDX509_LIBRARY mbedx509)
find_library(MBEDCRYPTO_LIBRARY mbedcrypto)
if(NOT MBEDTLS_INCLUDE_DIR OR NOT MBEDTLS_LIBRARY OR NOT MBEDX509_LIBRARY OR NOT MBEDCRYPTO_LIBRARY)
  message(FATAL_ERROR "mbedTLS not found: install libmbedtls-dev")
endif()
set(T2_MBEDTLS_LIBRARIES ${MBEDTLS_LIBRARY} ${MBEDX509_LIBRARY} ${MBEDCRYPTO_LIBRARY})
add_library(t2_mbedtls INTERFACE)
target_include_directories(t2_mbedtls SYSTEM INTERFACE ${MBEDTLS_INCLUDE_DIR})
target_link_libraries(t2_mbedtls INTERFACE ${T2_MBEDTLS_LIBRARIES})

find_package(Threads REQUIRED)
