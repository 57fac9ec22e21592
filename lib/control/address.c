#include <control/address.h>
#include <stdio.h>
#include <tunnel2/error.h>

static bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Labels of letters, digits and hyphens; no dot at the end, which would not stand well in a URL. An IPv4
 * address passes. */
static bool is_host_name(t2_str s) {
  size_t label = 0;

  if (s.n == 0 || s.n > T2_STORE_DOMAIN_MAX) return false;
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    if (c == '.') {
      if (label == 0 || s.p[i - 1] == '-') return false;
      label = 0;
    } else if (!is_alnum(c) && (c != '-' || label == 0)) {
      return false;
    } else if (++label > 63) {
      return false;
    }
  }
  return label > 0 && s.p[s.n - 1] != '-';
}

static bool is_ipv6(t2_str s) {
  if (s.n < 2) return false;
  for (size_t i = 0; i < s.n; i++)
    if (!strchr("0123456789abcdefABCDEF:.", s.p[i]) || s.p[i] == '\0') return false;
  return t2_str_find(s, ':') >= 0;
}

/* HOST or HOST:PORT; *port is ":PORT" or empty. */
static bool split_authority(t2_str s, t2_str *port) {
  t2_str host = s;
  bool bracketed = s.n && s.p[0] == '[';
  ptrdiff_t colon = bracketed ? t2_str_find(s, ']') + 1 : t2_str_find(s, ':');
  uint64_t number;

  *port = T2_STR_NULL;
  if (colon > 0 && (size_t)colon < s.n) {
    host.n = (size_t)colon;
    *port = t2_str_of(s.p + colon, s.n - host.n);
    if (port->p[0] != ':' || t2_str_u64(t2_str_of(port->p + 1, port->n - 1), 65535, &number) || number == 0)
      return false;
  }
  if (!bracketed) return is_host_name(host);
  return host.n > 2 && host.p[host.n - 1] == ']' && is_ipv6(t2_str_of(host.p + 1, host.n - 2));
}

static bool is_origin(t2_str url, t2_str scheme) {
  t2_str port;

  return url.n <= T2_STORE_URL_MAX && t2_str_starts(url, scheme) &&
         split_authority(t2_str_of(url.p + scheme.n, url.n - scheme.n), &port);
}

static t2_str without_slash(t2_str url) {
  return t2_str_ends(url, T2_STR("/")) ? t2_str_of(url.p, url.n - 1) : url;
}

int t2_announcement_check(t2_announcement *announcement, const char **detail) {
  announcement->uplink = without_slash(announcement->uplink);
  announcement->public_url = without_slash(announcement->public_url);
  announcement->public_tls = without_slash(announcement->public_tls);
  if (!t2_entry_id_valid(announcement->id))
    *detail = "\"id\" is 3 to 63 of a-z, 0-9 and -, without - at either end";
  else if (!is_origin(announcement->uplink, T2_STR("https://")) &&
           !is_origin(announcement->uplink, T2_STR("http://")))
    *detail = "\"uplink\" is https://HOST[:PORT] or, in the clear, http://HOST[:PORT], at most 512 bytes";
  else if (!is_origin(announcement->public_url, T2_STR("http://")) &&
           !is_origin(announcement->public_url, T2_STR("https://")))
    *detail = "\"public\" is http://HOST[:PORT] or https://HOST[:PORT], at most 512 bytes";
  else if (announcement->public_tls.n && !is_origin(announcement->public_tls, T2_STR("https://")))
    *detail = "\"public_tls\" is https://HOST[:PORT], at most 512 bytes";
  else if (announcement->domain.n && !is_host_name(announcement->domain))
    *detail = "\"domain\" is a host name";
  else
    return 0;
  return T2_ERR_INVALID;
}

static t2_str scheme_of(t2_str url) {
  return t2_str_starts(url, T2_STR("https://")) ? T2_STR("https://") : T2_STR("http://");
}

/* ":PORT", or empty; url is one of an announcement's. */
static t2_str port_of(t2_str url) {
  t2_str port, scheme = scheme_of(url);

  (void)split_authority(t2_str_of(url.p + scheme.n, url.n - scheme.n), &port);
  return port;
}

size_t t2_name_sites(const t2_store_entry *entry, t2_name_site sites[T2_NAME_SITES_MAX]) {
  const char *const urls[] = {entry->public_url, entry->public_tls};
  size_t n = 0;

  for (size_t i = 0; i < T2_COUNT_OF(urls); i++) {
    t2_str url = t2_str_c(urls[i]);
    if (url.n == 0) continue;
    sites[n].secure = scheme_of(url).n == sizeof("https://") - 1;
    t2_str port = port_of(url);
    uint64_t number = 0;
    sites[n].port[0] = '\0';
    if (port.n && t2_str_u64(t2_str_of(port.p + 1, port.n - 1), UINT16_MAX, &number) == 0)
      snprintf(sites[n].port, sizeof(sites->port), ":%u", (unsigned)number);
    n++;
  }
  return n;
}

size_t t2_session_urls(const t2_store_entry *entry, const char *session,
                       char urls[T2_SESSION_URLS_MAX][T2_SESSION_URL_MAX]) {
  t2_str url = t2_str_c(entry->public_url);

  snprintf(urls[0], T2_SESSION_URL_MAX, "%s/session/%s/", entry->public_url, session);
  if (!entry->domain[0]) return 1;
  snprintf(urls[1], T2_SESSION_URL_MAX, "%.*s%s.%s%.*s/", T2_STR_ARG(scheme_of(url)), session, entry->domain,
           T2_STR_ARG(port_of(url)));
  return 2;
}
