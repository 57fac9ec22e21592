/* HTTP/1.1 responses, to each kind of request. */
#include "h1_same.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  h1_same(true, bytes, n);
  return 0;
}
