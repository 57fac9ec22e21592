/* Metrics in the Prometheus text format, version 0.0.4: families of values, each with its help and type
 * before them. */
#ifndef T2_PROXY_METRICS_H
#define T2_PROXY_METRICS_H

#include <base/buf.h>

#define T2_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

typedef enum t2_metric_type { T2_METRIC_GAUGE, T2_METRIC_COUNTER } t2_metric_type;

/* A value within a struct of them, such as t2_entry_stats. */
typedef struct t2_metric {
  const char
      *name; /* static; a counter's ends in _total. The same as the one before: one more of its family */
  const char *labels; /* "limit=\"uplinks\"", or NULL */
  const char *help;   /* without a backslash and a line's end */
  t2_metric_type type;
  size_t offset; /* of a uint64_t in the struct */
} t2_metric;

/* Appends a value; help and type before it when help is not NULL. A failure shows in out->failed. */
void t2_metrics_value(t2_buf *out, const t2_metric *metric, uint64_t value);
/* The same with a fraction: thousandths. */
void t2_metrics_thousandths(t2_buf *out, const t2_metric *metric, uint64_t value);
/* All of a table, from the struct. */
void t2_metrics_table(t2_buf *out, const t2_metric *table, size_t n, const void *values);

#endif
