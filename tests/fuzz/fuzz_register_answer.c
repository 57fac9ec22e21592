/* The control plane's answer to a registration, and the life of the ticket in it: what is read is bounded. */
#include <client/register_message.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
  if (!holds) abort();
}

static void look_at(const t2_register_answer *answer) {
  size_t text = 0;
  require(answer->session.n >= 3 && answer->session.n <= T2_SESSION_ID_MAX);
  require(answer->ticket.n >= 1 && answer->ticket.n <= T2_TICKET_MAX);
  require(answer->lease_seconds >= 1 && answer->lease_seconds <= 86400);
  require(answer->url_count <= T2_REGISTER_URLS_MAX && answer->entry_count <= T2_MESSAGE_ENTRIES_MAX);
  for (size_t i = 0; i < answer->url_count; i++)
    text += strlen(answer->urls[i]);
  for (size_t i = 0; i < answer->entry_count; i++) {
    require(t2_entry_id_valid(answer->entries[i].id));
    text += answer->entries[i].uplink.n;
  }
  require(text <= T2_REGISTER_MAX);
  require(t2_ticket_life(answer->ticket) <= T2_TICKET_TIME_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char detail[160] = "";
  t2_register_answer answer;
  int err = t2_register_answer_parse(&answer, t2_str_of((const char *)data, size), detail, sizeof(detail));
  require((err == 0) == (detail[0] == '\0'));
  if (err) return 0;
  look_at(&answer);
  t2_register_answer_fini(&answer);
  return 0;
}
