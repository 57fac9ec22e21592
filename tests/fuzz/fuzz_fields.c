/* Fields and control data of any bytes through the forwarding rules, the writers and problem documents: what
 * is written is one message with a line for each field. The input is a list of strings, each behind its
 * length in a byte. */
#include <http/forward.h>
#include <http/h1.h>
#include <http/problem.h>
#include <stdlib.h>
#include <tunnel2/error.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

typedef struct input {
  const uint8_t *p;
  size_t n;
} input;

static t2_str take(input *in) {
  if (in->n == 0) return T2_STR("");
  size_t length = in->p[0];
  if (length > in->n - 1) length = in->n - 1;
  t2_str s = t2_str_of((const char *)in->p + 1, length);
  in->p += 1 + length;
  in->n -= 1 + length;
  return s;
}

/* Values that were made here, whatever they were made of, may stand in a message. */
static void check_made(const t2_head *head, const char *name) {
  const t2_field *field = t2_fields_get(&head->fields, t2_str_c(name));
  if (field && !t2_is_field_value(field->value)) abort();
}

/* Lines, of which the head's fields account for one each at most, and nothing else that could end one. */
static void check_written(const t2_head *head, int err, const t2_buf *out) {
  const uint8_t *p = t2_buf_head(out);
  size_t lines = 0;
  if (err == T2_ERR_INVALID) {
    if (t2_buf_len(out) || !out->failed) abort();
    return;
  }
  if (err) abort();
  for (size_t i = 0; i < t2_buf_len(out); i++) {
    if (p[i] == '\r' && i + 1 < t2_buf_len(out) && p[i + 1] == '\n') {
      lines++;
      i++;
    } else if ((p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f) {
      abort();
    }
  }
  if (lines > head->fields.n + 6) abort();
}

static void write_both(const t2_head *head) {
  t2_buf out;
  t2_head answer = *head;
  t2_buf_init(&out, NULL);
  int err = t2_h1_write_request(&out, head, T2_H1_FRAMING_CHUNKED);
  check_written(head, err, &out);
  t2_buf_reset(&out);
  answer.status = 200;
  err = t2_h1_write_response(&out, &answer, T2_H1_FRAMING_CHUNKED, true, false);
  check_written(&answer, err, &out);
  t2_buf_reset(&out);
  (void)t2_h1_write_last_chunk(&out, &head->fields);
  t2_buf_fini(&out);
}

static void check_problem(t2_str detail, t2_str by, t2_str id) {
  char text[256] = {0};
  t2_head head;
  t2_buf scratch, body;
  memcpy(text, detail.p, detail.n);
  t2_head_init(&head, NULL);
  t2_buf_init(&scratch, NULL);
  t2_buf_init(&body, NULL);
  if (t2_problem_write(t2_problem_of(T2_ERR_CLOSED, T2_AT_ORIGIN), text, by, id, &head, &scratch, &body))
    abort();
  check_made(&head, "proxy-status");
  for (size_t i = 0; i + 1 < t2_buf_len(&body); i++)
    if (t2_buf_head(&body)[i] < 0x20) abort();
  t2_head_fini(&head);
  t2_buf_fini(&scratch);
  t2_buf_fini(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  static const char *const made[] = {"forwarded", "via"};
  input in = {bytes, n};
  t2_head head, out;
  t2_buf scratch;
  t2_head_init(&head, NULL);
  t2_head_init(&out, NULL);
  t2_buf_init(&scratch, NULL);
  t2_str options = take(&in);
  head.method = take(&in);
  head.authority = take(&in);
  head.path = take(&in);
  t2_forward how = {.peer = take(&in), .by = take(&in), .prefix = take(&in)};
  how.trust_peer = options.n && (options.p[0] & 1);
  while (in.n) {
    t2_str name = take(&in);
    if (t2_fields_add(&head.fields, name, take(&in))) abort();
  }
  if (t2_forward_request(&head, &how, &out, &scratch)) abort();
  for (size_t i = 0; !how.trust_peer && i < sizeof(made) / sizeof(made[0]); i++)
    if (t2_fields_count(&head.fields, t2_str_c(made[i])) == 0) check_made(&out, made[i]);
  write_both(&out);
  write_both(&head);
  check_problem(how.peer, how.by, t2_forward_request_id(&head));
  t2_head_fini(&head);
  t2_head_fini(&out);
  t2_buf_fini(&scratch);
  return 0;
}
