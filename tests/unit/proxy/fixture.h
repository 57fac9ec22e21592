/* What the tests of this layer share: legs that write down what they are told, peers on raw sockets, and two
 * ends of an HTTP/2 connection. */
#ifndef T2_PROXY_TEST_FIXTURE_H
#define T2_PROXY_TEST_FIXTURE_H

#include <net/fixture.h>

#include <proxy/h2_conn.h>
#include <stdio.h>
#include <tunnel2/error.h>

/* ---- A leg that does what the test says ---- */

typedef struct stub stub;

/* Its log is a line of words: "head GET /;" or "head 200;", with "." in place of ";" where that is the end;
 * "data 5;", "end;", "end x=1;" (a trailer), "closed NAME;". */
struct stub {
  t2_leg leg;
  t2_buf log, body, fields; /* fields: "name: value\n" of the last head */
  int status;               /* of the last final head */
  int64_t length;           /* of the last head */
  bool hold;                /* content is not reported as consumed */
  size_t held, held_most, consumed;
  bool ended; /* its own side: after that it gives nothing more */
  bool closed;
  int err;
  int head_err, data_err, end_err; /* what the operations return */
  /* From inside the operations; may be NULL. */
  void (*on_head)(stub *s), (*on_data)(stub *s), (*on_end)(stub *s), (*on_closed)(stub *s);
  void *user;
};

extern const t2_leg_ops stub_ops;        /* at T2_AT_ORIGIN */
extern const t2_leg_ops stub_uplink_ops; /* at T2_AT_UPLINK */

void stub_init(stub *s);
void stub_fini(stub *s);
/* Empty again, memory and plans kept. */
void stub_reset(stub *s);
const char *stub_log(stub *s);
bool stub_said(stub *s, const char *part);
bool stub_has_field(stub *s, const char *line);
/* Calls of the exchange, as this leg. */
void stub_answer(stub *s, int status, int64_t length, bool end);
void stub_give(stub *s, const char *text);
void stub_give_bytes(stub *s, size_t n);
void stub_end(stub *s);
void stub_fail(stub *s, int err, t2_problem_at at);
/* Reports n held bytes as consumed. */
void stub_consume(stub *s, size_t n);

/* The port of "127.0.0.1:40123". */
uint16_t test_port(const char *address);
/* "GET /path" with no content; version 1.1. */
t2_head test_request(const char *method, const char *path);

/* ---- A peer on a raw socket ---- */

typedef struct raw {
  uv_tcp_t tcp;
  uv_connect_t connecting;
  t2_buf in;
  bool used, connected, open, eof, reset;
} raw;

/* Starts to connect; what is sent meanwhile waits. */
void raw_connect(raw *r, test_loop *tl, uint16_t port);
void raw_send_bytes(raw *r, const void *bytes, size_t n);
void raw_send(raw *r, const char *text);
void raw_send_zeros(raw *r, size_t n);
void raw_read_stop(raw *r);
void raw_read_start(raw *r);
void raw_shutdown(raw *r);
void raw_reset(raw *r);
void raw_close(raw *r);
/* Closes and waits for it. */
void raw_fini(raw *r, test_loop *tl);
/* What has come, as text. */
const char *raw_text(raw *r);
bool raw_got(raw *r, const char *part);
size_t raw_count(raw *r, const char *part);
bool raw_ended(const raw *r);

/* ---- Frames of HTTP/2 on a raw socket ---- */

enum {
  FRAME_DATA = 0,
  FRAME_HEADERS = 1,
  FRAME_RST = 3,
  FRAME_SETTINGS = 4,
  FRAME_PING = 6,
  FRAME_GOAWAY = 7,
  FRAME_WINDOW_UPDATE = 8
};

/* "PRI * ..." and empty SETTINGS. */
void raw_h2_preface(raw *r);
void raw_h2_frame(raw *r, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t n);
/* A GET of "/" with END_STREAM, or a POST without. */
void raw_h2_request(raw *r, uint32_t stream, bool end);
/* How many frames of the type, without ACKs, have come whole; `skip` is the length of a preface in front. */
size_t raw_h2_count(raw *r, uint8_t type, size_t skip);
/* The payload of the i-th of them, NULL: there is none. */
const uint8_t *raw_h2_payload(raw *r, uint8_t type, size_t i, size_t skip);
uint32_t read_u32(const uint8_t *p);

/* ---- An HTTP/2 connection with both its ends on one loop ---- */

typedef struct h2_end {
  t2_h2_conn *h2; /* NULL once it is closed */
  t2_h2_conn_options options;
  t2_h2_conn_ops ops;
  t2_proxy *proxy;
  bool opened, closed, going;
  unsigned capacities;
  int err;
} h2_end;

typedef struct h2_pair {
  test_loop *tl;
  t2_listener *listener;
  bool listener_closed, failed;
  h2_end server, client; /* the server accepts */
} h2_pair;

/* Before it ops and options may be changed; ops are called with the h2_end as user. */
void h2_pair_init(h2_pair *pair, test_loop *tl, t2_proxy *proxy);
/* Only the listener; who connects to it is a raw peer. `server` may have the role of the client, as on an
 * uplink. */
bool h2_pair_listen(h2_pair *pair);
/* False when something failed for want of memory. Close it all the same. */
bool h2_pair_open(h2_pair *pair);
void h2_pair_close(h2_pair *pair);

#endif
