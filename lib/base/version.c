#include <tunnel2/version.h>

const char *t2_version(void) {
  return T2_VERSION;
}
