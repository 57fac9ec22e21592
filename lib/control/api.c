#include <control/api.h>
#include <tunnel2/error.h>

#define CONTENT_MAX 65536
#define PAGE        100
#define PAGE_MAX    1000

static const t2_problem overloaded = {503, "unavailable", "Service Unavailable", NULL, 5};
static const t2_problem too_many = {429, "limit", "Too Many", NULL, 30};

/* ---- What there is ---- */

typedef struct method {
  const char *name;
  unsigned roles; /* one of these is needed; 0: no token is */
  void (*answer)(const t2_api_call *api);
  /* Instead: the request stays open as a channel. */
  void (*open)(t2_control *control, const t2_server_request *request, const t2_token *who, t2_str id);
} method;

typedef struct resource {
  const char *path; /* "*" is an id */
  const char *allow;
  method methods[2];
} resource;

#define CLIENT T2_ROLE_CLIENT
#define ENTRY  T2_ROLE_ENTRY
#define ADMIN  T2_ROLE_ADMIN

static const resource resources[] = {
    {"/v1/sessions",
     "GET, HEAD, POST",
     {{"POST", CLIENT, t2_api_register, NULL}, {"GET", CLIENT | ADMIN, t2_api_list_sessions, NULL}}},
    {"/v1/sessions/*", "DELETE", {{"DELETE", CLIENT | ADMIN, t2_api_end_session, NULL}}},
    {"/v1/sessions/*/channel", "POST", {{"POST", CLIENT, NULL, t2_api_open_session}}},
    {"/v1/entries",
     "GET, HEAD, POST",
     {{"POST", ENTRY, t2_api_announce, NULL}, {"GET", ENTRY | ADMIN, t2_api_list_entries, NULL}}},
    {"/v1/entries/*/channel", "POST", {{"POST", ENTRY, NULL, t2_api_open_entry}}},
    {"/v1/revocations", "POST", {{"POST", ENTRY, NULL, t2_api_open_watcher}}},
    {"/v1/keys",
     "GET, HEAD, POST",
     {{"GET", 0, t2_api_show_keys, NULL}, {"POST", ADMIN, t2_api_rotate_keys, NULL}}},
};

/* Does the path match, and what stands where the "*" does? */
static bool matches(const char *pattern, t2_str path, t2_str *id) {
  const char *star = strchr(pattern, '*');

  *id = T2_STR_NULL;
  if (!star) return t2_str_eq(t2_str_c(pattern), path);
  t2_str before = t2_str_of(pattern, (size_t)(star - pattern)), after = t2_str_c(star + 1);
  if (path.n <= before.n + after.n || !t2_str_starts(path, before) || !t2_str_ends(path, after)) return false;
  *id = t2_str_of(path.p + before.n, path.n - before.n - after.n);
  return t2_str_find(*id, '/') < 0;
}

static const resource *find_resource(t2_str path, t2_str *id) {
  for (size_t i = 0; i < T2_COUNT_OF(resources); i++)
    if (matches(resources[i].path, path, id)) return &resources[i];
  return NULL;
}

static const method *find_method(const resource *r, t2_str name) {
  if (t2_str_eq(name, T2_STR("HEAD"))) name = T2_STR("GET");
  for (size_t i = 0; i < T2_COUNT_OF(r->methods); i++)
    if (r->methods[i].name && t2_str_eq(t2_str_c(r->methods[i].name), name)) return &r->methods[i];
  return NULL;
}

/* A request's target in parts. */
typedef struct target {
  t2_str path, query, id;
  const resource *resource;
  const method *method;
} target;

static void read_target(const t2_head *head, target *out) {
  ptrdiff_t mark = t2_str_find(head->path, '?');

  *out = (target){.path = head->path};
  if (mark >= 0) {
    out->path.n = (size_t)mark;
    out->query = t2_str_of(head->path.p + mark + 1, head->path.n - (size_t)mark - 1);
  }
  out->resource = find_resource(out->path, &out->id);
  out->method = out->resource ? find_method(out->resource, head->method) : NULL;
}

/* ---- Who asks ---- */

/* NULL: nobody that is known here. */
static const t2_token *who_asks(const t2_control *control, const t2_head *head) {
  const t2_field *field = t2_fields_get(&head->fields, T2_STR("authorization"));
  t2_str token;

  if (!field || t2_fields_count(&head->fields, T2_STR("authorization")) != 1) return NULL;
  return t2_bearer_parse(field->value, &token) ? NULL : t2_tokens_check(&control->tokens, token);
}

bool t2_api_is_admin(const t2_api_call *api) {
  return (api->who->roles & ADMIN) != 0;
}

const char *t2_api_listed_owner(const t2_api_call *api) {
  return t2_api_is_admin(api) ? NULL : api->who->owner;
}

/* ---- Answers ---- */

void t2_api_problem(const t2_api_call *api, int status, const char *detail) {
  t2_call_problem(api->call, t2_problem_of_status(status), detail);
}

