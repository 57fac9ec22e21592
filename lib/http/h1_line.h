/* The lines of an HTTP/1.1 message (RFC 9112, 3 to 5): syntax only, in place, one pass. Used by h1_parser.c.
 */
#ifndef T2_HTTP_H1_LINE_H
#define T2_HTTP_H1_LINE_H

#include <http/fields.h>

/* What is wrong with a message: the status code to answer with and a sentence. Always static. */
typedef struct t2_h1_fault {
  int status;
  const char *detail;
} t2_h1_fault;

/* No fault yet: the line does not end within the bytes given. */
extern const t2_h1_fault t2_h1_partial;

/* Which section a field line is of: it says so in its faults. */
typedef enum t2_h1_part { T2_H1_PART_FIELDS, T2_H1_PART_TRAILERS } t2_h1_part;

/* Each takes one line with its CRLF off [*at, end) and moves *at behind it. NULL, t2_h1_partial, or a fault,
 * which may be found before the line is whole; *at stays where it was then. */

/* Sets method, path (the target as it came) and version_minor. */
const t2_h1_fault *t2_h1_request_line(uint8_t **at, const uint8_t *end, t2_head *head);
/* Sets status and version_minor. The phrase is passed over, and may be missing with its space, as many
 * servers have it. */
const t2_h1_fault *t2_h1_status_line(uint8_t **at, const uint8_t *end, t2_head *head);
/* Puts the name in lower case where it stands. value is without white space around it. */
const t2_h1_fault *t2_h1_field_line(uint8_t **at, const uint8_t *end, t2_h1_part part, t2_str *name,
                                    t2_str *value);
/* The empty line that ends a section; **at is CR. */
const t2_h1_fault *t2_h1_empty_line(uint8_t **at, const uint8_t *end, t2_h1_part part);

/* Takes the request target (in head->path) apart into authority and path (RFC 9112, 3.2), where it stands.
 * NULL or a fault. */
const t2_h1_fault *t2_h1_target(t2_head *head);

#endif
