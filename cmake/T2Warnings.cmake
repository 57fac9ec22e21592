# Warnings and sanitizers for every target of this tree.
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
