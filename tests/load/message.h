/* Where an HTTP/1.1 message ends (RFC 9112): the least of a parser that a load and its origin need. The bytes
 * may come in any pieces; of a head only the first line and the fields that say how long the content is are
 * looked at. */
#ifndef LOAD_MESSAGE_H
#define LOAD_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_LINE_MAX 256   /* what is kept of a line that comes in pieces */
#define MESSAGE_HEAD_MAX 65536 /* bytes of a head, or of trailers */

typedef enum message_state {
  MESSAGE_START, /* nothing of it has come */
  MESSAGE_HEAD,
  MESSAGE_CONTENT,
  MESSAGE_UNTIL_CLOSE,
  MESSAGE_CHUNK_SIZE,
  MESSAGE_CHUNK,
  MESSAGE_CHUNK_END,
  MESSAGE_TRAILERS,
  MESSAGE_DONE,
  MESSAGE_MALFORMED,
} message_state;

typedef struct message {
  message_state state;
  bool request; /* else an answer */
  bool chunked, has_length, close;
  int status;
  uint64_t left; /* bytes of content or chunk */
  size_t head;   /* bytes of head or trailers */
  size_t kept;   /* bytes in line */
  char line[MESSAGE_LINE_MAX];
} message;

void message_begin(message *m, bool request);

/* Takes bytes until the message is whole or malformed; returns how many it took. */
size_t message_take(message *m, const char *bytes, size_t n);

/* Nothing more comes: MESSAGE_DONE where the end of the connection is the content's, else MESSAGE_MALFORMED.
 */
void message_closed(message *m);

#endif
