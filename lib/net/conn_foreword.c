#include <net/conn_internal.h>
#include <tunnel2/error.h>
#include <wire/proxy_header.h>

/* What a proxy in front says of the connection before its own bytes come. */
struct t2_conn_foreword {
  t2_buf bytes; /* what has come of the header */
  t2_conn_ready_cb then;
};

void t2_conn_foreword_free(t2_conn *conn) {
  t2_conn_foreword *foreword = conn->foreword;

  conn->foreword = NULL;
  if (!foreword) return;
  t2_buf_fini(&foreword->bytes);
  t2_free(conn->loop->mem, foreword);
}

int t2_conn_await_proxy(t2_conn *conn, uint64_t timeout_ms, t2_conn_ready_cb then) {
  t2_conn_foreword *foreword = t2_calloc(conn->loop->mem, 1, sizeof(*foreword));

  if (!foreword) {
    t2_conn_close(conn, T2_ERR_NOMEM);
    return T2_ERR_NOMEM;
  }
  t2_buf_init(&foreword->bytes, conn->loop->mem);
  foreword->then = then;
  conn->foreword = foreword;
  t2_loop_timer_start(conn->loop, &conn->timer, timeout_ms);
  t2_conn_input_start(conn);
  return conn->state == CONN_CLOSING ? conn->error : 0;
}

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
size_t t2_conn_foreword_feed(t2_conn *conn, const uint8_t *bytes, size_t n) {
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
  t2_conn_ready_cb then = conn->foreword->then;
  t2_loop_timer_stop(conn->loop, &conn->timer);
  t2_conn_foreword_free(conn);
  take_peer(conn, &header);
  then(conn, conn->user);
  return (size_t)length - before;
}
