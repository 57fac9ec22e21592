/* The PROXY protocol's header: it never reads past its bytes, and what it says of a stream is the same for
 * every beginning that is long enough. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <tunnel2/error.h>
#include <wire/proxy_header.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
  if (!holds) abort();
}

/* A copy, so that a sanitizer sees what is read past it. */
static ptrdiff_t read_copy(t2_proxy_header *header, const uint8_t *data, size_t n) {
  uint8_t *copy = malloc(n ? n : 1);
  if (!copy) abort();
  if (n) memcpy(copy, data, n);
  ptrdiff_t length = t2_proxy_header_read(header, copy, n);
  free(copy);
  return length;
}

static void check(ptrdiff_t length, size_t n) {
  require(length <= (ptrdiff_t)n && length <= T2_PROXY_HEADER_MAX);
  require(length >= 0 || length == T2_ERR_PROTOCOL || length == T2_ERR_LIMIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  t2_proxy_header whole, part;
  ptrdiff_t length = read_copy(&whole, data, size);

  check(length, size);
  require(length != 0 || size < T2_PROXY_HEADER_MAX);
  if (length > 0) require(length >= 15);
  size_t end = length > 0 ? (size_t)length : size;
  if (end > 256) end = 256;
  for (size_t n = 0; n <= end; n++) {
    ptrdiff_t again = read_copy(&part, data, n);
    check(again, n);
    if (again < 0) require(length < 0);
    if (again <= 0) continue;
    require(again == length && part.family == whole.family && part.port == whole.port);
    require(memcmp(part.address, whole.address, sizeof(part.address)) == 0);
  }
  return 0;
}
