#include <base/base64.h>
#include <tunnel2/error.h>

static char base64url_digit(unsigned six) {
  return "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[six & 63];
}

static int base64url_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '-') return 62;
  return c == '_' ? 63 : -1;
}

int t2_base64url_encode(t2_buf *out, const void *bytes, size_t n) {
  const uint8_t *p = bytes;
  uint8_t *to = n <= SIZE_MAX / 2 ? t2_buf_reserve(out, n / 3 * 4 + 4) : NULL;
  size_t made = 0;
  unsigned bits = 0, held = 0;

  if (!to) {
    out->failed = true;
    return T2_ERR_NOMEM;
  }
  for (size_t i = 0; i < n; i++) {
    bits = (bits << 8 | p[i]) & 0xffff;
    for (held += 8; held >= 6; held -= 6)
      to[made++] = (uint8_t)base64url_digit(bits >> (held - 6));
  }
  if (held) to[made++] = (uint8_t)base64url_digit(bits << (6 - held));
  t2_buf_commit(out, made);
  return 0;
}

int t2_base64url_decode(t2_str s, uint8_t *out, size_t cap, size_t *n) {
  size_t made = 0;
  unsigned bits = 0, held = 0;

  if (s.n % 4 == 1) return T2_ERR_INVALID;
  if (s.n / 4 * 3 + s.n % 4 * 3 / 4 > cap) return T2_ERR_LIMIT;
  for (size_t i = 0; i < s.n; i++) {
    int six = base64url_value(s.p[i]);
    if (six < 0) return T2_ERR_INVALID;
    bits = (bits << 6 | (unsigned)six) & 0xffff;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out[made++] = (uint8_t)(bits >> held);
  }
  if (bits & ((1u << held) - 1)) return T2_ERR_INVALID;
  *n = made;
  return 0;
}

void t2_hex_encode(const void *bytes, size_t n, char *out) {
  const uint8_t *p = bytes;

  for (size_t i = 0; i < n; i++) {
    *out++ = "0123456789abcdef"[p[i] >> 4];
    *out++ = "0123456789abcdef"[p[i] & 15];
  }
  *out = '\0';
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int t2_hex_decode(t2_str s, uint8_t *out, size_t n) {
  if (s.n % 2 || s.n / 2 != n) return T2_ERR_INVALID;
  for (size_t i = 0; i < n; i++) {
    int high = hex_value(s.p[2 * i]), low = hex_value(s.p[2 * i + 1]);
    if (high < 0 || low < 0) return T2_ERR_INVALID;
    out[i] = (uint8_t)(high << 4 | low);
  }
  return 0;
}
