#include <wire/detail.h>

#include <stdarg.h>
#include <stdio.h>

int t2_detail(char *detail, size_t size, int err, const char *format, ...) {
  va_list args;

  if (size == 0) return err;
  va_start(args, format);
  vsnprintf(detail, size, format, args);
  va_end(args);
  return err;
}
