/* What the head of an HTTP/1.1 message says as a whole (RFC 9112, 6 and 9; RFC 9110, 7.6 to 7.8): framing and
 * connection fields are taken out of the fields and weighed together. Used by h1_parser.c. */
#ifndef T2_HTTP_H1_HEAD_H
#define T2_HTTP_H1_HEAD_H

#include <http/h1_line.h>

/* The fields that never stay among a head's fields, and those that the writer has to know. */
typedef enum t2_h1_name {
  T2_H1_NAME_OTHER,
  T2_H1_NAME_HOST,
  T2_H1_NAME_CONNECTION,
  T2_H1_NAME_CONTENT_LENGTH,
  T2_H1_NAME_TRANSFER_ENCODING,
  T2_H1_NAME_TE,
  T2_H1_NAME_UPGRADE,
  T2_H1_NAME_HOP /* keep-alive, proxy-connection: said anew for each connection */
} t2_h1_name;

/* name in lower case. */
t2_h1_name t2_h1_name_of(t2_str name);
/* May a field of that (lower-case) name be a trailer? Not what frames, routes, authenticates or describes the
 * content (RFC 9110, 6.5.1). */
bool t2_h1_may_trail(t2_str name);

typedef enum t2_h1_body {
  T2_H1_BODY_NONE,
  T2_H1_BODY_LENGTH, /* head.content_length, more than 0 */
  T2_H1_BODY_CHUNKED,
  T2_H1_BODY_CLOSE, /* until the connection ends */
  T2_H1_BODY_TUNNEL
} t2_h1_body;

typedef struct t2_h1_message {
  t2_head head; /* its fields: those that stay, and Connection fields until the end of the section */
  t2_str host, upgrade;
  size_t hosts, lengths, codings; /* how many fields, fields, transfer codings */
  size_t options, options_max;    /* connection options */
  bool has_coding, other_coding;  /* Transfer-Encoding is there; it has more than one chunked */
  bool te_trailers;
  bool close, keep, upgrades; /* connection options */
  bool named;                 /* Connection names fields, which are to be left out */
  bool keep_alive;            /* the verdict: the connection may serve again */
} t2_h1_message;

/* Empty again; the array of fields is kept. */
void t2_h1_message_reset(t2_h1_message *message);
/* One field line of the head; name in lower case. NULL or a fault. */
const t2_h1_fault *t2_h1_message_add(t2_h1_message *message, t2_str name, t2_str value);
/* The field section is complete. NULL (*body says what follows) or a fault. */
const t2_h1_fault *t2_h1_message_request(t2_h1_message *message, t2_h1_body *body);
/* The same for a response; what was asked decides too. */
const t2_h1_fault *t2_h1_message_response(t2_h1_message *message, bool asked_head, bool asked_connect,
                                          t2_h1_body *body);

extern const t2_h1_fault t2_h1_no_memory;

#endif
