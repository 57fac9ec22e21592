#include "t2_test_h1_cases.h"

static t2_h1_limits limits;

/* ---- Limits: the bound passes, one past it does not, however it is cut ---- */

typedef struct bound {
  const char *begin, *end; /* filled up between them */
  size_t most;             /* bytes of filling that pass */
  const char *past;        /* the error of one more */
  bool responses;
} bound;

static void run_bound(const bound *b, size_t fill, size_t step, const char *error) {
  t2_h1_parser *parser = make(&limits, b->responses, NULL);
  t2_test_h1 run;
  t2_buf log, input;
  t2_buf_init(&log, NULL);
  t2_buf_init(&input, NULL);
  t2_buf_append_c(&input, b->begin);
  for (size_t i = 0; i < fill; i++)
    t2_buf_append_c(&input, "q");
  t2_buf_append_c(&input, b->end);
  t2_test_h1_begin(&run, parser, &log);
  for (size_t at = 0, piece; at < t2_buf_len(&input); at += piece) {
    piece = step < t2_buf_len(&input) - at ? step : t2_buf_len(&input) - at;
    t2_test_h1_feed(&run, t2_buf_head(&input) + at, piece);
  }
  const char *text = t2_buf_cstr(&log), *found = strstr(text, "error ");
  if (error)
    assert_string_equal(found ? found : "", error);
  else
    assert_null(found);
  t2_h1_parser_free(parser);
  t2_buf_fini(&log);
  t2_buf_fini(&input);
}

static void test_limits_hold_exactly(void **state) {
  limits = (t2_h1_limits){.line_max = 64, .section_max = 100, .field_max = 4, .chunk_ext_max = 10};
  const bound bounds[] = {
      {"GET /", " HTTP/1.1\r\n" HOST "\r\n", 64 - 14, "error 414 the request target is too long\n", false},
      {"G", " / HTTP/1.1\r\n" HOST "\r\n", 64 - 12, "error 400 the request line is too long\n", false},
      {"HTTP/1.1 200 ", "\r\nContent-Length: 0\r\n\r\n", 64 - 13, "error 400 the status line is too long\n",
       true},
      {GET HOST "X: ", "\r\n\r\n", 100 - 14, "error 431 the field section is too long\n", false},
      {GET HOST "X", ": y\r\n\r\n", 100 - 15, "error 431 the field section is too long\n", false},
      {GET HOST "A: b\r\nX: ", "\r\n\r\n", 100 - 20, "error 431 the field section is too long\n", false},
      {CHUNKED "0\r\nX: ", "\r\n\r\n", 100 - 5, "error 431 the trailer section is too long\n", false},
      {CHUNKED "1;", "\r\na\r\n0\r\n\r\n", 9, "error 400 a chunk extension is too long\n", false},
      {CHUNKED "1      ;", "\r\na\r\n0\r\n\r\n", 3, "error 400 a chunk extension is too long\n", false},
  };
  for (size_t i = 0; i < T2_COUNT_OF(bounds); i++) {
    const size_t steps[] = {4096, 1, 2, 7, 63};
    for (size_t k = 0; k < T2_COUNT_OF(steps); k++) {
      run_bound(&bounds[i], bounds[i].most, steps[k], NULL);
      run_bound(&bounds[i], bounds[i].most + 1, steps[k], bounds[i].past);
      run_bound(&bounds[i], bounds[i].most + 500, steps[k], bounds[i].past);
    }
  }
  const exchange_case counts[] = {
      C("fields at the bound", GET HOST "A:\r\nB:\r\nC:\r\n\r\n", "GET a /x\na: \nb: \nc: \n"),
      C("one field too many", GET HOST "A:\r\nB:\r\nC:\r\nD:\r\n\r\n",
        "error 431 too many fields in the field section\n"),
      C("trailers at the bound", CHUNKED "0\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n",
        C_HEAD "end\na: \nb: \nc: \nd: \n"),
      C("one trailer too many", CHUNKED "0\r\nA:\r\nB:\r\nC:\r\nHost:\r\nE:\r\n",
        C_HEAD "error 431 too many fields in the trailer section\n"),
      C("options at the bound", GET HOST "Connection: a,b\r\nConnection: ,c, close\r\n\r\n",
        "GET a /x close\n"),
      C("one option too many", GET HOST "Connection: a,b\r\nConnection: ,c, d,e\r\n\r\n",
        "error 431 too many connection options\n"),
  };
  run_cases(counts, T2_COUNT_OF(counts), &limits, false);
  t2_h1_limits_init(&limits);
}

