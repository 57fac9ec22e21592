/* What /metrics of each program has: its object's statistics, and the process's. */
#ifndef T2_COMMON_METRICS_H
#define T2_COMMON_METRICS_H

#include <tunnel2/client.h>
#include <tunnel2/control.h>
#include <tunnel2/entry.h>

struct t2_buf;

/* Memory, processor time, descriptors and start of this process, as Prometheus' own clients name them, and
 * its version. */
void t2_app_process_metrics(struct t2_buf *out);
/* Of NULL: nothing. */
void t2_app_entry_metrics(struct t2_buf *out, const t2_entry *entry);
void t2_app_control_metrics(struct t2_buf *out, const t2_control *control);
void t2_app_client_metrics(struct t2_buf *out, const t2_client *client);

#endif
