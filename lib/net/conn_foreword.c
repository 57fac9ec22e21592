#include <net/conn_internal.h>
#include <tunnel2/error.h>
#include <wire/client_hello.h>
#include <wire/proxy_header.h>

/* What is read of the connection before it is opened: what a proxy in front says of it, or whom a TLS client
 * asks for. */
struct t2_conn_foreword {
  t2_buf bytes;            /* what has come of the header; all that has come with the hello */
  t2_conn_ready_cb then;   /* a PROXY protocol header is awaited */
  t2_conn_hello_cb choose; /* a hello is */
  t2_client_hello hello;
};

static void free_foreword(t2_conn *conn, t2_conn_foreword *foreword) {
  if (!foreword) return;
  t2_buf_fini(&foreword->bytes);
  t2_free(conn->loop->mem, foreword);
}

void t2_conn_foreword_free(t2_conn *conn) {
  free_foreword(conn, conn->foreword);
  conn->foreword = NULL;
}

static int await(t2_conn *conn, uint64_t timeout_ms, t2_conn_ready_cb then, t2_conn_hello_cb choose) {
  t2_conn_foreword *foreword = t2_calloc(conn->loop->mem, 1, sizeof(*foreword));

  if (!foreword) {
    t2_conn_close(conn, T2_ERR_NOMEM);
    return T2_ERR_NOMEM;
  }
  t2_buf_init(&foreword->bytes, conn->loop->mem);
  foreword->then = then;
  foreword->choose = choose;
  conn->foreword = foreword;
  t2_loop_timer_start(conn->loop, &conn->timer, timeout_ms);
  t2_conn_input_start(conn);
  return conn->state == CONN_CLOSING ? conn->error : 0;
}

int t2_conn_await_proxy(t2_conn *conn, uint64_t timeout_ms, t2_conn_ready_cb then) {
  return await(conn, timeout_ms, then, NULL);
}

int t2_conn_await_hello(t2_conn *conn, uint64_t timeout_ms, t2_conn_hello_cb choose) {
  return await(conn, timeout_ms, NULL, choose);
}

void t2_conn_foreword_fail(t2_conn *conn, int err) {
  bool late = err == T2_ERR_TIMEOUT;

  if (conn->foreword->choose)
    t2_conn_fail(conn, err,
                 late ? "its TLS client hello took too long"
                      : "the peer closed the connection before the end of its TLS client hello");
  else
    t2_conn_fail(conn, err,
                 late ? "its PROXY protocol header took too long"
                      : "the peer closed the connection before its PROXY protocol header");
}

/* It has been read. */
static t2_conn_foreword *take_off(t2_conn *conn) {
  t2_conn_foreword *foreword = conn->foreword;

  t2_loop_timer_stop(conn->loop, &conn->timer);
  conn->foreword = NULL;
  return foreword;
}

/* ---- The PROXY protocol ---- */

static void take_peer(t2_conn *conn, const t2_proxy_header *header) {
  t2_address peer = {.in6 = {0}};

  if (header->family == T2_PROXY_NONE) return;
  if (header->family == T2_PROXY_V4) {
    peer.in.sin_family = AF_INET;
    peer.in.sin_port = htons(header->port);
    memcpy(&peer.in.sin_addr, header->address, sizeof(peer.in.sin_addr));
  } else {
    peer.in6.sin6_family = AF_INET6;
    peer.in6.sin6_port = htons(header->port);
    memcpy(&peer.in6.sin6_addr, header->address, sizeof(peer.in6.sin6_addr));
  }
  t2_conn_set_peer(conn, &peer);
}

/* Goes on with what has come of the header so far. */
static size_t feed_proxy(t2_conn *conn, const uint8_t *bytes, size_t n) {
  t2_buf *kept = &conn->foreword->bytes;
  size_t before = t2_buf_len(kept), room = T2_PROXY_HEADER_MAX - before;
  t2_proxy_header header;

  if (t2_buf_append(kept, bytes, n < room ? n : room)) {
    t2_conn_close(conn, T2_ERR_NOMEM);
    return n;
  }
  ptrdiff_t length = t2_proxy_header_read(&header, t2_buf_head(kept), t2_buf_len(kept));
  if (length < 0) t2_conn_fail(conn, (int)length, "it does not begin with a PROXY protocol header");
  if (length <= 0) return n;
  t2_conn_foreword *foreword = take_off(conn);
  t2_conn_ready_cb then = foreword->then;
  free_foreword(conn, foreword);
  take_peer(conn, &header);
  then(conn, conn->user);
  return (size_t)length - before;
}

/* ---- The hello ---- */

static size_t feed_hello(t2_conn *conn, const uint8_t *bytes, size_t n) {
  t2_client_hello *hello = &conn->foreword->hello;
  int err = t2_client_hello_feed(hello, bytes, n);

  if (t2_buf_append(&conn->foreword->bytes, bytes, n)) {
    t2_conn_close(conn, T2_ERR_NOMEM);
    return n;
  }
  if (err == T2_ERR_AGAIN) return n;
  t2_conn_foreword *foreword = take_off(conn);
  foreword->choose(conn, err, err ? T2_STR_NULL : t2_str_c(foreword->hello.name), conn->user);
  t2_conn_input_unread(conn, &foreword->bytes);
  free_foreword(conn, foreword);
  return n;
}

/* ---- Both ---- */

size_t t2_conn_foreword_room(const t2_conn *conn) {
  return T2_CLIENT_HELLO_MAX - t2_buf_len(&conn->foreword->bytes);
}

size_t t2_conn_foreword_feed(t2_conn *conn, const uint8_t *bytes, size_t n) {
  return conn->foreword->choose ? feed_hello(conn, bytes, n) : feed_proxy(conn, bytes, n);
}
