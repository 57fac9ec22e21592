/* Requests that belong together go to the same client: by the value of a cookie or a field that the session's
 * terms name. Sans-I/O. */
#ifndef T2_ENTRY_STICKY_H
#define T2_ENTRY_STICKY_H

#include <http/fields.h>
#include <wire/terms.h>

/* The value that the request has; empty: none, or the terms name nothing. Into the fields' memory. */
t2_str t2_sticky_value(const t2_terms *terms, const t2_fields *fields);
/* A number for a text, the same at every entry. */
uint64_t t2_sticky_hash(t2_str text);
/* How well a client, by its instance's number, fits a value's number: of those that are there, the one it
 * fits best has the request (rendezvous hashing). When one comes or goes, only values that are its own move.
 */
uint64_t t2_sticky_fit(uint64_t value, uint64_t instance);

#endif