/* What never ends is refused at the limit, not kept. */
static void test_a_line_without_end_is_not_kept(void **state) {
  t2_test_mem mem;
  t2_test_mem_init(&mem);
  t2_h1_parser *parser = t2_h1_parser_new(&mem.hook, false, &limits);
  t2_h1_event event = {.type = T2_H1_NONE};
  uint8_t bytes[100] = {0};
  memset(bytes, 'a', sizeof(bytes));
  size_t most = 0;
  for (size_t i = 0; i < 1000 && event.type == T2_H1_NONE; i++) {
    assert_int_equal(t2_h1_parse(parser, bytes, sizeof(bytes), &event), sizeof(bytes));
    if (mem.live_bytes > most) most = mem.live_bytes;
  }
  assert_int_equal(event.type, T2_H1_ERROR);
  assert_int_equal(event.status, 400);
  assert_in_range(most, 8190, 20000);
  assert_in_range(mem.live_bytes, 1, 2000);
  t2_h1_parser_free(parser);
  t2_test_mem_check(&mem);
}

/* ---- Memory ---- */

static void parse_text(t2_h1_parser *parser, const char *text, t2_h1_event *event) {
  static uint8_t block[1024];
  size_t n = strlen(text), at = 0;
  memcpy(block, text, n);
  while (at < n) {
    at += t2_h1_parse(parser, block + at, n - at, event);
    if (event->type == T2_H1_ERROR) return;
  }
}

static void test_a_whole_head_allocates_nothing_in_steady_state(void **state) {
  t2_test_mem mem;
  t2_test_mem_init(&mem);
  t2_h1_parser *parser = t2_h1_parser_new(&mem.hook, false, &limits);
  t2_h1_event event;
  parse_text(parser, GET HOST "A: b\r\nConnection: close, x\r\n\r\n", &event);
  size_t count = mem.count;
  for (size_t i = 0; i < 10; i++) {
    parse_text(parser, GET HOST "A: b\r\nConnection: close, x\r\n\r\n", &event);
    assert_int_equal(event.type, T2_H1_HEAD);
    parse_text(parser, CHUNKED "1\r\na\r\n0\r\nX: y\r\n\r\n", &event);
    assert_int_equal(event.type, T2_H1_END);
    assert_int_equal(event.trailers->n, 1);
  }
  assert_int_equal(mem.count, count);
  t2_h1_parser_free(parser);
  t2_test_mem_check(&mem);
}

static void test_a_head_in_pieces_is_given_back(void **state) {
  t2_test_mem mem;
  t2_test_mem_init(&mem);
  t2_h1_parser *parser = t2_h1_parser_new(&mem.hook, false, &limits);
  t2_h1_event event;
  parse_text(parser, GET HOST "\r\n", &event);
  size_t bytes = mem.live_bytes;
  parse_text(parser, GET, &event);
  assert_false(t2_h1_idle(parser));
  assert_true(mem.live_bytes > bytes);
  parse_text(parser, HOST "\r\n", &event);
  assert_int_equal(event.type, T2_H1_HEAD);
  assert_true(t2_h1_idle(parser));
  assert_int_equal(t2_h1_parse(parser, (uint8_t *)"", 0, &event), 0);
  assert_int_equal(event.type, T2_H1_NONE);
  assert_int_equal(mem.live_bytes, bytes);
  t2_h1_parser_free(parser);
  t2_test_mem_check(&mem);
}

