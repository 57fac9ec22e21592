/* What answers have that are made here, by no origin. */
#ifndef T2_PROXY_ANSWER_H
#define T2_PROXY_ANSWER_H

#include <proxy/exchange.h>

/* Adds Date (RFC 9110, 6.6.1), whose text is the proxy's and good for this turn of the loop. 0 or
 * T2_ERR_NOMEM. */
int t2_answer_date(t2_proxy *proxy, t2_fields *fields);
/* Fills proxy->problem_scratch and proxy->problem_body as t2_problem_write does, with a Date. */
int t2_answer_problem(t2_proxy *proxy, const t2_problem *problem, const char *detail, t2_str request_id);

#endif
