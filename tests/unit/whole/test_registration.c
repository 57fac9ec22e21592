#include <t2_test_mem.h>

#include "site.h"
#include <base/file.h>
#include <control/state.h>
#include <net/certificate.h>
#include <signal.h>
#include <stdio.h>
#include <wire/keys.h>

/* A registration beside the site's client, on the same loop, and what it has told. */
typedef struct watch {
  site *site;
  t2_registration *registration;
  unsigned seen[T2_REGISTRATION_ENDED + 1]; /* events of each type */
  char session[64], ticket[6200], entry[64], url[128], reason[256];
  size_t entry_count;
  unsigned lease_seconds;
  int error;
  uint64_t delay_ms;
  bool closed;
  bool close_at_once; /* from inside the next event */
} watch;

static void on_closed(void *user) {
  ((watch *)user)->closed = true;
}

static void keep(char *out, size_t size, const char *text) {
  snprintf(out, size, "%s", text ? text : "");
}

static void on_event(t2_registration *registration, const t2_registration_event *event, void *user) {
  watch *w = user;
  assert_ptr_equal(registration, w->registration);
  assert_int_equal(w->seen[T2_REGISTRATION_ENDED], 0);
  w->seen[event->type]++;
  if (w->close_at_once) t2_registration_close(registration, on_closed, w);
  keep(w->session, sizeof(w->session), event->session);
  keep(w->ticket, sizeof(w->ticket), event->ticket);
  keep(w->url, sizeof(w->url), event->url_count ? event->urls[0] : NULL);
  keep(w->entry, sizeof(w->entry), event->entry_count ? event->entries[0].id : NULL);
  w->entry_count = event->entry_count;
  w->lease_seconds = event->lease_seconds;
  if (event->reason) keep(w->reason, sizeof(w->reason), event->reason);
  w->error = event->error;
  if (event->type == T2_REGISTRATION_RETRYING) w->delay_ms = event->delay_ms;
}

static int try_new(watch *w, site *s, const char *session, const char *token, const t2_allocator *mem) {
  t2_registration_options options;
  char server[64], given[256], detail[256];
  char *ca = site_file(s, T2_DEV_CA_FILE);
  memset(w, 0, sizeof(*w));
  w->site = s;
  site_token(s, given);
  snprintf(server, sizeof(server), "https://%s", t2_control_address(s->control));
  t2_registration_options_init(&options);
  options.allocator = mem;
  options.server = server;
  options.token = token ? token : given;
  options.session = session;
  options.ca_file = ca;
  options.retry_min_ms = 1;
  options.retry_max_ms = 20;
  options.on_event = on_event;
  options.user = w;
  int err = t2_registration_new(&w->registration, &s->loop, &options, detail, sizeof(detail));
  free(ca);
  return err;
}

static void start(watch *w, site *s, const char *session, const char *token) {
  assert_int_equal(try_new(w, s, session, token, NULL), 0);
  assert_int_equal(t2_registration_start(w->registration), 0);
  assert_int_equal(t2_registration_start(w->registration), T2_ERR_STATE);
}

static void wait_for(watch *w, t2_registration_event_type type, unsigned count) {
  while (w->seen[type] < count)
    uv_run(&w->site->loop, UV_RUN_ONCE);
}

static void stop(watch *w) {
  if (!w->close_at_once) t2_registration_close(w->registration, on_closed, w);
  while (!w->closed)
    uv_run(&w->site->loop, UV_RUN_ONCE);
}

static bool is_live(const site *s, const char *session) {
  return t2_store_session(&s->control->store, t2_str_c(session)) != NULL;
}

static void test_a_registration_says_what_an_uplink_needs(void **state) {
  t2_ticket_claims claims = {.size = sizeof(claims)};
  t2_ticket_verifier *verifier;
  t2_buf jwks;
  watch w;
  site s;
  site_start(&s, NULL);
  start(&w, &s, "shop", NULL);
  assert_string_equal(t2_registration_session(w.registration), "shop");
  assert_null(t2_registration_ticket(w.registration));
  assert_false(t2_registration_is_registered(w.registration));
  wait_for(&w, T2_REGISTRATION_REGISTERED, 1);
  assert_true(t2_registration_is_registered(w.registration));
  assert_string_equal(w.session, "shop");
  assert_string_equal(w.entry, "e-1");
  assert_int_equal(w.lease_seconds, 30);
  assert_non_null(strstr(w.url, "/session/shop/"));
  t2_buf_init(&jwks, NULL);
  assert_int_equal(t2_keys_to_jwks(&s.control->keyring.keys, &jwks), 0);
  const char *text = t2_buf_cstr(&jwks);
  assert_int_equal(t2_ticket_verifier_new(&verifier, NULL, text, strlen(text), NULL, 0), 0);
  assert_int_equal(t2_ticket_verifier_check(verifier, w.ticket, strlen(w.ticket), "e-1",
                                            t2_clock_wall_ms() / 1000, &claims, NULL, 0),
                   0);
  assert_string_equal(claims.session, "shop");
  t2_ticket_verifier_free(verifier);
  t2_buf_fini(&jwks);
  stop(&w);
  assert_true(is_live(&s, "shop")); /* until its lease is over */
  site_stop(&s);
}

