/* What is said when a session is registered: the body of POST /v1/sessions, and the answer to it. Sans-I/O.
 */
#ifndef T2_CLIENT_REGISTER_MESSAGE_H
#define T2_CLIENT_REGISTER_MESSAGE_H

#include <base/buf.h>
#include <jansson.h>
#include <wire/message.h>
#include <wire/ticket.h>

#define T2_REGISTER_URLS_MAX 32
#define T2_REGISTER_MAX      65536 /* bytes of an answer */

/* Texts point into `json`. */
typedef struct t2_register_answer {
  json_t *json;
  t2_str session, ticket;
  unsigned lease_seconds;
  const char *urls[T2_REGISTER_URLS_MAX];
  size_t url_count;
  t2_message_entry entries[T2_MESSAGE_ENTRIES_MAX];
  size_t entry_count;
} t2_register_answer;

/* Appends {"session":...,"instance":...}, what kind it is of and which port it asks for when that is not HTTP
 * and any, and its terms; an empty session is left out: one is made. 0 or T2_ERR_NOMEM. */
int t2_register_request(t2_buf *out, t2_str session, const char *instance, t2_kind kind, uint16_t port,
                        const t2_terms *terms);
/* Reads the answer. T2_ERR_PROTOCOL with what is wrong in detail; then nothing has to be freed. URLs and
 * entries past what there is room for are left out; so are entries without an id or an uplink. */
int t2_register_answer_parse(t2_register_answer *answer, t2_str body, char *detail, size_t detail_size);
void t2_register_answer_fini(t2_register_answer *answer);

/* How many seconds a ticket is good for, counted from its beginning, as it says of itself; a client can't
 * check it. 0 when that can't be read. */
uint64_t t2_ticket_life(t2_str ticket);

#endif
