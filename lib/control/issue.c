#include <base/random.h>
#include <control/issue.h>
#include <stdio.h>
#include <tunnel2/error.h>

static uint64_t mark_text(uint64_t mark, const char *text) {
  const uint64_t key[2] = {mark, 1};

  return t2_siphash(key, text, strlen(text));
}

void t2_entry_list_of(const t2_store *store, t2_str session, t2_entry_list *list) {
  list->n = t2_store_entries_of(store, session, list->entries);
  list->mark = list->n;
  for (size_t i = 0; i < list->n; i++)
    list->mark = mark_text(mark_text(list->mark, list->entries[i]->id), list->entries[i]->uplink);
}

int t2_issue_ticket(t2_store *store, const t2_keys *keys, t2_session *session, const t2_entry_list *list,
                    t2_moment now, t2_buf *out, int64_t *expires_at) {
  t2_ticket ticket = {.audience_count = list->n ? list->n : 1,
                      .max_uplinks = T2_ISSUE_UPLINKS_MAX,
                      .kind = session->kind,
                      .port = session->port};

  if (session->terms) ticket.terms = *session->terms;
  snprintf(ticket.session, sizeof(ticket.session), "%s", session->id);
  snprintf(ticket.audience[0], sizeof(ticket.audience[0]), "%s", T2_TICKET_ANY_ENTRY);
  for (size_t i = 0; i < list->n; i++)
    snprintf(ticket.audience[i], sizeof(ticket.audience[i]), "%s", list->entries[i]->id);
  t2_uuid(ticket.id);
  session->told_mark = list->mark;
  ticket.issued_at = t2_store_issue(store, session, now);
  ticket.not_before = now.wall;
  ticket.expires_at = now.wall + store->limits.ticket_seconds;
  *expires_at = ticket.expires_at;
  return t2_ticket_sign(&ticket, keys, out);
}