static void test_a_ticket_is_renewed_when_asked_for(void **state) {
  char before[6200];
  watch w;
  site s;
  site_start(&s, NULL);
  start(&w, &s, NULL, NULL);
  assert_int_equal(t2_registration_renew(w.registration), T2_ERR_STATE);
  wait_for(&w, T2_REGISTRATION_REGISTERED, 1);
  assert_int_equal(strlen(w.session), 36);
  keep(before, sizeof(before), w.ticket);
  assert_int_equal(t2_registration_renew(w.registration), 0);
  wait_for(&w, T2_REGISTRATION_TICKET, 1);
  assert_string_not_equal(w.ticket, before);
  assert_string_equal(w.ticket, t2_registration_ticket(w.registration));
  assert_int_equal(w.seen[T2_REGISTRATION_REGISTERED], 1);
  assert_int_equal(w.seen[T2_REGISTRATION_ENTRIES], 0); /* they are the same */
  stop(&w);
  site_stop(&s);
}

static void test_entries_that_come_are_told(void **state) {
  t2_store_entry *entry;
  bool changed;
  watch w;
  site s;
  site_start(&s, NULL);
  start(&w, &s, "shop", NULL);
  wait_for(&w, T2_REGISTRATION_REGISTERED, 1);
  const t2_announcement other = {T2_STR("e-2"), T2_STR("https://127.0.0.1:9"), T2_STR("http://127.0.0.1:9"),
                                 T2_STR("localhost"), T2_STR_NULL};
  assert_int_equal(t2_store_announce(&s.control->store, &other, "dev", t2_channels_now(&s.control->channels),
                                     &entry, &changed),
                   0);
  t2_channels_entries_changed(&s.control->channels);
  wait_for(&w, T2_REGISTRATION_ENTRIES, 1);
  assert_int_equal(w.entry_count, 2);
  stop(&w);
  site_stop(&s);
}

static void test_the_end_deletes_the_session(void **state) {
  watch w;
  site s;
  site_start(&s, NULL);
  start(&w, &s, "shop", NULL);
  wait_for(&w, T2_REGISTRATION_REGISTERED, 1);
  assert_true(is_live(&s, "shop"));
  assert_int_equal(t2_registration_end(w.registration, 5000), 0);
  assert_int_equal(t2_registration_end(w.registration, 5000), T2_ERR_STATE);
  wait_for(&w, T2_REGISTRATION_ENDED, 1);
  assert_int_equal(w.error, 0);
  assert_false(is_live(&s, "shop"));
  assert_int_equal(s.control_events[T2_CONTROL_SESSION_ENDED], 1);
  assert_string_equal(s.event_reason, "it was deleted");
  assert_int_equal(t2_registration_renew(w.registration), T2_ERR_STATE);
  stop(&w);
  site_stop(&s);
}

static void test_the_end_of_what_was_never_started_comes(void **state) {
  watch w;
  site s;
  site_start(&s, NULL);
  assert_int_equal(try_new(&w, &s, "shop", NULL, NULL), 0);
  assert_int_equal(t2_registration_end(w.registration, 60000), 0);
  assert_int_equal(w.seen[T2_REGISTRATION_ENDED], 0); /* not from inside */
  wait_for(&w, T2_REGISTRATION_ENDED, 1);
  stop(&w);
  site_stop(&s);
}

/* By another who registered it, of the same owner. */
static void test_a_session_that_is_ended_elsewhere_is_revoked_and_over(void **state) {
  watch first, second;
  site s;
  site_start(&s, NULL);
  start(&first, &s, "shop", NULL);
  wait_for(&first, T2_REGISTRATION_REGISTERED, 1);
  uv_run(&s.loop, UV_RUN_NOWAIT);
  start(&second, &s, "shop", NULL);
  wait_for(&second, T2_REGISTRATION_REGISTERED, 1);
  assert_int_equal(t2_registration_end(second.registration, 5000), 0);
  wait_for(&first, T2_REGISTRATION_ENDED, 1);
  assert_int_equal(first.seen[T2_REGISTRATION_REVOKED], 1);
  assert_int_equal(first.error, T2_ERR_CANCELLED);
  stop(&first);
  stop(&second);
  site_stop(&s);
}

static void test_a_token_that_is_not_known_ends_it(void **state) {
  watch w;
  site s;
  site_start(&s, NULL);
  start(&w, &s, "shop", "nobody-has-this-token");
  wait_for(&w, T2_REGISTRATION_ENDED, 1);
  assert_int_equal(w.error, T2_ERR_AUTH);
  assert_non_null(strstr(w.reason, "401"));
  assert_int_equal(w.seen[T2_REGISTRATION_RETRYING], 0);
  stop(&w);
  site_stop(&s);
}

