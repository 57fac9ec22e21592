#include <proxy/held.h>
#include <tunnel2/error.h>

int t2_held_init(t2_held *held, const t2_allocator *mem, const t2_head *head, bool end) {
  *held = (t2_held){.mem = mem, .ended = end};
  t2_buf_init(&held->content, mem);
  held->head = t2_head_copy(head, mem);
  return held->head ? 0 : T2_ERR_NOMEM;
}

static void note(t2_held *held, size_t n) {
  if (held->pressure) t2_pressure_note(held->pressure, &held->waiting, n);
}

void t2_held_account(t2_held *held, t2_pressure *pressure) {
  held->pressure = pressure;
  note(held, t2_buf_len(&held->content));
}

int t2_held_data(t2_held *held, const uint8_t *bytes, size_t n) {
  int err = t2_buf_append(&held->content, bytes, n);
  note(held, t2_buf_len(&held->content));
  return err;
}

int t2_held_end(t2_held *held, const t2_fields *trailers) {
  t2_head head;
  held->ended = true;
  if (!trailers || trailers->n == 0) return 0;
  t2_head_init(&head, held->mem);
  head.fields = *trailers;
  held->trailers = t2_head_copy(&head, held->mem);
  return held->trailers ? 0 : T2_ERR_NOMEM;
}

void t2_held_fini(t2_held *held) {
  note(held, 0);
  t2_head_free_copy(held->head, held->mem);
  t2_head_free_copy(held->trailers, held->mem);
  t2_buf_fini(&held->content);
  held->head = held->trailers = NULL;
}
