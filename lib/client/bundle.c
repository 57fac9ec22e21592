#include <base/random.h>
#include <client/bundle.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <wire/ticket.h>

#define LEAVING_MAX (2 * T2_SCALE_MAX) /* that finish what is under way: more are cut */
#define BRIEF_MS    1000               /* an uplink that was up for less is not dialled again at once */

struct t2_bundle {
  t2_bundle_options options;
  t2_loop *loop;
  t2_bundle_ops ops;
  void *user;
  t2_uplink *uplinks[T2_SCALE_MAX];
  unsigned n;
  t2_uplink *leaving[LEAVING_MAX];
  unsigned leaving_n;
  t2_uplink *old[T2_SCALE_MAX]; /* that take requests until those are up that were dialled in their place */
  unsigned old_n;
  unsigned alive; /* that are not gone, in a list or in none */
  t2_scale scale;
  t2_timer timer; /* the next look at the scale */
  unsigned told;  /* the limit that was logged last */
  bool started, ending, over;
  char url[T2_TARGET_MAX + 1];
  char entry[T2_ENTRY_ID_MAX + 1];
  t2_reapable reapable;
};

/* ---- Lists ---- */

/* Does nothing when it is not in it. */
static void take_out(t2_uplink **list, unsigned *n, const t2_uplink *uplink) {
  unsigned at = 0;
  while (at < *n && list[at] != uplink)
    at++;
  if (at == *n) return;
  (*n)--;
  memmove(&list[at], &list[at + 1], (*n - at) * sizeof(t2_uplink *));
}

static void free_bundle(t2_reapable *reapable) {
  t2_bundle *bundle = T2_CONTAINER_OF(reapable, t2_bundle, reapable);
  t2_free(bundle->loop->mem, bundle);
}

static void settle(t2_bundle *bundle) {
  if (!bundle->ending || bundle->over || bundle->alive) return;
  bundle->over = true;
  bundle->ops.on_gone(bundle, bundle->user);
  t2_loop_reap(bundle->loop, &bundle->reapable, free_bundle);
}

/* Out of those that serve, into those that finish. */
static void see_off(t2_bundle *bundle, t2_uplink *uplink) {
  take_out(bundle->uplinks, &bundle->n, uplink);
  take_out(bundle->old, &bundle->old_n, uplink);
  if (bundle->leaving_n < LEAVING_MAX)
    bundle->leaving[bundle->leaving_n++] = uplink;
  else
    t2_uplink_close(uplink);
}

/* ---- More, and fewer ---- */

static const t2_uplink_ops uplink_ops;

static void look_again(t2_bundle *bundle) {
  if (!bundle->ending) t2_loop_timer_start(bundle->loop, &bundle->timer, T2_SCALE_LOOK_MS);
}

static void watch(t2_bundle *bundle) {
  if (bundle->started && t2_scale_moves(&bundle->scale)) look_again(bundle);
}

/* What it is told of a dial that fails at once may end the bundle. */
static int add(t2_bundle *bundle, uint64_t delay_ms, char *detail, size_t size) {
  t2_uplink *uplink;
  int err = t2_uplink_new(&uplink, &bundle->options.uplink, &uplink_ops, bundle, detail, size);
  if (err) return err;
  bundle->uplinks[bundle->n++] = uplink;
  bundle->alive++;
  if (bundle->started) t2_uplink_start(uplink, delay_ms);
  return 0;
}

static void drop_one(t2_bundle *bundle) {
  t2_uplink *least = bundle->uplinks[0];
  for (unsigned i = 1; i < bundle->n; i++)
    if (t2_uplink_active(bundle->uplinks[i]) < t2_uplink_active(least)) least = bundle->uplinks[i];
  see_off(bundle, least);
  t2_uplink_drain(least);
}

static size_t active(const t2_bundle *bundle) {
  size_t streams = 0;
  for (unsigned i = 0; i < bundle->n; i++)
    streams += t2_uplink_active(bundle->uplinks[i]);
  return streams;
}

/* Without memory for one more there is another look. */
static void on_timer(t2_timer *timer) {
  t2_bundle *bundle = T2_CONTAINER_OF(timer, t2_bundle, timer);
  unsigned wanted = t2_scale_look(&bundle->scale, bundle->n, (unsigned)t2_bundle_up(bundle), active(bundle),
                                  t2_loop_now(bundle->loop));
  if (wanted != bundle->n)
    t2_log_at(&bundle->loop->log, DEBUG, "client", "entry %s: %u uplinks are wanted, there are %u",
              bundle->entry, wanted, bundle->n);
  while (bundle->n < wanted && !bundle->ending && add(bundle, 0, NULL, 0) == 0) {
  }
  if (bundle->n > wanted && !bundle->ending) drop_one(bundle);
  if (bundle->n < wanted)
    look_again(bundle);
  else
    watch(bundle);
}

