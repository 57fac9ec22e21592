/* HTTP/1.1 messages (RFC 9112): a strict incremental parser and a writer, both sans-I/O.
 *
 * Parser states:
 *
 *   HEAD ──▶ (HEAD event) ──▶ BODY_LENGTH ──▶ (DATA…) ──▶ (END) ──▶ HEAD
 *                        ├──▶ CHUNK_SIZE ⇄ CHUNK_DATA ──▶ TRAILERS ──▶ (END) ──▶ HEAD
 *                        ├──▶ UNTIL_CLOSE ──▶ (DATA…) ──▶ t2_h1_eof: (END)            responses only
 *                        ├──▶ TUNNEL ──▶ (DATA…)         after t2_h1_tunnel or a 101
 *                        └──▶ (END) ──▶ HEAD             no content
 *   any ──▶ ERROR, for good
 *
 * What is refused, always with the connection to be closed after: duplicate or differing Content-Length,
 * Content-Length with Transfer-Encoding, a transfer coding other than one final chunked, Transfer-Encoding in
 * HTTP/1.0, bare CR or LF, obs-fold, white space before the colon or before the first field, control bytes,
 * chunk sizes that are not 1*HEXDIG (extensions are passed over, bounded), a missing (HTTP/1.1) or repeated
 * or malformed Host, a target that is not in one of the four forms, a method that is no token, HTTP major
 * versions other than 1.
 */
#ifndef T2_HTTP_H1_H
#define T2_HTTP_H1_H

#include <http/fields.h>

typedef struct t2_h1_limits {
  size_t line_max;      /* request or status line, bytes without CRLF; past it 414 (target) or 400 */
  size_t section_max;   /* all field lines of a section, bytes with CRLFs; past it 431 */
  size_t field_max;     /* fields in a section; past it 431 */
  size_t chunk_ext_max; /* bytes of one chunk-size line beyond the digits; past it 400 */
} t2_h1_limits;

/* 8,190 bytes, 65,536 bytes, 100 fields, 256 bytes. */
void t2_h1_limits_init(t2_h1_limits *limits);

typedef enum t2_h1_event_type {
  T2_H1_NONE, /* all input was taken; feed more */
  T2_H1_HEAD, /* event->head */
  T2_H1_DATA, /* event->data, in the input's memory */
  T2_H1_END,  /* the message is complete; event->trailers may have fields */
  T2_H1_ERROR /* event->status and event->detail; the parser stays in this state */
} t2_h1_event_type;

typedef struct t2_h1_event {
  t2_h1_event_type type;
  t2_head *head; /* HEAD: valid until the next parse call */
  bool end;      /* HEAD: no content follows: this was the whole message (no END event comes); so too
                    for an interim response */
  t2_str data;   /* DATA */
  const t2_fields *trailers; /* END: never NULL, may be empty; valid until the next parse call */
  int status;                /* ERROR: the status code to answer with (400, 414, 431, 501, 505) */
  const char
      *detail; /* ERROR: what was wrong and where, a static string such as "bare LF in the field section" */
} t2_h1_event;

typedef struct t2_h1_parser t2_h1_parser; /* opaque to all but h1_parser.c */

/* A parser of requests, or of responses. NULL when there is no memory. Between messages it holds its array of
 * fields and, until the next call, a section that came in pieces. */
t2_h1_parser *t2_h1_parser_new(const t2_allocator *mem, bool responses, const t2_h1_limits *limits);
void t2_h1_parser_free(t2_h1_parser *parser);

/* Takes bytes[n] (field names are put in lower case in place) up to one event; returns how many were taken.
 * Call again with the rest until NONE, or until all is taken: an event never waits without input. For that
 * the last byte of content with a length is given with its DATA but taken with the END (so a DATA event may
 * have taken none). A head that is not whole yet is kept inside (bounded by the limits); a head that is whole
 * in the input is not copied. What is found does not depend on how the input was cut. Out of memory is an
 * ERROR event with status 500. Leading CRLFs before a request line are skipped (RFC 9112, 2.2), at most 2.
 *
 * A head's scheme stays empty: the connection knows it, whatever a target in absolute-form claims; authority
 * is that target's, else Host's. */
size_t t2_h1_parse(t2_h1_parser *parser, uint8_t *bytes, size_t n, t2_h1_event *event);
/* The peer closed its side: END for content until close, NONE between messages, ERROR (detail "closed inside
 * …") else. */
void t2_h1_eof(t2_h1_parser *parser, t2_h1_event *event);

/* Responses: what was asked, before the response to it comes; decides whether content follows (HEAD,
 * CONNECT). */
void t2_h1_expect_response(t2_h1_parser *parser, t2_str request_method);
/* From here on everything is DATA until the end (CONNECT, or an Upgrade that was accepted). Responses: a 101,
 * or a 2xx to CONNECT, does this by itself. */
void t2_h1_tunnel(t2_h1_parser *parser);
/* True between messages with nothing buffered: the connection is idle. */
bool t2_h1_idle(const t2_h1_parser *parser);
/* Of the last head: may the connection be used again after this message, by its version and Connection field?
 */
bool t2_h1_keep_alive(const t2_h1_parser *parser);

/* ---- Writer: appends to out. ----
 *
 * 0; T2_ERR_NOMEM; or T2_ERR_INVALID for what would break the message: a CR, LF or other control byte in a
 * value, a name or method that is no token, a target or authority with other characters than it may have
 * (heads also come from HTTP/2 and from callbacks). After an error nothing was appended and out->failed is
 * set, so that a caller may as well write on and look once. Framing fields among the fields are left out. */

typedef enum t2_h1_framing {
  T2_H1_FRAMING_NONE,   /* no content and no framing field (GET, 204, 304, 1xx, answers to HEAD keep
                           content_length as given) */
  T2_H1_FRAMING_LENGTH, /* Content-Length: head->content_length */
  T2_H1_FRAMING_CHUNKED,
  T2_H1_FRAMING_CLOSE /* response to HTTP/1.0: ends with the connection */
} t2_h1_framing;

/* "METHOD path HTTP/1.1", Host from authority, fields, framing; with protocol: "Connection: upgrade" and
 * Upgrade (an extended CONNECT becomes GET, RFC 8441, 5). Cookie fields are joined to one (RFC 9113, 8.2.3).
 */
int t2_h1_write_request(t2_buf *out, const t2_head *head, t2_h1_framing framing);
/* "HTTP/1.1 status phrase", fields, framing; "Connection: close" when close, "Connection: keep-alive" when
 * the peer is HTTP/1.0 and it stays open; 101: "Connection: upgrade" and Upgrade. */
int t2_h1_write_response(t2_buf *out, const t2_head *head, t2_h1_framing framing, bool close,
                         bool keep_alive_10);
/* One chunk; n > 0. */
int t2_h1_write_chunk(t2_buf *out, const void *bytes, size_t n);
/* The last chunk with trailers (NULL: none). Fields that must not be trailers (framing, routing,
 * authentication: RFC 9110, 6.5.1) are left out. */
int t2_h1_write_last_chunk(t2_buf *out, const t2_fields *trailers);

#endif
