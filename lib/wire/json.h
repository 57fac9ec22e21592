/* JSON from outside, read strictly (over jansson). */
#ifndef T2_WIRE_JSON_H
#define T2_WIRE_JSON_H

#include <base/str.h>
#include <jansson.h>

/* An object and nothing around it, without duplicate names (RFC 8725, 2.4) or NUL characters; NULL when it is
 * not that, or there is no memory. Freed with json_decref. The caller has bounded text. */
json_t *t2_json_object(t2_str text);
/* The member's value in *value (it belongs to the object): 1, 0 when there is none, or T2_ERR_INVALID when it
 * is no string. */
int t2_json_text(const json_t *object, const char *name, t2_str *value);
/* An integer from min to max: 1, 0 when there is none, or T2_ERR_INVALID when it is not that. */
int t2_json_integer(const json_t *object, const char *name, int64_t min, int64_t max, int64_t *value);

#endif
