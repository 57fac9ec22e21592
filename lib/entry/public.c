#include <entry/state.h>
#include <stdio.h>

/* An exchange keeps its session, whose table is the entry's. */
static void on_done(t2_exchange *exchange, void *user) {
  t2_entry *entry = T2_CONTAINER_OF(exchange->proxy, t2_entry, public_proxy);
  t2_entry_session *session = user;
  const t2_log *log = &entry->loop->log;
  if (t2_log_enabled(log, T2_LOG_DEBUG)) {
    char status[16];
    snprintf(status, sizeof(status), "%d", exchange->status);
    const t2_log_pair pairs[] = {{"session", session->id},
                                 {"method", exchange->method},
                                 {"status", status},
                                 {"request_id", exchange->request_id},
                                 {"error", t2_error_name(exchange->error)}};
    t2_log_write(log, T2_LOG_DEBUG, "entry", pairs, T2_COUNT_OF(pairs), "request done in %llu ms",
                 (unsigned long long)(t2_loop_now(entry->loop) - exchange->started_ms));
  }
  if (exchange->upgrade) entry->upgrades--;
  t2_entry_session_end(&entry->uplinks.sessions, session);
}

int t2_entry_admit(t2_entry *entry, t2_entry_session *session, uint64_t *wait_ms) {
  *wait_ms = 0;
  if (session->max_streams && session->active >= session->max_streams) {
    entry->bounds.over_exchanges++;
    return T2_ERR_UNAVAILABLE;
  }
  return t2_entry_limits_admit(&entry->bounds, &session->limits, entry->loop, session->active, wait_ms);
}

void t2_entry_begin(t2_entry *entry, t2_entry_session *session, t2_exchange *exchange) {
  exchange->on_done = on_done;
  exchange->user = session;
  if (exchange->upgrade) entry->upgrades++;
  t2_exchange_pace(exchange, t2_entry_limits_up(session->limits), t2_entry_limits_down(session->limits));
  t2_entry_session_begin(&entry->uplinks.sessions, session);
  t2_budget_earn(&session->budget);
}

static void log_refusal(const t2_exchange *exchange, const char *detail) {
  const t2_log *log = &exchange->proxy->loop->log;
  const t2_log_pair pairs[] = {{"method", exchange->method}, {"request_id", exchange->request_id}};
  if (t2_log_enabled(log, T2_LOG_DEBUG))
    t2_log_write(log, T2_LOG_DEBUG, "entry", pairs, T2_COUNT_OF(pairs), "request refused: %s",
                 detail ? detail : "out of memory");
}

void t2_entry_refuse(t2_exchange *exchange, int err, t2_problem_at at, const char *detail) {
  log_refusal(exchange, detail);
  t2_exchange_refuse(exchange, t2_problem_of(err, at), detail);
}

static void refuse(const t2_server_request *request, int err, t2_problem_at at, const char *detail) {
  t2_entry_refuse(request->exchange, err, at, detail);
}

/* One protocol with or without a version (RFC 9110, 7.8), not a list of them. */
static bool is_protocol(t2_str s) {
  ptrdiff_t slash = t2_str_find(s, '/');
  if (slash < 0) return t2_is_token(s);
  size_t n = (size_t)slash;
  return t2_is_token(t2_str_of(s.p, n)) && t2_is_token(t2_str_of(s.p + n + 1, s.n - n - 1));
}

/* An Upgrade becomes an extended CONNECT, which has no method of its own and no content but the tunnel's. */
static bool may_upgrade(const t2_server_request *request) {
  const t2_head *head = request->head;
  if (request->h2) return !request->end;
  return request->end && t2_str_eq(head->method, T2_STR("GET")) && is_protocol(head->protocol);
}

bool t2_entry_admits(const t2_entry *entry, t2_entry_session *session, t2_exchange *exchange,
                     t2_fields *fields, t2_str asker) {
  if (!session->guard) return true;
  int err = t2_guard_check(session->guard, asker, fields, t2_loop_now(entry->loop));
  if (err == 0) {
    if (session->guard->terms.password.rounds) t2_fields_remove(fields, T2_STR("authorization"));
    return true;
  }
  const t2_problem *problem = t2_problem_of(err, T2_AT_LOCAL);
  log_refusal(exchange, t2_strerror(err));
  if (err == T2_ERR_AUTH)
    t2_exchange_refuse_with(exchange, problem, "user and password are needed", T2_STR("www-authenticate"),
                            T2_STR("Basic realm=\"tunnel\", charset=\"UTF-8\""));
  else
    t2_exchange_refuse(exchange, problem,
                       err == T2_ERR_FORBIDDEN ? "not from this address" : "too many passwords are tried");
  return false;
}

static t2_str asker_of(const t2_entry *entry, const t2_server_request *request) {
  return t2_guard_asker(entry->trusted, entry->trusted_count, t2_conn_peer_host(request->transport),
                        &request->head->fields);
}

static bool may_pass(const t2_entry *entry, const t2_server_request *request, t2_entry_session *session) {
  return !session->guard ||
         t2_entry_admits(entry, session, request->exchange, &request->head->fields, asker_of(entry, request));
}

