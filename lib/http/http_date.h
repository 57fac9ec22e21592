/* HTTP-date (RFC 9110, 5.6.7), in the form that is sent today: "Sun, 06 Nov 1994 08:49:37 GMT". */
#ifndef T2_HTTP_HTTP_DATE_H
#define T2_HTTP_HTTP_DATE_H

#include <base/str.h>

#define T2_HTTP_DATE_LEN 29

/* Writes the date of a time in seconds since 1970, NUL-terminated. Years past 9999 are cut to it. */
void t2_http_date_write(int64_t seconds, char out[T2_HTTP_DATE_LEN + 1]);
/* 0 or T2_ERR_INVALID: the obsolete forms are not read, and count as none. */
int t2_http_date_parse(t2_str text, int64_t *seconds);

#endif
