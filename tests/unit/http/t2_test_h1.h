/* Runs a parser over input cut in pieces and writes down what it says, so that runs can be compared:
 *
 *   GET a.example /path length=3 close     a request: method, authority, path, what is unusual
 *   200 length=3                           a response
 *   name: value                            its fields
 *   data abc                               content, however many events it came in
 *   end                                    with trailers behind it
 *   error 400 what was wrong
 *
 * Each piece is in a block of its own that is freed when the parser is done with it, for the sanitizers to
 * see what is read beyond or after. */
#ifndef T2_TEST_H1_H
#define T2_TEST_H1_H

#include <http/h1.h>
#include <stdlib.h>

typedef struct t2_test_h1 {
  t2_h1_parser *parser;
  t2_buf *log;
  bool in_data; /* the log's last line is of data */
  bool broken;  /* an error was written */
} t2_test_h1;

static inline void t2_test_h1_log_fields(t2_buf *log, const t2_fields *fields) {
  for (size_t i = 0; i < fields->n; i++) {
    t2_buf_append_str(log, fields->list[i].name);
    t2_buf_append_c(log, ": ");
    t2_buf_append_str(log, fields->list[i].value);
    t2_buf_append_c(log, "\n");
  }
}

static inline void t2_test_h1_log_head(t2_test_h1 *run, const t2_h1_event *event) {
  const t2_head *head = event->head;
  t2_buf *log = run->log;
  if (head->status)
    t2_buf_append_u64(log, (uint64_t)head->status);
  else
    t2_buf_append_str(log, head->method);
  if (head->status == 0) {
    t2_buf_append_c(log, " ");
    t2_buf_append_str(log, head->authority);
    t2_buf_append_c(log, " ");
    t2_buf_append_str(log, head->path);
  }
  if (head->version_minor == 0) t2_buf_append_c(log, " 1.0");
  if (head->content_length >= 0) {
    t2_buf_append_c(log, " length=");
    t2_buf_append_u64(log, (uint64_t)head->content_length);
  }
  if (head->protocol.n) {
    t2_buf_append_c(log, " upgrade=");
    t2_buf_append_str(log, head->protocol);
  }
  if (!t2_h1_keep_alive(run->parser)) t2_buf_append_c(log, " close");
  if (!event->end) t2_buf_append_c(log, " ...");
  t2_buf_append_c(log, "\n");
  t2_test_h1_log_fields(log, &head->fields);
}

static inline void t2_test_h1_log(t2_test_h1 *run, const t2_h1_event *event) {
  t2_buf *log = run->log;
  if (event->type == T2_H1_NONE) return;
  if (run->in_data && event->type != T2_H1_DATA) {
    t2_buf_append_c(log, "\n");
    run->in_data = false;
  }
  switch (event->type) {
  case T2_H1_NONE:
    break;
  case T2_H1_HEAD:
    t2_test_h1_log_head(run, event);
    break;
  case T2_H1_DATA:
    if (!run->in_data) t2_buf_append_c(log, "data ");
    run->in_data = true;
    t2_buf_append_str(log, event->data);
    break;
  case T2_H1_END:
    t2_buf_append_c(log, "end\n");
    t2_test_h1_log_fields(log, event->trailers);
    break;
  case T2_H1_ERROR:
    run->broken = true;
    t2_buf_append_c(log, "error ");
    t2_buf_append_u64(log, (uint64_t)event->status);
    t2_buf_append_c(log, " ");
    t2_buf_append_c(log, event->detail);
    t2_buf_append_c(log, "\n");
    break;
  }
}

static inline void t2_test_h1_begin(t2_test_h1 *run, t2_h1_parser *parser, t2_buf *log) {
  *run = (t2_test_h1){.parser = parser, .log = log};
  t2_buf_reset(log);
}

/* All events of one piece. */
static inline void t2_test_h1_feed(t2_test_h1 *run, const uint8_t *bytes, size_t n) {
  uint8_t *block = malloc(n ? n : 1);
  size_t at = 0, calls = 0;
  if (!block) abort();
  if (n) memcpy(block, bytes, n);
  while (at < n && !run->broken) {
    t2_h1_event event;
    at += t2_h1_parse(run->parser, block + at, n - at, &event);
    t2_test_h1_log(run, &event);
    if (event.type == T2_H1_NONE && at != n) abort(); /* it has to take all, or to say something */
    if (at > n || ++calls > 4 * n + 4) abort();
  }
  free(block);
}

/* The connection's end, and an end of line behind data. */
static inline void t2_test_h1_finish(t2_test_h1 *run, bool eof) {
  t2_h1_event event = {.type = T2_H1_NONE};
  if (eof && !run->broken) t2_h1_eof(run->parser, &event);
  t2_test_h1_log(run, &event);
  if (run->in_data) t2_buf_append_c(run->log, "\n");
}

#endif
