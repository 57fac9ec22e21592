#include <http/forward.h>
#include <proxy/proxy_protocol.h>
#include <string.h>

#define HEADER  16
#define COMMAND 0x21 /* version 2, PROXY */
#define TCP4    0x11
#define TCP6    0x21

static const uint8_t signature[12] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static size_t put(uint8_t *out, size_t at, const void *bytes, size_t n) {
  memcpy(out + at, bytes, n);
  return at + n;
}

/* Addresses and ports are in network order already. */
static size_t put_in(uint8_t *out, const struct sockaddr_in *from, const struct sockaddr_in *to) {
  size_t at = put(out, HEADER, &from->sin_addr, sizeof(from->sin_addr));
  at = put(out, at, &to->sin_addr, sizeof(to->sin_addr));
  at = put(out, at, &from->sin_port, sizeof(from->sin_port));
  return put(out, at, &to->sin_port, sizeof(to->sin_port));
}

static size_t put_in6(uint8_t *out, const struct sockaddr_in6 *from, const struct sockaddr_in6 *to) {
  size_t at = put(out, HEADER, &from->sin6_addr, sizeof(from->sin6_addr));
  at = put(out, at, &to->sin6_addr, sizeof(to->sin6_addr));
  at = put(out, at, &from->sin6_port, sizeof(from->sin6_port));
  return put(out, at, &to->sin6_port, sizeof(to->sin6_port));
}

size_t t2_proxy_protocol_write(uint8_t out[T2_PROXY_PROTOCOL_MAX], const t2_address *from,
                               const t2_address *to) {
  size_t n = HEADER;
  memcpy(out, signature, sizeof(signature));
  out[12] = COMMAND;
  out[13] = 0;
  if (from && to && from->any.sa_family == AF_INET) {
    out[13] = TCP4;
    n = put_in(out, &from->in, &to->in);
  } else if (from && to && from->any.sa_family == AF_INET6) {
    out[13] = TCP6;
    n = put_in6(out, &from->in6, &to->in6);
  }
  out[14] = 0;
  out[15] = (uint8_t)(n - HEADER);
  return n;
}

/* ---- Of a request ---- */

static bool read_address(t2_str text, t2_address *address) {
  t2_str host;
  uint16_t port;
  return t2_str_hostport(text, &host, &port) == 0 && t2_address_parse(address, host, port) == 0;
}

/* Where a connection to a name arrived is not known. */
static void read_destination(const t2_head *request, sa_family_t family, t2_address *to) {
  t2_str host;
  uint16_t port = 0;
  if (read_address(request->authority, to) && to->any.sa_family == family) return;
  (void)t2_str_hostport(request->authority, &host, &port);
  (void)t2_address_parse(to, family == AF_INET ? T2_STR("0.0.0.0") : T2_STR("::"), port);
}

size_t t2_proxy_protocol_of_request(uint8_t out[T2_PROXY_PROTOCOL_MAX], const t2_head *request) {
  t2_address from, to;
  if (!read_address(t2_forwarded_for(request), &from)) return t2_proxy_protocol_write(out, NULL, NULL);
  read_destination(request, from.any.sa_family, &to);
  return t2_proxy_protocol_write(out, &from, &to);
}
