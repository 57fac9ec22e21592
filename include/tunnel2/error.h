/* Errors of libtunnel2: every call that can fail returns 0 or more when it did not, else a negative t2_error.
 * Calls that check what a person wrote (options, files) say more in a detail[] that the caller gives: a
 * sentence, cut to fit, NUL-terminated, "" where there is nothing to add. No function here keeps state: any
 * thread. */
#ifndef TUNNEL2_ERROR_H
#define TUNNEL2_ERROR_H

#include <tunnel2/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What went wrong. Values are part of the ABI: they are added to, never renumbered. */
typedef enum t2_error {
  T2_OK = 0,                /* nothing */
  T2_ERR_NOMEM = -1,        /* an allocation failed */
  T2_ERR_INVALID = -2,      /* an argument or an option is wrong */
  T2_ERR_STATE = -3,        /* the call does not fit the object's state */
  T2_ERR_LIMIT = -4,        /* a bound was reached */
  T2_ERR_PROTOCOL = -5,     /* the peer broke the protocol */
  T2_ERR_IO = -6,           /* a system call failed */
  T2_ERR_TIMEOUT = -7,      /* a deadline passed */
  T2_ERR_REFUSED = -8,      /* connection refused */
  T2_ERR_RESOLVE = -9,      /* a host name did not resolve */
  T2_ERR_TLS = -10,         /* the TLS handshake or a record failed */
  T2_ERR_CERTIFICATE = -11, /* the peer's certificate was not accepted */
  T2_ERR_CLOSED = -12,      /* the peer closed the connection or stream */
  T2_ERR_CANCELLED = -13,   /* given up by this side */
  T2_ERR_AUTH = -14,        /* a token or ticket was missing or not accepted */
  T2_ERR_FORBIDDEN = -15,   /* known, but not allowed */
  T2_ERR_NOT_FOUND = -16,   /* no such session, entry, file */
  T2_ERR_CONFLICT = -17,    /* owned by somebody else, or in use */
  T2_ERR_UNAVAILABLE = -18, /* nobody can answer now; later may work */
  T2_ERR_EXPIRED = -19,     /* a ticket, lease or certificate is past its time */
  T2_ERR_AGAIN = -20,       /* not now: more input or room is needed */
  T2_ERR_UNREACHABLE = -21, /* no route to the host or network */
  T2_ERR_UNSUPPORTED = -22  /* known to the protocol, not offered here */
} t2_error;

/* A short English phrase for err, such as "connection refused"; of a number that is no t2_error, one that
 * says so. A static string, never NULL. Any thread. */
T2_API const char *t2_strerror(int err);

/* The enumerator's name without its prefix, such as "REFUSED", for logs and JSON. A static string, never
 * NULL. Any thread. */
T2_API const char *t2_error_name(int err);

#ifdef __cplusplus
}
#endif
#endif
