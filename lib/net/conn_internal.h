/* How connections come about, for listener and dialer, and what conn*.c share.
 *
 *   OPENING ──t2_conn_open──▶ OPEN ──▶ ... (conn.h)
 *      └── t2_conn_open_tls ──handshake──▶ on_ready, OPEN
 */
#ifndef T2_NET_CONN_INTERNAL_H
#define T2_NET_CONN_INTERNAL_H

#include <net/accepts.h>
#include <net/address.h>
#include <net/conn.h>
#include <net/tls_stream.h>

typedef enum conn_state {
  CONN_OPENING, /* connecting, or in the TLS handshake */
  CONN_OPEN,
  CONN_FINISHING, /* output and FIN go out, input is thrown away */
  CONN_CLOSING
} conn_state;

typedef void (*t2_conn_ready_cb)(t2_conn *conn, void *user);
typedef void (*t2_conn_gone_cb)(void *user);
/* err 0: a TLS client's hello has come, which asks for server_name (in lower case; empty: for none); else
 * what t2_client_hello_feed says of what has come instead. It opens the connection, in the clear or by TLS,
 * or closes it. */
typedef void (*t2_conn_hello_cb)(t2_conn *conn, int err, t2_str server_name, void *user);
typedef struct t2_conn_foreword t2_conn_foreword;

struct t2_conn {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } uv;
  t2_loop *loop;
  const t2_conn_ops *ops;
  void *user;
  t2_tls_stream *tls;         /* NULL: clear */
  t2_conn_foreword *foreword; /* OPENING: what is awaited of it first; NULL: nothing */
  t2_buf unread;              /* clear: what came with the foreword, and is the user's */
  t2_flushable flushable;
  t2_toil toil; /* TLS, until it is settled: what has come waits for a turn of the loop with time for it */
  t2_list node; /* in the list of whoever opens it */
  t2_parting parting; /* FINISHING */
  conn_state state;
  bool started;    /* its user has set ops */
  bool begun;      /* the handshake is, by the peer's first bytes */
  bool settled;    /* the first bytes behind the handshake have come */
  bool reading;    /* what the user wants */
  bool ample;      /* t2_conn_read_amply was called */
  bool uv_reading; /* what libuv does: it stops late, so that a short pause costs no system call */
  bool ended;      /* close_notify was read */
  bool eof;        /* the peer's end was told to the user */
  bool late_eof;   /* the socket has ended, which the user is told when it reads again */
  bool writing;    /* write_req is under way with `sending` */
  bool flushing;
  bool bulk; /* the last write did not fit small memory */
  bool fin_wanted, fin_sent, notified;
  int write_error;    /* output is broken; input may still hold an answer */
  uint64_t read_turn; /* the loop's turn of the last read */
  t2_buf out;         /* plaintext */
  t2_buf sending;     /* what try_write left, under uv_write */
  size_t waiting;     /* bytes of output, as the loop's pressure has them */
  uv_write_t write_req;
  t2_timer timer; /* OPENING: of the handshake; OPEN: the next look at its peer; FINISHING: linger */
  uint64_t linger_ms;
  size_t linger_pending;
  int error; /* for on_close */
  const char *detail;
  uint64_t bytes_read, bytes_written, bytes_offered;
  t2_conn_ready_cb on_ready;
  t2_conn_gone_cb on_gone;
  void *gone_user;
  t2_accepts_address *from; /* NULL: nobody counts it */
  t2_str peer_host;
  size_t peer_len;
  char peer[T2_ADDRESS_TEXT];
};

/* ---- For listener and dialer ---- */

/* A connection in state OPENING with a libuv handle that is not connected yet; ops->on_close is called like
 * later on. 0 or an error. */
int t2_conn_new(t2_conn **out, t2_loop *loop, bool is_pipe, const t2_conn_ops *ops, void *user);
/* An on_data for those who expect none. */
void t2_conn_ignore_data(t2_conn *conn, uint8_t *bytes, size_t n, void *user);
/* For the peer's name. NULL: a unix socket. */
void t2_conn_set_peer(t2_conn *conn, const t2_address *peer);
/* Called when it is gone for good, after on_close. */
void t2_conn_set_gone(t2_conn *conn, t2_conn_gone_cb on_gone, void *user);
/* It is connected, and ready to use in the clear. */
void t2_conn_open(t2_conn *conn);
/* It is connected: does the handshake, as a server or client as tls says, and then calls on_ready with the
 * state OPEN; or closes with what went wrong, T2_ERR_TIMEOUT after timeout_ms (0: no bound). 0 or an error
 * (then nothing is called but on_close, once it is closed). */
int t2_conn_open_tls(t2_conn *conn, t2_tls *tls, t2_str server_name, uint64_t timeout_ms,
                     t2_conn_ready_cb on_ready);

/* It is accepted: awaits a PROXY protocol header, takes the peer from it, and calls then, in state OPENING;
 * that opens it, or closes it. Or closes with what went wrong, T2_ERR_TIMEOUT after timeout_ms. 0 or an error
 * as above. What comes behind the header is given to whoever is there when `then` returns. */
int t2_conn_await_proxy(t2_conn *conn, uint64_t timeout_ms, t2_conn_ready_cb then);

/* It is accepted, perhaps behind a PROXY protocol header: awaits a TLS client's hello, or what is seen to be
 * none, and calls choose, in state OPENING. What has come of it is given to the TLS handshake, or to the user
 * when it is opened in the clear. Or closes, and errors, as t2_conn_await_proxy. */
int t2_conn_await_hello(t2_conn *conn, uint64_t timeout_ms, t2_conn_hello_cb choose);

/* ---- Between the parts of the connection ---- */

/* The socket's bytes while a foreword is awaited: how many were taken; a connection that is closing has taken
 * all. */
size_t t2_conn_foreword_feed(t2_conn *conn, const uint8_t *bytes, size_t n);
/* How many of them may be read at once. */
size_t t2_conn_foreword_room(const t2_conn *conn);
/* It has not come: T2_ERR_TIMEOUT, or T2_ERR_CLOSED. */
void t2_conn_foreword_fail(t2_conn *conn, int err);
void t2_conn_foreword_free(t2_conn *conn);

/* Closes with an error, and what to say of it (static or the TLS stream's). */
void t2_conn_fail(t2_conn *conn, int err, const char *detail);
/* Starts libuv's reading if it is wanted and not on. */
void t2_conn_input_start(t2_conn *conn);
/* Goes on with what has come of the handshake, or first behind it. */
void t2_conn_input_toil(t2_toil *toil);
/* Gives bytes that were read before it was opened to the handshake, or takes them over for the user. */
void t2_conn_input_unread(t2_conn *conn, t2_buf *bytes);
/* Gives what TLS had held back, or was read before it was opened, if reading goes on. */
void t2_conn_input_resume(t2_conn *conn);
/* Goes on with the handshake, and sends what it has to say at once. */
void t2_conn_input_handshake(t2_conn *conn);
/* libuv does not read any more, so nobody would hear of the peer's end: looks for it from time to time. */
void t2_conn_watch(t2_conn *conn);
/* The time has come to look. */
void t2_conn_watch_look(t2_conn *conn);
/* Tells the loop how much output waits; `gone`: none. */
void t2_conn_note_waiting(t2_conn *conn, bool gone);
/* Encrypts and writes what there is, then FIN if it is wanted. */
void t2_conn_output_flush(t2_conn *conn);
/* Writes the ciphertext of the handshake. */
void t2_conn_output_handshake(t2_conn *conn);

#endif
