/* A connection: a TCP or unix stream, with or without TLS, that gathers its writes.
 *
 *   (dialer, listener) ──▶ OPEN ──t2_conn_finish──▶ FINISHING ──peer's EOF or linger──▶ CLOSING ──▶ on_close,
 * freed └──────────t2_conn_close, an error, on any state──────────▶ CLOSING
 *
 * The user appends plaintext to t2_conn_out() and calls t2_conn_wake(); at the flush on_flush may append
 * more, then all of it becomes as few TLS records and one write. Nothing is bounded here: users stop
 * producing when t2_conn_pending() is past what they allow (T2_CONN_HIGH_WATER is the customary bound) and go
 * on in on_written. No callback is called from inside t2_conn_* calls. After t2_conn_close only on_close
 * comes. All on the loop's thread.
 */
#ifndef T2_NET_CONN_H
#define T2_NET_CONN_H

#include <base/buf.h>
#include <net/loop.h>

#define T2_CONN_HIGH_WATER (128 * 1024)
#define T2_CONN_WATCH_MS   1000
#define T2_CONN_UNSENT_MAX (64 * 1024) /* of t2_conn_share, whose user does not allow more either */

typedef struct t2_conn t2_conn;

/* on_flush and on_written and on_eof may be NULL (on_eof NULL: EOF closes the connection with T2_ERR_CLOSED).
 */
typedef struct t2_conn_ops {
  /* bytes[n] may be changed in place; valid during the call; all of it counts as taken. */
  void (*on_data)(t2_conn *conn, uint8_t *bytes, size_t n, void *user);
  /* The peer sent FIN (clear) or close_notify (TLS); writing is still possible. */
  void (*on_eof)(t2_conn *conn, void *user);
  /* Its user does not read, and the peer has gone meanwhile: by FIN, behind which it may still read, or by
   * RST. Found out within T2_CONN_WATCH_MS or so, and said again as often; NULL: nobody looks. */
  void (*on_hangup)(t2_conn *conn, bool reset, void *user);
  /* At the flush, before writing: append what is ready. Not after t2_conn_finish. */
  void (*on_flush)(t2_conn *conn, void *user);
  /* Bytes went to the kernel; t2_conn_pending says what is left. */
  void (*on_written)(t2_conn *conn, void *user);
  /* The last call: err is 0 after t2_conn_finish ran its course, what t2_conn_close was given, or what went
   * wrong. The connection's memory is valid during the call only. */
  void (*on_close)(t2_conn *conn, int err, void *user);
} t2_conn_ops;

/* Who handles its events from now on; may be changed at any time (an HTTP/1.1 connection that is upgraded).
 * Reading starts with the first call, not within it. */
void t2_conn_set_ops(t2_conn *conn, const t2_conn_ops *ops, void *user);

/* Its user has no more to do with it: until the next t2_conn_set_ops nobody hears of its events. */
void t2_conn_disown(t2_conn *conn);

/* Where to append plaintext; t2_conn_wake behind it. An append that found no memory leaves out->failed set.
 */
t2_buf *t2_conn_out(t2_conn *conn);
/* Asks for a flush in this turn. If the output buffer has failed, the connection is closed with T2_ERR_NOMEM.
 */
void t2_conn_wake(t2_conn *conn);
/* Bytes appended but not yet taken by the kernel (plaintext and ciphertext together). */
size_t t2_conn_pending(const t2_conn *conn);

/* What TLS had read and not given yet is kept, at most T2_LOOP_SLAB and a record, and given from the flush
 * after t2_conn_read_start; likewise what the listener read to choose by (listener.h). */
void t2_conn_read_stop(t2_conn *conn);
void t2_conn_read_start(t2_conn *conn);
bool t2_conn_reading(const t2_conn *conn);
/* It will never be stopped: it reads as much at once as ever, however much waits in this process. */
void t2_conn_read_amply(t2_conn *conn);

/* After all output: close_notify and FIN. Reading goes on; what is appended later is dropped. */
void t2_conn_shutdown(t2_conn *conn);
/* After all output: close_notify and FIN, then input is thrown away until the peer's EOF or linger_ms, then
 * close: so that the peer reads a last answer instead of a reset. on_data and on_eof are not called any more.
 * A peer that takes nothing of the output for linger_ms is closed with T2_ERR_TIMEOUT. */
void t2_conn_finish(t2_conn *conn, uint64_t linger_ms);
/* Drops output and closes (with a RST if rst: lets a peer see that an answer was cut). Calling it again does
 * nothing. */
void t2_conn_close(t2_conn *conn, int err);
void t2_conn_reset(t2_conn *conn, int err);
bool t2_conn_closing(const t2_conn *conn);

/* TCP keepalive: a peer that is silent for so long is probed, and found out when it is gone. */
void t2_conn_keepalive(t2_conn *conn, unsigned seconds);
/* For a connection that many streams share: the kernel is given no more than T2_CONN_UNSENT_MAX bytes beyond
 * what the network takes, and holds little that was not read where the peer is near. What is to be said next
 * of another stream waits behind no more than that: what goes first is chosen late. */
void t2_conn_share(t2_conn *conn);

/* It has been silent for a while: gives back memory that it can do without until there is something again. */
void t2_conn_rest(t2_conn *conn);

t2_loop *t2_conn_loop(const t2_conn *conn);
bool t2_conn_is_tls(const t2_conn *conn);
/* The protocol ALPN chose, or empty. */
t2_str t2_conn_alpn(const t2_conn *conn);
/* The peer's address without port ("192.0.2.1", "2001:db8::1", "unix"), and with it ("[2001:db8::1]:443").
 * Valid as long as conn. */
t2_str t2_conn_peer_host(const t2_conn *conn);
t2_str t2_conn_peer(const t2_conn *conn);
/* A sentence on what went wrong, for logs ("certificate is not for the name entry.example"); "" if there is
 * nothing to say. */
const char *t2_conn_detail(const t2_conn *conn);
/* Bytes that crossed the socket. */
uint64_t t2_conn_bytes_read(const t2_conn *conn);
uint64_t t2_conn_bytes_written(const t2_conn *conn);
/* Bytes that the kernel was given, whether it took them or will: while this stays the same, nothing that was
 * appended meanwhile has gone out. */
uint64_t t2_conn_bytes_offered(const t2_conn *conn);

#endif