/* ---- Events of the uplinks ---- */

static bool is_old(const t2_bundle *bundle, const t2_uplink *uplink) {
  for (unsigned i = 0; i < bundle->old_n; i++)
    if (bundle->old[i] == uplink) return true;
  return false;
}

static void retire(t2_bundle *bundle, t2_uplink *uplink) {
  see_off(bundle, uplink);
  t2_uplink_drain(uplink);
}

static t2_str on_dial(t2_uplink *uplink, void *user) {
  t2_bundle *bundle = user;
  (void)uplink;
  return bundle->ops.on_dial(bundle, bundle->user);
}

static void on_up(t2_uplink *uplink, void *user) {
  t2_bundle *bundle = user;
  (void)uplink;
  if (t2_bundle_up(bundle) == bundle->n)
    while (bundle->old_n)
      retire(bundle, bundle->old[bundle->old_n - 1]);
  bundle->ops.on_up(bundle, bundle->user);
}

/* Others of the session, of this client or of another, have all the places that its ticket has here. */
static void on_no_place(t2_bundle *bundle, t2_uplink *uplink) {
  if (bundle->told != bundle->n - 1)
    t2_log_at(&bundle->loop->log, INFO, "client", "entry %s takes no more than %u of this client's uplinks",
              bundle->entry, bundle->n - 1);
  bundle->told = bundle->n - 1;
  t2_scale_refused(&bundle->scale, bundle->n - 1, t2_loop_now(bundle->loop));
  t2_uplink_close(uplink);
  watch(bundle);
}

static void on_lost(t2_uplink *uplink, const t2_uplink_loss *loss, void *user) {
  t2_bundle *bundle = user;
  if (is_old(bundle, uplink))
    t2_uplink_close(uplink);
  else if (loss->status == 409 && bundle->n > 1)
    on_no_place(bundle, uplink);
  else
    bundle->ops.on_lost(bundle, loss, bundle->user);
}

/* Another is dialled at once, so that there is one for the next request. */
static void on_going(t2_uplink *uplink, void *user) {
  t2_bundle *bundle = user;
  bool brief = t2_uplink_up_ms(uplink) < BRIEF_MS;
  t2_uplink_loss loss = {.err = T2_ERR_CLOSED,
                         .reason = "the entry lets go of the uplink",
                         .delay_ms = brief ? BRIEF_MS + t2_random_below(BRIEF_MS) : 0,
                         .was_up = t2_uplink_up_ms(uplink) > 0,
                         .going = true};
  bool replaced = is_old(bundle, uplink);
  see_off(bundle, uplink);
  if (bundle->ending || replaced) return;
  if (add(bundle, loss.delay_ms, NULL, 0)) look_again(bundle);
  if (!bundle->ending) bundle->ops.on_lost(bundle, &loss, bundle->user);
}

static void on_request(t2_uplink *uplink, t2_exchange *exchange, t2_head *head, bool end, void *user) {
  t2_bundle *bundle = user;
  (void)uplink;
  bundle->ops.on_request(bundle, exchange, head, end, bundle->user);
}

static void on_gone(t2_uplink *uplink, void *user) {
  t2_bundle *bundle = user;
  take_out(bundle->uplinks, &bundle->n, uplink);
  take_out(bundle->leaving, &bundle->leaving_n, uplink);
  take_out(bundle->old, &bundle->old_n, uplink);
  bundle->alive--;
  settle(bundle);
}

static const t2_uplink_ops uplink_ops = {
    .on_dial = on_dial,
    .on_up = on_up,
    .on_lost = on_lost,
    .on_going = on_going,
    .on_request = on_request,
    .on_gone = on_gone,
};

/* ---- Calls ---- */

int t2_bundle_new(t2_bundle **out, const t2_bundle_options *options, const t2_bundle_ops *ops, void *user,
                  char *detail, size_t detail_size) {
  t2_loop *loop = options->uplink.proxy->loop;
  *out = NULL;
  t2_bundle *bundle = t2_calloc(loop->mem, 1, sizeof(*bundle));
  if (!bundle) return T2_ERR_NOMEM;
  bundle->options = *options;
  bundle->loop = loop;
  bundle->ops = *ops;
  bundle->user = user;
  snprintf(bundle->entry, sizeof(bundle->entry), "%.*s", T2_STR_ARG(options->uplink.entry));
  snprintf(bundle->url, sizeof(bundle->url), "%.*s", T2_STR_ARG(options->uplink.url));
  bundle->options.uplink.entry = t2_str_c(bundle->entry);
  t2_timer_init(&bundle->timer, on_timer);
  t2_scale_init(&bundle->scale, options->min, options->max, options->uplink.concurrent_max);
  int err = 0;
  for (unsigned i = 0; err == 0 && i < options->min; i++)
    err = add(bundle, 0, detail, detail_size);
  bundle->options.uplink.url = t2_str_c(bundle->url);
  if (err) {
    bundle->over = true; /* the caller has never had it */
    t2_bundle_close(bundle);
    t2_loop_reap(loop, &bundle->reapable, free_bundle);
    return err;
  }
  *out = bundle;
  return 0;
}

