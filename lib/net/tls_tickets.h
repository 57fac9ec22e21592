/* Session tickets of a TLS server (RFC 5077; RFC 8446, 4.6.1): sessions, sealed with a key that only this
 * server has. Keys change once in a ticket's lifetime, the one before is still good; kept in a file they
 * outlive the process, so that clients resume after a restart. mbedTLS 2.28's own tickets have keys that
 * nobody can give or take. */
#ifndef T2_NET_TLS_TICKETS_H
#define T2_NET_TLS_TICKETS_H

#include <net/mbedtls_compat.h>

#include <base/mem.h>
#include <stdint.h>

#define T2_TLS_TICKET_SECONDS (24 * 60 * 60) /* a ticket is good for */
#define T2_TLS_TICKET_NAME    16             /* bytes that say which key it is */
#define T2_TLS_TICKET_SECRET  32             /* AES-256-GCM */

typedef struct t2_tls_ticket_key {
  uint8_t name[T2_TLS_TICKET_NAME];
  uint8_t secret[T2_TLS_TICKET_SECRET];
  int64_t made_ms; /* wall clock */
} t2_tls_ticket_key;

/* Embedded. */
typedef struct t2_tls_tickets {
  const t2_allocator *mem;
  t2_tls_ticket_key keys[2]; /* the one that seals, and the one before it */
  char *file;                /* NULL: they are kept nowhere */
  uint64_t taken;            /* tickets that were good */
} t2_tls_tickets;

/* With new keys. */
void t2_tls_tickets_init(t2_tls_tickets *tickets, const t2_allocator *mem);
void t2_tls_tickets_fini(t2_tls_tickets *tickets);
/* Takes the keys from the file, or writes it (mode 0600) where it is not there or of no use; and from now on
 * with each new key. 0, T2_ERR_IO, T2_ERR_NOMEM. */
int t2_tls_tickets_keep(t2_tls_tickets *tickets, const char *file);
/* As mbedtls_ssl_conf_session_tickets_cb wants them, with a t2_tls_tickets. */
int t2_tls_tickets_write(void *tickets, const mbedtls_ssl_session *session, unsigned char *start,
                         const unsigned char *end, size_t *n, uint32_t *lifetime);
int t2_tls_tickets_parse(void *tickets, mbedtls_ssl_session *session, unsigned char *ticket, size_t n);
/* The same at a time of the wall clock that is given. */
int t2_tls_tickets_write_at(t2_tls_tickets *tickets, const mbedtls_ssl_session *session, unsigned char *start,
                            const unsigned char *end, size_t *n, int64_t now_ms);
int t2_tls_tickets_parse_at(t2_tls_tickets *tickets, mbedtls_ssl_session *session, unsigned char *ticket,
                            size_t n, int64_t now_ms);

#endif
