# Warnings, sanitizers and hardening for every target of this tree.
add_compile_options(-Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes
                    -Wwrite-strings -Wno-unused-parameter -Wvla -fno-strict-aliasing)
add_compile_definitions(_GNU_SOURCE)
if(T2_WERROR)
  add_compile_options(-Werror)
endif()
if(T2_SANITIZE)
  add_compile_options(-fsanitize=${T2_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${T2_SANITIZE})
  if(T2_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()
# As distributions build their packages. The C library checks what it can only when the compiler optimises.
if(CMAKE_BUILD_TYPE MATCHES "^Rel" AND NOT T2_SANITIZE)
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  add_link_options(LINKER:-z,relro LINKER:-z,now)
  # Calls between the layers are many and small: a request takes a third fewer of the library's instructions so.
  # The static library's objects stay good for linkers that know nothing of it.
  if(T2_LTO AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-flto=auto -ffat-lto-objects)
    add_link_options(-flto=auto)
  endif()
endif()
