/* The uplinks to one entry: as many as client/scale.h says. One that the entry lets go of (GOAWAY), or that
 * is not needed any more, finishes what is under way while the others go on. */
#ifndef T2_CLIENT_BUNDLE_H
#define T2_CLIENT_BUNDLE_H

#include <client/scale.h>
#include <client/uplink.h>

typedef struct t2_bundle t2_bundle;

typedef struct t2_bundle_options {
  t2_uplink_options uplink; /* of each; copied */
  unsigned min, max;        /* as t2_scale_init */
} t2_bundle_options;

/* t2_bundle_close may be called from each. */
typedef struct t2_bundle_ops {
  /* The ticket to show; copied. */
  t2_str (*on_dial)(t2_bundle *bundle, void *user);
  /* One more is up. */
  void (*on_up)(t2_bundle *bundle, void *user);
  /* One is lost, or going, or did not come up: as t2_uplink_ops. Not where the entry takes no more of them,
   * but has some. */
  void (*on_lost)(t2_bundle *bundle, const t2_uplink_loss *loss, void *user);
  void (*on_request)(t2_bundle *bundle, t2_exchange *exchange, t2_head *head, bool end, void *user);
  /* The last call, after t2_bundle_drain or t2_bundle_close; freed later. */
  void (*on_gone)(t2_bundle *bundle, void *user);
} t2_bundle_ops;

/* As t2_uplink_new. */
int t2_bundle_new(t2_bundle **out, const t2_bundle_options *options, const t2_bundle_ops *ops, void *user,
                  char *detail, size_t detail_size);
/* May be called again. */
void t2_bundle_start(t2_bundle *bundle);
/* As those of an uplink, for each. */
int t2_bundle_set_url(t2_bundle *bundle, t2_str url);
void t2_bundle_renewed(t2_bundle *bundle);
/* For the next dials; outlives the bundle. */
void t2_bundle_set_tls(t2_bundle *bundle, t2_tls *tls);
/* Dials as many again, with the ticket of now; those that are up take requests until these are, and then
 * finish what is under way. */
void t2_bundle_redial(t2_bundle *bundle);
void t2_bundle_set_concurrent_max(t2_bundle *bundle, uint32_t n);
/* How many are up. */
size_t t2_bundle_up(const t2_bundle *bundle);
const char *t2_bundle_entry(const t2_bundle *bundle);
const char *t2_bundle_url(const t2_bundle *bundle);
/* Of an uplink that is up, as t2_uplink_address; or "". */
const char *t2_bundle_address(const t2_bundle *bundle);
void t2_bundle_drain(t2_bundle *bundle);
void t2_bundle_close(t2_bundle *bundle);

#endif
