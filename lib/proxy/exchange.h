/* An exchange: one request with its response (or one tunnelled connection), joining two legs.
 *
 *   downstream leg  ──head, data, end──▶  exchange  ──▶  upstream leg
 *   (who asked)     ◀──────────────────────────────────  (who answers)
 *
 * A leg gives what it reads to the t2_exchange_* functions; the exchange calls the other leg's operations.
 * All legs answer the same five, so a new protocol is a new leg and nobody else changes.
 *
 * Back-pressure is by account: every byte of content given to a leg is reported back by t2_exchange_consumed
 * once it has left that leg (into the socket, or into an HTTP/2 frame); the giving leg keeps its outstanding
 * bytes under t2_leg_window (HTTP/1.1: it stops reading; HTTP/2: windows open only by what was consumed).
 *
 * An exchange ends when both directions have ended; when the response ended before the request did (the rest
 * of the request is not wanted); or when either leg fails. Each leg is then told by `closed`, unless it was
 * the one that failed. leg->exchange is NULL from then on. Any t2_exchange_* call may end the exchange: after
 * it a leg looks at leg->exchange before going on. All on one loop's thread.
 */
#ifndef T2_PROXY_EXCHANGE_H
#define T2_PROXY_EXCHANGE_H

#include <base/wheel.h>
#include <http/forward.h>
#include <http/http_date.h>
#include <http/problem.h>
#include <net/loop.h>
#include <proxy/held.h>
#include <proxy/pace.h>

#define T2_UPGRADE_MAX 31 /* characters of a protocol to upgrade to; a longer one is not asked for */
#define T2_LEG_WINDOW  (128 * 1024) /* bytes a leg may have given and not yet seen consumed, at most */

typedef struct t2_exchange t2_exchange;
typedef struct t2_leg t2_leg;
typedef struct t2_proxy t2_proxy;

/* T2_LEG_WINDOW, or less when much waits in this process already (base/pressure.h). It may change from one
 * call to the next: what is given may be more than there is room for. */
static inline size_t t2_leg_window(const t2_loop *loop) {
  return loop->pressure.leg_window;
}

/* What the exchange asks of a leg. Bytes and heads are views, valid during the call. An error returned from
 * head, data or end fails the exchange as if the leg had called t2_exchange_fail with it (not both). They may
 * call back into the exchange (a callback leg answers from inside `head` or `end`). */
typedef struct t2_leg_ops {
  const char *name; /* "h1 server", for logs */
  t2_problem_at at; /* where a failure of head, data or end is */
  /* The other side's head: a request to an upstream leg; a response, 1xx included, to a downstream leg. end:
   * no content follows (and `end` is not called). */
  int (*head)(t2_leg *leg, const t2_head *head, bool end);
  int (*data)(t2_leg *leg, const uint8_t *bytes, size_t n);
  /* trailers may be NULL. */
  int (*end)(t2_leg *leg, const t2_fields *trailers);
  /* n bytes this leg gave have been consumed. */
  void (*consumed)(t2_leg *leg, size_t n);
  /* The exchange is over for this leg. err 0: both directions ended (downstream: the response ended); else
   * why it was given up: what was sent so far must be visibly incomplete to the peer. */
  void (*closed)(t2_leg *leg, int err);
} t2_leg_ops;

/* Embedded in a connection or a stream. */
struct t2_leg {
  const t2_leg_ops *ops;
  t2_exchange *exchange; /* NULL: in none */
  bool upstream;
};

/* What the exchanges of one object share. Embedded; counters are read by statistics. */
struct t2_proxy {
  t2_loop *loop;
  const char *by; /* this intermediary's name in Via and Proxy-Status; outlives the proxy */
  bool via; /* apply the forwarding rules to responses; false for local APIs and tunnelc, whose entry does so
             */
  t2_list free; /* spare exchanges */
  size_t free_count;
  size_t active; /* exchanges under way */
  uint64_t total;
  uint64_t failed;               /* of those that have ended: given up by either side */
  uint64_t refused;              /* answered without an upstream leg, by t2_exchange_refuse */
  uint64_t bytes_up, bytes_down; /* content towards the upstream leg, and back */
  uint64_t given_up;             /* HTTP/2 connections, for what h2_guard.h counts */
  /* What came to its time's end: a request's head, content or its reading, an idle connection, an answer. */
  uint64_t late_heads, late_content, late_idle, late_answers;
  void (*on_idle)(t2_proxy *proxy, void *user); /* active fell to 0; may be NULL */
  void *user;
  uint64_t id_prefix, id_next; /* request ids made here: unguessable prefix, counter */
  t2_head head_scratch;        /* a head on its way through the forwarding rules */
  t2_buf text_scratch;
  t2_head problem_scratch;
  t2_buf problem_text, problem_body;
  char date[T2_HTTP_DATE_LEN + 1]; /* of answers made here; "": none yet */
  int64_t date_seconds;            /* when that is */
};

