#include <proxy/metrics.h>

#include <inttypes.h>
#include <string.h>

static void begin(t2_buf *out, const t2_metric *metric) {
  const char *type = metric->type == T2_METRIC_COUNTER ? "counter" : "gauge";
  const char *labels = metric->labels;
  if (metric->help)
    t2_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name, type);
  t2_buf_printf(out, "%s%s%s%s ", metric->name, labels ? "{" : "", labels ? labels : "", labels ? "}" : "");
}

void t2_metrics_value(t2_buf *out, const t2_metric *metric, uint64_t value) {
  begin(out, metric);
  t2_buf_printf(out, "%" PRIu64 "\n", value);
}

void t2_metrics_thousandths(t2_buf *out, const t2_metric *metric, uint64_t value) {
  begin(out, metric);
  t2_buf_printf(out, "%" PRIu64 ".%03u\n", value / 1000, (unsigned)(value % 1000));
}

void t2_metrics_table(t2_buf *out, const t2_metric *table, size_t n, const void *values) {
  for (size_t i = 0; i < n; i++) {
    t2_metric metric = table[i];
    uint64_t value;
    if (i && strcmp(metric.name, table[i - 1].name) == 0) metric.help = NULL;
    memcpy(&value, (const char *)values + metric.offset, sizeof(value));
    t2_metrics_value(out, &metric, value);
  }
}
