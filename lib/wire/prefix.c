#include <wire/prefix.h>

#include <stdio.h>
#include <tunnel2/error.h>

#define V4_BITS 96 /* in front of an IPv4 address within IPv6 */

static const uint8_t v4_begin[12] = {[10] = 0xff, [11] = 0xff};

static bool is_v4(const uint8_t bytes[16]) {
  return memcmp(bytes, v4_begin, sizeof(v4_begin)) == 0;
}

/* ---- Text ---- */

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four numbers in decimal, none with a zero in front: some would read that as octal. */
static bool read_v4(t2_str text, uint8_t out[4]) {
  for (size_t i = 0; i < 4; i++) {
    ptrdiff_t dot = t2_str_find(text, '.');
    t2_str part = i == 3 ? text : t2_str_of(text.p, dot < 0 ? 0 : (size_t)dot);
    uint64_t value;
    if (part.n == 0 || part.n > 3 || (part.n > 1 && part.p[0] == '0')) return false;
    if (t2_str_u64(part, 255, &value)) return false;
    out[i] = (uint8_t)value;
    if (i < 3) text = t2_str_of(text.p + part.n + 1, text.n - part.n - 1);
  }
  return true;
}

/* One to four hexadecimal digits: how many bytes of text they are, or 0. */
static size_t read_group(t2_str text, uint8_t out[2]) {
  unsigned value = 0;
  size_t n = 0;

  for (; n < text.n && n < 4 && hex_digit(text.p[n]) >= 0; n++)
    value = value << 4 | (unsigned)hex_digit(text.p[n]);
  out[0] = (uint8_t)(value >> 8);
  out[1] = (uint8_t)value;
  return n;
}

static t2_str behind(t2_str text, size_t n) {
  return t2_str_of(text.p + n, text.n - n);
}

/* Groups with a colon in between, the last two perhaps as IPv4: bytes written, at most `room`, or -1. */
static int read_groups(t2_str text, uint8_t *out, size_t room) {
  size_t at = 0;

  while (text.n) {
    if (at + 2 > room) return -1;
    size_t n = read_group(text, out + at);
    if (n && n < text.n && text.p[n] == '.')
      return at + 4 <= room && read_v4(text, out + at) ? (int)at + 4 : -1;
    if (n == 0 || (n < text.n && (text.p[n] != ':' || n + 1 == text.n))) return -1;
    at += 2;
    text = behind(text, n < text.n ? n + 1 : n);
  }
  return (int)at;
}

/* RFC 4291, 2.2: "::" stands for one group of zeros or more, once. */
static bool read_v6(t2_str text, uint8_t out[16]) {
  const char *gap = text.n ? memmem(text.p, text.n, "::", 2) : NULL;
  uint8_t tail[16];

  if (!gap) return read_groups(text, out, 16) == 16;
  size_t before = (size_t)(gap - text.p);
  int head_n = read_groups(t2_str_of(text.p, before), out, 14);
  if (head_n < 0 || (before && t2_str_find(t2_str_of(text.p, before), '.') >= 0)) return false;
  int tail_n = read_groups(behind(text, before + 2), tail, 14 - (size_t)head_n);
  if (tail_n < 0) return false;
  memset(out + head_n, 0, 16 - (size_t)head_n);
  memcpy(out + 16 - tail_n, tail, (size_t)tail_n);
  return true;
}

/* *shift: how many bits a prefix length has less in the form that was read. */
static int read_address(t2_str host, uint8_t bytes[16], unsigned *shift) {
  *shift = 0;
  if (t2_str_find(host, ':') >= 0) return read_v6(host, bytes) ? 0 : T2_ERR_INVALID;
  memcpy(bytes, v4_begin, sizeof(v4_begin));
  *shift = V4_BITS;
  return read_v4(host, bytes + sizeof(v4_begin)) ? 0 : T2_ERR_INVALID;
}

int t2_prefix_address(t2_str host, uint8_t bytes[16]) {
  unsigned shift;

  return read_address(host, bytes, &shift);
}

/* The bits of byte i that belong to the prefix. */
static uint8_t mask(unsigned bits, size_t i) {
  unsigned before = 8 * (unsigned)i;

  if (bits <= before) return 0;
  return bits - before >= 8 ? 0xff : (uint8_t)(0xff << (8 - (bits - before)));
}

int t2_prefix_parse(t2_prefix *prefix, t2_str text) {
  ptrdiff_t slash = t2_str_find(text, '/');
  t2_str host = slash < 0 ? text : t2_str_of(text.p, (size_t)slash);
  unsigned shift;
  uint64_t bits;

  if (read_address(host, prefix->bytes, &shift)) return T2_ERR_INVALID;
  bits = 128 - shift;
  if (slash >= 0) {
    t2_str length = t2_str_of(text.p + slash + 1, text.n - (size_t)slash - 1);
    if (length.n > 1 && length.p[0] == '0') return T2_ERR_INVALID;
    if (t2_str_u64(length, bits, &bits)) return T2_ERR_INVALID;
  }
  prefix->bits = (uint8_t)(bits + shift);
  for (size_t i = 0; i < sizeof(prefix->bytes); i++)
    if (prefix->bytes[i] & (uint8_t)~mask(prefix->bits, i)) return T2_ERR_INVALID;
  return 0;
}

bool t2_prefix_has(const t2_prefix *prefix, const uint8_t bytes[16]) {
  for (size_t i = 0; 8 * i < prefix->bits; i++)
    if ((bytes[i] & mask(prefix->bits, i)) != prefix->bytes[i]) return false;
  return true;
}

bool t2_prefixes_have(const t2_prefix *list, size_t n, t2_str host) {
  uint8_t bytes[16];

  if (n == 0 || t2_prefix_address(host, bytes)) return false;
  for (size_t i = 0; i < n; i++)
    if (t2_prefix_has(&list[i], bytes)) return true;
  return false;
}

void t2_prefix_format(const t2_prefix *prefix, char text[T2_PREFIX_TEXT]) {
  const uint8_t *b = prefix->bytes;
  size_t n = 0;

  if (prefix->bits >= V4_BITS && is_v4(b)) {
    snprintf(text, T2_PREFIX_TEXT, "%u.%u.%u.%u/%u", b[12], b[13], b[14], b[15],
             (unsigned)prefix->bits - V4_BITS);
    return;
  }
  for (size_t i = 0; i < 16; i += 2)
    n += (size_t)snprintf(text + n, T2_PREFIX_TEXT - n, "%s%x", i ? ":" : "",
                          (unsigned)(b[i] << 8 | b[i + 1]));
  snprintf(text + n, T2_PREFIX_TEXT - n, "/%u", (unsigned)prefix->bits);
}
