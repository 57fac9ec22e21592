#include <net/address.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <uv.h>

#define HOST_MAX 63

int t2_address_parse(t2_address *address, t2_str host, uint16_t port) {
  char text[HOST_MAX + 1];

  if (host.n == 0 || host.n > HOST_MAX || memchr(host.p, '\0', host.n)) return T2_ERR_INVALID;
  memcpy(text, host.p, host.n);
  text[host.n] = '\0';
  memset(address, 0, sizeof(*address));
  if (uv_ip4_addr(text, port, &address->in) == 0) return 0;
  return uv_ip6_addr(text, port, &address->in6) == 0 ? 0 : T2_ERR_INVALID;
}

bool t2_address_from(t2_address *address, const struct sockaddr *from) {
  memset(address, 0, sizeof(*address));
  if (from->sa_family == AF_INET)
    memcpy(&address->in, from, sizeof(address->in));
  else if (from->sa_family == AF_INET6)
    memcpy(&address->in6, from, sizeof(address->in6));
  return address->any.sa_family != 0;
}

bool t2_address_is_literal(t2_str host) {
  t2_address address;

  return t2_address_parse(&address, host, 0) == 0;
}

static bool is_private_v4(const uint8_t v4[4]) {
  return v4[0] == 127 || v4[0] == 10 || (v4[0] == 172 && (v4[1] & 0xf0) == 16) ||
         (v4[0] == 192 && v4[1] == 168) || (v4[0] == 169 && v4[1] == 254) ||
         (v4[0] == 100 && (v4[1] & 0xc0) == 64);
}

bool t2_address_is_private(const t2_address *address) {
  const struct in6_addr *v6 = &address->in6.sin6_addr;

  if (address->any.sa_family == AF_INET) return is_private_v4((const uint8_t *)&address->in.sin_addr);
  if (address->any.sa_family != AF_INET6) return false;
  if (IN6_IS_ADDR_V4MAPPED(v6)) return is_private_v4(v6->s6_addr + 12);
  return IN6_IS_ADDR_LOOPBACK(v6) || IN6_IS_ADDR_LINKLOCAL(v6) || (v6->s6_addr[0] & 0xfe) == 0xfc;
}

uint16_t t2_address_port(const t2_address *address) {
  return ntohs(address->any.sa_family == AF_INET6 ? address->in6.sin6_port : address->in.sin_port);
}

socklen_t t2_address_size(const t2_address *address) {
  return address->any.sa_family == AF_INET6 ? sizeof(address->in6) : sizeof(address->in);
}

t2_str t2_address_format(const t2_address *address, char text[T2_ADDRESS_TEXT]) {
  char host[INET6_ADDRSTRLEN] = "";
  const uint8_t *v6 = address->in6.sin6_addr.s6_addr;
  bool brackets = false;

  if (address->any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &address->in.sin_addr, host, sizeof(host));
  } else if (IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr)) {
    inet_ntop(AF_INET, v6 + 12, host, sizeof(host));
  } else {
    inet_ntop(AF_INET6, v6, host, sizeof(host));
    brackets = true;
  }
  const char *format = brackets ? "[%s]:%u" : "%s:%u";
  snprintf(text, T2_ADDRESS_TEXT, format, host, (unsigned)t2_address_port(address));
  return t2_str_of(text + brackets, strlen(host));
}
