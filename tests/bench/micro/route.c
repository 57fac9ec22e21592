/* Whose a public request is, at an entry that has one session, a thousand, a hundred thousand. */
#include "bench.h"

#include <entry/route.h>

#define ASKED 1024 /* requests for different sessions, in turn */

typedef struct routes {
  t2_entry_sessions sessions;
  size_t count;
  t2_buf text;
  char host[ASKED][32], path[ASKED][48];
} routes;

/* Uplinks are only compared here. */
static t2_entry_uplink *an_uplink(void) {
  static const char place[1];
  return (t2_entry_uplink *)(uintptr_t)place;
}

static void *new_routes(size_t count) {
  routes *s = t2_bench_new(sizeof(*s));
  t2_ticket ticket = {.issued_at = 1};
  t2_entry_session *session;
  t2_entry_sessions_init(&s->sessions, NULL);
  t2_buf_init(&s->text, NULL);
  s->count = count;
  for (size_t i = 0; i < count; i++) {
    snprintf(ticket.session, sizeof(ticket.session), "session-%06zu", i);
    T2_BENCH_NEED(t2_entry_sessions_attach(&s->sessions, &ticket, UINT64_MAX, an_uplink(), &session) == 0);
  }
  for (size_t i = 0; i < ASKED; i++) {
    size_t of = i * 7919 % count; /* a prime: not in the order they came */
    snprintf(s->host[i], sizeof(s->host[i]), "session-%06zu.tun.example", of);
    snprintf(s->path[i], sizeof(s->path[i]), "/session/session-%06zu/a?b", of);
  }
  return s;
}

static void *one(void) {
  return new_routes(1);
}

static void *thousand(void) {
  return new_routes(1000);
}

static void *hundred_thousand(void) {
  return new_routes(100000);
}

static void find(routes *s, t2_str authority, t2_str path) {
  static const t2_route_site site = {
      T2_STR("tun.example"), T2_STR("east"), {T2_STR("gate.example"), T2_STR("up.example")}};
  t2_head head = {.authority = authority, .path = path};
  t2_entry_session *session;
  t2_route route;
  T2_BENCH_NEED(t2_route_find(&head, &site, &s->sessions, 1, &route, &s->text, &session) == 0 && session);
}

static void by_path(void *state, size_t n) {
  routes *s = state;
  for (size_t i = 0; i < n; i++)
    find(s, T2_STR("127.0.0.1:12000"), t2_str_c(s->path[i % ASKED]));
}

static void by_name(void *state, size_t n) {
  routes *s = state;
  for (size_t i = 0; i < n; i++)
    find(s, t2_str_c(s->host[i % ASKED]), T2_STR("/a?b"));
}

static void tear_down(void *state) {
  routes *s = state;
  char id[32];
  for (size_t i = 0; i < s->count; i++) {
    snprintf(id, sizeof(id), "session-%06zu", i);
    t2_entry_session *session = t2_entry_sessions_find(&s->sessions, t2_str_c(id), 1);
    t2_entry_sessions_detach(&s->sessions, session, an_uplink());
  }
  t2_entry_sessions_fini(&s->sessions);
  t2_buf_fini(&s->text);
  free(s);
}

const t2_bench t2_bench_route[] = {
    {"route_path_1", one, by_path, tear_down},
    {"route_path_1000", thousand, by_path, tear_down},
    {"route_path_100000", hundred_thousand, by_path, tear_down},
    {"route_name_1", one, by_name, tear_down},
    {"route_name_100000", hundred_thousand, by_name, tear_down},
    {0},
};