/* False: the session has as much as it may have, and the request has been refused. */
static bool may_begin(t2_entry *entry, const t2_server_request *request, t2_entry_session *session) {
  char seconds[24];
  uint64_t wait_ms;
  int err = t2_entry_admit(entry, session, &wait_ms);
  if (err == 0) return true;
  if (err != T2_ERR_LIMIT) {
    refuse(request, err, T2_AT_UPLINK,
           err == T2_ERR_UNAVAILABLE ? "the session has as many requests under way as it may have" : NULL);
    return false;
  }
  const char *detail = "the session has had as many requests, or as much content, as it may have now";
  log_refusal(request->exchange, detail);
  snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)(wait_ms + 999) / 1000);
  t2_exchange_refuse_with(request->exchange, t2_problem_of_status(429), detail, T2_STR("retry-after"),
                          t2_str_c(seconds));
  return false;
}

/* False: as many are upgraded as may be, and the request has been refused. */
static bool may_take_upgrade(t2_entry *entry, const t2_server_request *request) {
  if (!request->exchange->upgrade || entry->upgrades < entry->options.upgrades_max) return true;
  entry->over_upgrades++;
  refuse(request, T2_ERR_UNAVAILABLE, T2_AT_UPLINK,
         "this entry has as many upgraded connections as it takes");
  return false;
}

/* The session may be NULL, of a request that waits for it. */
static void pass_on(t2_entry *entry, const t2_server_request *request, t2_entry_session *session,
                    const t2_route *route, t2_leg *leg, bool waits) {
  t2_str peer = t2_conn_peer_host(request->transport);
  t2_forward how = {.peer = peer,
                    .by = t2_str_c(entry->id),
                    .prefix = route->prefix,
                    .trust_peer = t2_prefixes_have(entry->trusted, entry->trusted_count, peer)};
  bool upgrade =
      request->exchange->upgrade && may_upgrade(request) && (waits || t2_uplinks_leg_upgrades(leg));
  if (!upgrade) t2_exchange_decline_upgrade(request->exchange, request->head);
  if (session) t2_entry_begin(entry, session, request->exchange);
  request->head->path = route->path;
  /* An HTTP/1.0 request may come without Host, and HTTP/2 knows none without an authority. */
  if (request->head->authority.n == 0) request->head->authority = t2_str_c(entry->options.public_address);
  t2_exchange_connect(request->exchange, leg, request->head, request->end && !upgrade, &how,
                      entry->options.response_timeout_ms);
}

/* Those who wait already come first. */
static void pass_to_an_uplink(t2_entry *entry, const t2_server_request *request, t2_entry_session *session,
                              const t2_route *route) {
  t2_uplinks *uplinks = &entry->uplinks;
  t2_leg *leg = t2_waiting_count(session) ? NULL : t2_uplinks_pick(uplinks, session, &request->head->fields);
  if (leg)
    pass_on(entry, request, session, route, leg, false);
  else if (t2_waiting_may(uplinks, session))
    pass_on(entry, request, session, route, t2_waiting_leg(uplinks), true);
  else
    refuse(request, T2_ERR_UNAVAILABLE, T2_AT_UPLINK, t2_waiting_why(session));
}

/* The asker's text is in the request's fields or its transport, and the exchange has not gone on. */
static void wait_for_session(t2_entry *entry, const t2_server_request *request, const t2_route *route) {
  char asker[T2_ADDRESS_TEXT];
  snprintf(asker, sizeof(asker), "%.*s", T2_STR_ARG(asker_of(entry, request)));
  pass_on(entry, request, NULL, route, t2_entry_anteroom_door(entry), true);
  t2_entry_anteroom_note(entry, route, t2_str_c(asker));
}

/* There is no such session: not yet, perhaps. */
static void on_unknown(t2_entry *entry, const t2_server_request *request, const t2_route *route, int err) {
  if (err != T2_ERR_NOMEM && t2_entry_anteroom_takes(entry, request->head->authority, err == 0))
    wait_for_session(entry, request, route);
  else if (err)
    refuse(request, err, T2_AT_ROUTE, err == T2_ERR_NOT_FOUND ? "this is the address of no session" : NULL);
  else
    refuse(request, T2_ERR_NOT_FOUND, T2_AT_ROUTE, "there is no session of this name here");
}

void t2_entry_on_public_request(const t2_server_request *request, void *user) {
  t2_entry *entry = user;
  t2_route route;
  if (entry->state == T2_ENTRY_STATE_NEW) {
    refuse(request, T2_ERR_UNAVAILABLE, T2_AT_UPLINK, "the entry has not been started");
    return;
  }
  t2_entry_session *session;
  int err = t2_route_find(request->head, &entry->site, &entry->uplinks.sessions, t2_loop_now(entry->loop),
                          &route, &entry->route_text, &session);
  if (err || !session)
    on_unknown(entry, request, &route, err);
  else if (session->kind != T2_KIND_HTTP)
    refuse(request, T2_ERR_NOT_FOUND, T2_AT_ROUTE, "there is no session of this name here");
  else if (!may_pass(entry, request, session))
    return;
  else if (!may_take_upgrade(entry, request) || !may_begin(entry, request, session))
    return;
  else
    pass_to_an_uplink(entry, request, session, &route);
}
