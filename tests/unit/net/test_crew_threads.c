#include <t2_test_mem.h>

#include "fixture.h"
#include <net/crew.h>
#include <pthread.h>
#include <stdio.h>
#include <t2_test_shared_mem.h>

/* Mail between threads, and how they end: run under ThreadSanitizer too. */

enum { WORKERS = 4, LETTERS = 5000 };

typedef struct ring {
  uv_loop_t uv;
  t2_loop *loop;
  t2_crew *crew;
  pthread_t first;
  unsigned records, failures;
  bool closed;
  char record[128];
} ring;

static void on_record(t2_log_level level, const char *component, const char *message,
                      const t2_log_pair *pairs, size_t n, void *user) {
  ring *r = user;
  if (!pthread_equal(pthread_self(), r->first)) r->failures++;
  r->records++;
  snprintf(r->record, sizeof(r->record), "%s: %s %s=%s", component, message, n ? pairs[0].key : "",
           n ? pairs[0].value : "");
}

static void open_loop(ring *r, const t2_allocator *mem) {
  t2_log log = {on_record, r, T2_LOG_INFO};
  *r = (ring){.first = pthread_self()};
  assert_int_equal(uv_loop_init(&r->uv), 0);
  assert_int_equal(t2_loop_new(&r->loop, &r->uv, mem, &log), 0);
}

static void open_ring(ring *r) {
  open_loop(r, NULL);
  assert_int_equal(t2_crew_new(&r->crew, r->loop, WORKERS, "test"), 0);
}

static void on_closed(void *user) {
  ring *r = user;
  r->closed = true;
}

static void close_ring(ring *r) {
  if (r->crew) {
    t2_crew_close(r->crew, on_closed, r);
    while (!r->closed)
      uv_run(&r->uv, UV_RUN_ONCE);
  }
  t2_loop_close(r->loop, NULL, NULL);
  uv_run(&r->uv, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&r->uv), 0);
  assert_int_equal(r->failures, 0);
}

/* ---- Letters ---- */

typedef struct part {
  t2_worker *worker;
  int last[WORKERS]; /* the number of the last letter from each */
  bool in_order;
  unsigned got;
} part;

typedef struct letter {
  t2_mail mail;
  unsigned from;
  int number;
} letter;

static void on_letter(t2_mail *mail, void *user) {
  letter *l = T2_CONTAINER_OF(mail, letter, mail);
  t2_worker *worker = user;
  part *p = worker->part;
  p->in_order = p->in_order && l->number == p->last[l->from] + 1;
  p->last[l->from] = l->number;
  p->got++;
  free(l);
}

static void write_to(t2_worker *to, unsigned from, int number) {
  letter *l = malloc(sizeof(*l));
  *l = (letter){{.open = on_letter}, from, number};
  t2_crew_send(to, &l->mail);
}

/* Writes to all others. */
static void on_start(t2_mail *mail, void *user) {
  const t2_worker *worker = user;
  (void)mail;
  for (int n = 1; n <= LETTERS; n++)
    for (unsigned to = 0; to < WORKERS; to++)
      if (to != worker->number) write_to(t2_crew_worker(worker->crew, to), worker->number, n);
}

static int make_part(void *user) {
  part *p = user;
  p->worker->part = p;
  return 0;
}

static void on_leave(t2_mail *mail, void *user) {
  (void)mail;
  t2_crew_leave(user);
}

static void test_mail_arrives_once_and_in_each_senders_order(void **state) {
  ring r;
  part parts[WORKERS] = {0};
  t2_mail starts[WORKERS], leaves[WORKERS];
  open_ring(&r);
  for (unsigned i = 0; i < WORKERS; i++) {
    t2_worker *worker = t2_crew_worker(r.crew, i);
    parts[i] = (part){.worker = worker, .in_order = true};
    if (i == 0) {
      worker->part = &parts[0];
    } else {
      assert_int_equal(t2_crew_call(worker, make_part, &parts[i]), 0);
      t2_crew_engage(r.crew);
    }
  }
  assert_int_equal(t2_crew_engaged(r.crew), WORKERS - 1);
  for (unsigned i = 0; i < WORKERS; i++) {
    starts[i] = (t2_mail){.open = on_start};
    t2_crew_send(t2_crew_worker(r.crew, i), &starts[i]);
  }
  t2_crew_await(r.crew);
  while (parts[0].got < (WORKERS - 1) * LETTERS)
    uv_run(&r.uv, UV_RUN_ONCE);
  for (unsigned i = 1; i < WORKERS; i++) {
    leaves[i] = (t2_mail){.open = on_leave};
    t2_crew_send(t2_crew_worker(r.crew, i), &leaves[i]);
  }
  close_ring(&r);
  for (unsigned i = 0; i < WORKERS; i++) {
    assert_true(parts[i].in_order);
    assert_int_equal(parts[i].got, (WORKERS - 1) * LETTERS); /* what was sent before the end arrived */
  }
}

/* ---- Log ---- */

static int say(void *user) {
  t2_log log = t2_crew_log(user);
  const t2_log_pair pairs[] = {{"worker", "one"}};
  t2_log_write(&log, T2_LOG_WARN, "net", pairs, 1, "here is %d", 7);
  assert_false(t2_log_enabled(&log, T2_LOG_DEBUG));
  return 0;
}

static void test_what_a_worker_logs_comes_out_on_the_first_thread(void **state) {
  ring r;
  open_ring(&r);
  assert_int_equal(t2_crew_call(t2_crew_worker(r.crew, 1), say, t2_crew_worker(r.crew, 1)), 0);
  close_ring(&r);
  assert_int_equal(r.records, 1);
  assert_string_equal(r.record, "net: here is 7 worker=one");
}

static int say_much(void *user) {
  t2_log log = t2_crew_log(user);
  for (int i = 0; i < 5000; i++)
    t2_log_write(&log, T2_LOG_INFO, "net", NULL, 0, "record %d", i);
  return 0;
}

static void test_records_that_wait_are_bounded(void **state) {
  ring r;
  open_ring(&r);
  assert_int_equal(t2_crew_call(t2_crew_worker(r.crew, 1), say_much, t2_crew_worker(r.crew, 1)), 0);
  close_ring(&r);
  assert_int_equal(r.records, 1000);
}

/* ---- Ends ---- */

static void test_each_failed_allocation_is_a_clean_error(void **state) {
  t2_shared_mem mem;
  bool failed = true;
  for (size_t at = 1; failed; at++) {
    ring r;
    t2_shared_mem_init(&mem, 0);
    open_loop(&r, &mem.hook);
    mem.fail_at = atomic_load(&mem.count) + at;
    int err = t2_crew_new(&r.crew, r.loop, WORKERS, "test");
    failed = atomic_load(&mem.failed);
    assert_int_equal(err, failed ? T2_ERR_NOMEM : 0);
    close_ring(&r);
    assert_int_equal(atomic_load(&mem.live), 0);
  }
}

static void test_a_number_of_workers_is_given_or_that_of_processors(void **state) {
  assert_int_equal(t2_crew_workers(3), 3);
  assert_int_equal(t2_crew_workers(1000), T2_WORKERS_MAX);
  assert_in_range(t2_crew_workers(0), 1, T2_WORKERS_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mail_arrives_once_and_in_each_senders_order),
      cmocka_unit_test(test_what_a_worker_logs_comes_out_on_the_first_thread),
      cmocka_unit_test(test_records_that_wait_are_bounded),
      cmocka_unit_test(test_each_failed_allocation_is_a_clean_error),
      cmocka_unit_test(test_a_number_of_workers_is_given_or_that_of_processors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
