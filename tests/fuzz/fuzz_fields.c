/* Fields and control data of any bytes through the forwarding rules and the writers: what they write is one message
 * with the same number of lines as it has fields. Parts of the input are separated by line feeds escaped away: the
 * input is a list of strings, each with its length in the byte before. */
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

static bool all_good(const t2_head *head) {
  for (size_t i = 0; i < head->fields.n; i++) {
    const uint8_t *p = (const uint8_t *)head->fields.list[i].value.p;
    for (size_t k = 0; k < head->fields.list[i].value.n; k++)
      if ((p[k] < 0x20 && p[k] != '\t') || p[k] == 0x7f) return false;
    if (!t2_is_token(head->fields.list[i].name)) return false;
  }
  return true;
}

static void check_written(const t2_head *head, int err, const t2_buf *out) {
  size_t lines = 0;
  if (err == T2_ERR_INVALID) {
    if (t2_buf_len(out) || !out->failed) abort();
    return;
  }
  if (err || !all_good(head)) abort();
  for (size_t i = 0; i < t2_buf_len(out); i++) {
    uint8_t c = t2_buf_head(out)[i];
    if (c == '\n' && (i == 0 || t2_buf_head(out)[i - 1] != '\r')) abort();
    if (c == '\0') abort();
    lines += c == '\n';
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
  if (t2_problem_write(t2_problem_of(T2_ERR_CLOSED, T2_AT_ORIGIN), text, by, id, &head, &scratch, &body)) abort();
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
