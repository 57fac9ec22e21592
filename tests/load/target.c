#include "target.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAX 256

typedef struct parts {
  char authority[HOST_MAX], host[HOST_MAX], port[8];
  const char *path;
} parts;

/* HOST:PORT, where HOST may be an IPv6 address in brackets. */
static bool split(parts *u, const char *url) {
  static const char scheme[] = "http://";
  if (strncmp(url, scheme, sizeof(scheme) - 1) != 0) return false;
  const char *authority = url + sizeof(scheme) - 1;
  size_t n = strcspn(authority, "/");
  u->path = authority[n] ? authority + n : "/";
  if (n == 0 || n >= sizeof(u->authority)) return false;
  memcpy(u->authority, authority, n);
  u->authority[n] = 0;
  const char *colon = strrchr(u->authority, ':'), *begin = u->authority;
  if (!colon || colon[1] == 0 || strlen(colon + 1) >= sizeof(u->port)) return false;
  memcpy(u->port, colon + 1, strlen(colon + 1) + 1);
  size_t length = (size_t)(colon - u->authority);
  if (length >= 2 && begin[0] == '[' && colon[-1] == ']') begin++, length -= 2;
  memcpy(u->host, begin, length);
  u->host[length] = 0;
  return true;
}

static bool resolve(target *t, const parts *u) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  if (getaddrinfo(u->host, u->port, &hints, &found) != 0) return false;
  memcpy(&t->address, found->ai_addr, found->ai_addrlen);
  t->address_length = found->ai_addrlen;
  freeaddrinfo(found);
  return true;
}

static bool write_head(request_head *head, const parts *u, size_t body) {
  char length[96] = "";
  if (body > 0)
    snprintf(length, sizeof(length), "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n",
             body);
  int n = snprintf(head->bytes, sizeof(head->bytes), "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n",
                   body > 0 ? "POST" : "GET", u->path, u->authority, length);
  head->n = (size_t)n;
  return n > 0 && (size_t)n < sizeof(head->bytes);
}

bool target_init(target *t, const char *url, const plan *p) {
  parts u;
  memset(t, 0, sizeof(*t));
  if (!split(&u, url) || !resolve(t, &u)) {
    fprintf(stderr, "load_generator: %s is no http://HOST:PORT/PATH that can be resolved\n", url);
    return false;
  }
  t->heads = calloc(p->n, sizeof(*t->heads));
  if (!t->heads) return false;
  for (size_t i = 0; i < p->n; i++)
    if (!write_head(&t->heads[i], &u, p->steps[i].body)) return false;
  return true;
}

void target_fini(target *t) {
  free(t->heads);
  t->heads = NULL;
}