static void parse_in_pieces(t2_test_mem *mem, void *user) {
  t2_h1_parser *parser = t2_h1_parser_new(&mem->hook, false, &limits);
  const char *text = user;
  t2_h1_event event = {.type = T2_H1_NONE};
  if (!parser) return;
  size_t n = strlen(text);
  for (size_t at = 0; at < n && event.type != T2_H1_ERROR;) {
    uint8_t piece[7];
    size_t k = n - at < sizeof(piece) ? n - at : sizeof(piece);
    memcpy(piece, text + at, k);
    for (size_t taken = 0; taken < k && event.type != T2_H1_ERROR;)
      taken += t2_h1_parse(parser, piece + taken, k - taken, &event);
    at += k;
  }
  if (event.type == T2_H1_ERROR) {
    assert_true(mem->failed);
    assert_int_equal(event.status, 500);
  } else {
    assert_int_equal(event.type, T2_H1_END);
  }
  t2_h1_parser_free(parser);
}

static void test_missing_memory_is_an_error(void **state) {
  char text[4096] = CHUNKED "1\r\na\r\n0\r\n";
  for (int i = 0; i < 40; i++)
    strcat(text, "X-Trailer-Of-Some-Length: with a value\r\n");
  strcat(text, "\r\n");
  assert_in_range(t2_test_mem_fail_each(parse_in_pieces, text), 6, 100);
}

/* ---- The rest of the contract ---- */

static void test_fields_are_secret_by_name(void **state) {
  t2_h1_parser *parser = make(&limits, false, NULL);
  t2_h1_event event;
  parse_text(parser, GET HOST "Authorization: x\r\nCookie: y\r\nAccept: z\r\n\r\n", &event);
  assert_true(event.head->fields.list[0].sensitive);
  assert_true(event.head->fields.list[1].sensitive);
  assert_false(event.head->fields.list[2].sensitive);
  t2_h1_parser_free(parser);
}

static void test_idle_between_messages_only(void **state) {
  const char *text = "\r\n" POST "Content-Length: 2\r\n\r\nab";
  size_t n = strlen(text);
  t2_h1_parser *parser = make(&limits, false, NULL);
  assert_true(t2_h1_idle(parser));
  for (size_t i = 0; i < n; i++) {
    uint8_t byte = (uint8_t)text[i];
    t2_h1_event event;
    while (t2_h1_parse(parser, &byte, 1, &event) == 0)
      ;
    assert_int_equal(t2_h1_idle(parser), i == 1 || i == n - 1);
  }
  t2_h1_parser_free(parser);
}

/* A caller may stop when its input is used up: no event is left waiting. */
static void test_no_event_waits_without_input(void **state) {
  const char *text = POST "Content-Length: 2\r\n\r\nab";
  uint8_t block[64];
  size_t n = strlen(text), at = 0;
  t2_h1_event_type last = T2_H1_NONE;
  t2_h1_parser *parser = make(&limits, false, NULL);
  memcpy(block, text, n);
  while (at < n) {
    t2_h1_event event;
    at += t2_h1_parse(parser, block + at, n - at, &event);
    last = event.type;
  }
  assert_int_equal(last, T2_H1_END);
  assert_int_equal(at, n);
  t2_h1_parser_free(parser);
}

static void test_the_end_after_content_was_given_is_an_end(void **state) {
  uint8_t text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
  t2_h1_parser *parser = make(&limits, true, NULL);
  t2_h1_event event;
  size_t at = t2_h1_parse(parser, text, sizeof(text) - 1, &event);
  at += t2_h1_parse(parser, text + at, sizeof(text) - 1 - at, &event);
  assert_int_equal(event.type, T2_H1_DATA);
  assert_int_equal(event.data.n, 2);
  t2_h1_eof(parser, &event);
  assert_int_equal(event.type, T2_H1_END);
  t2_h1_parser_free(parser);
}