void t2_api_reply(const t2_api_call *api, int status, const t2_buf *json) {
  if (json && json->failed)
    t2_api_fail(api, T2_ERR_NOMEM, NULL);
  else if (json)
    t2_call_reply(api->call, status, "application/json", NULL, t2_buf_head(json), t2_buf_len(json));
  else
    t2_call_reply(api->call, status, NULL, NULL, NULL, 0);
}

void t2_api_fail(const t2_api_call *api, int err, const char *conflict) {
  switch (err) {
  case T2_ERR_CONFLICT:
    t2_api_problem(api, 409, conflict);
    break;
  case T2_ERR_LIMIT:
    t2_call_problem(api->call, &too_many, "the owner has as many as it may have");
    break;
  case T2_ERR_UNAVAILABLE:
    t2_call_problem(api->call, &overloaded, "there are as many as this control plane takes");
    break;
  default:
    t2_log_at(&api->control->loop->log, ERROR, "control", "a request can't be answered: %s",
              t2_strerror(err));
    t2_call_problem(api->call, &overloaded, NULL);
    break;
  }
}

json_t *t2_api_content(const t2_api_call *api) {
  t2_str content = t2_call_body(api->call);
  json_t *json = content.n ? t2_json_object(content) : json_object();

  if (json) return json;
  if (content.n)
    t2_api_problem(api, 400, "the content is not one JSON object");
  else
    t2_api_fail(api, T2_ERR_NOMEM, NULL);
  return NULL;
}

bool t2_api_read_page(const t2_api_call *api, t2_api_page *page) {
  t2_str rest = api->query, pair;

  *page = (t2_api_page){.limit = PAGE};
  while (t2_str_next(&rest, '&', &pair)) {
    if (t2_str_starts(pair, T2_STR("limit="))) {
      if (t2_str_u64(t2_str_of(pair.p + 6, pair.n - 6), PAGE_MAX, &page->limit) || page->limit == 0) {
        t2_api_problem(api, 400, "\"limit\" is a number from 1 to 1000");
        return false;
      }
    } else if (t2_str_starts(pair, T2_STR("after="))) {
      if (t2_str_u64(t2_str_of(pair.p + 6, pair.n - 6), INT64_MAX, &page->after)) {
        t2_api_problem(api, 400, "\"after\" is what \"next\" was in the answer before");
        return false;
      }
    }
  }
  return true;
}

/* ---- Requests ---- */

void t2_api_refuse(const t2_server_request *request, int status, const char *detail) {
  t2_call_refuse(request, t2_problem_of_status(status), detail, T2_STR_NULL, T2_STR_NULL);
}

static void refuse_role(const t2_server_request *request, unsigned roles) {
  t2_api_refuse(request, 403,
                roles & CLIENT  ? "this needs a token of the role client"
                : roles & ENTRY ? "this needs a token of the role entry"
                                : "this needs a token of the role admin");
}

/* Is there content to come that says it is something else than JSON? */
static bool is_other_type(const t2_server_request *request) {
  const t2_field *type = t2_fields_get(&request->head->fields, T2_STR("content-type"));
  t2_str rest, name;

  if (request->end || request->head->content_length == 0) return false;
  if (!type) return true;
  rest = type->value;
  return !t2_str_next(&rest, ';', &name) || !t2_str_eq_nocase(name, T2_STR("application/json"));
}

/* The request is whole. What it asks, and who may, was found before its content came; it is found again,
 * rather than kept for a time that may never come. */
static void on_call(t2_call *call, void *user) {
  t2_control *control = user;
  const t2_head *head = t2_call_head(call);
  target t;

  read_target(head, &t);
  t2_api_call api = {.control = control, .call = call, .id = t.id, .query = t.query};
  if (!t.method) {
    t2_api_problem(&api, 404, NULL);
    return;
  }
  api.who = t.method->roles ? who_asks(control, head) : NULL;
  t.method->answer(&api);
}

/* Who asks is looked at before the thing that is asked for, and both before any content is taken. */
void t2_api_on_request(const t2_server_request *request, void *user) {
  t2_control *control = user;
  target t;

  read_target(request->head, &t);
  if (control->state == T2_CONTROL_STATE_NEW) {
    t2_call_refuse(request, &overloaded, "the control plane has not begun", T2_STR_NULL, T2_STR_NULL);
    return;
  }
  if (!t.resource) {
    t2_api_refuse(request, 404, "there is no such resource");
    return;
  }
  if (!t.method) {
    t2_call_refuse(request, t2_problem_of_status(405), NULL, T2_STR("allow"), t2_str_c(t.resource->allow));
    return;
  }
  const t2_token *who = t.method->roles ? who_asks(control, request->head) : NULL;
  if (t.method->roles && !who) {
    t2_call_refuse(request, t2_problem_of_status(401), "a token is needed that is known here",
                   T2_STR("www-authenticate"), T2_STR("Bearer realm=\"tunnel2\""));
  } else if (who && !(who->roles & t.method->roles)) {
    refuse_role(request, t.method->roles);
  } else if (t.method->open) {
    t.method->open(control, request, who, t.id);
  } else if (is_other_type(request)) {
    t2_api_refuse(request, 415, "the content has to be application/json");
  } else {
    t2_call_begin(request, CONTENT_MAX, on_call, control);
  }
}