void t2_proxy_init(t2_proxy *proxy, t2_loop *loop, const char *by);
/* No exchange may be under way. */
void t2_proxy_fini(t2_proxy *proxy);
#define T2_REQUEST_ID_LEN 32
/* An id of hex digits, NUL-terminated, for what came without one. */
void t2_proxy_request_id(t2_proxy *proxy, char id[T2_REQUEST_ID_LEN + 1]);

/* Fields other files may read; written by exchange.c alone, but for `user` and `on_done`. */
struct t2_exchange {
  t2_list node; /* in t2_proxy.free when spare */
  t2_proxy *proxy;
  t2_leg *down, *up;
  t2_timer timer; /* response head timeout */
  uint64_t response_timeout_ms;
  uint64_t started_ms;
  bool request_headed, request_ended, response_headed, response_ended;
  bool tunnel;  /* a CONNECT or Upgrade that was accepted: the directions end on their own */
  bool connect; /* the request asks for one: by CONNECT, or */
  bool upgrade; /* by an Upgrade, or an extended CONNECT: what accepts it is a 101, by whatever protocol */
  bool head_request; /* HEAD: the response has no content */
  bool finished;
  uint8_t repeated; /* how often the request has been given to another upstream leg, after one that had begun
                       on it */
  unsigned depth;   /* calls under way */
  int status;       /* of the final response head; 0: none yet */
  int error;        /* what it failed with */
  uint64_t request_bytes, response_bytes;
  const t2_problem *own;       /* while a problem that is made here is given to the downstream leg: which, */
  const char *own_detail;      /* and its detail; else NULL */
  size_t untaken;              /* bytes of the request that the upstream leg has not reported as consumed */
  t2_paced pace_up, pace_down; /* of content towards the upstream leg, and back */
  char request_id[T2_REQUEST_ID_MAX + 1];
  char method[16];
  char protocol[T2_UPGRADE_MAX + 1]; /* that an upgrade asks for */
  /* Called once at the end, before the memory is used again. */
  void (*on_done)(t2_exchange *exchange, void *user);
  /* Changes the head of a response, 1xx included, on its way downstream: fills `out`, whose fields may point
   * into `in` and into scratch (reset by the callee). 0 or an error. NULL: heads pass as they are. Not where
   * the proxy says `via`. */
  int (*on_response)(t2_exchange *exchange, const t2_head *in, t2_head *out, t2_buf *scratch, void *user);
  void *user;
};

/* The downstream leg has a request with this head: its method, and its request id or a new one, are kept.
 * NULL when there is no memory (the leg answers as it can). */
t2_exchange *t2_exchange_new(t2_proxy *proxy, t2_leg *down, const t2_head *request);
/* Gives it the leg that answers, at once followed by the request's head, changed by the forwarding rules when
 * `how` is given (whose request_id is set here). Called from inside on_request. On failure the exchange is
 * failed with up->ops->at. response_timeout_ms: from the end of the request (or its last data) to the final
 * response head; 0: none. */
void t2_exchange_connect(t2_exchange *exchange, t2_leg *up, const t2_head *request, bool end, t2_forward *how,
                         uint64_t response_timeout_ms);
/* Answers a request that has no upstream leg with a problem; ends the exchange. detail may be NULL. */
void t2_exchange_refuse(t2_exchange *exchange, const t2_problem *problem, const char *detail);
/* The same with one more field, such as WWW-Authenticate or Allow (static text). */
void t2_exchange_refuse_with(t2_exchange *exchange, const t2_problem *problem, const char *detail,
                             t2_str name, t2_str value);
/* An HTTP/1.1 Upgrade that will not be granted: the request goes on as if it had not been asked (RFC 9110,
 * 7.8). Before t2_exchange_connect. */
void t2_exchange_decline_upgrade(t2_exchange *exchange, t2_head *request);

/* Holds its content to these rates, of a session say, which outlive it; NULL: none. At most once, before
 * content has come. */
void t2_exchange_pace(t2_exchange *exchange, t2_pace *up, t2_pace *down);

/* Puts another upstream leg in the place of `from`, which is out of the exchange then, and is not told
 * `closed`: `to` is given the request from its beginning. Nothing of an answer may have come. again: `from`
 * had begun on it, which is counted. `request` may be freed after the call. */
void t2_exchange_hand_over(t2_leg *from, t2_leg *to, const t2_held *request, bool again);

/* Called by legs. For a downstream leg head is not used (the request's head goes through
 * t2_exchange_connect). */
void t2_exchange_head(t2_leg *from, const t2_head *response, bool end);
void t2_exchange_data(t2_leg *from, const uint8_t *bytes, size_t n);
void t2_exchange_end(t2_leg *from, const t2_fields *trailers);
void t2_exchange_consumed(t2_leg *from, size_t n);
/* `from` can't go on (it is not told `closed`). From upstream before a final response head: a problem is
 * answered downstream; after it, or from downstream: the other leg is closed with err. detail may be NULL. */
void t2_exchange_fail(t2_leg *from, int err, t2_problem_at at, const char *detail);
/* The same, with the problem to answer. */
void t2_exchange_fail_as(t2_leg *from, int err, const t2_problem *problem, const char *detail);

#endif
