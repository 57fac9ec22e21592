/* Makes the certificates of development, and the state directory that holds them. */
#ifndef T2_NET_CERTIFICATE_H
#define T2_NET_CERTIFICATE_H

#include <base/buf.h>
#include <tunnel2/dev.h>

/* A new P-256 certificate authority: PEM of certificate and key, valid from an hour ago for days. 0 or an
 * error. */
int t2_certificate_make_ca(const t2_allocator *mem, const char *common_name, unsigned days, t2_buf *cert_pem,
                           t2_buf *key_pem);
/* A server's certificate by that authority for names (DNS names or addresses, written as the right kind of
 * SAN). */
int t2_certificate_issue(const t2_allocator *mem, const char *ca_cert_pem, const char *ca_key_pem,
                         const char *const *names, size_t name_count, unsigned days, t2_buf *cert_pem,
                         t2_buf *key_pem);

/* t2_dev_state_make with an allocator, of a directory that is named. */
int t2_dev_state_ensure(const t2_allocator *mem, const char *dir, char *detail, size_t detail_size);

#endif