static void test_a_control_plane_that_goes_is_lost_and_retried(void **state) {
  watch w;
  site s;
  site_start(&s, NULL);
  start(&w, &s, "shop", NULL);
  wait_for(&w, T2_REGISTRATION_REGISTERED, 1);
  while (!t2_store_session(&s.control->store, T2_STR("shop"))->channel_count)
    uv_run(&s.loop, UV_RUN_ONCE);
  t2_control_drain(s.control, 0);
  wait_for(&w, T2_REGISTRATION_RETRYING, 2);
  assert_int_equal(w.seen[T2_REGISTRATION_LOST], 1);
  assert_true(w.delay_ms <= 20);
  assert_true(*w.ticket); /* it is good still */
  assert_int_equal(t2_registration_end(w.registration, 60000), 0);
  wait_for(&w, T2_REGISTRATION_ENDED, 1);
  stop(&w);
  site_stop(&s);
}

/* While its answer is on the way: the request that registers is what tells. */
static void test_the_control_plane_may_be_closed_by_who_is_told_of_it(void **state) {
  watch w;
  site s;
  site_start(&s, NULL);
  s.close_at = T2_CONTROL_SESSION_REGISTERED;
  start(&w, &s, "shop", NULL);
  wait_for(&w, T2_REGISTRATION_RETRYING, 1);
  stop(&w);
  site_stop(&s);
}

static void test_it_may_be_closed_from_inside_any_event(void **state) {
  watch w;
  site s;
  site_start(&s, NULL);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(try_new(&w, &s, "shop", i ? "nobody-has-this-token" : NULL, NULL), 0);
    w.close_at_once = true;
    assert_int_equal(t2_registration_start(w.registration), 0);
    stop(&w);
  }
  start(&w, &s, "shop", NULL);
  wait_for(&w, T2_REGISTRATION_REGISTERED, 1);
  w.close_at_once = true;
  t2_control_drain(s.control, 0);
  stop(&w);
  assert_int_equal(w.seen[T2_REGISTRATION_RETRYING], 0);
  site_stop(&s);
}

static void test_options_are_checked(void **state) {
  t2_registration *registration;
  t2_registration_options options;
  uv_loop_t loop;
  char detail[256];
  uv_loop_init(&loop);
  for (int i = 0; i < 7; i++) {
    t2_registration_options_init(&options);
    options.token = "a-good-token-of-16";
    if (i == 0) options.token = NULL;
    if (i == 1) options.session = "No!";
    if (i == 2) options.server = "http://a";
    if (i == 3) options.kind = (t2_session_kind)3;
    if (i == 4) options.remote_port = 22;
    if (i == 5) options.size = 0;
    if (i == 6) options.ca_file = "/nowhere/ca.pem";
    int err = t2_registration_new(&registration, &loop, &options, detail, sizeof(detail));
    assert_int_equal(err, i == 2 ? T2_ERR_UNSUPPORTED : i == 6 ? T2_ERR_NOT_FOUND : T2_ERR_INVALID);
    assert_null(registration);
    assert_true(*detail);
  }
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
}

/* Each is made up for by a retry, or is an error of t2_registration_new. */
static void test_each_allocation_may_fail(void **state) {
  site s;
  site_start(&s, NULL);
  for (size_t n = 1;; n++) {
    t2_test_mem mem;
    watch w;
    t2_test_mem_init(&mem);
    t2_test_mem_fail(&mem, n, false);
    site_heal(&s);
    int err = try_new(&w, &s, "shop", NULL, &mem.hook);
    if (err == 0) {
      assert_int_equal(t2_registration_start(w.registration), 0);
      wait_for(&w, T2_REGISTRATION_REGISTERED, 1);
      if (t2_registration_renew(w.registration) == 0)
        while (!w.seen[T2_REGISTRATION_TICKET] && w.seen[T2_REGISTRATION_REGISTERED] < 2)
          uv_run(&s.loop, UV_RUN_ONCE);
      assert_string_equal(w.entry, "e-1");
      stop(&w);
    } else {
      assert_int_equal(err, T2_ERR_NOMEM);
      uv_run(&s.loop, UV_RUN_NOWAIT);
      uv_run(&s.loop, UV_RUN_NOWAIT);
    }
    t2_test_mem_check(&mem);
    if (mem.failed) continue;
    print_message("%zu allocations\n", n - 1);
    break;
  }
  site_stop(&s);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_registration_says_what_an_uplink_needs),
      cmocka_unit_test(test_a_ticket_is_renewed_when_asked_for),
      cmocka_unit_test(test_entries_that_come_are_told),
      cmocka_unit_test(test_the_end_deletes_the_session),
      cmocka_unit_test(test_the_end_of_what_was_never_started_comes),
      cmocka_unit_test(test_a_session_that_is_ended_elsewhere_is_revoked_and_over),
      cmocka_unit_test(test_a_token_that_is_not_known_ends_it),
      cmocka_unit_test(test_a_control_plane_that_goes_is_lost_and_retried),
      cmocka_unit_test(test_the_control_plane_may_be_closed_by_who_is_told_of_it),
      cmocka_unit_test(test_it_may_be_closed_from_inside_any_event),
      cmocka_unit_test(test_options_are_checked),
      cmocka_unit_test(test_each_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
