/* The control API: who may ask what, and the answers (docs/PROTOCOL.md). */
#ifndef T2_CONTROL_API_H
#define T2_CONTROL_API_H

#include <control/state.h>
#include <proxy/call.h>
#include <wire/json.h>

/* A t2_server_request_cb; user is the t2_control. */
void t2_api_on_request(const t2_server_request *request, void *user);

/* ---- Between api.c and the files that answer (api_sessions.c, api_entries.c) ---- */

/* One request whose asker is known and may ask it. */
typedef struct t2_api_call {
  t2_control *control;
  t2_call *call;
  const t2_token *who; /* NULL where nobody has to say who they are */
  t2_str id;           /* out of the path; empty where there is none */
  t2_str query;
} t2_api_call;

/* A list's ?after=N&limit=N. */
typedef struct t2_api_page {
  uint64_t after, limit;
} t2_api_page;

/* Each of these answers the call; it is over then. */
void t2_api_reply(const t2_api_call *api, int status, const t2_buf *json);
void t2_api_problem(const t2_api_call *api, int status, const char *detail);
/* For an error of the store or of signing. */
void t2_api_fail(const t2_api_call *api, int err, const char *conflict);
/* The content's object, freed with json_decref; an empty one when there is no content. NULL: it is none, and
 * has been answered. */
json_t *t2_api_content(const t2_api_call *api);
/* False: it is wrong, and has been answered. */
bool t2_api_read_page(const t2_api_call *api, t2_api_page *page);

bool t2_api_is_admin(const t2_api_call *api);
/* Whose things a list shows: NULL is everybody's. */
const char *t2_api_listed_owner(const t2_api_call *api);

void t2_api_register(const t2_api_call *api);
void t2_api_list_sessions(const t2_api_call *api);
void t2_api_end_session(const t2_api_call *api);
void t2_api_announce(const t2_api_call *api);
void t2_api_list_entries(const t2_api_call *api);
void t2_api_show_keys(const t2_api_call *api);
void t2_api_rotate_keys(const t2_api_call *api);

/* A request to open a channel; who asks is known and has the role. */
void t2_api_open_session(t2_control *control, const t2_server_request *request, const t2_token *who,
                         t2_str id);
void t2_api_open_watcher(t2_control *control, const t2_server_request *request, const t2_token *who,
                         t2_str id);
void t2_api_open_entry(t2_control *control, const t2_server_request *request, const t2_token *who, t2_str id);
void t2_api_refuse(const t2_server_request *request, int status, const char *detail);

#endif
