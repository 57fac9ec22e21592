#include "fixture.h"

#include <net/tls_tickets.h>
#include <sys/stat.h>
#include <tunnel2/error.h>
#include <unistd.h>

#define DAY_MS (INT64_C(1000) * T2_TLS_TICKET_SECONDS)
#define NOW    INT64_C(1700000000000)

typedef struct setting {
  t2_tls_tickets tickets;
  mbedtls_ssl_session session, opened;
  uint8_t ticket[2048];
  size_t n;
} setting;

static int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  t2_tls_tickets_init(&s->tickets, NULL);
  s->tickets.keys[0].made_ms = NOW;
  mbedtls_ssl_session_init(&s->session);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000 /* no version is saved that is not said */
  s->session.MBEDTLS_PRIVATE(tls_version) = MBEDTLS_SSL_VERSION_TLS1_2;
#endif
  mbedtls_ssl_session_init(&s->opened);
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  setting *s = *state;
  t2_tls_tickets_fini(&s->tickets);
  mbedtls_ssl_session_free(&s->session);
  mbedtls_ssl_session_free(&s->opened);
  free(s);
  return 0;
}

static void seal(setting *s, int64_t now_ms) {
  assert_int_equal(t2_tls_tickets_write_at(&s->tickets, &s->session, s->ticket, s->ticket + sizeof(s->ticket),
                                           &s->n, now_ms),
                   0);
  assert_true(s->n > 0);
}

/* What opens it may change its bytes. */
static int open_by(setting *s, t2_tls_tickets *tickets, int64_t now_ms) {
  uint8_t copy[sizeof(s->ticket)];
  memcpy(copy, s->ticket, s->n);
  mbedtls_ssl_session_free(&s->opened);
  return t2_tls_tickets_parse_at(tickets, &s->opened, copy, s->n, now_ms);
}

static void test_a_ticket_is_good_for_its_lifetime(void **state) {
  setting *s = *state;
  seal(s, NOW);
  assert_int_equal(open_by(s, &s->tickets, NOW), 0);
  assert_int_equal(open_by(s, &s->tickets, NOW + DAY_MS - 1), 0);
  assert_int_equal(open_by(s, &s->tickets, NOW + DAY_MS), MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED);
  assert_int_equal(open_by(s, &s->tickets, NOW - 60 * 1000), 0); /* a clock set back by a minute */
  assert_int_equal(open_by(s, &s->tickets, NOW - 61 * 1000), MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED);
}

static void test_every_bit_counts(void **state) {
  setting *s = *state;
  seal(s, NOW);
  for (size_t i = 0; i < s->n; i++) {
    s->ticket[i] ^= 1;
    assert_int_not_equal(open_by(s, &s->tickets, NOW), 0);
    s->ticket[i] ^= 1;
  }
  for (s->n--; s->n > 0; s->n--)
    assert_int_not_equal(open_by(s, &s->tickets, NOW), 0);
}

static void test_the_key_before_is_still_good_and_no_older_one(void **state) {
  setting *s = *state;
  setting later;
  seal(s, NOW + DAY_MS - 1);
  memcpy(later.ticket, s->ticket, s->n);
  seal(s, NOW + DAY_MS); /* with a new key */
  memcpy(s->ticket, later.ticket, s->n);
  assert_int_equal(open_by(s, &s->tickets, NOW + DAY_MS), 0);
  seal(s, NOW + 2 * DAY_MS);
  memcpy(s->ticket, later.ticket, s->n);
  assert_int_equal(open_by(s, &s->tickets, NOW + 2 * DAY_MS - 2), MBEDTLS_ERR_SSL_INVALID_MAC);
}

static void test_no_room_is_no_ticket(void **state) {
  setting *s = *state;
  for (size_t room = 0; room < 60; room++) {
    assert_int_not_equal(
        t2_tls_tickets_write_at(&s->tickets, &s->session, s->ticket, s->ticket + room, &s->n, NOW), 0);
    assert_int_equal(s->n, 0);
  }
}

static void test_kept_keys_open_tickets_after_a_restart(void **state) {
  setting *s = *state;
  const char *file = test_file("tickets");
  t2_tls_tickets again;
  struct stat st;
  unlink(file);
  assert_int_equal(t2_tls_tickets_keep(&s->tickets, file), 0);
  assert_int_equal(stat(file, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  seal(s, NOW);
  t2_tls_tickets_init(&again, NULL);
  assert_int_not_equal(open_by(s, &again, NOW), 0);
  assert_int_equal(t2_tls_tickets_keep(&again, file), 0);
  assert_int_equal(open_by(s, &again, NOW), 0);
  seal(s, NOW + DAY_MS); /* a new key is kept at once */
  assert_int_equal(t2_tls_tickets_keep(&again, file), 0);
  assert_int_equal(open_by(s, &again, NOW + DAY_MS), 0);
  t2_tls_tickets_fini(&again);
}

static void test_a_file_that_is_none_is_replaced(void **state) {
  setting *s = *state;
  const char *file = test_file("tickets");
  t2_tls_tickets again;
  test_file_write("tickets", "something else");
  assert_int_equal(t2_tls_tickets_keep(&s->tickets, file), 0);
  seal(s, NOW);
  t2_tls_tickets_init(&again, NULL);
  assert_int_equal(t2_tls_tickets_keep(&again, file), 0);
  assert_int_equal(open_by(s, &again, NOW), 0);
  t2_tls_tickets_fini(&again);
}

static void test_a_place_that_takes_none_is_an_error(void **state) {
  setting *s = *state;
  assert_int_equal(t2_tls_tickets_keep(&s->tickets, "/nonexistent/tickets"), T2_ERR_IO);
}

#define tickets_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      tickets_test(test_a_ticket_is_good_for_its_lifetime),
      tickets_test(test_every_bit_counts),
      tickets_test(test_the_key_before_is_still_good_and_no_older_one),
      tickets_test(test_no_room_is_no_ticket),
      tickets_test(test_kept_keys_open_tickets_after_a_restart),
      tickets_test(test_a_file_that_is_none_is_replaced),
      tickets_test(test_a_place_that_takes_none_is_an_error),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