void t2_bundle_start(t2_bundle *bundle) {
  if (bundle->started || bundle->ending) return;
  bundle->started = true;
  watch(bundle);
  for (unsigned i = bundle->n; i-- > 0 && !bundle->ending;)
    t2_uplink_start(bundle->uplinks[i], 0);
}

int t2_bundle_set_url(t2_bundle *bundle, t2_str url) {
  if (t2_str_eq(url, t2_str_c(bundle->url))) return 0;
  for (unsigned i = 0; i < bundle->n; i++) {
    int err = t2_uplink_set_url(bundle->uplinks[i], url);
    if (err) return err;
  }
  if (url.n >= sizeof(bundle->url)) return T2_ERR_INVALID;
  snprintf(bundle->url, sizeof(bundle->url), "%.*s", T2_STR_ARG(url));
  bundle->options.uplink.url = t2_str_c(bundle->url);
  return 0;
}

void t2_bundle_renewed(t2_bundle *bundle) {
  t2_scale_renewed(&bundle->scale);
  for (unsigned i = 0; i < bundle->n; i++)
    t2_uplink_renewed(bundle->uplinks[i]);
}

void t2_bundle_set_tls(t2_bundle *bundle, t2_tls *tls) {
  bundle->options.uplink.tls = tls;
  for (unsigned i = 0; i < bundle->n; i++)
    t2_uplink_set_tls(bundle->uplinks[i], tls);
}

static void replace(t2_bundle *bundle, t2_uplink *uplink) {
  take_out(bundle->uplinks, &bundle->n, uplink);
  if (bundle->old_n < T2_SCALE_MAX)
    bundle->old[bundle->old_n++] = uplink;
  else
    retire(bundle, uplink);
  if (add(bundle, 0, NULL, 0)) look_again(bundle);
}

/* One that is not up has the newest ticket by itself. */
void t2_bundle_redial(t2_bundle *bundle) {
  if (!bundle->started) return;
  for (unsigned i = bundle->n; i-- > 0 && !bundle->ending;)
    if (t2_uplink_is_up(bundle->uplinks[i])) replace(bundle, bundle->uplinks[i]);
}

void t2_bundle_set_concurrent_max(t2_bundle *bundle, uint32_t n) {
  bundle->options.uplink.concurrent_max = n;
  for (unsigned i = 0; i < bundle->n; i++)
    t2_uplink_set_concurrent_max(bundle->uplinks[i], n);
  for (unsigned i = 0; i < bundle->old_n; i++)
    t2_uplink_set_concurrent_max(bundle->old[i], n);
}

size_t t2_bundle_up(const t2_bundle *bundle) {
  size_t up = 0;
  for (unsigned i = 0; i < bundle->n; i++)
    if (t2_uplink_is_up(bundle->uplinks[i])) up++;
  return up;
}

const char *t2_bundle_entry(const t2_bundle *bundle) {
  return bundle->entry;
}

const char *t2_bundle_url(const t2_bundle *bundle) {
  return bundle->url;
}

const char *t2_bundle_address(const t2_bundle *bundle) {
  for (unsigned i = bundle->n; i-- > 0;)
    if (t2_uplink_is_up(bundle->uplinks[i])) return t2_uplink_address(bundle->uplinks[i]);
  return "";
}

void t2_bundle_drain(t2_bundle *bundle) {
  bundle->ending = true;
  t2_loop_timer_stop(bundle->loop, &bundle->timer);
  for (unsigned i = bundle->n; i-- > 0;)
    t2_uplink_drain(bundle->uplinks[i]);
  for (unsigned i = bundle->old_n; i-- > 0;)
    t2_uplink_drain(bundle->old[i]);
  settle(bundle);
}

void t2_bundle_close(t2_bundle *bundle) {
  bundle->ending = true;
  t2_loop_timer_stop(bundle->loop, &bundle->timer);
  for (unsigned i = bundle->n; i-- > 0;)
    t2_uplink_close(bundle->uplinks[i]);
  for (unsigned i = bundle->old_n; i-- > 0;)
    t2_uplink_close(bundle->old[i]);
  for (unsigned i = bundle->leaving_n; i-- > 0;)
    t2_uplink_close(bundle->leaving[i]);
  settle(bundle);
}
