/* What a program says of who may ask for its session, and under which names, as the terms that are
 * registered.
 */
#ifndef T2_CLIENT_TERMS_H
#define T2_CLIENT_TERMS_H

#include <wire/ticket.h>

/* As in t2_client_options and t2_registration_options. */
typedef struct t2_terms_texts {
  t2_kind kind; /* of the session: names and passwords are of HTTP ones alone */
  const char *const *allow_ips;
  size_t allow_ip_count;
  const char *basic_auth;
  const char *const *hostnames;
  size_t hostname_count;
  const char *sticky_cookie, *sticky_header; /* one of them, or none */
} t2_terms_texts;

/* 0; T2_ERR_INVALID with a sentence in detail; T2_ERR_NOMEM. */
int t2_terms_make(t2_terms *terms, const t2_terms_texts *texts, char *detail, size_t detail_size);

#endif
