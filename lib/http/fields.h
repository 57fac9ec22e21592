/* HTTP fields and message heads (RFC 9110): views over bytes that belong to a parser or a session. */
#ifndef T2_HTTP_FIELDS_H
#define T2_HTTP_FIELDS_H

#include <base/buf.h>
#include <base/str.h>

/* name is in lower case whenever it came from a parser of this library. */
typedef struct t2_field {
  t2_str name, value;
  bool sensitive; /* never put into an HPACK table (secrets, ids of one request) */
  /* A parser has looked at every character, so that no writer need look again: the name is a token in lower
   * case, the value one that a field may have. Whoever puts in another takes the mark off. */
  bool sound_name, sound_value;
} t2_field;

/* An array of views in order; the array is owned, the bytes are not. */
typedef struct t2_fields {
  const t2_allocator *mem;
  t2_field *list;
  size_t n, cap;
} t2_fields;

void t2_fields_init(t2_fields *fields, const t2_allocator *mem);
void t2_fields_fini(t2_fields *fields);
static inline void t2_fields_reset(t2_fields *fields) {
  fields->n = 0;
}
/* 0 or T2_ERR_NOMEM. `sensitive` follows from the name; the caller may set it for others. */
int t2_fields_add(t2_fields *fields, t2_str name, t2_str value);
/* The same for a parser, which has looked at both. */
int t2_fields_add_sound(t2_fields *fields, t2_str name, t2_str value);
/* The field as it is, with its marks. */
int t2_fields_put(t2_fields *fields, t2_field field);
/* Without the fields of that (lower-case) name. */
void t2_fields_remove(t2_fields *fields, t2_str name);
/* The first field of that (lower-case) name, or NULL. */
const t2_field *t2_fields_get(const t2_fields *fields, t2_str name);
/* How many fields have that name. */
size_t t2_fields_count(const t2_fields *fields, t2_str name);
/* Does a comma-separated field of that name hold the token (ASCII case folded)? All fields of the name are
 * read. */
bool t2_fields_has_token(const t2_fields *fields, t2_str name, t2_str token);

/* Character rules: a token (RFC 9110, 5.6.2); a field value without control bytes but HTAB, not starting or
 * ending in white space. */
bool t2_is_token(t2_str s);
bool t2_is_field_value(t2_str s);
/* uri-host [ ":" port ] (RFC 9110, 7.2), not empty; no user information. */
bool t2_is_authority(t2_str s);
/* "/..." of the characters that a request target may have. */
bool t2_is_origin_form(t2_str s);

/* What an exchange passes from leg to leg: a request's or a response's control data and fields. It is a view:
 * valid during the call it is given to, copied by whoever needs it longer. Pseudo-fields and framing fields
 * (host, connection, content-length, transfer-encoding, keep-alive, te other than trailers, upgrade,
 * proxy-connection) are never in `fields`: what they say is in the members. (`trailer` and `expect` stay in
 * fields.) */
typedef struct t2_head {
  /* request */
  t2_str method;
  t2_str scheme;    /* "http" or "https" */
  t2_str authority; /* host[:port] as the client gave it */
  t2_str path;      /* origin-form target "/p?q", "*" for OPTIONS; empty for plain CONNECT */
  t2_str protocol;  /* :protocol of an extended CONNECT, or the Upgrade an HTTP/1.1 request asked for; else
                       empty */
  /* response; 0 in a request */
  int status;
  /* both */
  int64_t content_length; /* -1: not given */
  uint8_t version_minor;  /* HTTP/1.x: 0 or 1 as received; 1 for anything later */
  bool http2;             /* received by HTTP/2 */
  t2_fields fields;
} t2_head;

void t2_head_init(t2_head *head, const t2_allocator *mem);
void t2_head_fini(t2_head *head);
/* Empty again; the array is kept. */
void t2_head_reset(t2_head *head);
/* A deep copy in memory of its own, freed with t2_head_free_copy; NULL when there is no memory. */
t2_head *t2_head_copy(const t2_head *head, const t2_allocator *mem);
void t2_head_free_copy(t2_head *head, const t2_allocator *mem);
/* Bytes of all its texts together. */
size_t t2_head_text_size(const t2_head *head);

/* A view of the head with one more field; its own array is freed by t2_fields_fini. 0 or T2_ERR_NOMEM. */
int t2_head_with(const t2_head *head, t2_str name, t2_str value, const t2_allocator *mem, t2_head *out);
/* The same without the fields of that (lower-case) name. */
int t2_head_without(const t2_head *head, t2_str name, const t2_allocator *mem, t2_head *out);

/* Methods (RFC 9110, 9.2). */
bool t2_method_is_safe(t2_str method);
bool t2_method_is_idempotent(t2_str method);
/* The usual phrase for a status code, or "" */
const char *t2_status_phrase(int status);

#endif
