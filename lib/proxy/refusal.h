/* What a server of ours says when it refuses something: a status, and a problem document (RFC 9457). */
#ifndef T2_PROXY_REFUSAL_H
#define T2_PROXY_REFUSAL_H

#include <http/fields.h>

#define T2_RETRY_AFTER_MAX 60 /* seconds that a server may ask to be left alone */

/* What a status that is no success means: 401 T2_ERR_AUTH, 403 T2_ERR_FORBIDDEN, 404 T2_ERR_NOT_FOUND, 409
 * T2_ERR_CONFLICT, 400 and 422 T2_ERR_INVALID, 429 and 503 T2_ERR_UNAVAILABLE, others T2_ERR_PROTOCOL. */
int t2_refusal_error(int status);
/* The "detail" of a problem document, else its "title": copied, cut to fit, control bytes left out; "" when
 * there is none. */
void t2_refusal_detail(t2_str body, char *out, size_t size);
/* Milliseconds of a Retry-After in seconds, at most T2_RETRY_AFTER_MAX of them; 0 when there is none (a date
 * counts as none). */
uint64_t t2_refusal_retry_after_ms(const t2_head *head);

#endif
