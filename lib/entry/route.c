#include <entry/route.h>
#include <tunnel2/error.h>

#define PATH_PREFIX "/session/"

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Host without its port; names only, so that a colon can only begin one. */
static t2_str without_port(t2_str authority) {
  ptrdiff_t colon = t2_str_rfind(authority, ':');
  return colon < 0 ? authority : t2_str_of(authority.p, (size_t)colon);
}

/* The label before ".domain", in lower case, when there is exactly one. */
static bool find_by_name(t2_str authority, t2_str domain, t2_route *route) {
  t2_str host = without_port(authority);
  if (host.n && host.p[host.n - 1] == '.') host.n--;
  if (domain.n == 0 || host.n < domain.n + 2) return false;
  t2_str label = t2_str_of(host.p, host.n - domain.n - 1);
  if (host.p[label.n] != '.' || label.n > T2_SESSION_ID_MAX) return false;
  if (!t2_str_eq_nocase(t2_str_of(host.p + label.n + 1, domain.n), domain)) return false;
  for (size_t i = 0; i < label.n; i++)
    route->session[i] = lower(label.p[i]);
  route->session[label.n] = '\0';
  return t2_session_id_valid(t2_str_c(route->session));
}

static bool find_by_path(t2_str path, t2_route *route) {
  if (!t2_str_starts(path, T2_STR(PATH_PREFIX))) return false;
  size_t begin = sizeof(PATH_PREFIX) - 1, end = begin;
  while (end < path.n && path.p[end] != '/' && path.p[end] != '?')
    end++;
  t2_str id = t2_str_of(path.p + begin, end - begin);
  if (!t2_session_id_valid(id)) return false;
  memcpy(route->session, id.p, id.n);
  route->session[id.n] = '\0';
  route->prefix = t2_str_of(path.p, end);
  route->path = t2_str_of(path.p + end, path.n - end);
  return true;
}

/* What is left of "/session/x?q" is no path yet. */
static int make_path(t2_route *route, t2_buf *text) {
  if (route->path.n == 0) {
    route->path = T2_STR("/");
  } else if (route->path.p[0] == '?') {
    t2_buf_reset(text);
    t2_buf_append_byte(text, '/');
    t2_buf_append_str(text, route->path);
    if (text->failed) return T2_ERR_NOMEM;
    route->path = t2_str_of((const char *)t2_buf_head(text), t2_buf_len(text));
  }
  return 0;
}

/* Host in lower case, without port and the root's dot; empty when it can't be a session's own name. */
static t2_str own_name(t2_str authority, t2_str domain, char name[T2_HOSTNAME_MAX + 1]) {
  t2_str host = without_port(authority);
  if (host.n && host.p[host.n - 1] == '.') host.n--;
  if (host.n == 0 || host.n > T2_HOSTNAME_MAX) return T2_STR_NULL;
  for (size_t i = 0; i < host.n; i++)
    name[i] = lower(host.p[i]);
  host.p = name;
  if (domain.n == 0 || !t2_str_ends(host, domain)) return host;
  bool below = host.n == domain.n || name[host.n - domain.n - 1] == '.';
  return below ? T2_STR_NULL : host;
}

/* "<session>-<entry>": the session, which the name is cut to; false when it is another's name, or none. */
static bool cut_entry(t2_route *route, t2_str entry) {
  t2_str name = t2_str_c(route->session);
  if (entry.n == 0 || name.n < entry.n + 2 || !t2_str_ends(name, entry)) return false;
  size_t n = name.n - entry.n - 1;
  if (name.p[n] != '-' || !t2_session_id_valid(t2_str_of(name.p, n))) return false;
  route->session[n] = '\0';
  return true;
}

/* 1 and 2: true when the host is a name below the domain; *session may be NULL all the same. */
static bool find_below_domain(t2_str authority, const t2_route_site *site, t2_entry_sessions *sessions,
                              uint64_t now_ms, t2_route *route, t2_entry_session **session) {
  *session = NULL;
  if (!find_by_name(authority, site->domain, route)) return false;
  *session = t2_entry_sessions_find(sessions, t2_str_c(route->session), now_ms);
  if (!*session && cut_entry(route, site->entry))
    *session = t2_entry_sessions_find(sessions, t2_str_c(route->session), now_ms);
  return true;
}

static bool is_entrys(t2_str name, const t2_route_site *site) {
  for (size_t i = 0; i < T2_COUNT_OF(site->own); i++)
    if (t2_str_eq_nocase(name, site->own[i])) return true;
  return false;
}

bool t2_route_is_own_name(t2_str authority, const t2_route_site *site) {
  char text[T2_HOSTNAME_MAX + 1];
  t2_str name = own_name(authority, site->domain, text);
  return t2_hostname_valid(name) && !is_entrys(name, site);
}

static t2_entry_session *find_own_name(t2_str authority, const t2_route_site *site,
                                       t2_entry_sessions *sessions, uint64_t now_ms) {
  char text[T2_HOSTNAME_MAX + 1];
  if (!sessions->hosts.count) return NULL;
  t2_str name = own_name(authority, site->domain, text);
  t2_entry_session *session = t2_entry_sessions_by_host(sessions, name, now_ms);
  return session && !is_entrys(name, site) ? session : NULL;
}

t2_entry_session *t2_route_find_name(t2_str authority, const t2_route_site *site, t2_entry_sessions *sessions,
                                     uint64_t now_ms) {
  t2_entry_session *session;
  t2_route route;
  if (find_below_domain(authority, site, sessions, now_ms, &route, &session)) return session;
  return find_own_name(authority, site, sessions, now_ms);
}

int t2_route_find(const t2_head *request, const t2_route_site *site, t2_entry_sessions *sessions,
                  uint64_t now_ms, t2_route *route, t2_buf *text, t2_entry_session **session) {
  *route = (t2_route){.path = request->path};
  if (find_below_domain(request->authority, site, sessions, now_ms, route, session)) return 0;
  *session = find_own_name(request->authority, site, sessions, now_ms);
  if (*session) return 0;
  if (!find_by_path(request->path, route)) return T2_ERR_NOT_FOUND;
  *session = t2_entry_sessions_find(sessions, t2_str_c(route->session), now_ms);
  return make_path(route, text);
}
