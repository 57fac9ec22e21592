/* Answering requests in this process: a callback leg that gathers a small request body, hands the whole to a
 * handler, and sends what the handler replies. For APIs, health and metrics. */
#ifndef T2_PROXY_CALL_H
#define T2_PROXY_CALL_H

#include <proxy/server.h>

typedef struct t2_call t2_call;

/* The request is whole. The handler calls t2_call_reply or t2_call_problem exactly once, now or later, and
 * the call is not its any more after that. When the asker has gone away meanwhile, the reply goes nowhere. */
typedef void (*t2_call_handler)(t2_call *call, void *user);

/* Connects the request's exchange to a new callback leg. body_max: bytes; more is refused with 413. */
void t2_call_begin(const t2_server_request *request, size_t body_max, t2_call_handler handler, void *user);
/* Answers a request with a problem without a handler: at once, or, when its content is of a length that is
 * known and not too large, once that has come and was thrown away. problem, detail, name and value (one more
 * field, or empty) are static. */
void t2_call_refuse(const t2_server_request *request, const t2_problem *problem, const char *detail,
                    t2_str name, t2_str value);
const t2_head *t2_call_head(const t2_call *call); /* a copy that lives as long as the call */
t2_str t2_call_body(const t2_call *call);
/* Whoever asked has gone away. The handler still calls t2_call_reply or t2_call_problem, which frees the
 * call. */
bool t2_call_gone(const t2_call *call);
/* body[n] is copied; content_type is static. extra may be NULL: more fields. */
void t2_call_reply(t2_call *call, int status, const char *content_type, const t2_fields *extra,
                   const void *body, size_t n);
void t2_call_problem(t2_call *call, const t2_problem *problem, const char *detail);
/* The same with one more field, such as Allow or WWW-Authenticate (static text). */
void t2_call_problem_with(t2_call *call, const t2_problem *problem, const char *detail, t2_str name,
                          t2_str value);

#endif
