#include <net/tls_internal.h>

#include <net/address.h>
#include <stdio.h>

/* GeneralName's choices (RFC 5280, 4.2.1.6). */
#define SAN_DNS     2
#define SAN_ADDRESS 7
#define TAG_NUMBER  0x1f
#define LABEL_MAX   63

/* ---- Names ---- */

static bool label_valid(t2_str label) {
  if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-') return false;
  for (size_t i = 0; i < label.n; i++) {
    char c = label.p[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_') return false;
  }
  return true;
}

bool t2_tls_name_valid(t2_str name) {
  if (name.n > T2_TLS_NAME_MAX) return false;
  for (;;) {
    ptrdiff_t dot = t2_str_find(name, '.');
    t2_str label = t2_str_of(name.p, dot < 0 ? name.n : (size_t)dot);
    if (!label_valid(label)) return false;
    if (dot < 0) return true;
    name = t2_str_of(name.p + dot + 1, name.n - label.n - 1);
  }
}

/* The wildcard is the whole of the left-most label, and stands for one label (RFC 9525, 6.3). */
static bool dns_matches(t2_str pattern, t2_str name) {
  if (t2_str_eq_nocase(pattern, name)) return true;
  ptrdiff_t dot = t2_str_find(name, '.');
  if (!t2_str_starts(pattern, T2_STR("*.")) || dot <= 0) return false;
  return t2_str_eq_nocase(t2_str_of(pattern.p + 1, pattern.n - 1),
                          t2_str_of(name.p + dot, name.n - (size_t)dot));
}

static t2_str address_bytes(const t2_address *address) {
  if (address->any.sa_family == AF_INET)
    return t2_str_of((const char *)&address->in.sin_addr, sizeof(address->in.sin_addr));
  return t2_str_of((const char *)&address->in6.sin6_addr, sizeof(address->in6.sin6_addr));
}

bool t2_tls_name_matches(const mbedtls_x509_crt *cert, t2_str name) {
  t2_address address;
  bool literal = t2_address_parse(&address, name, 0) == 0;

  for (const mbedtls_x509_sequence *san = &cert->subject_alt_names; san; san = san->next) {
    t2_str value = t2_str_of((const char *)san->buf.p, san->buf.len);
    int kind = san->buf.tag & TAG_NUMBER;
    if (!value.p) continue; /* no names at all */
    if (literal && kind == SAN_ADDRESS && t2_str_eq(value, address_bytes(&address))) return true;
    if (!literal && kind == SAN_DNS && dns_matches(value, name)) return true;
  }
  return false;
}

bool t2_tls_name_matches_exactly(const mbedtls_x509_crt *cert, t2_str name) {
  for (const mbedtls_x509_sequence *san = &cert->subject_alt_names; san; san = san->next) {
    t2_str value = t2_str_of((const char *)san->buf.p, san->buf.len);
    if (value.p && (san->buf.tag & TAG_NUMBER) == SAN_DNS && t2_str_eq_nocase(value, name)) return true;
  }
  return false;
}

/* ---- Sentences ---- */

void t2_tls_verify_sentence(const t2_tls *tls, t2_str name, uint32_t flags, char *out, size_t size) {
  if (flags & MBEDTLS_X509_BADCERT_EXPIRED)
    snprintf(out, size, "certificate has expired (or the clock of this host is fast)");
  else if (flags & MBEDTLS_X509_BADCERT_FUTURE)
    snprintf(out, size, "certificate is not valid yet (or the clock of this host is slow)");
  else if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
    snprintf(out, size, "certificate is not signed by a trusted authority (CA file %s)", tls->ca_file);
  else if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
    snprintf(out, size, "certificate is not for the name %.*s", T2_STR_ARG(name));
  else if (flags & (MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE))
    snprintf(out, size, "certificate is not for a TLS server");
  else if (flags & MBEDTLS_X509_BADCERT_MISSING)
    snprintf(out, size, "the peer has no certificate");
  else
    snprintf(out, size, "certificate has a key or signature that is too weak, or cannot be read");
}

const char *t2_tls_alert_phrase(uint8_t alert) {
  static const struct {
    uint8_t alert;
    const char *phrase;
  } phrases[] = {
      {10, "unexpected message"},
      {20, "bad record"},
      {22, "record overflow"},
      {40, "no cipher suite or parameters in common"},
      {42, "bad certificate"},
      {43, "unsupported certificate"},
      {44, "certificate revoked"},
      {45, "certificate expired"},
      {46, "certificate not acceptable"},
      {47, "illegal parameter"},
      {48, "certificate authority not known"},
      {49, "access denied"},
      {50, "message not understood"},
      {51, "decryption failed"},
      {70, "no TLS version in common"},
      {71, "insufficient security"},
      {80, "internal error"},
      {90, "cancelled"},
      {109, "missing extension"},
      {112, "name not known"},
      {116, "client certificate required"},
      {120, "no application protocol (ALPN) in common"},
  };

  for (size_t i = 0; i < T2_COUNT_OF(phrases); i++)
    if (phrases[i].alert == alert) return phrases[i].phrase;
  return "unknown alert";
}
