/* The TLS of one connection, without a socket: ciphertext is lent to it, plaintext is read out, and the
 * reverse.
 *
 *   HANDSHAKE ──t2_tls_stream_handshake is 0──▶ DATA ──t2_tls_stream_read is T2_ERR_CLOSED──▶ the peer sent
 * close_notify
 *
 * Whatever it wants sent (records, handshake messages, alerts) is appended to t2_tls_stream_output. */
#ifndef T2_NET_TLS_STREAM_H
#define T2_NET_TLS_STREAM_H

#include <net/tls.h>

typedef struct t2_tls_stream t2_tls_stream;

/* A server's or a client's, as tls is; holds a reference to tls. server_name is for clients: a DNS name or a
 * literal address that the certificate must be for; copied. 0, T2_ERR_INVALID (the name), T2_ERR_NOMEM. */
int t2_tls_stream_new(t2_tls_stream **stream, t2_tls *tls, t2_str server_name);
void t2_tls_stream_free(t2_tls_stream *stream);

/* Lends it ciphertext, which stays where it is until t2_tls_stream_keep or the next call. What was lent
 * before is used up or kept. */
void t2_tls_stream_input(t2_tls_stream *stream, const uint8_t *bytes, size_t n);
/* Makes its own copy of what is left of the ciphertext lent: 0 or T2_ERR_NOMEM. */
int t2_tls_stream_keep(t2_tls_stream *stream);
/* Goes on with what was kept. */
void t2_tls_stream_resume(t2_tls_stream *stream);
/* Is there input, lent, kept or decrypted already, that was not read? */
bool t2_tls_stream_pending(const t2_tls_stream *stream);

/* Goes on with the handshake, first without input: 0 when it is complete and the peer's certificate accepted,
 * T2_ERR_AGAIN when it needs more input, T2_ERR_CERTIFICATE, T2_ERR_TLS, T2_ERR_NOMEM with a detail. */
int t2_tls_stream_handshake(t2_tls_stream *stream);
/* Fills out[cap] from as many records as there are; *n bytes, also with an error. 0 (*n < cap: the input is
 * used up), T2_ERR_CLOSED for close_notify, T2_ERR_TLS, T2_ERR_NOMEM. */
int t2_tls_stream_read(t2_tls_stream *stream, uint8_t *out, size_t cap, size_t *n);
/* Encrypts all of it, in records as full as can be: 0, T2_ERR_TLS, T2_ERR_NOMEM. */
int t2_tls_stream_write(t2_tls_stream *stream, const uint8_t *bytes, size_t n);
/* Nothing has come or gone for a while: gives memory back to the system that holds nothing now (most of
 * mbedTLS's two buffers of 16 KiB), if the handshake is over. It comes back by itself when it is needed. */
void t2_tls_stream_rest(t2_tls_stream *stream);
/* Adds close_notify. */
int t2_tls_stream_end(t2_tls_stream *stream);
/* Ciphertext to send, whose taker consumes it. */
t2_buf *t2_tls_stream_output(t2_tls_stream *stream);

/* After the handshake: the protocol chosen (static, or empty), and whether a session was resumed (a client's
 * stream only). */
t2_str t2_tls_stream_alpn(const t2_tls_stream *stream);
bool t2_tls_stream_resumed(const t2_tls_stream *stream);
/* A sentence on the last error, or "". */
const char *t2_tls_stream_detail(const t2_tls_stream *stream);

#endif
