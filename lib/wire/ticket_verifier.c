/* The public face of keys.c and ticket.c. */
#include <base/mem.h>
#include <tunnel2/ticket.h>
#include <wire/detail.h>
#include <wire/ticket.h>

struct t2_ticket_verifier {
  const t2_allocator *mem;
  t2_keys keys;
  t2_ticket ticket; /* the last one; what claims point to */
  const char *audience[T2_TICKET_AUDIENCES_MAX];
  const char *allow_ips[T2_TERMS_PREFIXES_MAX];
  const char *hostnames[T2_TERMS_HOSTNAMES_MAX];
  char prefixes[T2_TERMS_PREFIXES_MAX][T2_PREFIX_TEXT];
};

int t2_ticket_verifier_set_keys(t2_ticket_verifier *verifier, const char *jwks, size_t jwks_size,
                                char *detail, size_t detail_size) {
  if (detail_size) *detail = '\0';
  return t2_keys_from_jwks(&verifier->keys, jwks, jwks_size, detail, detail_size);
}

int t2_ticket_verifier_new(t2_ticket_verifier **out, const t2_allocator *mem, const char *jwks,
                           size_t jwks_size, char *detail, size_t detail_size) {
  *out = NULL;
  t2_ticket_verifier *verifier = t2_calloc(mem, 1, sizeof(*verifier));
  if (!verifier) return t2_detail(detail, detail_size, T2_ERR_NOMEM, "out of memory");
  verifier->mem = mem;
  t2_keys_init(&verifier->keys, mem);
  int err = t2_ticket_verifier_set_keys(verifier, jwks, jwks_size, detail, detail_size);
  if (err)
    t2_ticket_verifier_free(verifier);
  else
    *out = verifier;
  return err;
}

void t2_ticket_verifier_free(t2_ticket_verifier *verifier) {
  if (!verifier) return;
  t2_keys_fini(&verifier->keys);
  t2_free(verifier->mem, verifier);
}

/* ---- Claims ---- */

static void point_at_lists(t2_ticket_verifier *verifier) {
  const t2_ticket *ticket = &verifier->ticket;
  for (size_t i = 0; i < ticket->audience_count; i++)
    verifier->audience[i] = ticket->audience[i];
  for (size_t i = 0; i < ticket->terms.hostname_count; i++)
    verifier->hostnames[i] = ticket->terms.hostnames[i];
  for (size_t i = 0; i < ticket->terms.allow_count; i++) {
    t2_prefix_format(&ticket->terms.allow[i], verifier->prefixes[i]);
    verifier->allow_ips[i] = verifier->prefixes[i];
  }
}

static void tell(t2_ticket_verifier *verifier, t2_ticket_claims *claims) {
  static const t2_session_kind kinds[] = {[T2_KIND_HTTP] = T2_SESSION_HTTP,
                                          [T2_KIND_TCP] = T2_SESSION_TCP,
                                          [T2_KIND_UDP] = T2_SESSION_UDP,
                                          [T2_KIND_TLS] = T2_SESSION_TLS};
  const t2_ticket *ticket = &verifier->ticket;
  point_at_lists(verifier);
  t2_ticket_claims now = {
      .size = claims->size < sizeof(now) ? claims->size : sizeof(now),
      .issuer = ticket->issuer,
      .session = ticket->session,
      .id = ticket->id,
      .audience = verifier->audience,
      .audience_count = ticket->audience_count,
      .issued_at = ticket->issued_at,
      .not_before = ticket->not_before,
      .expires_at = ticket->expires_at,
      .uplinks_max = ticket->max_uplinks,
      .exchanges_max = ticket->max_streams,
      .kind = kinds[ticket->kind],
      .remote_port = ticket->port,
      .basic_auth = ticket->terms.password.rounds != 0,
      .allow_ips = verifier->allow_ips,
      .allow_ip_count = ticket->terms.allow_count,
      .hostnames = verifier->hostnames,
      .hostname_count = ticket->terms.hostname_count,
  };
  memcpy(claims, &now, now.size);
}

int t2_ticket_verifier_check(t2_ticket_verifier *verifier, const char *token, size_t token_size,
                             const char *audience, int64_t now_seconds, t2_ticket_claims *claims,
                             char *detail, size_t detail_size) {
  if (detail_size) *detail = '\0';
  if (!audience || !*audience || (claims && claims->size < sizeof(claims->size)))
    return t2_detail(detail, detail_size, T2_ERR_INVALID,
                     "an audience, and a size of the claims, are needed");
  int err = t2_ticket_verify(t2_str_of(token, token_size), &verifier->keys, t2_str_c(audience), now_seconds,
                             &verifier->ticket, detail, detail_size);
  if (claims && (err == 0 || err == T2_ERR_EXPIRED || err == T2_ERR_FORBIDDEN)) tell(verifier, claims);
  return err;
}
