/* Fields that requests to the origin have, or don't have, because the owner of the client says so. */
#ifndef T2_CLIENT_EDITS_H
#define T2_CLIENT_EDITS_H

#include <http/fields.h>
#include <tunnel2/client.h>

typedef struct t2_edits {
  const t2_allocator *mem;
  t2_fields added;   /* names in lower case */
  t2_fields removed; /* names alone */
  char *text;        /* what they point into */
  size_t text_size;
} t2_edits;

/* Checks the options' lists: 0, or T2_ERR_INVALID with a sentence in detail. */
int t2_edits_check(const t2_client_options *options, char *detail, size_t detail_size);
/* Copies lists that have been checked. 0 or T2_ERR_NOMEM. */
int t2_edits_init(t2_edits *edits, const t2_allocator *mem, const t2_client_options *options);
void t2_edits_fini(t2_edits *edits);
/* Changes a request's fields. 0 or T2_ERR_NOMEM. */
int t2_edits_apply(const t2_edits *edits, t2_head *request);

#endif