static void test_a_tunnel_begins_where_the_caller_says(void **state) {
  uint8_t text[] = "CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\nGET / HTTP/1.1\r\n\r\n";
  size_t n = sizeof(text) - 1;
  t2_h1_parser *parser = make(&limits, false, NULL);
  t2_h1_event event;
  size_t at = t2_h1_parse(parser, text, n, &event);
  assert_int_equal(event.type, T2_H1_HEAD);
  assert_true(event.end);
  t2_h1_tunnel(parser);
  assert_false(t2_h1_idle(parser));
  assert_false(t2_h1_keep_alive(parser));
  at += t2_h1_parse(parser, text + at, n - at, &event);
  assert_int_equal(event.type, T2_H1_DATA);
  assert_int_equal(event.data.n, strlen("GET / HTTP/1.1\r\n\r\n"));
  assert_int_equal(at, n);
  t2_h1_eof(parser, &event);
  assert_int_equal(event.type, T2_H1_END);
  t2_h1_parser_free(parser);
}

/* The content's last byte was given already: it is not given again to the tunnel. */
static void test_a_tunnel_behind_content_gives_no_byte_twice(void **state) {
  uint8_t text[] = POST "Content-Length: 2\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabtunnel";
  size_t n = sizeof(text) - 1;
  t2_h1_parser *parser = make(&limits, false, NULL);
  t2_h1_event event;
  size_t at = t2_h1_parse(parser, text, n, &event);
  at += t2_h1_parse(parser, text + at, n - at, &event);
  t2_h1_tunnel(parser);
  at += t2_h1_parse(parser, text + at, n - at, &event);
  assert_int_equal(event.type, T2_H1_DATA);
  assert_int_equal(at, n);
  assert_true(t2_str_eq(event.data, T2_STR("tunnel")));
  t2_h1_parser_free(parser);
}

static void test_an_error_is_for_good(void **state) {
  uint8_t bad[] = "GET\r\n", good[] = GET HOST "\r\n";
  t2_h1_parser *parser = make(&limits, false, NULL);
  t2_h1_event event;
  assert_int_equal(t2_h1_parse(parser, bad, sizeof(bad) - 1, &event), sizeof(bad) - 1);
  assert_int_equal(event.type, T2_H1_ERROR);
  const char *detail = event.detail;
  assert_int_equal(t2_h1_parse(parser, good, sizeof(good) - 1, &event), sizeof(good) - 1);
  assert_int_equal(event.type, T2_H1_ERROR);
  assert_ptr_equal(event.detail, detail);
  t2_h1_tunnel(parser);
  assert_int_equal(t2_h1_parse(parser, good, 0, &event), 0);
  assert_int_equal(event.type, T2_H1_ERROR);
  t2_h1_eof(parser, &event);
  assert_int_equal(event.type, T2_H1_ERROR);
  assert_false(t2_h1_idle(parser));
  assert_false(t2_h1_keep_alive(parser));
  t2_h1_parser_free(parser);
}

/* Content is given where it lies. */
static void test_content_is_not_copied(void **state) {
  uint8_t text[] = POST "Content-Length: 4\r\n\r\nabcd";
  t2_h1_parser *parser = make(&limits, false, NULL);
  t2_h1_event event;
  size_t n = sizeof(text) - 1, at = t2_h1_parse(parser, text, n, &event);
  assert_true((uint8_t *)(uintptr_t)event.head->path.p >= text &&
              (uint8_t *)(uintptr_t)event.head->path.p < text + n);
  t2_h1_parse(parser, text + at, n - at, &event);
  assert_ptr_equal(event.data.p, text + n - 4);
  t2_h1_parser_free(parser);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_limits_hold_exactly),
      cmocka_unit_test(test_a_line_without_end_is_not_kept),
      cmocka_unit_test(test_a_whole_head_allocates_nothing_in_steady_state),
      cmocka_unit_test(test_a_head_in_pieces_is_given_back),
      cmocka_unit_test(test_missing_memory_is_an_error),
      cmocka_unit_test(test_fields_are_secret_by_name),
      cmocka_unit_test(test_idle_between_messages_only),
      cmocka_unit_test(test_no_event_waits_without_input),
      cmocka_unit_test(test_the_end_after_content_was_given_is_an_end),
      cmocka_unit_test(test_a_tunnel_begins_where_the_caller_says),
      cmocka_unit_test(test_a_tunnel_behind_content_gives_no_byte_twice),
      cmocka_unit_test(test_an_error_is_for_good),
      cmocka_unit_test(test_content_is_not_copied),
  };
  t2_h1_limits_init(&limits);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
