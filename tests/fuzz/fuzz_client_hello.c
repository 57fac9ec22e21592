/* A TLS client's hello: what is said of it does not depend on the pieces it comes in, and a name that is
 * found is a host name. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <tunnel2/error.h>
#include <wire/client_hello.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
  if (!holds) abort();
}

static int feed(t2_client_hello *hello, const uint8_t *data, size_t size, size_t piece) {
  int err = T2_ERR_AGAIN;

  memset(hello, 0, sizeof(*hello));
  for (size_t at = 0; at < size && err == T2_ERR_AGAIN; at += piece)
    err = t2_client_hello_feed(hello, data + at, size - at < piece ? size - at : piece);
  return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  t2_client_hello whole, parts;
  int err = feed(&whole, data, size, size ? size : 1);

  require(err == 0 || err == T2_ERR_AGAIN || err == T2_ERR_PROTOCOL || err == T2_ERR_LIMIT);
  if (err == T2_ERR_AGAIN) require(size < T2_CLIENT_HELLO_MAX);
  if (size && data[0] != 22) require(err == T2_ERR_PROTOCOL);
  for (size_t piece = 1; piece < 64; piece = 2 * piece + 1) {
    require(feed(&parts, data, size, piece) == err);
    require(parts.taken == whole.taken);
    if (err == 0) require(strcmp(parts.name, whole.name) == 0);
  }
  if (err == 0 && whole.name[0]) require(t2_hostname_valid(t2_str_c(whole.name)));
  return 0;
}
