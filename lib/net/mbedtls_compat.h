/* mbedTLS 2.28 and 3.6 under one name, for TLS and certificates: what wire/mbedtls_compat.h is for the crypto
 * library. */
#ifndef T2_NET_MBEDTLS_COMPAT_H
#define T2_NET_MBEDTLS_COMPAT_H

#include <stdbool.h>
#include <wire/mbedtls_compat.h>

#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>
#if T2_MBEDTLS_3
#include <psa/crypto.h>
#endif

/* Before any use of TLS or certificates; may be called again, from any thread. 0 or an error. TLS 1.3 of 3.6
 * stands on the PSA library, whose state is the process's: it is never shut down, since others may use it. */
static inline int t2_mbedtls_start(void) {
#if T2_MBEDTLS_3
  return psa_crypto_init() == PSA_SUCCESS ? 0 : MBEDTLS_ERR_SSL_ALLOC_FAILED;
#else
  return 0;
#endif
}

/* In a list of cipher suites; 2.28 knows none of TLS 1.3. */
#if T2_MBEDTLS_3
#define T2_MBEDTLS_TLS13_SUITES                                                                              \
  MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS1_3_AES_128_GCM_SHA256,                                \
      MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
#else
#define T2_MBEDTLS_TLS13_SUITES
#endif

static inline bool t2_mbedtls_has_tls13(void) {
#if T2_MBEDTLS_3 && defined(MBEDTLS_SSL_PROTO_TLS1_3)
  return true;
#else
  return false;
#endif
}

/* TLS 1.2 at least, or 1.3 where there is that; the newest there is at most. */
static inline void t2_mbedtls_conf_versions(mbedtls_ssl_config *conf, bool tls13) {
#if T2_MBEDTLS_3
  mbedtls_ssl_conf_min_tls_version(conf, tls13 ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2);
#else
  (void)tls13;
  mbedtls_ssl_conf_min_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
}

/* X25519 first: a key exchange takes three quarters of the time that P-256 takes here. The defaults of 2.28
 * begin with P-521. The NIST curves are for certificates too. */
static inline void t2_mbedtls_conf_groups(mbedtls_ssl_config *conf) {
#if T2_MBEDTLS_3
  static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
                                    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
                                    MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
  mbedtls_ssl_conf_groups(conf, groups);
#else
  static const mbedtls_ecp_group_id curves[] = {MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1,
                                                MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_SECP521R1,
                                                MBEDTLS_ECP_DP_NONE};
  mbedtls_ssl_conf_curves(conf, curves);
#endif
}

/* A client's read is to tell of the tickets that TLS 1.3 servers send after the handshake. 3.6.0 always does.
 */
static inline void t2_mbedtls_conf_tell_tickets(mbedtls_ssl_config *conf) {
#if MBEDTLS_VERSION_NUMBER >= 0x03060100 && defined(MBEDTLS_SSL_PROTO_TLS1_3)
  mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
      conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#else
  (void)conf;
#endif
}

/* Did a read return because such a ticket came? */
static inline bool t2_mbedtls_is_ticket(int err) {
#if T2_MBEDTLS_3
  return err == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
#else
  (void)err;
  return false;
#endif
}

/* Does the session of a finished handshake come later, with a ticket? */
static inline bool t2_mbedtls_session_comes_later(const mbedtls_ssl_context *ssl) {
#if T2_MBEDTLS_3
  return mbedtls_ssl_get_version_number(ssl) == MBEDTLS_SSL_VERSION_TLS1_3;
#else
  (void)ssl;
  return false;
#endif
}

/* Is it the handshake's error for a certificate that is broken, rather than not trusted? */
static inline bool t2_mbedtls_is_bad_certificate(int err) {
#if T2_MBEDTLS_3
  return err == MBEDTLS_ERR_SSL_BAD_CERTIFICATE;
#else
  return err == MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE;
#endif
}

/* After MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE: which alert it was (RFC 8446, 6). */
static inline uint8_t t2_mbedtls_alert(const mbedtls_ssl_context *ssl) {
  return ssl->in_msg[1];
}

/* n is 20 at most (RFC 5280, 4.1.2.2). */
static inline int t2_mbedtls_set_serial(mbedtls_x509write_cert *cert, unsigned char *serial, size_t n) {
#if T2_MBEDTLS_3
  return mbedtls_x509write_crt_set_serial_raw(cert, serial, n);
#else
  mbedtls_mpi number;
  mbedtls_mpi_init(&number);
  int err = mbedtls_mpi_read_binary(&number, serial, n);
  if (err == 0) err = mbedtls_x509write_crt_set_serial(cert, &number);
  mbedtls_mpi_free(&number);
  return err;
#endif
}

#endif
