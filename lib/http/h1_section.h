/* The head or the trailers of an HTTP/1.1 message out of input that may come in pieces: whole in one piece it
 * is read where it lies, else it is kept until its end, line by line, within the limits. Used by h1_parser.c.
 */
#ifndef T2_HTTP_H1_SECTION_H
#define T2_HTTP_H1_SECTION_H

#include <http/h1.h>
#include <http/h1_head.h>

typedef enum t2_h1_section_at { T2_H1_AT_START_LINE, T2_H1_AT_FIELDS, T2_H1_AT_TRAILERS } t2_h1_section_at;

typedef struct t2_h1_section {
  t2_h1_limits limits;
  bool responses;
  t2_h1_section_at at;
  t2_h1_message message; /* a trailer section's fields are in message.head.fields */
  t2_buf kept;           /* of the section under way, unless it is still in the input alone */
  size_t line;           /* offset in kept of the line that is not whole yet */
  size_t bytes, lines;   /* of whole field lines */
} t2_h1_section;

void t2_h1_section_init(t2_h1_section *section, const t2_allocator *mem, bool responses,
                        const t2_h1_limits *limits);
void t2_h1_section_fini(t2_h1_section *section);
/* The next byte of input is the section's first: at T2_H1_AT_START_LINE or T2_H1_AT_TRAILERS. */
void t2_h1_section_begin(t2_h1_section *section, t2_h1_section_at at);
/* Takes bytes[n], n > 0, up to the section's end. NULL at its end, with views into the input or into kept;
 * t2_h1_partial when all was taken; else a fault, which does not depend on how the input was cut. */
const t2_h1_fault *t2_h1_section_take(t2_h1_section *section, uint8_t *bytes, size_t n, size_t *taken);
/* Views are no longer needed: gives back what was kept. */
static inline void t2_h1_section_release(t2_h1_section *section) {
  if (section->kept.data) t2_buf_fini(&section->kept);
}

#endif
