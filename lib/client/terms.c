#include <client/terms.h>
#include <tunnel2/error.h>
#include <wire/detail.h>

static int read_allowed(const t2_terms_texts *texts, t2_terms *terms, char *detail, size_t size) {
  if (texts->allow_ip_count > T2_TERMS_PREFIXES_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "addresses allowed: at most %d prefixes are taken",
                     T2_TERMS_PREFIXES_MAX);
  for (size_t i = 0; i < texts->allow_ip_count; i++)
    if (t2_prefix_parse(&terms->allow[i], t2_str_c(texts->allow_ips[i])))
      return t2_detail(detail, size, T2_ERR_INVALID,
                       "allowed address \"%.80s\": an address or a prefix is taken, such as 10.0.0.0/8",
                       texts->allow_ips[i] ? texts->allow_ips[i] : "");
  terms->allow_count = texts->allow_ip_count;
  return 0;
}

static bool lower(const char *from, char to[T2_HOSTNAME_MAX + 1]) {
  size_t n = from ? strlen(from) : 0;
  if (n > T2_HOSTNAME_MAX) return false;
  for (size_t i = 0; i < n; i++)
    to[i] = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] + ('a' - 'A')) : from[i];
  return t2_hostname_valid(t2_str_of(to, n));
}

static int read_hostnames(const t2_terms_texts *texts, t2_terms *terms, char *detail, size_t size) {
  if (texts->hostname_count && texts->kind != T2_KIND_HTTP && texts->kind != T2_KIND_TLS)
    return t2_detail(detail, size, T2_ERR_INVALID, "host names are for HTTP and TLS sessions alone");
  if (texts->hostname_count > T2_TERMS_HOSTNAMES_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "host names: at most %d are taken",
                     T2_TERMS_HOSTNAMES_MAX);
  for (size_t i = 0; i < texts->hostname_count; i++)
    if (!lower(texts->hostnames[i], terms->hostnames[i]))
      return t2_detail(detail, size, T2_ERR_INVALID,
                       "host name \"%.80s\": one such as www.example.com is taken, up to %d bytes",
                       texts->hostnames[i] ? texts->hostnames[i] : "", T2_HOSTNAME_MAX);
  terms->hostname_count = texts->hostname_count;
  return 0;
}

static int read_sticky(const t2_terms_texts *texts, t2_terms *terms, char *detail, size_t size) {
  const char *name = texts->sticky_cookie ? texts->sticky_cookie : texts->sticky_header;
  if (!name) return 0;
  if (texts->kind != T2_KIND_HTTP)
    return t2_detail(detail, size, T2_ERR_INVALID, "stickiness is for HTTP sessions alone");
  if (texts->sticky_cookie && texts->sticky_header)
    return t2_detail(detail, size, T2_ERR_INVALID, "sticky by a cookie or by a header: one of them is taken");
  if (t2_terms_set_sticky(terms, texts->sticky_cookie ? T2_STICKY_COOKIE : T2_STICKY_HEADER, t2_str_c(name)))
    return 0;
  return t2_detail(detail, size, T2_ERR_INVALID,
                   "sticky by \"%.80s\": that is no name, or one of more than %d bytes", name,
                   T2_STICKY_NAME_MAX);
}

int t2_terms_make(t2_terms *terms, const t2_terms_texts *texts, char *detail, size_t size) {
  memset(terms, 0, sizeof(*terms));
  int err = read_allowed(texts, terms, detail, size);
  if (err == 0) err = read_hostnames(texts, terms, detail, size);
  if (err == 0) err = read_sticky(texts, terms, detail, size);
  if (err || !texts->basic_auth) return err;
  if (texts->kind != T2_KIND_HTTP)
    return t2_detail(detail, size, T2_ERR_INVALID, "user and password are for HTTP sessions alone");
  err = t2_password_make(&terms->password, t2_str_c(texts->basic_auth));
  if (err == T2_ERR_INVALID)
    t2_detail(detail, size, err, "user and password: USER:PASSWORD is taken, up to %d bytes",
              T2_CREDENTIALS_MAX);
  return err;
}
