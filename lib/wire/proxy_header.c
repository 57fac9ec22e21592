#include <wire/proxy_header.h>

#include <base/str.h>
#include <tunnel2/error.h>
#include <wire/prefix.h>

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* ---- Version 1: a line ---- */

#define V1_BEGIN "PROXY "

static bool read_port(t2_str text, uint16_t *port) {
  uint64_t value;

  if (text.n == 0 || (text.n > 1 && text.p[0] == '0') || t2_str_u64(text, UINT16_MAX, &value)) return false;
  *port = (uint16_t)value;
  return true;
}

/* An address of the family alone. */
static bool read_address(t2_str text, t2_proxy_family family, uint8_t out[16]) {
  uint8_t bytes[16];
  bool v6 = t2_str_find(text, ':') >= 0;

  if (v6 != (family == T2_PROXY_V6) || t2_prefix_address(text, bytes)) return false;
  memcpy(out, v6 ? bytes : bytes + 12, v6 ? 16 : 4);
  return true;
}

/* Takes what is before the next space, or all. */
static t2_str take_word(t2_str *rest) {
  ptrdiff_t space = t2_str_find(*rest, ' ');
  t2_str word = space < 0 ? *rest : t2_str_of(rest->p, (size_t)space);

  *rest = space < 0 ? T2_STR_NULL : t2_str_of(rest->p + space + 1, rest->n - (size_t)space - 1);
  return word;
}

/* The line behind "PROXY ", without CR LF. Of an UNKNOWN one the rest is not for us. */
static bool read_line(t2_proxy_header *header, t2_str line) {
  uint8_t to[16];
  uint16_t to_port;
  t2_str family = take_word(&line);

  if (t2_str_eq(family, T2_STR("UNKNOWN"))) return true;
  if (t2_str_eq(family, T2_STR("TCP4")))
    header->family = T2_PROXY_V4;
  else if (t2_str_eq(family, T2_STR("TCP6")))
    header->family = T2_PROXY_V6;
  else
    return false;
  if (!read_address(take_word(&line), header->family, header->address)) return false;
  if (!read_address(take_word(&line), header->family, to)) return false;
  if (!read_port(take_word(&line), &header->port)) return false;
  return read_port(line, &to_port);
}

static ptrdiff_t read_v1(t2_proxy_header *header, const uint8_t *bytes, size_t n) {
  const size_t begin = sizeof(V1_BEGIN) - 1;

  for (size_t i = 0; i < n; i++) {
    if (i == T2_PROXY_HEADER_V1_MAX) return T2_ERR_PROTOCOL;
    if (i < begin) {
      if (bytes[i] != (uint8_t)V1_BEGIN[i]) return T2_ERR_PROTOCOL;
    } else if (bytes[i] == '\n') {
      if (bytes[i - 1] != '\r') return T2_ERR_PROTOCOL;
      t2_str line = t2_str_of((const char *)bytes + begin, i - 1 - begin);
      return i > begin && read_line(header, line) ? (ptrdiff_t)i + 1 : T2_ERR_PROTOCOL;
    } else if (bytes[i - 1] == '\r' || (bytes[i] != '\r' && (bytes[i] < ' ' || bytes[i] > '~'))) {
      return T2_ERR_PROTOCOL;
    }
  }
  return n >= T2_PROXY_HEADER_V1_MAX ? T2_ERR_PROTOCOL : 0;
}

/* ---- Version 2: bytes ---- */

#define V2_HEAD 16

static const uint8_t signature[12] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

enum { LOCAL = 0x20, PROXY = 0x21 };
enum { UNSPECIFIED = 0x00, TCP4 = 0x11, TCP6 = 0x21, UNIX_STREAM = 0x31 };

static size_t u16(const uint8_t *bytes) {
  return (size_t)bytes[0] << 8 | bytes[1];
}

/* How many bytes the addresses are; a datagram is none of a connection's. */
static bool addresses_size(uint8_t family, size_t *size) {
  switch (family) {
  case UNSPECIFIED:
    *size = 0;
    return true;
  case TCP4:
    *size = 12;
    return true;
  case TCP6:
    *size = 36;
    return true;
  case UNIX_STREAM:
    *size = 216;
    return true;
  default:
    return false;
  }
}

/* Type, length, value (2.2.), to the end exactly. */
static bool extensions_good(const uint8_t *bytes, size_t n) {
  while (n) {
    if (n < 3 || n - 3 < u16(bytes + 1)) return false;
    size_t length = 3 + u16(bytes + 1);
    bytes += length;
    n -= length;
  }
  return true;
}

static bool read_addresses(t2_proxy_header *header, uint8_t family, const uint8_t *bytes, size_t n) {
  size_t size;

  if (!addresses_size(family, &size) || n < size) return false;
  if (family == UNSPECIFIED) return true; /* what follows is not said */
  if (family == TCP4) {
    header->family = T2_PROXY_V4;
    memcpy(header->address, bytes, 4);
    header->port = (uint16_t)u16(bytes + 8);
  } else if (family == TCP6) {
    header->family = T2_PROXY_V6;
    memcpy(header->address, bytes, 16);
    header->port = (uint16_t)u16(bytes + 32);
  }
  return extensions_good(bytes + size, n - size);
}

static ptrdiff_t read_v2(t2_proxy_header *header, const uint8_t *bytes, size_t n) {
  size_t unused;

  if (memcmp(bytes, signature, least(n, sizeof(signature))) != 0) return T2_ERR_PROTOCOL;
  if (n > 12 && bytes[12] != LOCAL && bytes[12] != PROXY) return T2_ERR_PROTOCOL;
  if (n > 13 && bytes[12] == PROXY && !addresses_size(bytes[13], &unused)) return T2_ERR_PROTOCOL;
  if (n < V2_HEAD) return 0;
  size_t length = u16(bytes + 14);
  if (V2_HEAD + length > T2_PROXY_HEADER_MAX) return T2_ERR_LIMIT;
  if (n < V2_HEAD + length) return 0;
  if (bytes[12] == PROXY && !read_addresses(header, bytes[13], bytes + V2_HEAD, length))
    return T2_ERR_PROTOCOL;
  return (ptrdiff_t)(V2_HEAD + length);
}

ptrdiff_t t2_proxy_header_read(t2_proxy_header *header, const uint8_t *bytes, size_t n) {
  *header = (t2_proxy_header){T2_PROXY_NONE, {0}, 0};
  if (n == 0) return 0;
  return bytes[0] == signature[0] ? read_v2(header, bytes, n) : read_v1(header, bytes, n);
}
