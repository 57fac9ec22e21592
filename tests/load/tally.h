/* What became of requests: counts, errors by kind and latencies, of a second, a step or a whole run. */
#ifndef LOAD_TALLY_H
#define LOAD_TALLY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "histogram.h"

typedef enum error_kind {
  ERROR_CONNECT, /* no connection: refused, or no port or descriptor left */
  ERROR_RESET,   /* the connection was reset */
  ERROR_CLOSED,  /* it ended before the answer did */
  ERROR_TIMEOUT, /* no answer in time, which counts from the sending */
  ERROR_4XX,     /* an answer, but that one */
  ERROR_5XX,
  ERROR_MALFORMED, /* no HTTP/1.1 answer */
  ERROR_UNSENT,    /* no connection was free in time, which counts from the plan */
  ERROR_KINDS,
} error_kind;

typedef struct tally {
  uint64_t planned, sent;
  uint64_t late;     /* of those sent: a millisecond and more after the planned time */
  uint64_t starved;  /* of those late: not for want of a connection, the load itself had no processor */
  uint64_t answered; /* whole answers, 4xx and 5xx among them */
  uint64_t good;     /* answers below 400: those whose latency counts */
  uint64_t errors[ERROR_KINDS];
  histogram latency; /* from the planned time to the end of the answer */
} tally;

void tally_clear(tally *t);
void tally_error(tally *t, error_kind kind);
bool tally_any(const tally *t);

/* Writes the members of a JSON object, without its braces. */
void tally_write(const tally *t, FILE *out);

#endif
