#include <client/terms.h>
#include <tunnel2/error.h>
#include <wire/detail.h>

static int read_allowed(const t2_terms_texts *o, t2_terms *terms, char *detail, size_t size) {
  if (o->allow_ip_count > T2_TERMS_PREFIXES_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "addresses allowed: at most %d prefixes are taken",
                     T2_TERMS_PREFIXES_MAX);
  for (size_t i = 0; i < o->allow_ip_count; i++)
    if (t2_prefix_parse(&terms->allow[i], t2_str_c(o->allow_ips[i])))
      return t2_detail(detail, size, T2_ERR_INVALID,
                       "allowed address \"%.80s\": an address or a prefix is taken, such as 10.0.0.0/8",
                       o->allow_ips[i] ? o->allow_ips[i] : "");
  terms->allow_count = o->allow_ip_count;
  return 0;
}

static bool lower(const char *from, char to[T2_HOSTNAME_MAX + 1]) {
  size_t n = from ? strlen(from) : 0;
  if (n > T2_HOSTNAME_MAX) return false;
  for (size_t i = 0; i < n; i++)
    to[i] = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] + ('a' - 'A')) : from[i];
  return t2_hostname_valid(t2_str_of(to, n));
}

static int read_hostnames(const t2_terms_texts *o, t2_terms *terms, char *detail, size_t size) {
  if (o->hostname_count && o->kind != T2_KIND_HTTP && o->kind != T2_KIND_TLS)
    return t2_detail(detail, size, T2_ERR_INVALID, "host names are for HTTP and TLS sessions alone");
  if (o->hostname_count > T2_TERMS_HOSTNAMES_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "host names: at most %d are taken",
                     T2_TERMS_HOSTNAMES_MAX);
  for (size_t i = 0; i < o->hostname_count; i++)
    if (!lower(o->hostnames[i], terms->hostnames[i]))
      return t2_detail(detail, size, T2_ERR_INVALID,
                       "host name \"%.80s\": one such as www.example.com is taken, up to %d bytes",
                       o->hostnames[i] ? o->hostnames[i] : "", T2_HOSTNAME_MAX);
  terms->hostname_count = o->hostname_count;
  return 0;
}

int t2_terms_make(t2_terms *terms, const t2_terms_texts *o, char *detail, size_t size) {
  memset(terms, 0, sizeof(*terms));
  int err = read_allowed(o, terms, detail, size);
  if (err == 0) err = read_hostnames(o, terms, detail, size);
  if (err || !o->basic_auth) return err;
  if (o->kind != T2_KIND_HTTP)
    return t2_detail(detail, size, T2_ERR_INVALID, "user and password are for HTTP sessions alone");
  err = t2_password_make(&terms->password, t2_str_c(o->basic_auth));
  if (err == T2_ERR_INVALID)
    t2_detail(detail, size, err, "user and password: USER:PASSWORD is taken, up to %d bytes",
              T2_CREDENTIALS_MAX);
  return err;
}
