#include <base/base64.h>
#include <base/random.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void t2_random_bytes(void *out, size_t n) {
  uint8_t *p = out;

  while (n) {
    ssize_t got = getrandom(p, n, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) abort();
    p += got;
    n -= (size_t)got;
  }
}

uint64_t t2_random_below(uint64_t bound) {
  /* The first 2^64 mod bound values would make some remainders likelier. */
  uint64_t uneven = -bound % bound, value;

  do
    t2_random_bytes(&value, sizeof(value));
  while (value < uneven);
  return value % bound;
}

void t2_uuid(char out[T2_UUID_LEN + 1]) {
  static const uint8_t group_len[] = {4, 2, 2, 2, 6};
  uint8_t bytes[16], *from = bytes;

  t2_random_bytes(bytes, sizeof(bytes));
  bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40); /* version: RFC 9562, 5.4 */
  bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80); /* variant: RFC 9562, 4.1 */
  for (size_t i = 0; i < T2_COUNT_OF(group_len); i++) {
    if (i) *out++ = '-';
    t2_hex_encode(from, group_len[i], out);
    from += group_len[i];
    out += 2 * group_len[i];
  }
}
